//! The file format, rule by rule, and against upstream's answers to whole files.
//!
//! The cases of upstream stand in `tests/data`; only whether there is an error counts, and where there is none, what was read.

use serde_json::{Value, json};

use super::*;

mod metrics;
mod properties;
mod sinks;

fn accepted(text: &str) -> Checked {
    read(text.as_bytes(), false).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn refused(text: &str) -> String {
    read(text.as_bytes(), false).err().unwrap_or_else(|| panic!("accepted:\n{text}")).to_string()
}

/// One entry named `a` with the file `/x` and these further lines.
fn entry(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("  {line}\n")).collect();
    format!("flowLogs:\n- name: a\n  filePath: /x\n{indented}")
}

fn warned(text: &str) -> String {
    accepted(text).warnings.to_string()
}

/// Upstream's cases of one kind.
fn vectors(kind: &str) -> Vec<Value> {
    let all = include_str!("../../../tests/data/hubble-vectors.jsonl").lines();
    all.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|case| case["kind"] == kind).collect()
}

#[test]
fn whole_files_are_accepted_and_refused_as_upstream_does() {
    let cases = vectors("config");
    assert_eq!(cases.len(), 72);
    for case in cases {
        let text = case["yaml"].as_str().unwrap();
        let read = read(text.as_bytes(), false);
        assert_eq!(read.is_err(), case.get("parse_error").is_some(), "{text}\n{:?}", read.err().map(|problems| problems.to_string()));
        if let (Ok(checked), Some(expected)) = (read, case["entries"].as_array()) {
            let found: Vec<Value> = checked.file.flow_logs.iter().map(before_defaults).collect();
            let expected: Vec<Value> = expected.iter().map(comparable).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}

/// An entry as the cases show it: what was written, before defaults.
fn before_defaults(entry: &FlowLog) -> Value {
    let file = entry.file.as_ref().unwrap();
    json!({
        "name": entry.name, "filePath": file.path, "fileMaxSizeMb": file.max_size_mb, "fileMaxBackups": file.max_backups,
        "fileCompress": file.compress == Compress::Gzip, "fieldMask": entry.field_mask, "fieldAggregate": entry.field_aggregate,
        "aggregationIntervalNs": entry.aggregation_interval_ns, "includeFilters": entry.include_filters.len(),
        "excludeFilters": entry.exclude_filters.len(), "end": entry.end.as_ref().map(|end| &end.text),
    })
}

fn comparable(expected: &Value) -> Value {
    let mut expected = expected.clone();
    let object = expected.as_object_mut().unwrap();
    object.remove("create_error");
    object.entry("end").or_insert(Value::Null);
    for list in ["fieldMask", "fieldAggregate"] {
        if object[list].is_null() {
            object[list] = json!([]);
        }
    }
    expected
}

#[test]
fn flag_texts_are_accepted_and_refused_as_upstream_does() {
    let cases = vectors("filter_flag");
    assert_eq!(cases.len(), 18);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let block = format!("filePath: /x\nallowList: [{}]", Value::from(text));
        let count = read(block.as_bytes(), false).ok().map(|checked| checked.file.flow_logs[0].include_filters.len() as u64);
        assert_eq!(count, case["count"].as_u64(), "{block}");
    }
}

#[test]
fn the_details_of_the_yaml_layer_hold() {
    // spec/hubble.md §3.9, sentence by sentence.
    let name = |text: &str| accepted(text).file.flow_logs[0].name.clone();
    assert_eq!(name("flowLogs:\n- {name: yes, filePath: /x}"), "true");
    assert_eq!(name("flowLogs:\n- {name: 1e3, filePath: /x}"), "1000");
    assert_eq!(name("flowLogs:\n- {NAME: c, Name: b, name: a, filePath: /x}"), "a");
    assert_eq!(name("flowLogs:\n- {name: null, NAME: c, filePath: /x}"), "c");
    assert_eq!(name("d: &d {name: a}\nflowLogs:\n- <<: *d\n  filePath: /x"), "a");
    assert_eq!(name("flowLogs:\n- {name: a, filePath: /x, \u{17f}tart: 1}"), "a");

    let size =
        |value: &str| accepted(&entry(&format!("fileMaxSizeMb: {value}"))).file.flow_logs[0].file.as_ref().map(|file| file.max_size_mb);
    for (written, read) in [("0x10", 16), ("010", 8), ("1_000", 1000), ("10.0", 10), ("1e1", 10), ("null", 0), ("-1", -1)] {
        assert_eq!(size(written), Some(read), "{written}");
    }
    assert_eq!(accepted(&entry("fieldMask: [1, yes, null]")).file.flow_logs[0].field_mask, ["1", "true", ""]);
    assert_eq!(accepted(&entry("aggregationInterval: 0.0")).file.flow_logs[0].aggregation_interval_ns, 0);
    assert_eq!(
        accepted(&entry("includeFilters: [{source_pod: ['a/'], source_pod: ['b/']}]")).file.flow_logs[0].include_filters[0].value,
        json!({"source_pod": ["b/"]})
    );
    for line in [
        "aggregationInterval: null",
        "aggregationInterval:",
        "aggregationInterval: true",
        "includeFilters: {}",
        "includeFilters: [{source_pod: [a/], sourcePod: [b/]}]",
        "includeFilters: [{source_pod: [null]}]",
        "fileCompress: 'yes'",
        "fileMaxSizeMb: true",
        "name: {}",
        "bogus: .inf",
    ] {
        refused(&entry(line));
    }
}

#[test]
fn numbers_in_filters_are_read_as_proto_json_reads_them() {
    let value = |text: &str| {
        read(entry(&format!("includeFilters: [{{source_identity: [{text}]}}]")).as_bytes(), false)
            .ok()
            .map(|checked| checked.file.flow_logs[0].include_filters[0].value["source_identity"][0].clone())
    };
    for (written, read) in [
        ("1", json!(1)),
        ("'2'", json!(2)),
        ("1.0", json!(1)),
        ("'1e3'", json!(1000)),
        ("'1.0'", json!(1)),
        ("4294967295", json!(4_294_967_295_u64)),
    ] {
        assert_eq!(value(written), Some(read), "{written}");
    }
    for written in ["-1", "4294967296", "'007'", "'+1'", "' 1'", "'0x10'", "1.5", "true", "null", "{}"] {
        assert_eq!(value(written), None, "{written}");
    }
    let id = entry("includeFilters: [{ip_trace_id: [18446744073709551615, '18446744073709551615']}]");
    assert_eq!(accepted(&id).file.flow_logs[0].include_filters[0].value, json!({"ip_trace_id": [u64::MAX, u64::MAX]}));
}

#[test]
fn copied_mistakes_get_the_answer() {
    for (line, answer) in [
        ("includeFilters: [{destination_port: 10250}]", r#"write ["10250"]"#),
        ("includeFilters: [{destination_port: [10250]}]", r#"write "10250""#),
        ("includeFilters: [{http_status_code: [404]}]", r#"write "404""#),
        ("includeFilters: [{verdict: DROPPED}]", r#"write ["DROPPED"]"#),
        ("includeFilters: [{verdict: [dropped]}]", "write DROPPED"),
        ("includeFilters: [{verdict: ['1']}]", "write 1 without quotes"),
        ("includeFilters: [{reply: ['true']}]", "write true without quotes"),
        ("includeFilters: [{source_pods: [a/]}]", "did you mean source_pod?"),
        ("fieldMask: source", r#"write ["source"]"#),
        ("fileMaxSizeMb: '10'", "write 10 without quotes"),
        ("aggregationInterval: 30", r#"write "30s" for seconds"#),
        ("end: 2023-10-09", "2026-12-31T23:59:59Z"),
        ("windows: 1s", "did you mean window?"),
        ("fold_by: service", "did you mean foldBy?"),
        ("window: 5", "write 5s for seconds"),
        ("sinks: [audti]\nname: b", "define it under sinks"),
    ] {
        let message = refused(&entry(line));
        assert!(message.contains(answer), "{line}: {message}");
        assert!(message.starts_with("line 4: flowLogs[0]."), "{line}: {message}");
    }
    for (line, answer) in [
        ("includeFilter: []", "did you mean includeFilters?"),
        ("start: 2023-10-09T00:00:00Z", "only `end`"),
        ("fieldMask: [time, verdict]", "add extensions"),
        ("fieldMask: [verdict, extensions]", "neither time nor uuid"),
        ("fieldAggregate: [verdict]", "aggregationInterval: 30s"),
    ] {
        let message = warned(&entry(line));
        assert!(message.contains(answer), "{line}: {message}");
    }
}

#[test]
fn all_problems_are_reported_together_in_the_order_of_their_lines() {
    let text = "flowLogs:\n- name: a\n  filePath: /x\n  window: soon\n- filePath: /x\n  redact: perhaps\nsinks:\n  s: {type: s4}\n  l: {type: loki, url: 'http://h', tennant: x}\n";
    let message = refused(text);
    let lines: Vec<&str> = message.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["line 4", "line 5", "line 5", "line 6", "line 8", "line 9", "line 9"], "{message}");
}

#[test]
fn unknown_keys_reject_where_they_are_ours_and_warn_where_cilium_would_ignore_them() {
    let foreign = entry("bogus: 1");
    assert!(warned(&foreign).contains("bogus"));
    assert!(read(foreign.as_bytes(), true).is_err());
    assert!(warned("foo: 1\nflowLogs: []").contains("foo"));
    let twice = entry("name: b");
    assert!(warned(&twice).contains("second time"));
    assert!(read(twice.as_bytes(), true).is_err());
    // Other warnings are none of strictness' business: a valid Cilium file stays valid.
    assert!(read(entry("fieldMask: [time]").as_bytes(), true).is_ok());
    for text in ["sink: {}", "flowLogs: []\nsinks: {s: {type: file, filePath: /y, fileMaxSizeMB: 3}}", &entry("redact: {urlquery: true}")] {
        refused(text);
    }
}

#[test]
fn static_blocks_become_one_more_flow_log() {
    let block = "filePath: /x\nfileMaxSizeMb: 20\nfieldMask: ['time verdict', ]\naggregationInterval: 0s\nallowList:\n- '{\"verdict\":[\"DROPPED\",\"ERROR\"]}'\n- '{\"source_pod\":[\"a/\"]} {\"source_pod\":[\"b/\"]}'\ndenyList: '{\"source_pod\":[\"kube-system/\"]}'\n";
    for text in [
        block.to_owned(),
        format!("static:\n{}", block.lines().map(|line| format!("  {line}\n")).collect::<String>()),
        format!(
            "hubble:\n  export:\n    static:\n      enabled: true\n{}",
            block.lines().map(|line| format!("      {line}\n")).collect::<String>()
        ),
    ] {
        let checked = accepted(&text);
        let [entry] = checked.file.flow_logs.as_slice() else { panic!("{text}") };
        assert_eq!((entry.name.as_str(), entry.field_mask.as_slice()), ("static", ["time".to_owned(), "verdict".to_owned()].as_slice()));
        assert_eq!((entry.include_filters.len(), entry.exclude_filters.len()), (3, 1));
        assert_eq!(entry.file.as_ref().map(|file| file.max_size_mb), Some(20));
    }
    let zeros = accepted("static: {filePath: /x, fileMaxSizeMb: 0, fileMaxBackups: 0}");
    let file = zeros.file.flow_logs[0].file.as_ref().unwrap();
    assert_eq!((file.max_size_mb, file.max_backups), (100, -1));
    assert!(accepted("static: {filePath: /x, enabled: false}").file.flow_logs.is_empty());
    assert!(accepted("hubble: {export: {static: {filePath: /x}}}").file.flow_logs.is_empty());
    let helm = "hubble:\n  export:\n    dynamic:\n      enabled: true\n      config:\n        content:\n        - {name: all, filePath: /x, includeFilters: []}\n";
    assert_eq!(accepted(helm).file.flow_logs[0].name, "all");
    let older = "hubble: {export: {fileMaxSizeMb: 20, fileMaxBackups: 0, fileCompress: true, static: {enabled: true, fileMaxSizeMb: 7, fileMaxBackups: 3}}}";
    let file = accepted(older).file.flow_logs[0].file.clone().unwrap();
    assert_eq!((file.max_size_mb, file.max_backups, file.compress), (20, 3, Compress::Gzip));
    let comma = refused("filePath: /x\ndenyList:\n- '{\"source_pod\":[\"a/\"]},{\"source_pod\":[\"b/\"]}'");
    assert!(comma.starts_with("line 3: denyList[0]") && comma.contains("without commas"), "{comma}");
}

#[test]
fn what_is_printed_reads_back_as_the_same() {
    for text in [
        entry(
            "fieldMask: [time, uuid]\nincludeFilters: [{sourcePod: ['a/']}, null]\nend: 2023-10-09T23:59:59-07:00\nfileCompress: zstd\naggregationInterval: -5s",
        ),
        entry(
            "redact: {headersAllow: [Accept], urlQuery: true}\nwindow: 30s\nfoldBy: service\nfileMaxAge: 3d\nfileMode: '0600'\nspoolMaxBytes: 64MiB",
        ),
        entry("redact: false\nwindow: 0\nfileMaxSizeMb: -1"),
    ] {
        let first = accepted(&text).file.flow_logs.remove(0);
        let printed = json!({"flowLogs": [canonical::flow_log(&first)]}).to_string();
        let second = accepted(&printed).file.flow_logs.remove(0);
        assert_eq!(first.hash, second.hash, "{printed}");
        assert_eq!(canonical::flow_log(&first), canonical::flow_log(&second));
    }
}

#[test]
fn entries_hash_alike_exactly_if_a_reload_need_not_touch_them() {
    let hash = |lines: &str| accepted(&entry(lines)).file.flow_logs[0].hash;
    let same = [
        ("fieldMask: [time, verdict]", "fieldMask: [verdict, time]"),
        (
            "includeFilters: [{source_pod: [a/]}, {verdict: [DROPPED]}]",
            "includeFilters: [{verdict: [DROPPED]}, {sourcePod: [a/]}, {verdict: [DROPPED]}]",
        ),
        ("end: 2023-10-09T23:59:59Z", "end: 2023-10-09T16:59:59-07:00"),
        ("fileMaxSizeMb: 10", "fileMaxBackups: 0"),
        ("window: 1s", "window: 1000ms # the default"),
    ];
    for (a, b) in same {
        assert_eq!(hash(a), hash(b), "{a} | {b}");
    }
    let other = [
        ("fieldMask: [time]", "fieldMask: [time, time]"),
        ("includeFilters: [{}]", "includeFilters: []"),
        ("includeFilters: [{source_pod: [a/, b/]}]", "includeFilters: [{source_pod: [b/, a/]}]"),
        ("window: 1s", "window: 2s"),
        ("redact: true", "redact: false"),
        ("fileCompress: true", "fileCompress: zstd"),
        ("aggregationInterval: 1s", "aggregationInterval: 2s"),
    ];
    for (a, b) in other {
        assert_ne!(hash(a), hash(b), "{a} | {b}");
    }
}

#[test]
fn the_example_of_the_design_is_valid() {
    let text = "\
flowLogs:
  - name: all-l7
    filePath: /var/run/cilium/hubble/events.log
    fieldMask: [time, source.namespace, source.pod_name, destination.namespace, destination.pod_name, l4, l7, verdict, extensions]
    includeFilters: [{source_pod: [\"shop/\"]}]
    excludeFilters: []
    window: 1s
    foldBy: service
    sinks: [audit, search, stream]
sinks:
  audit:  {type: s3, url: \"s3://audit/flows\", retention: {mode: COMPLIANCE, days: 365}}
  search: {type: loki, url: \"http://loki:3100\", labels: {source_ns: source.namespace, verdict: verdict}}
  stream: {type: kafka, brokers: [\"kafka:9092\"], topic: flows}
";
    let checked = read(text.as_bytes(), true).unwrap();
    assert!(checked.warnings.is_empty(), "{}", checked.warnings);
    assert_eq!(checked.file.flow_logs[0].fold_by, FoldBy::Service);
}
