//! `flowlog check` as a user and a script see it: exit codes, what is printed where, and upstream's cases through the binary.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use flowlog_tests::program;
use serde_json::Value;

fn flowlog(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(program::flowlog())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn vectors(kind: &str) -> Vec<Value> {
    let all = include_str!("data/hubble-vectors.jsonl").lines().chain(include_str!("data/more-vectors.jsonl").lines());
    all.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|case| case["kind"] == kind).collect()
}

#[test]
fn whole_files_are_taken_and_refused_as_upstream_does() {
    for case in vectors("config") {
        let yaml = case["yaml"].as_str().unwrap();
        let output = flowlog(&["check", "-o", "json", "-"], yaml);
        let entries = case["entries"].as_array();
        let builds = entries.is_some_and(|entries| entries.iter().all(|entry| entry.get("create_error").is_none()));
        assert_eq!(output.status.code(), Some(if builds { 0 } else { 2 }), "{yaml}\n{}", text(&output.stderr));
        let Some(entries) = entries else {
            assert!(output.stdout.is_empty(), "{yaml}");
            continue;
        };
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        let printed = printed["flowLogs"].as_array().unwrap();
        assert_eq!(printed.len(), entries.len(), "{yaml}");
        for (printed, expected) in printed.iter().zip(entries) {
            for key in ["name", "filePath", "fileCompress"] {
                assert_eq!(printed[key], expected[key], "{yaml}");
            }
            for (key, default) in [("fileMaxSizeMb", 10), ("fileMaxBackups", 5)] {
                let written = expected[key].as_i64().unwrap();
                assert_eq!(printed[key], if written == 0 { default } else { written }, "{yaml}");
            }
            for key in ["includeFilters", "excludeFilters"] {
                assert_eq!(printed[key].as_array().map(Vec::len).map(|count| count as u64), expected[key].as_u64(), "{yaml}");
            }
        }
    }
}

#[test]
fn flag_texts_are_taken_and_refused_as_upstream_does() {
    for case in vectors("filter_flag") {
        let flag = case["text"].as_str().unwrap();
        let output = flowlog(&["check", "-o", "json", "-"], &format!("filePath: /x\nallowList: [{}]", Value::from(flag)));
        assert_eq!(output.status.code(), Some(if case["count"].is_u64() { 0 } else { 2 }), "{flag}");
    }
}

#[test]
fn an_error_names_the_file_the_line_and_the_key_and_nothing_is_printed_as_a_result() {
    let output = flowlog(&["check", "-"], "flowLogs:\n- name: a\n  filePath: /x\n  includeFilters: [{destination_port: 10250}]\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let errors = text(&output.stderr);
    assert!(
        errors.contains("-:4:21: error: flowLogs[0].includeFilters[0].destination_port: ") && errors.contains(r#"write ["10250"]"#),
        "{errors}"
    );
}

#[test]
fn a_reader_that_stops_early_is_no_failure_and_a_missing_file_is() {
    let output = flowlog(&["check", "no/such/file.yaml"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no/such/file.yaml"));
    assert_eq!(flowlog(&["check"], "").status.code(), Some(2));
    assert_eq!(flowlog(&["check", "--help"], "").status.code(), Some(0));
}

#[test]
fn the_configurations_in_this_repository_are_valid() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../configs");
    let mut count = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let is_ours =
            path.extension().is_some_and(|extension| extension == "yaml") && std::fs::read_to_string(&path).unwrap().contains("flowLogs:");
        if is_ours {
            let output = flowlog(&["check", "--strict", path.to_str().unwrap()], "");
            assert_eq!(output.status.code(), Some(0), "{}\n{}", path.display(), text(&output.stderr));
            count += 1;
        }
    }
    assert!(count > 0, "no configuration found");
}

#[test]
fn completions_and_man_pages_come_from_the_definitions() {
    for shell in ["bash", "zsh", "fish"] {
        let output = flowlog(&["completions", shell], "");
        assert!(output.status.success() && text(&output.stdout).contains("allow-shorter-retention"), "{shell}");
    }
    let folder = tempfile::tempdir().unwrap();
    assert!(flowlog(&["man", "--dir", folder.path().to_str().unwrap()], "").status.success());
    let page = std::fs::read_to_string(folder.path().join("flowlog-run.1")).unwrap();
    assert!(page.contains("\\-\\-state\\-dir"));
}
