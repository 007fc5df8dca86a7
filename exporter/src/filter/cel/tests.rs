//! Expressions with the answers of upstream's cel-go (`cases.txt`), and the bounds that are our own.

use super::*;
use crate::flow::json::{Options, decode};
use crate::flow::{ExportEvent, Flow};

/// The flow that `cases.txt` was asked about.
const EXAMPLE: &str = r#"{"flow":{"time":"2024-01-01T01:02:03.5Z","verdict":"DROPPED","l4":{"TCP":{"destination_port":80,"flags":{"SYN":true}}},
    "source":{"namespace":"x","labels":["a","b"],"workloads":[{"name":"w","kind":"K"}]},"l7":{"http":{"code":200,"headers":[{"key":"k","value":"v"}]}},
    "is_reply":true,"socket_cookie":"77","extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"packets":3,"a":{"b":"c"},"l":[1,true,null]}}}}"#;

fn example() -> ExportEvent<'static> {
    decode(EXAMPLE.as_bytes(), Options::default()).unwrap()
}

#[test]
fn expressions_give_what_cel_go_gives() {
    let (example, empty) = (example(), Flow::default());
    let flows = [example.flow(), Some(&empty), None];
    let mut wrong = Vec::new();
    let cases: Vec<_> = include_str!("cases.txt").lines().collect();
    assert!(cases.len() > 400, "the cases are there");
    for case in cases {
        let (expected, expression) = case.split_once('\t').unwrap();
        let found = match Program::compile(expression) {
            Err(_) => "invalid".to_owned(),
            Ok(program) => flows.iter().map(|flow| if program.evaluate(*flow) == Ok(true) { 'T' } else { '.' }).collect(),
        };
        if found != expected {
            wrong.push(format!("{expression}: {found}, upstream {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_mistake_names_its_place_and_the_cure() {
    for (expression, expected) in [
        ("_flow.verdict", "line 1, column 1: has to be a bool, and this is a int"),
        ("_flow.is_reply", "line 1, column 1: has to be a bool, and this may be null: compare it, as in `_flow.is_reply == true`"),
        ("true &&\n nope", "line 2, column 2: `nope` is not known; the flow is `_flow`"),
        (
            "_flow.l4.TCP.destination_port == 80",
            "line 1, column 31: `==` does not go between uint and int; write unsigned numbers as `80u`, or `uint(…)`",
        ),
        ("_flow.pod == ''", "line 1, column 6: flow.Flow has no field `pod`"),
        ("_flow.verdict = 2", "line 1, column 15: `=`: write `==` to compare"),
        ("", "line 1, column 1: expected an expression, found the end"),
    ] {
        assert_eq!(Program::compile(expression).unwrap_err().to_string(), expected, "{expression}");
    }
}

#[test]
fn the_paths_an_expression_reads_are_known() {
    let program =
        Program::compile("_flow.source.namespace == 'a' && has(_flow.l4.TCP) && _flow.source.labels.exists(l, l == _flow.uuid)").unwrap();
    assert_eq!(program.paths(), ["source.namespace", "l4.TCP", "source.labels", "uuid"]);
    assert_eq!(Program::compile("_flow == flow.Flow{}").unwrap().paths(), [""]);
}

#[test]
fn evaluation_is_bounded_in_steps_and_size() {
    let long = "['aaaaaaaaaaaaaaaa'].map(x, x + x)".to_owned() + &".map(x, x + x)".repeat(60) + ".size() == 1";
    let program = Program::compile(&long).unwrap();
    assert!(program.evaluate(None).unwrap_err().contains("steps"), "a text that doubles sixty times");
    let nested = (0..8).fold("true".to_owned(), |inner, n| format!("[1,2,3,4,5,6,7,8,9].all(x{n}, {inner})"));
    assert!(Program::compile(&nested).unwrap().evaluate(None).unwrap_err().contains("steps"));
}

#[test]
fn depth_and_length_are_bounded() {
    for deep in [
        "(".repeat(100_000),
        "(".repeat(300) + "true" + &")".repeat(300),
        "[".repeat(50_000),
        "1".to_owned() + &"+1".repeat(1000) + " == 1",
        "true ? ".repeat(1000) + "true",
        "_flow".to_owned() + &".source".repeat(1000) + " == 1",
        "a".repeat(100_001),
        "{1:".repeat(1000),
    ] {
        assert!(Program::compile(&deep).is_err());
    }
    assert!(Program::compile(&("true".to_owned() + &" && true".repeat(5000))).is_ok(), "a chain is no depth");
    assert_eq!(Program::compile(&("!".repeat(401) + "true")).unwrap().evaluate(None), Ok(false));
    assert_eq!(Program::compile(&("(".repeat(200) + "true" + &")".repeat(200))).unwrap().evaluate(None), Ok(true));
}

#[test]
fn the_deepest_nesting_fits_a_thread_s_stack() {
    let pairs = |open: &str, inside: &str, close: &str, times: usize| open.repeat(times) + inside + &close.repeat(times);
    let deepest = [
        pairs("(", "true", ")", 249),
        pairs("!(", "true", ")", 248),
        pairs("[", "1", "]", 247) + " == []",
        pairs("dyn(", "1", ")", 247) + " == 1",
        pairs("[1].map(x, ", "1", ")", 246) + " == []",
        pairs("(true ? ", "true", " : false)", 124),
        "1".to_owned() + &"+1".repeat(247) + " == 248",
        "_flow".to_owned() + &"[1]".repeat(247),
    ];
    let compile_all = move || {
        for expression in deepest {
            if let Ok(program) = Program::compile(&expression) {
                program.paths();
                let _ = program.evaluate(None);
            }
        }
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(compile_all).unwrap().join().unwrap();
}

proptest::proptest! {
    #[test]
    fn no_expression_panics(expression in r#"(_flow|\.|source|labels|verdict|==|&&|\|\||!|\(|\)|\[|\]|\{|\}|1|2u|'a'|"|,|\?|:|x|exists|map|has|size|in| |-|/|%|<|timestamp|duration|int|string|b'|\\|\d){0,16}"#) {
        if let Ok(program) = Program::compile(&expression) {
            let _ = program.evaluate(example().flow());
            let _ = program.evaluate(None);
        }
    }

    #[test]
    fn integers_behave_like_integers(a: i64, b: i64) {
        let holds = |expression: String| Program::compile(&expression).unwrap().evaluate(None);
        assert_eq!(holds(format!("{a} < {b}")), Ok(a < b));
        assert!(holds(format!("dyn({a}) == {b}.0")).is_ok());
        match a.checked_add(b) {
            Some(sum) => assert_eq!(holds(format!("{a} + {b} == {sum}")), Ok(true)),
            None => assert!(holds(format!("{a} + {b} == 0")).is_err()),
        }
    }
}
