//! A wall clock that jumps an hour forward, two back and one forward again under a running daemon, as the machine's own would: `clock/shifted.c` answers in
//! its place. Nothing stops, nothing is lost, and backups stay in their order.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{self, Lab};
use flowlog_tests::skip;
use flowlog_tests::totals::{Totals, assert_each_once};
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

const HOUR: i64 = 3_600_000_000_000;

/// Compiles `shifted`.
fn shifted(folder: &Path) -> String {
    let program = folder.join("shifted").display().to_string();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("clock/shifted.c");
    let status = Command::new("cc").args(["-O2", "-Wall", "-Wextra", "-Werror", "-o", &program]).arg(source).status().expect("cc");
    assert!(status.success(), "shifted.c does not compile");
    program
}

/// The sequence number in the uuid that flowlog gives to a line of its own.
fn sequence(line: &Value) -> u64 {
    let digits = line["flow"]["uuid"].as_str().expect("a uuid").replace('-', "");
    u64::from_str_radix(&digits[16..], 16).expect("hexadecimal") & ((1 << 62) - 1)
}

#[test]
fn a_clock_that_jumps_an_hour_either_way_stops_nothing_and_loses_nothing() {
    if skip::lacks_root("a_clock_that_jumps_an_hour_either_way_stops_nothing_and_loses_nothing") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let daemon = Daemon::new(
        &lab.router,
        "flowLogs:\n  - {name: all, filePath: events.log, fileMaxSizeMb: 1, fileMaxBackups: 10000, fileMinRotateInterval: 0s, window: 0s}\n",
    );
    let file = daemon.path("offset");
    std::fs::write(&file, [0; 8]).expect("an offset");
    // In place and without making it shorter: whoever reads it has it mapped.
    let written = std::fs::File::options().write(true).open(&file).expect("the offset");
    let off_by = |nanoseconds: i64| written.write_all_at(&nanoseconds.to_le_bytes(), 0).expect("an offset");
    let program = shifted(&daemon.path(""));
    let mut daemon = daemon.through(&[&program, &file.display().to_string()]).started();
    let begun = Timestamp::now();
    let load = lab::load(&lab);
    for offset in [0, HOUR, -HOUR, 0] {
        off_by(offset);
        let lines = || daemon.metrics().sum("flowlog_sink_records_sent_total", &[]);
        for _ in 0..3 {
            let known = lines();
            daemon.wait("more lines in the file", |_| lines() > known);
            std::thread::sleep(Duration::from_secs(1));
        }
        assert!(daemon.page("/readyz").is_some(), "off by {offset}: {:?}", daemon.flowlog_status());
    }
    lab::stop_all(load);
    std::thread::sleep(Duration::from_millis(500));
    daemon.finish();

    let lines = daemon.lines();
    assert_each_once(&lines);
    let time = |line: &Value| line["flow"]["time"].as_str().expect("a time").parse::<Timestamp>().expect("a time");
    let ahead = lines.iter().filter(|line| time(line) > begun + 55.minutes()).count();
    let behind = lines.iter().filter(|line| time(line) < begun - 55.minutes()).count();
    println!("{} lines, {ahead} an hour ahead, {behind} an hour behind", lines.len());
    assert!(ahead > 0 && behind > 0, "the daemon saw the jumps");
    let sequences: Vec<u64> = lines.iter().map(sequence).collect();
    assert!(sequences.windows(2).all(|pair| pair[0] < pair[1]), "backups are out of order");
    daemon.verified("all");
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}
