//! A configuration that changes all the time under load, half of the times into one that is wrong: no flow is lost or doubled by it, and what is wrong is
//! named by key and line, in the daemon's own log and by `flowlog status`.
//!
//! Two kinds of load, because each proves what the other cannot: real packets, whose sum is the kernel's own, and numbered lines of a Hubble that runs
//! beside, each of which has to come out once.

use std::io::Write;
use std::os::unix::fs::symlink;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::{number_of, numbered};
use flowlog_tests::lab::{self, Lab};
use flowlog_tests::source::Source;
use flowlog_tests::totals::{Totals, assert_each_once};
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// Files of the flow log that takes everything, over two folders.
const FILES: [(&str, &str); 4] = [("out", "a"), ("out", "b"), ("other", "c"), ("other", "d")];
/// What the sums and the numbers need is in each of them.
const MASKS: [&str; 3] = [
    "[]",
    "[time, uuid, verdict, IP, source.pod_name, trace_observation_point, extensions]",
    "[uuid, verdict, IP, source, destination, l4, trace_observation_point, node_name, extensions]",
];

/// The n-th valid configuration. `all` takes everything, whatever else of it changes; `half` takes the even pods or the odd ones; `some` comes and goes.
fn valid(n: usize) -> String {
    let ((folder, stem), mask) = (FILES[n % FILES.len()], MASKS[n % MASKS.len()]);
    let window = ["0s", "200ms", "1s", "3s"][n / 2 % 4];
    let fold = ["connection", "service"][n % 2];
    let half = ["even-", "odd-"][n / 3 % 2];
    let mut text = format!(
        "flowLogs:
  - name: all
    filePath: {folder}/{stem}.log
    fileMaxSizeMb: {size}
    fileMaxBackups: 10000
    fileMinRotateInterval: 0s
    fieldMask: {mask}
    window: {window}
    foldBy: {fold}
  - name: half
    filePath: out/half.log
    includeFilters: [{{source_pod: [\"shop/{half}\"]}}]
    window: 0s
",
        size = 1 + n % 2,
    );
    if n.is_multiple_of(2) {
        text += "  - {name: some, filePath: out/some.log, window: 0s, includeFilters: [{source_pod: [\"shop/\"]}]}\n";
    }
    text
}

/// The n-th invalid one, and the place it has to be refused for. `true`: the file is applied but for an entry, which keeps its old instance.
fn invalid(n: usize, before: &str) -> (String, &'static str, bool) {
    let wrong = |line: &str| before.replacen("\n    window:", &format!("\n    {line}\n    window:"), 1);
    match n % 6 {
        0 => (before.replacen("window: ", "window: soon ", 1), "line 8: flowLogs[0].window", false),
        1 => (wrong("includeFilters: [{source_pod: 7}]"), "line 8: flowLogs[0].includeFilters[0].source_pod", false),
        2 => (wrong("includeFilters: [{http_path: [\"(\"]}]"), "line 8: flowLogs[0].includeFilters[0].http_path[0]", true),
        3 => (format!("{before}sinks:\n  s: {{type: loki, ulr: \"http://x\"}}\n"), "sinks.s.ulr", false),
        4 => (wrong("fileGroup: no-such-group"), "line 8: flowLogs[0].fileGroup", true),
        _ => (before.replacen("\n    filePath", "\n   filePath", 1), "line 3", false),
    }
}

/// The ways in which a file changes, in turn.
struct Editor<'d> {
    daemon: &'d Daemon,
    /// Whether the file is a link into a folder that a link leads to, as in a ConfigMap.
    linked: bool,
    versions: usize,
}

impl Editor<'_> {
    fn write(&mut self, n: usize, text: &str) {
        let path = self.daemon.path("config/flowlog.yaml");
        if self.linked {
            return self.swap(text);
        }
        match n / 4 % 2 {
            0 => {
                std::fs::write(path.with_extension("new"), text).expect("a file");
                std::fs::rename(path.with_extension("new"), &path).expect("a rename");
            }
            _ => std::fs::write(&path, text).expect("a write in place"),
        }
    }

    /// A new folder, and `..data` leads to it from one moment to the next.
    fn swap(&mut self, text: &str) {
        let folder = self.daemon.path("config");
        self.versions += 1;
        let version = format!("..version-{}", self.versions);
        std::fs::create_dir(folder.join(&version)).expect("a folder");
        std::fs::write(folder.join(&version).join("flowlog.yaml"), text).expect("a file");
        symlink(&version, folder.join("..data_tmp")).expect("a link");
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("a swap");
        if self.versions == 1 {
            symlink("..data/flowlog.yaml", folder.join("link")).expect("a link");
            std::fs::rename(folder.join("link"), folder.join("flowlog.yaml")).expect("a rename");
        } else {
            std::fs::remove_dir_all(folder.join(format!("..version-{}", self.versions - 1))).expect("the version before");
        }
    }
}

/// What tells one state of the configuration from the next: files applied, files refused.
fn reloads(daemon: &Daemon) -> (u64, u64) {
    let metrics = daemon.metrics();
    (daemon.log().matches("reloaded").count() as u64, metrics.sum("flowlog_reload_rejected_total", &[]))
}

#[test]
fn reloads_under_load_lose_and_double_nothing_and_name_what_they_refuse() {
    if skip::lacks_root("reloads_under_load_lose_and_double_nothing_and_name_what_they_refuse") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, "").configured_at("config/flowlog.yaml", &valid(0));
    let input = daemon.path("hubble.log").display().to_string();
    daemon = daemon.with(&["--source", "kernel", "--source", &format!("jsonl:{input}")]).started();
    let source = Source::start(&daemon.path(""), 500, 5000);
    let load = lab::load(&lab);

    let (mut text, mut refused) = (valid(0), 0);
    let mut editor = Editor { daemon: &daemon, linked: false, versions: 0 };
    let reloads_wanted = scale::of("reloads") as usize;
    for n in 0..reloads_wanted {
        editor.linked = n >= reloads_wanted / 2;
        let known = reloads(&daemon);
        // Invalid, valid, invalid, valid; of the valid ones every second changes everything there is to change, the others come by SIGHUP.
        match n % 4 {
            0 | 2 => {
                let (wrong, place, entry_alone) = invalid(n / 2, &text);
                editor.write(n, &wrong);
                assert_refused(&daemon, known, place, entry_alone);
                refused += u64::from(!entry_alone);
            }
            1 => {
                text = valid(n / 4 + 1);
                editor.write(n, &text);
                daemon.wait("the reload", |daemon| reloads(daemon).0 > known.0);
            }
            _ => {
                editor.write(n, &text);
                daemon.hang_up();
                daemon.wait("the reload", |daemon| reloads(daemon).0 > known.0);
            }
        }
        if n % 2 == 1 {
            daemon.wait("readiness", |daemon| daemon.page("/readyz").is_some());
        }
    }
    editor.write(0, &text);
    daemon.wait("the last one", |daemon| daemon.page("/readyz").is_some());
    assert_eq!(daemon.log().matches("the reload is refused").count() as u64, refused, "each is named once");
    lab::stop_all(load);
    let written = source.stop();
    daemon.wait("the last line", |daemon| daemon.metrics().sum("flowlog_input_lines_total", &[r#"flow_log="all""#]) >= written);
    daemon.finish();

    let all: Vec<Value> = FILES.iter().flat_map(|(folder, stem)| daemon.lines_in(&daemon.path(folder), stem)).collect();
    println!(
        "{reloads_wanted} reloads, {refused} files refused, {} lines of {written} input lines and {:?}",
        all.len(),
        lab.counters().since(before)
    );
    assert_each_once(&all);
    assert_eq!(numbers(&all), (0..written).collect::<Vec<u64>>(), "each input line once");
    let packets: Vec<Value> = all.into_iter().filter(|line| number_of(line).is_none()).collect();
    Totals::of(&packets).assert_account_for(lab.counters().since(before));
    daemon.verified("all");
    for (stem, most) in [("half", written / 2 + 1), ("some", written)] {
        let found = numbers(&daemon.lines_in(&daemon.path("out"), stem));
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "{stem}: a line stands twice");
        assert!(!found.is_empty() && found.len() as u64 <= most, "{stem}: {} lines", found.len());
    }
}

/// The numbers of numbered lines, sorted.
fn numbers(lines: &[Value]) -> Vec<u64> {
    let mut found: Vec<u64> = lines.iter().filter_map(number_of).collect();
    found.sort_unstable();
    found
}

/// Waits until what was written is refused, whole or for one entry, and holds what is said about it against the place.
fn assert_refused(daemon: &Daemon, known: (u64, u64), place: &str, entry_alone: bool) {
    if entry_alone {
        daemon.wait("what keeps its old instance", |daemon| daemon.page("/readyz").is_none());
    } else {
        daemon.wait("the refusal", |daemon| reloads(daemon).1 > known.1);
    }
    assert!(daemon.page("/readyz").is_none(), "ready although an entry keeps its old instance: {place}");
    let (status, healthy) = daemon.flowlog_status();
    assert!(!healthy && status.contains(place), "{place} in {status}");
    assert!(daemon.log().contains(place), "{place} in the log");
}

#[test]
fn a_sink_that_is_being_drained_holds_up_neither_its_return_nor_the_reloads_after_it_nor_the_end() {
    if skip::lacks_root("a_sink_that_is_being_drained_holds_up_neither_its_return_nor_the_reloads_after_it_nor_the_end") {
        return;
    }
    let lab = Lab::new();
    // Nobody listens there, and it may take an hour to find out.
    let sink = "sinks:\n  away: {type: loki, url: \"http://127.0.0.1:9\", drainTimeout: 1h}\n";
    let entry = |name: &str, sinks: &str| {
        format!("  - {{name: {name}, filePath: {name}.log, sinks: {sinks}, includeFilters: [{{source_pod: [\"shop/\"]}}]}}\n")
    };
    let with = format!("flowLogs:\n{}{}{sink}", entry("all", "[away]"), entry("gone", "[away]"));
    let without = format!("flowLogs:\n{}", entry("all", "[]"));
    let mut daemon = Daemon::new(&lab.router, &with);
    let input = daemon.path("hubble.log").display().to_string();
    daemon = daemon.with(&["--source", &format!("jsonl:{input}")]).started();
    let source = Source::start(&daemon.path(""), 500, 100_000);
    daemon.wait("something to drain", |daemon| daemon.metrics().sum("flowlog_sink_lag_records", &[r#"sink="away""#]) > 100);
    for text in [&without, &with, &without, &with, &without] {
        let known = reloads(&daemon);
        daemon.configure(text);
        daemon.wait("the reload", |daemon| reloads(daemon).0 > known.0);
    }
    let written = source.stop();
    daemon.wait("the last line", |daemon| daemon.metrics().sum("flowlog_input_lines_total", &[r#"flow_log="all""#]) >= written);
    println!("SIGTERM beside two drains of an hour took {:?}", daemon.stop());
    assert_eq!(numbers(&daemon.lines_in(&daemon.path(""), "all")), (0..written).collect::<Vec<u64>>());
    let found = numbers(&daemon.lines_in(&daemon.path(""), "gone"));
    assert!(!found.is_empty() && found.windows(2).all(|pair| pair[0] < pair[1]), "a line stands twice after the flow log came back");
}

#[test]
fn another_bound_of_a_spool_counts_without_a_restart() {
    // Nobody listens there: everything stays in the spool.
    let configuration = |bound: u64| {
        format!(
            "flowLogs:\n  - {{name: all, window: 0s, sinks: [away], spoolMaxBytes: {bound}MiB}}\n\
             sinks:\n  away: {{type: loki, url: \"http://127.0.0.1:9\"}}\n"
        )
    };
    let daemon = Daemon::following(&configuration(4)).started();
    let mut written = 0;
    // Some 2.5 MB, a little at a time: what is not synced yet can't make room.
    let mut feed = || {
        for _ in 0..14 {
            let text: String = (written..written + 500).map(|number| numbered(number) + "\n").collect();
            let mut input = std::fs::File::options().append(true).open(daemon.path("flows.jsonl")).expect("the input");
            input.write_all(text.as_bytes()).expect("lines");
            written += 500;
            daemon.wait("the lines", |daemon| {
                let metrics = daemon.metrics();
                metrics.sum("flowlog_lines_total", &[]) >= written && metrics.sum("flowlog_spool_unsynced_bytes", &[]) == 0
            });
        }
        daemon.metrics().sum("flowlog_spool_bytes", &[])
    };
    let bound_to = |megabytes: u64| {
        let known = reloads(&daemon);
        daemon.configure(&configuration(megabytes));
        daemon.wait("the reload", |daemon| reloads(daemon).0 > known.0);
        assert_eq!(daemon.metrics().sum("flowlog_spool_bound_bytes", &[]), megabytes << 20);
    };
    let first = feed();
    bound_to(1);
    let smaller = feed();
    bound_to(6);
    let larger = feed();
    println!("bytes of the spool under 4, 1 and 6 MiB: {first} {smaller} {larger}");
    // A segment may still be over.
    assert!(first > 2 << 20 && smaller < 3 << 19 && larger > smaller + (2 << 20), "{first} {smaller} {larger}");
    daemon.verified("all");
}
