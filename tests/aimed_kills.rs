//! Killed inside what it does: between the note of a rotation and its rename, right behind the rename, inside a compression, between a commit's write and its
//! sync, inside a reload. Started again, it says everything once. `crashes.rs` has the random moments.

use std::path::Path;
use std::time::{Duration, Instant};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::number_of;
use flowlog_tests::lab::{self, Lab};
use flowlog_tests::source::Source;
use flowlog_tests::totals::{Totals, assert_each_once};
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// Where a kill is to fall.
#[derive(Clone, Copy, Debug)]
enum Aim {
    /// The cursor says that a rotation comes, and nothing is renamed yet.
    BeforeRename,
    /// A backup has just got its name.
    AfterRename,
    /// A compression is being written.
    Compression,
    /// The spool's file has just grown: a commit is written and not synced.
    Commit,
    /// The configuration is being applied.
    Reload,
}

const AIMS: [Aim; 5] = [Aim::BeforeRename, Aim::AfterRename, Aim::Compression, Aim::Commit, Aim::Reload];
const FOLDERS: [&str; 2] = ["one", "two"];

/// Files are small and compressed. What differs from one to the next is the file's folder, the mask and the window.
fn configuration(n: usize) -> String {
    format!(
        "flowLogs:
  - name: all
    filePath: {}/events.log
    fileMaxSizeMb: 1
    fileMaxBackups: 10000
    fileMinRotateInterval: 0s
    fileCompress: zstd
    fieldMask: {}
    window: {}
",
        FOLDERS[n % 2],
        ["[]", "[uuid, verdict, IP, source, destination, l4, trace_observation_point, extensions]"][n / 2 % 2],
        ["1s", "200ms", "3s"][n % 3],
    )
}

/// Names and lengths below a folder that end so.
fn files(folder: &Path, end: &str) -> Vec<(String, u64)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(String, u64)> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.len())))
        .filter(|(name, _)| name.ends_with(end))
        .collect();
    found.sort();
    found
}

/// Waits for the moment. What can be seen of it changes with the next system call of the daemon.
fn wait_for(daemon: &Daemon, aim: Aim, n: usize) {
    let spool = daemon.state().join("logs/all/spool");
    let backups = || FOLDERS.map(|folder| files(&daemon.path(folder), ".log").into_iter().map(|(name, _)| name).collect::<Vec<_>>());
    let (names, segments) = (backups(), files(&spool, ".seg"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let is_there = || match aim {
        Aim::BeforeRename => std::fs::read_to_string(spool.join("cursors/file.cursor")).is_ok_and(|text| text.contains("rotate")),
        Aim::AfterRename => {
            backups().iter().zip(&names).any(|(now, before)| now.iter().any(|name| name != "events.log" && !before.contains(name)))
        }
        Aim::Compression => FOLDERS.iter().any(|folder| !files(&daemon.path(folder), ".tmp").is_empty()),
        Aim::Commit => files(&spool, ".seg") != segments,
        Aim::Reload => {
            daemon.configure(&configuration(n));
            // It is read a tenth of a second after it has changed.
            std::thread::sleep(Duration::from_millis(95 + (n as u64 * 13) % 90));
            true
        }
    };
    while !is_there() {
        assert!(Instant::now() < deadline, "waited for {aim:?} in vain");
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn killed_inside_rotation_compression_commit_and_reload_it_says_everything_once() {
    if skip::lacks_root("killed_inside_rotation_compression_commit_and_reload_it_says_everything_once") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, &configuration(0));
    let input = daemon.path("hubble.log").display().to_string();
    daemon = daemon.with(&["--source", "kernel", "--source", &format!("jsonl:{input}")]).started();
    let source = Source::start(&daemon.path(""), 4000, 50_000);
    let load = lab::load(&lab);
    let rounds = scale::of("aimed_kills") as usize;
    for round in 0..rounds {
        for (number, aim) in AIMS.into_iter().enumerate() {
            wait_for(&daemon, aim, round * AIMS.len() + number);
            daemon.kill();
            daemon.start();
        }
    }
    let written = source.stop();
    lab::stop_all(load);
    let read = |daemon: &Daemon| daemon.metrics().sum("flowlog_input_lines_total", &[r#"flow_log="all""#]);
    daemon.wait("the last line", |daemon| read(daemon) >= written);
    daemon.finish();

    let lines: Vec<Value> = FOLDERS.iter().flat_map(|folder| daemon.lines_in(&daemon.path(folder), "events")).collect();
    let ranges = daemon.verified("all");
    let rotated: usize =
        FOLDERS.iter().map(|folder| files(&daemon.path(folder), ".zst").len() + files(&daemon.path(folder), ".log").len()).sum();
    println!("{} kills, {} lines in {rotated} files", rounds * AIMS.len(), lines.len());
    assert_each_once(&lines);
    let [(_, _, last)] = ranges.as_slice() else { panic!("one identity all along: {ranges:?}") };
    // The first ones may have been let go of; as all numbers begin with 1, the last one says how many there were.
    assert_eq!(*last, lines.len() as u64, "as many lines as records");
    let mut numbers: Vec<u64> = lines.iter().filter_map(number_of).collect();
    numbers.sort_unstable();
    let doubled: Vec<u64> = numbers.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    let ends = (doubled.first(), doubled.last());
    assert!(numbers.iter().copied().eq(0..written), "each of {written} input lines once, not {} lines: {ends:?} twice", numbers.len());
    let packets: Vec<Value> = lines.into_iter().filter(|line| number_of(line).is_none()).collect();
    Totals::of(&packets).assert_account_for(lab.counters().since(before));
}
