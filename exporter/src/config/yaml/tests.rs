//! The YAML layer against what Kubernetes' own reader makes of the same texts.

use serde_json::{Value, json};

use super::*;

fn to_json(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(Scalar::Null, _) => Value::Null,
        Kind::Scalar(Scalar::Bool(truth), _) => json!(truth),
        Kind::Scalar(Scalar::Int(number), _) => json!(number),
        Kind::Scalar(Scalar::Unsigned(number), _) => json!(number),
        Kind::Scalar(Scalar::Float(number), _) => json!(number),
        Kind::Scalar(Scalar::Text, text) => json!(text),
        Kind::List(items) => items.iter().map(to_json).collect(),
        Kind::Map(entries) => entries.iter().map(|(key, entry)| (key.clone(), to_json(&entry.value))).collect(),
    }
}

fn read(text: &str) -> Result<Value, Problems> {
    let mut problems = Problems::default();
    match parse(text.as_bytes(), &mut problems) {
        Some(node) => Ok(to_json(&node)),
        None => Err(problems),
    }
}

#[test]
fn texts_become_the_json_that_kubernetes_makes_of_them() {
    for (text, expected) in [
        ("", Value::Null),
        ("# only a comment", Value::Null),
        ("---\n", Value::Null),
        ("a: 1\n---\na: 2", json!({"a": 1})),
        ("a: 1\n...\n]]", json!({"a": 1})),
        ("{\"a\": [1, \"x\", null]}", json!({"a": [1, "x", null]})),
        ("a: 1\na: 2", json!({"a": 2})),
        ("1: a\ntrue: b\n1.5: c", json!({"1": "a", "true": "b", "1.5": "c"})),
        ("a: 'yes'\nb: yes\nc: \"12\"\nd: !!str 12\ne: !mine 12", json!({"a": "yes", "b": true, "c": "12", "d": "12", "e": "12"})),
        ("x: &x {a: 1, b: 2}\nz: {<<: *x, b: 3}", json!({"x": {"a": 1, "b": 2}, "z": {"a": 1, "b": 3}})),
        ("x: &x {b: 2}\nz: {b: 3, <<: *x}", json!({"x": {"b": 2}, "z": {"b": 2}})),
        ("x: &x {a: 1}\nw: &w {a: 2, c: 3}\nz: {<<: [*x, *w]}", json!({"x": {"a": 1}, "w": {"a": 2, "c": 3}, "z": {"a": 1, "c": 3}})),
        ("y: 1", json!({"true": 1})),
        ("a: |\n  x\nb: >\n  y", json!({"a": "x\n", "b": "y"})),
        ("# c\n{\n\t\"a\": {\n\t\t\"b\": 1},\t\"c\": \"x\n\ty\"}", json!({"a": {"b": 1}, "c": "x y"})),
        ("'<<': 1", json!({"<<": 1})),
        ("a: |\n  x\n  y\nb: >\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y\n"})),
        ("a: 2023-10-09\nb: 1:30", json!({"a": "2023-10-09", "b": "1:30"})),
        ("\u{feff}a: 1", json!({"a": 1})),
        ("a:\r\n- 1\r\n- 2\r\n", json!({"a": [1, 2]})),
        ("%YAML 1.1\n---\na: on", json!({"a": true})),
    ] {
        assert_eq!(read(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn what_is_not_yaml_is_rejected_with_its_line() {
    for (text, line) in [
        ("\tflowLogs: []", 1),
        ("a:\n\tb: 1", 2),
        ("a:\n- 1\n-\t2: 3", 3),
        ("a: 1\nb: [", 3),
        ("a: 1\n b: 2", 2),
        ("a: *nothing", 1),
        ("a: 1\nb: &b [*b]", 2),
        ("a: 1\n? [x]\n: 2", 2),
        ("a: 1\n~: 2", 2),
        ("a: !!int x", 1),
        ("a: {<<: 3}", 1),
    ] {
        let problems = read(text).expect_err(text);
        assert!(problems.rejects_file());
        assert_eq!(problems.0[0].place.line, line, "{text:?}: {problems}");
    }
    let mut problems = Problems::default();
    assert!(parse(b"a: 1\nb: \xff", &mut problems).is_none());
    assert_eq!(problems.0[0].place.line, 2);
}

#[test]
fn keys_and_values_keep_their_lines() {
    let mut problems = Problems::default();
    let root = parse(b"a: 1\nb:\n- x\n- y: {z: 2}\n", &mut problems).unwrap();
    let Kind::Map(entries) = &root.kind else { panic!("not a map") };
    assert_eq!(entries["b"].mark, Mark { line: 2, column: 1 });
    let Kind::List(items) = &entries["b"].value.kind else { panic!("not a list") };
    assert_eq!(items[1].mark, Mark { line: 4, column: 3 });
}

#[test]
fn a_key_given_twice_is_a_warning_that_names_both_lines() {
    let mut problems = Problems::default();
    assert!(parse(b"a:\n- b: 1\n  c: 2\n  b: 3\n", &mut problems).is_some());
    assert_eq!(problems.0.len(), 1);
    let text = problems.to_string();
    assert!(text.starts_with("line 4: a[0].b: ") && text.contains("line 2"), "{text}");
}

#[test]
fn bombs_of_aliases_and_nesting_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let before = format!("*a{}, ", n - 1).repeat(10);
        laughs.push_str(&format!("a{n}: &a{n} [{before}]\n"));
    }
    assert!(read(&laughs).expect_err("ten to the twelfth").to_string().contains("aliases"));

    let mut tower = String::from("a0: &a0 [x]\n");
    for n in 1..2000 {
        tower.push_str(&format!("a{n}: &a{n} [*a{}]\n", n - 1));
    }
    assert!(read(&tower).is_err());
    assert!(read(&"[".repeat(1_000_000)).is_err());
    assert!(read(&"- ".repeat(500_000)).is_err());
    assert!(read(&"{a: ".repeat(100_000)).is_err());
    let anchors: String = (0..90).map(|n| format!("&a{n} [")).collect::<String>() + &"x,".repeat(50_000) + &"]".repeat(90);
    assert!(read(&anchors).expect_err("ninety copies").to_string().contains("anchors"));
}
