//! What a daemon holds in memory while none of its sinks answers: everything that waits lies on the disk.
//!
//! No two of the flows fold, so with a window the fold table holds as many lines as come in meanwhile, up to its own bounds (`fold`);
//! without one, what is left is what spool and sinks hold.

use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::feed::Feed;

/// Flows a second that come in meanwhile.
pub const FLOWS_A_SECOND: u64 = 50_000;

/// A daemon whose three sinks name a port on which nobody listens.
const CONFIGURATION: &str = "flowLogs:
  - {name: all, window: WINDOW, sinks: [search, stream, audit]}
sinks:
  search: {type: loki, url: 'http://127.0.0.1:9', labels: {source_ns: source.namespace, verdict: verdict}}
  stream: {type: kafka, brokers: ['127.0.0.1:9'], topic: flows}
  audit: {type: s3, url: 's3://flows/audit', endpoint: 'http://127.0.0.1:9', region: us-east-1, pathStyle: true, credentialsFile: CREDENTIALS}
";

/// What is resident, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// Of it, what is no file's.
    pub anonymous: u64,
    /// The most so far.
    pub peak: u64,
}

impl Resident {
    /// Of a running daemon.
    pub fn of(daemon: &Daemon) -> Resident {
        let text = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("its status");
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}"));
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Resident { now: value("VmRSS:"), anonymous: value("RssAnon:"), peak: value("VmHWM:") }
    }
}

/// Lets flows come in for so long, folded by this window, while every sink is down, and tells once a second how many the daemon has taken and what is resident.
/// Returns the last of these, once everything is taken.
pub fn with_all_sinks_down(window: &str, duration: Duration, mut tell: impl FnMut(Duration, u64, Resident)) -> Resident {
    let mut daemon = Daemon::following("");
    std::fs::write(daemon.path("credentials"), "[default]\naws_access_key_id = k\naws_secret_access_key = s\n").expect("credentials");
    let credentials = daemon.path("credentials");
    daemon.configure(&CONFIGURATION.replace("WINDOW", window).replace("CREDENTIALS", credentials.to_str().expect("text")));
    daemon.start();
    let (mut feed, begun) = (Feed::new(&daemon), Instant::now());
    let taken = |daemon: &Daemon| daemon.status()["flowLogs"][0]["totals"]["inputs"].as_u64().expect("a number");
    while begun.elapsed() < duration {
        feed.at_rate(FLOWS_A_SECOND, Duration::from_secs(1));
        tell(begun.elapsed(), taken(&daemon), Resident::of(&daemon));
    }
    daemon.wait_for("the last flows", Duration::from_secs(600), |daemon| taken(daemon) >= feed.count());
    let last = Resident::of(&daemon);
    tell(begun.elapsed(), taken(&daemon), last);
    assert_eq!(daemon.metrics().sum("flowlog_sink_records_sent_total", &[]), 0, "a sink is not down");
    daemon.kill();
    last
}
