//! What must not leave the node: a password in a URL, credential headers and an address that the mask removes are planted in the input, and looked for in
//! everything that `run` and `replay` leave behind.
//!
//! The intake is left out: it holds the input as it came (0600, until it is folded), in front of mask and redaction.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::{http, program};

/// Texts that stand in the input, and must stand nowhere else.
const PLANTED: [&str; 5] = ["planted-password", "planted-bearer-token", "planted-cookie", "planted-proxy-basic", "198.51.100.77"];
/// Default redaction, masks without addresses; a line an event, folded, folded by service, aggregated, compressed.
const CONFIGURATION: &str = r#"
flowLogs:
  - {name: lines, filePath: lines.log, window: 0, fieldMask: [time, l4, l7, Summary, source, verdict, node_name]}
  - {name: folded, filePath: folded.log, window: 1s, fieldMask: [time, l4, l7, Summary, verdict, extensions]}
  - {name: service, filePath: service.log, window: 1s, foldBy: service, fieldMask: [time, l7, Summary, verdict, extensions]}
  - {name: aggregated, filePath: aggregated.log, fieldAggregate: [l7, verdict], aggregationInterval: 1s, fieldMask: [time, l7, verdict]}
  - {name: packed, filePath: packed.log, window: 0, fileCompress: true, fileMaxSizeMb: 1, fileMinRotateInterval: 0s, fieldMask: [time, l7, Summary]}
"#;
/// Enough that `packed.log` has two backups: the newest one stays plain.
const LINES: usize = 6000;

/// Requests that carry the planted texts, and now and then a line that is torn in the middle of one.
fn input() -> String {
    let mut text = String::new();
    for n in 0..LINES {
        let time = format!("2026-01-02T03:04:{:02}.{:03}Z", n / 60 % 60, n % 1000);
        let url = format!("https://bob:planted-password@api.example/items/{n}?q=1");
        let line = format!(
            r#"{{"flow":{{"time":"{time}","verdict":"FORWARDED","IP":{{"source":"198.51.100.77","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{},"destination_port":443}}}},"source":{{"identity":1001,"namespace":"shop","pod_name":"web-1"}},"Type":"L7","node_name":"n1","l7":{{"type":"REQUEST","http":{{"method":"GET","url":"{url}","protocol":"HTTP/1.1","headers":[{{"key":"Authorization","value":"Bearer planted-bearer-token"}},{{"key":"cookie","value":"id=planted-cookie"}},{{"key":"Set-Cookie","value":"planted-cookie"}},{{"key":"Proxy-Authorization","value":"planted-proxy-basic"}},{{"key":"X-Kept","value":"kept-value"}}]}}}},"event_type":{{"type":129}},"traffic_direction":"EGRESS","Summary":"HTTP/1.1 GET {url}"}},"node_name":"n1","time":"{time}"}}"#,
            1024 + n
        );
        let torn = line.find("planted-password").expect("the password") + "planted-password".len();
        text.push_str(if n % 500 == 499 { &line[..torn] } else { &line });
        text.push('\n');
    }
    text
}

/// Every file below a folder but those of `except`, whole, decompressed where it is compressed.
fn files(folder: &Path, except: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if except.iter().any(|except| name == *except) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, except));
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if name.to_string_lossy().ends_with(".gz") {
            bytes = Command::new("gzip").arg("-dc").arg(&path).output().expect("gzip").stdout;
        }
        found.push((path, bytes));
    }
    found
}

/// Which of the planted texts stand in some bytes.
fn hits(bytes: &[u8]) -> Vec<&'static str> {
    let text = String::from_utf8_lossy(bytes);
    PLANTED.into_iter().filter(|planted| text.contains(planted)).collect()
}

fn no_hits(name: &str, bytes: &[u8]) {
    let hits = hits(bytes);
    assert!(hits.is_empty(), "{name} holds {hits:?}");
}

/// Looks through a folder; each flow log has to have written something there, with what was not hidden.
fn look_through(folder: &Path, except: &[&str]) {
    let files = files(folder, except);
    for (path, bytes) in &files {
        no_hits(&path.display().to_string(), bytes);
    }
    for stem in ["lines", "folded", "service", "aggregated", "packed"] {
        let of_log = files.iter().filter(|(path, _)| path.parent() == Some(folder) && is_of(path, stem));
        let kept = of_log.filter(|(_, bytes)| String::from_utf8_lossy(bytes).contains("kept-value")).count();
        assert!(kept > 0, "{stem}.log holds no line of the input");
    }
    let spooled = files.iter().filter(|(path, bytes)| path.components().any(|part| part.as_os_str() == "spool") && bytes.len() > 1000);
    assert!(spooled.count() >= 5, "a spool for each flow log: {:?}", files.iter().map(|(path, _)| path).collect::<Vec<_>>());
}

fn is_of(path: &Path, stem: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(stem))
}

#[test]
fn nothing_planted_is_found_behind_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("flowlog.yaml"), CONFIGURATION).unwrap();
    std::fs::write(path("input"), input()).unwrap();
    let mut command = Command::new(program::flowlog());
    command.args(["replay", "--config", "flowlog.yaml", "--state-dir", "state", "--metrics-file", "metrics.prom"]);
    command.args(["--metrics", "dns:query drop tcp flow flows-to-world httpV2:exemplars=true policy"]);
    let output: Output = command.arg("input").env("FLOWLOG_LOG", "trace").current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("12 of 6000 input lines could not be read"), "{said}");
    no_hits("its log", said.as_bytes());
    look_through(folder.path(), &["input"]);
}

#[test]
fn nothing_planted_is_found_behind_the_daemon_nor_on_its_pages() {
    let arguments = [
        "--metrics",
        "dns:query drop tcp flow flows-to-world httpV2:exemplars=true policy",
        "--log-level",
        "flowlog=trace,flowlog_sinks=trace",
    ];
    let mut daemon = Daemon::following(CONFIGURATION).with(&arguments).started();
    daemon.feed(&input());
    let delivered = |daemon: &Daemon| {
        ["lines.log", "packed.log"].iter().all(|name| {
            let last = format!("/items/{}", LINES - 2);
            std::fs::read_to_string(daemon.path(name)).is_ok_and(|text| text.contains(&last))
        })
    };
    daemon.wait("the last line", delivered);
    let is_packed = |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|extension| extension == "gz");
    daemon.wait("a compressed backup", |daemon| files(&daemon.path(""), &["state"]).iter().any(is_packed));
    for page in ["/metrics", "/status", "/readyz"] {
        no_hits(page, http::get(daemon.port(), page).as_bytes());
    }
    daemon.stop();
    look_through(&daemon.path(""), &["flows.jsonl", "intake"]);
    let log = daemon.log();
    assert!(log.contains("an input line cannot be read"), "{log}");
    // The intake itself is there, and nobody else may read it.
    let intake = files(&daemon.path("state/intake"), &[]);
    let open = intake.iter().filter(|(path, _)| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0
    });
    assert_eq!(open.count(), 0, "files of the intake are open to others");
}
