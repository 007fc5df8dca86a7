//! The complete examples of `configs/`, each run against the real server with nothing but its address replaced.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowlog_tests::service::Service;
use flowlog_tests::{flows, loki, program, reader};
use jiff::{Timestamp, ToSpan};

/// Client ports of the flows that are replayed; every tenth is dropped.
const PORTS: std::ops::Range<u16> = 40_000..40_400;

fn verdict(port: u16) -> &'static str {
    if port.is_multiple_of(10) { "DROPPED" } else { "FORWARDED" }
}

/// Replays made-up flows through `configs/<example>`, each of the replacements made once; succeeds when every sink has delivered all.
fn replay(example: &str, replacements: &[(&str, &str)], environment: &[(&str, &str)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(example);
    let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (from, to) in replacements {
        assert!(text.contains(from), "{example} no longer contains {from:?}");
        text = text.replace(from, to);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("flowlog.yaml");
    std::fs::write(&config, text).expect("a configuration");
    let start = Timestamp::now() - 5.minutes();
    let lines: Vec<String> = PORTS.map(|port| flows::line(start, port, verdict(port), "shop")).collect();
    let input = folder.path().join("flows.jsonl");
    std::fs::write(&input, lines.join("\n") + "\n").expect("flows");
    let output = Command::new("timeout")
        .arg("120")
        .arg(program::flowlog())
        .args(["replay", "--node-name", "node-1", "--cluster-name", "test", "--config"])
        .arg(&config)
        .arg(&input)
        .envs(environment.iter().copied())
        .output()
        .expect("flowlog starts");
    assert!(output.status.success(), "{example}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_loki_example_delivers_every_drop_once_under_its_labels() {
    let server = Service::start("loki");
    replay("loki.yaml", &[("http://127.0.0.1:3100", &format!("http://127.0.0.1:{}", server.port()))], &[]);
    let wanted: Vec<u16> = PORTS.filter(|port| verdict(*port) == "DROPPED").collect();
    let entries = loki::query_until(server.port(), r#"{source_ns="shop", verdict="DROPPED"}"#, wanted.len(), Duration::from_secs(20));
    // The other flow log folds by service and leaves the client's port out.
    let ports = entries.iter().filter_map(|(_, _, line)| line.split_once(r#""source_port":"#));
    let mut ports: Vec<u16> =
        ports.map(|(_, rest)| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok()).expect("a port")).collect();
    ports.sort_unstable();
    assert_eq!(ports, wanted, "{entries:#?}");
}

#[test]
fn the_kafka_example_delivers_every_flow_once_with_its_uid() {
    let server = Service::start("kafka");
    reader::topics(&server, &["create", "flows", "3"]);
    replay("kafka.yaml", &[("127.0.0.1:9092", &server.value("KAFKA_PLAIN"))], &[]);
    let records: Vec<serde_json::Value> =
        reader::topics(&server, &["read", "flows"]).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(records.len(), PORTS.len());
    let mut uids: Vec<&str> = records.iter().map(|record| record["headers"]["flowlog-uid"].as_str().expect("a uid")).collect();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), PORTS.len(), "each record has a uid of its own");
}

#[test]
fn the_s3_example_fills_a_locked_bucket() {
    let server = Service::start("minio");
    reader::archive(&server, &["make", "audit"]);
    let endpoint = format!("    endpoint: {}\n    pathStyle: true\n", server.value("S3_ENDPOINT"));
    let credentials = [("AWS_ACCESS_KEY_ID", server.value("S3_KEY")), ("AWS_SECRET_ACCESS_KEY", server.value("S3_SECRET"))];
    let credentials = credentials.each_ref().map(|(key, value)| (*key, value.as_str()));
    replay(
        "s3.yaml",
        &[("    # endpoint: http://127.0.0.1:9000\n    # pathStyle: true\n", &endpoint), ("region: eu-central-1", "region: us-east-1")],
        &credentials,
    );
    let objects: Vec<serde_json::Value> =
        reader::archive(&server, &["objects", "audit"]).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let below = |prefix: &str| objects.iter().filter(|object| object["key"].as_str().is_some_and(|key| key.starts_with(prefix))).count();
    assert!(below("flows/flows/v1/cluster=test/log=audit/dt=") > 0, "{objects:#?}");
    assert!(below("flows/manifests/v1/cluster=test/log=audit/node=node-1/") > 0, "{objects:#?}");
    for object in &objects {
        assert_eq!(object["mode"], "COMPLIANCE", "{object}");
    }
    let lines = reader::archive(&server, &["lines", "audit", "flows/flows/v1/"]);
    assert!(!lines.is_empty() && lines.iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
}

#[test]
fn folded_by_service_a_line_of_one_flow_leaves_the_client_s_port_out_as_a_line_of_many_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("flowlog.yaml");
    let entry = "flowLogs:\n  - {name: a, filePath: stdout, foldBy: service, fieldMask: [l4]}\n";
    std::fs::write(&config, entry).expect("a configuration");
    let input = folder.path().join("flows.jsonl");
    std::fs::write(&input, flows::line(Timestamp::now(), 40_000, "FORWARDED", "shop") + "\n").expect("a flow");
    let output = Command::new(program::flowlog()).args(["replay", "--config"]).args([&config, &input]).output().expect("flowlog starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(r#""destination_port":80"#) && !text.contains("source_port"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
