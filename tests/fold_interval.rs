//! `fieldAggregate` with `aggregationInterval: 30s`: the lines of a table without bound, from one with a bound, however often it is killed.
//!
//! The reference shares no code with the program: the same events, added up in one large map.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use flowlog::pipeline::engine::MOST_LINES;
use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::Namespace;
use flowlog_tests::program::flowlog;
use flowlog_tests::{scale, skip};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

const INTERVAL: i64 = 30;
/// Events in one interval, and keys that they are spread over by chance: more than the program's memory may hold.
const EVENTS: u64 = 250_000;
const KEYS: u64 = 300_000;
const KILLS: u32 = 4;

const CONFIGURATION: &str = "flowLogs:
  - name: sums
    filePath: out.log
    fileMaxSizeMb: 100000
    fieldAggregate: [IP.destination, l4.TCP.destination_port]
    aggregationInterval: 30s
";

/// What tells lines apart: interval, address, port.
type Key = (i64, u32, u16);

/// What a line says: the time of its first flow since the first of all, and its flows by direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sum {
    nanoseconds: i128,
    directions: [u64; 3],
}

/// Writes events and adds them up. Time only grows: which interval a late one joins is another story.
fn events(path: &Path, count: u64) -> HashMap<Key, Sum> {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path).expect("a file"));
    let (mut state, mut sums, mut line) = (1_u64, HashMap::<Key, Sum>::new(), String::new());
    for number in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (key, direction) = ((state >> 33) % KEYS, (state >> 20) as usize % 3);
        let nanoseconds = i64::try_from(number * (INTERVAL as u64 * 1_000_000_000 / EVENTS)).expect("nanoseconds");
        let time = (start + nanoseconds.nanoseconds()).strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string();
        let (address, port) = (0x0a00_0000 + (key / 3) as u32, 8000 + (key % 3) as u16);
        let ip = std::net::Ipv4Addr::from(address);
        let way = ["INGRESS", "EGRESS", "TRAFFIC_DIRECTION_UNKNOWN"][direction];
        line.clear();
        writeln!(
            line,
            r#"{{"flow":{{"time":"{time}","verdict":"FORWARDED","IP":{{"source":"10.9.9.9","destination":"{ip}"}},"l4":{{"TCP":{{"source_port":{},"destination_port":{port}}}}},"traffic_direction":"{way}"}},"time":"{time}"}}"#,
            1024 + number % 60_000
        )
        .expect("a text");
        file.write_all(line.as_bytes()).expect("a write");
        let sum = sums.entry((nanoseconds / 1_000_000_000 / INTERVAL, address, port)).or_default();
        if sum.directions == [0; 3] {
            sum.nanoseconds = nanoseconds.into();
        }
        sum.directions[direction] += 1;
    }
    file.flush().expect("a write");
    sums
}

/// The lines, by what tells them apart; fails where two are the same.
fn written(path: &Path) -> HashMap<Key, Sum> {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    let text = std::fs::read_to_string(path).expect("the lines");
    let mut sums = HashMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let flow = &line["flow"];
        let time = flow["time"].as_str().expect("a time").parse::<Timestamp>().expect("a time");
        let nanoseconds = time.as_nanosecond() - start.as_nanosecond();
        let (address, port, directions) = aggregated(flow);
        let sum = Sum { nanoseconds, directions };
        assert_eq!(sums.insert(((nanoseconds / 1_000_000_000) as i64 / INTERVAL, address, port), sum), None, "twice: {line}");
    }
    sums
}

/// The fields of an aggregated flow, and how many it stands for by direction.
fn aggregated(flow: &Value) -> (u32, u16, [u64; 3]) {
    let address: std::net::Ipv4Addr = flow["IP"]["destination"].as_str().expect("an address").parse().expect("an address");
    let port = flow["l4"]["TCP"]["destination_port"].as_u64().expect("a port") as u16;
    let count = |way: &str| flow["aggregate"][format!("{way}_flow_count")].as_u64().unwrap_or(0);
    (address.into(), port, ["ingress", "egress", "unknown_direction"].map(count))
}

/// A replay in a folder, with its state kept.
fn replay(folder: &Path, input: &Path) -> Command {
    let mut command = Command::new(flowlog());
    command.current_dir(folder).args(["replay", "--config", "flowlog.yaml", "--state-dir", "state"]).arg(input);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits until it ends by itself, or kills it after a while; its output in the first case.
fn end_or_kill(mut child: Child, after: Duration) -> Option<Output> {
    std::thread::sleep(after);
    if child.try_wait().expect("a status").is_some() {
        return Some(child.wait_with_output().expect("its output"));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    None
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with a configuration and events, and the lines that there have to be.
fn prepared(count: u64) -> (tempfile::TempDir, PathBuf, HashMap<Key, Sum>) {
    let folder = tempfile::Builder::new().prefix("flowlog-interval-").tempdir().expect("a folder");
    std::fs::write(folder.path().join("flowlog.yaml"), CONFIGURATION).expect("a configuration");
    let input = folder.path().join("events.jsonl");
    let expected = events(&input, count);
    (folder, input, expected)
}

#[test]
fn an_interval_of_more_keys_than_memory_holds_has_the_lines_of_unbounded_memory_however_often_it_is_killed() {
    let count = scale::of("interval_events");
    let (folder, input, expected) = prepared(count);
    let first_interval = expected.keys().filter(|(interval, ..)| *interval == 0).count();
    assert!(first_interval > MOST_LINES, "{first_interval} keys fit the table of {MOST_LINES}");

    let mut killed = 0;
    let output = loop {
        // Each time a little later, so that it gets on.
        let after = if killed < KILLS { Duration::from_millis(400) * (killed + 1) } else { Duration::from_secs(100_000) };
        let child = replay(folder.path(), &input).spawn().expect("flowlog starts");
        if killed == KILLS {
            break child.wait_with_output().expect("its output");
        }
        match end_or_kill(child, after) {
            Some(output) => break output,
            None => killed += 1,
        }
    };
    assert_success(&output);
    let found = written(&folder.path().join("out.log"));
    println!(
        "{count} events, {} lines, {first_interval} keys in the first of them for a table of {MOST_LINES}, killed {killed} times",
        found.len()
    );
    assert!(killed > 0, "it was never killed");
    assert_eq!(found.len(), expected.len());
    let wrong = expected.iter().find(|(key, sum)| found.get(key) != Some(sum));
    assert_eq!(wrong.map(|(key, sum)| (key, sum, found.get(key))), None);
}

#[test]
fn an_interrupted_replay_goes_on_with_the_same_input_alone() {
    let (folder, input, expected) = prepared(EVENTS);
    let child = replay(folder.path(), &input).spawn().expect("flowlog starts");
    assert!(end_or_kill(child, Duration::from_millis(300)).is_none(), "it ended before it could be interrupted");
    let other = folder.path().join("other.jsonl");
    std::fs::copy(&input, &other).expect("a copy");
    let refused = replay(folder.path(), &other).output().expect("flowlog");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{text}");
    assert!(text.contains("was interrupted") && text.contains("events.jsonl") && text.contains("--state-dir"), "{text}");

    assert_success(&replay(folder.path(), &input).output().expect("flowlog"));
    assert!(written(&folder.path().join("out.log")) == expected, "lines are missing, or wrong");
    // Finished, the folder is free for another.
    std::fs::remove_file(folder.path().join("out.log")).expect("the lines");
    assert_success(&replay(folder.path(), &other).output().expect("flowlog"));
    assert!(written(&folder.path().join("out.log")) == expected, "lines are missing, or wrong");
}

#[test]
fn a_daemon_that_is_killed_within_intervals_has_each_event_in_one_line_and_a_line_a_key_and_interval_at_most() {
    if skip::lacks_root("a_daemon_that_is_killed_within_intervals_has_each_event_in_one_line_and_a_line_a_key_and_interval_at_most") {
        return;
    }
    let namespace = Namespace::new("interval");
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("events.jsonl");
    let mut expected = HashMap::<(u32, u16), [u64; 3]>::new();
    for ((_, address, port), sum) in events(&input, EVENTS) {
        add(expected.entry((address, port)).or_default(), sum.directions);
    }
    let source = format!("jsonl:{}", input.display());
    let mut daemon = Daemon::new(&namespace, CONFIGURATION).with(&["--source", &source]);
    let begun = Instant::now();
    daemon.start();
    for moment in [400, 1100, 700, 1600] {
        std::thread::sleep(Duration::from_millis(moment));
        daemon.kill();
        daemon.start();
    }
    // The last interval that got events ends within the next 30 s.
    daemon.wait_for("every event in a line", Duration::from_secs(180), |daemon| {
        let metrics = daemon.metrics();
        metrics.sum("flowlog_inputs_total", &[]) == EVENTS && metrics.sum("flowlog_passed_total", &[]) == EVENTS
    });
    daemon.stop();
    let intervals = begun.elapsed().as_secs() / INTERVAL as u64 + 2;
    let (mut found, mut most) = (HashMap::<(u32, u16), [u64; 3]>::new(), HashMap::<(u32, u16), u64>::new());
    for line in daemon.lines_in(&daemon.path(""), "out") {
        let (address, port, directions) = aggregated(&line["flow"]);
        add(found.entry((address, port)).or_default(), directions);
        *most.entry((address, port)).or_default() += 1;
    }
    let most = most.into_values().max().expect("lines");
    println!("{EVENTS} events of {} keys, killed 4 times, in {most} lines a key at most, of {intervals} intervals at most", expected.len());
    assert!(found == expected, "events are missing, or doubled");
    assert!(most <= intervals, "{most} lines of a key in {intervals} intervals");
}

fn add(sum: &mut [u64; 3], directions: [u64; 3]) {
    sum.iter_mut().zip(directions).for_each(|(sum, more)| *sum += more);
}
