//! What a flow log hides and what its mask removes is nowhere behind them: not in a destination, not in the state folder, not in what the
//! daemon says. Neither are the sinks' own passwords.
//!
//! The intake is left out: it holds the events as they came, and is why the state folder is 0700. The configuration and the files that it
//! names are input.

use std::path::Path;
use std::process::Command;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::request;
use flowlog_tests::program;
use flowlog_tests::{kafka, reader};
use jiff::{Timestamp, ToSpan};

use crate::destinations::{Batches, Servers, wait_until_delivered};

/// In every planted secret.
const SECRET: &str = "pLaNtEd";
/// Removed by the mask.
const ADDRESSES: [&str; 2] = ["203.0.113.77", "2001:db8:77::1"];
/// In every flow that passes: a text that is searched for has to be one that the search would find.
const SHOWN: &str = "/order/";

/// A flow with secrets and masked addresses wherever a flow can have them.
fn telling(time: Timestamp, n: u64) -> String {
    let url = format!("http://user:{SECRET}-url@orders.db/order/{n}?token={SECRET}-query#{SECRET}-fragment");
    let headers: Vec<String> = ["Authorization", "cookie", "Set-Cookie", "PROXY-AUTHORIZATION"]
        .map(|name| format!(r#"{{"key":"{name}","value":"Bearer {SECRET}-{name}"}}"#))
        .into();
    let line = request(time, n);
    let line = line.replace(&format!("http://orders.db/order/{n}"), &url);
    let line = line.replace(r#""protocol":"HTTP/1.1""#, &format!(r#""protocol":"HTTP/1.1","headers":[{}]"#, headers.join(",")));
    let names = format!(r#""source_names":["{SECRET}.example"],"ethernet":{{"source":"02:42:cb:00:71:4d"}},"Type":"L7""#);
    let line = line.replacen(r#""Type":"L7""#, &names, 1);
    // The address of the source, which `request` makes up, is the first one of the line.
    let (before, rest) = line.split_once(r#""source":"10."#).expect("a source");
    let (_, after) = rest.split_once('"').expect("its end");
    let address = ADDRESSES[n as usize % 2];
    format!(r#"{before}"source":"{address}","source_xlated":"{address}"{after}"#)
}

/// Everything below a folder, file by file, but for folders of these names.
fn files(folder: &Path, without: &[&str], found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if without.iter().any(|without| name == *without) {
            continue;
        }
        if path.is_dir() {
            files(&path, without, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
}

/// What a command line of `flowlog` prints.
fn said(arguments: &[&str], daemon: &Daemon) -> (String, Vec<u8>) {
    let output = Command::new(program::flowlog()).args(arguments).current_dir(daemon.path("")).output().expect("flowlog starts");
    (format!("flowlog {}", arguments.join(" ")), [output.stdout, output.stderr].concat())
}

/// Everything that can be read behind the mask, with where it stands.
fn everything(servers: &Servers, daemon: &Daemon, start: Timestamp) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    files(&daemon.path(""), &["intake", "flows.jsonl", "flowlog.yaml", "credentials", "password"], &mut all);
    for page in ["/metrics", "/status", "/healthz", "/readyz"] {
        all.push((page.to_owned(), daemon.page(page).unwrap_or_default().into_bytes()));
    }
    all.push(said(&["check", "-o", "json", "flowlog.yaml"], daemon));
    all.push(said(&["check", "flowlog.yaml"], daemon));
    for command in ["status", "spool"] {
        let words = if command == "status" { ["status", "-o", "json"] } else { ["spool", "ls", "-o=json"] };
        all.push(said(&[&words[..], &["--state-dir", "state"]].concat(), daemon));
    }
    all.push(("Loki".to_owned(), format!("{:?}", servers.searched("secrets", start)).into_bytes()));
    all.push(("Kafka".to_owned(), format!("{:?}", kafka::read(&servers.kafka, "secrets")).into_bytes()));
    for verb in [&["objects", "secrets"][..], &["lines", "secrets", "audit/flows/"]] {
        all.push((format!("S3 {}", verb[0]), reader::archive(&servers.minio, verb).join("\n").into_bytes()));
    }
    for (key, bytes) in servers.stored("secrets", "audit/manifests/") {
        all.push((key, bytes));
    }
    all
}

#[test]
fn a_hidden_secret_and_a_masked_address_are_nowhere_behind_the_mask() {
    let (servers, start) = (Servers::shared(), Timestamp::now() - 1.minute());
    servers.make_place("secrets");
    let mut daemon = Daemon::following("");
    std::fs::write(daemon.path("password"), servers.kafka.value("KAFKA_PASS")).expect("a password");
    let sinks = servers.sinks(&daemon, "secrets", Batches::Small);
    let search = format!("    basicAuth: {{username: node, password: {SECRET}-basic}}\n");
    let stream = format!(
        "    sasl: {{mechanism: SCRAM-SHA-512, username: {}, passwordFile: {}}}\n    tls: {{caFile: {}}}\n",
        servers.kafka.value("KAFKA_USER"),
        daemon.path("password").display(),
        servers.kafka.value("KAFKA_CA"),
    );
    let sinks = sinks.replace("    type: loki\n", &format!("    type: loki\n{search}"));
    let sinks = sinks.replace("    type: kafka\n", &format!("    type: kafka\n{stream}"));
    let sinks = sinks.replace(&servers.kafka.value("KAFKA_PLAIN"), &servers.kafka.value("KAFKA_SASL"));
    daemon.configure(&format!(
        "flowLogs:\n  - name: secrets\n    filePath: events.log\n    sinks: [search, stream, audit]\n    redact: {{urlQuery: true}}\n    \
         fieldMask: [time, verdict, l4, l7, source.namespace, source.pod_name, destination.namespace, Type, Summary, extensions]\n{sinks}"
    ));
    daemon.start();
    let mut text = String::new();
    for n in 0..1000 {
        text += &format!("{}\n", telling(start + 50.seconds(), n));
    }
    // What can't be read is not repeated either: a torn line, one that is no flow, one of a newer schema.
    let torn = &telling(start, 0)[..400];
    text += &format!("{torn}\n{{\"flow\":{{\"verdict\":\"{SECRET}\",\"time\":\"{SECRET}\"}}}}\n[\"{SECRET}\"]\n");
    // And one too long for the topic's largest batch ends in the quarantine file.
    let long: String = (0..30_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    text += &format!("{}\n", telling(start + 50.seconds(), 1000).replace("/order/", &format!("/{long}/order/")));
    std::fs::write(daemon.path("flows.jsonl"), text).expect("flows");
    wait_until_delivered(&daemon, ("secrets", "events"), 1001, &["search", "stream", "audit"]);

    let all = everything(&servers, &daemon, start);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for place in ["events.log", ".seg", "Loki", "Kafka", "S3 lines", "quarantine"] {
        let found = all.iter().any(|(name, bytes)| name.contains(place) && holds(bytes, SHOWN));
        assert!(found, "no flow in {place}: it was not searched");
    }
    let (password, secret) = (servers.kafka.value("KAFKA_PASS"), servers.minio.value("S3_SECRET"));
    for (place, bytes) in &all {
        for hidden in [SECRET, ADDRESSES[0], ADDRESSES[1], "02:42:cb:00:71:4d", &password, &secret] {
            assert!(!holds(bytes, hidden), "{hidden} stands in {place}");
        }
    }
    println!("{} places, no hit", all.len());
    daemon.stop();
}
