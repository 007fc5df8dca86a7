//! The tailer configurations of `configs/tailers`: a real Promtail follows the daemon's file with ours; the others say what our rotation needs.
//! `rotations.rs` has many rotations and tailers of the test's own.
//!
//! Fluent Bit, Alloy and Vector cannot be had from a package registry. Their files are held against the documented names of the settings that
//! matter here, and Vector's is validated by Vector itself where `VECTOR` names a binary.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::feed::Feed;
use flowlog_tests::flows::line;
use flowlog_tests::lab::Lab;
use flowlog_tests::service::Service;
use flowlog_tests::{loki, scale, skip};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

fn configuration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/tailers").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A line long enough that a file is full after some hundreds.
fn long_line(start: Timestamp, n: u16) -> String {
    let verdict = if n.is_multiple_of(10) { "DROPPED" } else { "FORWARDED" };
    let line = line(start, n, verdict, if n.is_multiple_of(2) { "shop" } else { "web" });
    line.replacen(r#""Type""#, &format!(r#""Summary":"{}","Type""#, "x".repeat(3000)), 1)
}

#[test]
fn promtail_delivers_every_line_over_rotations_at_the_default_pace_with_labels_from_inside_the_flow() {
    if skip::lacks_root("promtail_delivers_every_line_over_rotations_at_the_default_pace_with_labels_from_inside_the_flow") {
        return;
    }
    const LINES: u16 = 1000;
    let lab = Lab::new();
    let daemon = Daemon::new(&lab.router, "flowLogs:\n  - {name: all, filePath: events.log, fileMaxSizeMb: 1, window: 0s}\n");
    let input = daemon.path("hubble.log");
    let mut daemon = daemon.with(&["--source", &format!("jsonl:{}", input.display())]);
    let start = Timestamp::now() - 10.minutes();
    let mut file = std::fs::File::create(&input).expect("an input");
    writeln!(file, "{}", long_line(start, 0)).expect("a line");
    daemon.start();
    let live = daemon.path("events.log");
    daemon.wait("events.log", |_| live.exists());
    let server = Service::start("loki");
    let loki_port = server.port().to_string();
    let promtail = Service::start_with("promtail", &[&loki_port, live.to_str().expect("text")], &[]);
    // It looks for files some seconds after its start; what it never saw under the live name is not its to deliver.
    promtail.wait_for_log("tail routine: started");
    for n in 1..LINES {
        writeln!(file, "{}", long_line(start, n)).expect("a line");
        std::thread::sleep(Duration::from_millis(30));
    }

    let all = loki::query_until(server.port(), r#"{job="flowlog"}"#, usize::from(LINES), Duration::from_secs(30));
    daemon.stop();
    let lines = daemon.lines();
    let wanted: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let got: Vec<String> = all.iter().map(|(_, _, text)| serde_json::from_str::<Value>(text).expect("JSON").to_string()).collect();
    assert_eq!(wanted.len(), usize::from(LINES), "each line is in the files");
    assert!(got == wanted, "every line once and, by its own time, in order: {} of {}", got.len(), wanted.len());
    let backups = flowlog::sources::jsonl::backups(&live).expect("backups");
    println!("{} rotations, {} lines", backups.len(), got.len());
    assert!(backups.len() >= 2, "{backups:?}");
    let dropped = loki::query(server.port(), r#"{source_ns="shop", verdict="DROPPED"}"#);
    assert_eq!(dropped.len(), lines.iter().filter(|line| line["flow"]["verdict"] == "DROPPED").count());
    assert_eq!(dropped[0].0["destination_ns"], "db");
    assert_eq!(dropped[0].0["node"], "node-1");
}

#[test]
fn promtail_has_every_line_of_the_shipped_configuration_at_full_rate() {
    let flows = scale::of("sink_flows");
    let shipped =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/flowlog.yaml")).expect("our configuration");
    let mut daemon = Daemon::following(&shipped.replace("/var/log/flowlog/", "")).started();
    let mut feed = Feed::new(&daemon);
    feed.more(1, Duration::ZERO);
    daemon.wait("the first line", |daemon| !daemon.texts().is_empty());
    let server = Service::start("loki");
    let live = daemon.path("events.log");
    let promtail = Service::start_with("promtail", &[&server.port().to_string(), live.to_str().expect("text")], &[]);
    promtail.wait_for_log("tail routine: started");
    feed.more(flows - 1, Duration::ZERO);
    daemon.wait("all flows", |daemon| daemon.metrics().sum("flowlog_inputs_total", &[r#"flow_log="traffic""#]) >= flows);
    daemon.stop();

    let mut wanted = daemon.texts();
    let all = loki::query_until(server.port(), r#"{job="flowlog"}"#, wanted.len(), Duration::from_secs(60));
    let mut got: Vec<String> = all.into_iter().map(|(_, _, text)| text).collect();
    wanted.sort_unstable();
    got.sort_unstable();
    println!("{flows} flows, {} lines, {} behind Promtail", wanted.len(), got.len());
    assert!(wanted.len() > 6 && got == wanted, "{} of {} lines", got.len(), wanted.len());
}

#[test]
fn every_tailer_reads_what_every_shipped_configuration_writes_and_says_who_may() {
    for written in ["../flowlog.yaml", "../kubernetes/configmap.yaml", "../../docker/flowlog.yaml"] {
        assert!(configuration(written).contains("filePath: /var/log/flowlog/events.log\n"), "{written}");
    }
    for tailer in ["promtail.yaml", "alloy.alloy", "vector.yaml", "fluent-bit.conf"] {
        let text = configuration(tailer);
        let paths: Vec<&str> =
            text.split(|c: char| c.is_whitespace() || "\",".contains(c)).filter(|word| word.ends_with("/events.log")).collect();
        assert_eq!(paths, ["/var/log/flowlog/events.log"], "{tailer}");
        assert!(text.contains("`fileGroup`"), "{tailer}");
    }
}

#[test]
fn promtail_and_alloy_read_the_live_file_alone_and_name_the_same_labels() {
    let promtail = configuration("promtail.yaml");
    let alloy = configuration("alloy.alloy");
    assert!(promtail.contains("__path__: /var/log/flowlog/events.log\n"));
    assert!(alloy.contains(r#""__path__" = "/var/log/flowlog/events.log""#));
    for component in ["local.file_match", "loki.source.file", "loki.process", "loki.write", "stage.json", "stage.timestamp", "stage.labels"]
    {
        assert!(alloy.contains(&format!("{component} ")), "Alloy has no component {component}");
    }
    assert_eq!(alloy.matches('{').count(), alloy.matches('}').count());
    for label in ["verdict", "source_ns", "destination_ns", "node"] {
        let path = match label {
            "verdict" => "flow.verdict",
            "source_ns" => "flow.source.namespace",
            "destination_ns" => "flow.destination.namespace",
            _ => "flow.node_name",
        };
        assert!(promtail.contains(&format!("{label}: {path}\n")), "Promtail: {label}");
        assert!(alloy.lines().any(|line| line.split_whitespace().eq([label, "=", &format!("\"{path}\",")])), "Alloy: {label}");
    }
}

/// Setting names of Fluent Bit's service, tail input, JSON parser and Loki output, from its manual.
const FLUENT_BIT: [(&str, &[&str]); 4] = [
    ("SERVICE", &["flush", "log_level", "parsers_file", "storage.path"]),
    (
        "INPUT",
        &[
            "name",
            "tag",
            "path",
            "exclude_path",
            "parser",
            "db",
            "read_from_head",
            "refresh_interval",
            "rotate_wait",
            "buffer_chunk_size",
            "buffer_max_size",
            "skip_long_lines",
            "storage.type",
        ],
    ),
    ("OUTPUT", &["name", "match", "host", "port", "labels", "line_format", "retry_limit"]),
    ("PARSER", &["name", "format", "time_key", "time_format", "time_keep"]),
];

#[test]
fn fluent_bit_has_known_settings_and_room_for_our_longest_line() {
    let text = configuration("fluent-bit.conf") + &configuration("fluent-bit-parsers.conf");
    let mut section = "";
    let mut seen = BTreeSet::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
            continue;
        }
        let (key, value) = line.split_once(char::is_whitespace).expect("a key and a value");
        let known = FLUENT_BIT.iter().find(|(name, _)| *name == section).unwrap_or_else(|| panic!("unknown section {section}")).1;
        assert!(known.contains(&key.to_ascii_lowercase().as_str()), "[{section}] has no setting {key}");
        seen.insert((section.to_owned(), key.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let value = |section: &str, key: &str| seen.iter().find(|(s, k, _)| s == section && k == key).map(|(_, _, value)| value.as_str());
    let kilobytes = |text: &str| text.trim_end_matches('k').parse::<u32>().expect("a size in k");
    assert!(kilobytes(value("INPUT", "buffer_max_size").expect("a buffer")) > 64, "flowlog's longest line is 64 KiB");
    assert!(value("INPUT", "rotate_wait").expect("a wait").parse::<u32>().expect("seconds") >= 30);
    assert_eq!(value("INPUT", "exclude_path"), Some("*.gz,*.zst"), "compressed backups repeat what was read");
    assert_eq!(value("INPUT", "parser"), value("PARSER", "name"));
    assert!(value("OUTPUT", "labels").expect("labels").contains("$flow['source']['namespace']"));
}

#[test]
fn vector_reads_the_configuration() {
    let Some(vector) = std::env::var_os("VECTOR").map(PathBuf::from) else {
        return skip::skip(
            "vector_reads_the_configuration",
            "VECTOR names no binary",
            "VECTOR=/path/to/vector cargo test -p flowlog-tests --test tailers",
        );
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("vector.yaml");
    let text = configuration("vector.yaml").replace("/var/lib/vector", folder.path().to_str().expect("text"));
    std::fs::write(&file, text).expect("a file");
    let output = std::process::Command::new(vector).args(["validate", "--no-environment"]).arg(&file).output().expect("vector");
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[test]
fn vector_reads_backups_but_no_compressed_ones_and_takes_our_longest_line() {
    let text = configuration("vector.yaml");
    for needed in ["events-*.log", "*.gz", "*.zst", "strategy: checksum", "codec: text"] {
        assert!(text.contains(needed), "vector.yaml lacks {needed}");
    }
    let limit = text.lines().find_map(|line| line.trim().strip_prefix("max_line_bytes: ")).expect("a limit");
    assert!(limit.parse::<u32>().expect("bytes") > 64 << 10);
}
