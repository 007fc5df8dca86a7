//! The shared vectors through the command line: filters, filter lists, masks and aggregation, exact to the case.
//!
//! Each case is a configuration and some events; `flowlog replay` has to print what upstream printed. To the shared ones come ours (`more-vectors.jsonl`),
//! on which the two once differed; theirs are upstream's answers too. Cases whose upstream answer shows the stale-oneof
//! defect (a flow repeats the port or status of the one before) are held against the corrected form: what a fresh flow gives.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flowlog_tests::program::flowlog;
use serde_json::{Value, json};

const VECTORS: &str = concat!(include_str!("data/hubble-vectors.jsonl"), include_str!("data/more-vectors.jsonl"));

fn cases(kind: &str) -> Vec<(usize, Value)> {
    let cases = VECTORS.lines().enumerate().map(|(at, line)| (at + 1, serde_json::from_str::<Value>(line).expect("a vector is JSON")));
    let found: Vec<_> = cases.filter(|(_, case)| case["kind"] == kind).collect();
    assert!(!found.is_empty(), "no vectors of kind {kind}");
    found
}

struct Replayed {
    lines: Vec<String>,
    code: Option<i32>,
    errors: String,
}

/// Runs `flowlog replay` with one flow log that prints every passing line as it is.
fn replay(folder: &Path, entry: Value, events: &[Value]) -> Replayed {
    let mut log = json!({"name": "v", "filePath": "stdout", "window": "0s", "redact": false});
    for (key, value) in entry.as_object().expect("an object") {
        log[key] = value.clone();
    }
    let config = folder.join("flowlog.yaml");
    std::fs::write(&config, json!({"flowLogs": [log]}).to_string()).expect("the configuration is written");
    let mut child = Command::new(flowlog())
        .args(["replay", "--node-name", "n1", "--config"])
        .arg(&config)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("flowlog starts");
    let mut input = child.stdin.take().expect("its input");
    for event in events {
        // A program that refuses its configuration does not read its input.
        let _ = writeln!(input, "{event}");
    }
    drop(input);
    let output = child.wait_with_output().expect("flowlog ends");
    let text = String::from_utf8(output.stdout).expect("lines are UTF-8");
    Replayed {
        lines: text.lines().map(ToOwned::to_owned).collect(),
        code: output.status.code(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn events(case: &Value) -> Vec<Value> {
    case["events"].as_array().cloned().unwrap_or_default()
}

/// Whether upstream refused to build the case; ours exits 2 then.
fn is_refused(case: &Value) -> bool {
    case.get("build_error").is_some() || case.get("decode_error").is_some()
}

fn verdicts_agree(kind: &str, entry: impl Fn(&Value) -> Value) {
    let folder = tempfile::tempdir().expect("a folder");
    for (at, case) in cases(kind) {
        let events = events(&case);
        let replayed = replay(folder.path(), entry(&case), &events);
        if is_refused(&case) {
            assert_eq!(replayed.code, Some(2), "vector {at} should be refused: {}", replayed.errors);
            continue;
        }
        assert_eq!(replayed.code, Some(0), "vector {at}: {}", replayed.errors);
        let wanted = case["match"].as_array().expect("verdicts");
        let expected: Vec<Value> =
            events.iter().zip(wanted).filter(|(_, wanted)| **wanted == json!(true)).map(|(event, _)| event.clone()).collect();
        assert_eq!(replayed.lines.len(), expected.len(), "vector {at} passes {:?}", replayed.lines);
        for (line, event) in replayed.lines.iter().zip(&expected) {
            // Which event passed shows at its kind; the codec's own tests hold every byte.
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            let kind =
                |event: &Value| event.as_object().and_then(|event| event.keys().find(|key| *key != "node_name" && *key != "time").cloned());
            assert_eq!(kind(&line), kind(event), "vector {at}");
        }
    }
}

#[test]
fn every_filter_vector_passes_through_the_command_line() {
    verdicts_agree("filter", |case| json!({"includeFilters": [case["filter"]]}));
}

#[test]
fn every_filter_list_vector_passes_through_the_command_line() {
    verdicts_agree("lists", |case| json!({"includeFilters": case["allow"], "excludeFilters": case["deny"]}));
}

#[test]
fn every_mask_and_aggregation_vector_passes_through_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut stale = 0;
    for (at, case) in cases("export") {
        let mut entry = json!({});
        if case["mask"].as_array().is_some_and(|mask| !mask.is_empty()) {
            entry["fieldMask"] = case["mask"].clone();
        }
        if case["aggregate"].as_array().is_some_and(|fields| !fields.is_empty()) {
            entry["fieldAggregate"] = case["aggregate"].clone();
            entry["aggregationInterval"] = json!("24h");
        }
        let mut events = events(&case);
        for event in &mut events {
            // Upstream's agent put its node name and this time on events that are not flows (spec/hubble.md §13.3).
            if event.get("flow").is_none() {
                event["node_name"] = json!("n1");
                event["time"] = json!("2026-01-02T03:04:05Z");
            }
        }
        let replayed = replay(folder.path(), entry.clone(), &events);
        if is_refused(&case) {
            assert_eq!(replayed.code, Some(2), "vector {at} should be refused: {}", replayed.errors);
            continue;
        }
        let mut expected: Vec<String> =
            case["lines"].as_array().expect("lines").iter().filter_map(|line| line.as_str().map(ToOwned::to_owned)).collect();
        let mut lines = replayed.lines.clone();
        if case["unordered"] == json!(true) {
            expected.sort();
            lines.sort();
        }
        if lines != expected {
            // Only a mask below a member of a oneof may differ, and then each line has to be what its event alone gives.
            assert!(names_a_oneof_member(&case["mask"]), "vector {at}: {lines:?}\nis not {expected:?}\n{}", replayed.errors);
            stale += 1;
            let alone: Vec<String> =
                events.iter().flat_map(|event| replay(folder.path(), entry.clone(), std::slice::from_ref(event)).lines).collect();
            assert_eq!(lines, alone, "vector {at}: a line depends on the one before");
        }
    }
    assert_eq!(stale, 5, "vectors that hold upstream's stale oneofs");
}

fn names_a_oneof_member(mask: &Value) -> bool {
    let below = |path: &str| path.matches('.').count() >= 2 && (path.starts_with("l4.") || path.starts_with("l7."));
    mask.as_array().is_some_and(|mask| mask.iter().filter_map(Value::as_str).any(below))
}

#[test]
fn published_captures_come_through_byte_for_byte() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/real-flows.jsonl");
    let Ok(text) = std::fs::read_to_string(&captures) else {
        return flowlog_tests::skip::skip(
            "published_captures_come_through_byte_for_byte",
            "published captures may not be copied into the repository",
            "put them beside the repository as ../shared/data/real-flows.jsonl",
        );
    };
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("flowlog.yaml");
    std::fs::write(&config, r#"{"flowLogs": [{"name": "v", "filePath": "stdout", "window": "0s", "redact": false}]}"#)
        .expect("the configuration is written");
    let output = Command::new(flowlog())
        .args(["replay", "--node-name", "n1", "--config"])
        .arg(&config)
        .arg(&captures)
        .output()
        .expect("flowlog runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let out = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(out.lines().count(), text.lines().count());
    for (at, (line, capture)) in out.lines().zip(text.lines()).enumerate() {
        if line != capture {
            // A log service had sorted the keys of some: then every value has to be the same.
            let (line, capture): (Value, Value) = (serde_json::from_str(line).expect("JSON"), serde_json::from_str(capture).expect("JSON"));
            assert_eq!(sorted(&line), sorted(&capture), "capture {}", at + 1);
        }
    }
}

/// The same value with its keys in order.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<(&String, String)> = members.iter().map(|(key, value)| (key, sorted(value))).collect();
            members.sort();
            format!("{members:?}")
        }
        Value::Array(elements) => format!("{:?}", elements.iter().map(sorted).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}
