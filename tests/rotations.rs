//! Tailers follow `events.log` of a running daemon over many rotations, and each of them gets each line once.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::number_of;
use flowlog_tests::lab::Lab;
use flowlog_tests::source::Source;
use flowlog_tests::tailer::{Knows, Tailer};
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// A user and a group that own nothing: `nobody` of Debian, and a number no group has.
const STRANGER: (u32, u32) = (65_534, 54_321);

#[test]
fn three_kinds_of_tailers_one_of_another_user_get_each_line_once_over_many_rotations() {
    if skip::lacks_root("three_kinds_of_tailers_one_of_another_user_get_each_line_once_over_many_rotations") {
        return;
    }
    let rotations = scale::of("rotations");
    let lab = Lab::new();
    // These tailers look every few milliseconds, so a file need not last the ten seconds that slower ones are given by default, and the test ends. The few
    // backups that are kept make inodes come back, as on a disk that is kept small.
    let text = format!(
        "flowLogs:\n  - {{name: all, filePath: out/events.log, fileMaxSizeMb: 1, fileMaxBackups: 8, fileMinRotateInterval: 250ms, window: 0s, fileMode: \"0640\", fileGroup: \"{}\"}}\n",
        STRANGER.1
    );
    let mut daemon = Daemon::new(&lab.router, &text);
    let input = daemon.path("hubble.log").display().to_string();
    std::fs::create_dir(daemon.path("out")).expect("a folder");
    for folder in ["", "out"] {
        std::fs::set_permissions(daemon.path(folder), std::fs::Permissions::from_mode(0o755)).expect("a folder that others may pass");
    }
    daemon = daemon.with(&["--source", &format!("jsonl:{input}")]).started();
    let live = daemon.path("out/events.log");
    let tailers = [
        (Knows::FirstLine, Tailer::start(&live, Knows::FirstLine, None)),
        (Knows::PathAndOffset, Tailer::start(&live, Knows::PathAndOffset, None)),
        (Knows::Inode, Tailer::start(&live, Knows::Inode, Some(STRANGER))),
    ];
    // Faster than the pace: the file grows beyond its limit before it may be rotated.
    let source = Source::start(&daemon.path(""), 10_000, 1_000_000);
    while tailers[0].1.files() <= rotations {
        let before = tailers[0].1.files();
        daemon.wait("another rotation", |_| tailers[0].1.files() > before);
    }
    let written = source.stop();
    // The file has fallen behind by what is in the spool.
    let sent = |daemon: &Daemon| daemon.metrics().sum("flowlog_sink_records_sent_total", &[]);
    while sent(&daemon) < written {
        let before = sent(&daemon);
        daemon.wait("more lines", |daemon| sent(daemon) > before);
    }
    let rotated = tailers[0].1.files() - 1;
    let found = live.metadata().expect("the live file");
    assert_eq!((found.mode() & 0o7777, found.gid()), (0o640, STRANGER.1));
    let lines = tailers.map(|(knows, tailer)| (knows, tailer.stop()));
    daemon.stop();
    println!("{rotated} rotations, {written} lines");
    for (knows, lines) in lines {
        let numbers = lines.iter().map(|line| number_of(&serde_json::from_str::<Value>(line).expect("JSON")).expect("a number"));
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..written), "{knows:?}: {} lines of {written}", lines.len());
    }
}
