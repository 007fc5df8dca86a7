//! The tailer configurations of `configs/tailers`: a real Promtail delivers with ours; the others say what our rotation needs.
//!
//! Fluent Bit, Alloy and Vector cannot be had from a package registry. Their files are held against the documented names of the settings that
//! matter here, and Vector's is validated by Vector itself where `VECTOR` names a binary.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowlog_tests::flows::line;
use flowlog_tests::service::Service;
use flowlog_tests::{loki, skip};
use jiff::{Timestamp, ToSpan};

fn configuration(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/tailers").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn promtail_delivers_every_line_over_rotations_with_labels_from_inside_the_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let live = folder.path().join("events.log");
    let mut file = std::fs::File::create(&live).expect("events.log");
    let server = Service::start("loki");
    let loki_port = server.port().to_string();
    let promtail = Service::start_with("promtail", &[&loki_port, live.to_str().expect("text")], &[]);
    // It looks for files some seconds after its start; what it never saw under the live name is not its to deliver.
    promtail.wait_for_log("tail routine: started");

    let start = Timestamp::now() - 10.minutes();
    let mut lines = Vec::new();
    for rotation in 0..3_u16 {
        for n in 0..400 {
            let n = rotation * 400 + n;
            let verdict = if n % 10 == 0 { "DROPPED" } else { "FORWARDED" };
            let text = line(start, n, verdict, if n % 2 == 0 { "shop" } else { "web" });
            writeln!(file, "{text}").expect("a line");
            lines.push((verdict, text));
        }
        // Promtail looks every 250 ms; flowlog's own pace leaves it ten seconds.
        std::thread::sleep(Duration::from_secs(2));
        if rotation < 2 {
            std::fs::rename(&live, folder.path().join(format!("events-2026-01-01T00-00-0{rotation}.000.log"))).expect("a rotation");
            file = std::fs::File::create_new(&live).expect("a new events.log");
        }
    }

    let all = loki::query_until(server.port(), r#"{job="flowlog"}"#, lines.len(), Duration::from_secs(30));
    let wanted: Vec<&str> = lines.iter().map(|(_, text)| text.as_str()).collect();
    let got: Vec<&str> = all.iter().map(|(_, _, text)| text.as_str()).collect();
    assert_eq!(got, wanted, "every line once and, by its own time, in order");
    let dropped = loki::query(server.port(), r#"{source_ns="shop", verdict="DROPPED"}"#);
    assert_eq!(dropped.len(), lines.iter().filter(|(verdict, _)| *verdict == "DROPPED").count());
    assert_eq!(dropped[0].0["destination_ns"], "db");
    assert_eq!(dropped[0].0["node"], "node-1");
}

#[test]
fn promtail_and_alloy_read_the_live_file_alone_and_name_the_same_labels() {
    let promtail = configuration("promtail.yaml");
    let alloy = configuration("alloy.alloy");
    assert!(promtail.contains("__path__: /var/run/cilium/hubble/events.log\n"));
    assert!(alloy.contains(r#""__path__" = "/var/run/cilium/hubble/events.log""#));
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
