//! Disks that give back something else than what was written, or less of it, or all of it in another place: what is lost is exactly what is declared, nothing
//! else is harmed, and no number is used twice.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use flowlog_sinks::spool::inspect::{self, Part};
use flowlog_sinks::spool::{Head, Kind, SEGMENT_HEAD, split_origin, split_record};
use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::flows::{number_of, numbered};
use flowlog_tests::lab::{Lab, Tmpfs, send};
use flowlog_tests::skip;
use flowlog_tests::totals::{Totals, assert_each_once};
use serde_json::Value;

/// Whether the daemon runs while the disk changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum While {
    Running,
    Down,
}

/// A frame on disk.
struct Frame {
    path: PathBuf,
    /// Where its payload begins in the file.
    offset: u64,
    head: Head,
    payload: Vec<u8>,
}

impl Frame {
    /// Flips a bit in its middle.
    fn spoil(&self) {
        let file = std::fs::File::options().read(true).write(true).open(&self.path).expect("the segment");
        let (at, mut byte) = (self.offset + u64::from(self.head.length) / 2, [0]);
        file.read_exact_at(&mut byte, at).expect("a byte");
        file.write_all_at(&[byte[0] ^ 0x10], at).expect("a byte");
    }

    /// Its bytes, header included.
    fn bytes(&self) -> u64 {
        self.head.end() - self.head.position
    }
}

/// The frames of one kind in a folder that hold anything.
fn frames(folder: &Path, kind: Kind) -> Vec<Frame> {
    let mut found = Vec::new();
    for segment in inspect::segments(folder).expect("the folder") {
        let (path, base) = (segment.path.clone(), segment.head.as_ref().expect("a header").base);
        let each = &mut |part: Part<'_>| match part {
            Part::Frame(head, payload) if head.kind == kind => {
                let offset = head.end() - u64::from(head.length) - base + SEGMENT_HEAD as u64;
                found.push(Frame { path: path.clone(), offset, head: *head, payload: payload.to_vec() });
            }
            Part::Frame(..) | Part::Bad { .. } => {}
        };
        inspect::walk(&segment, each).expect("the segment");
    }
    found
}

/// The numbers of numbered lines in a text.
fn numbers(text: &[u8]) -> BTreeSet<u64> {
    let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    lines.filter_map(|line| number_of(&line)).collect()
}

/// A daemon with so many numbered lines to read, not started yet.
fn with_input(lab: &Lab, configuration: &str, lines: u64) -> Daemon {
    let daemon = Daemon::new(&lab.router, configuration);
    let input = daemon.path("hubble.log");
    let text: String = (0..lines).map(|number| numbered(number) + "\n").collect();
    std::fs::write(&input, text).expect("an input");
    daemon.with(&["--source", &format!("jsonl:{}", input.display())])
}

/// Asserts that each line came once but for these.
fn assert_all_but(lines: &[Value], written: u64, lost: &BTreeSet<u64>) {
    let mut found: Vec<u64> = lines.iter().filter_map(number_of).collect();
    found.sort_unstable();
    let wanted = (0..written).filter(|number| !lost.contains(number));
    assert!(found.iter().copied().eq(wanted), "{} lines of {written}, {} were spoilt", found.len(), lost.len());
}

fn a_spoilt_intake(when: While) {
    const LINES: u64 = 160_000;
    let lab = Lab::new();
    let mut daemon = with_input(&lab, EVERYTHING, LINES);
    daemon.start();
    for cause in ["intake-corrupt", "ring-bytes", "window-corrupt", "source-gone", "line-too-large", "spool-corrupt"] {
        assert_eq!(daemon.metrics().sum("flowlog_lost_total", &[&format!("cause=\"{cause}\"")]), 0, "there from the start");
    }
    // What arrives is stored faster than it is read.
    daemon.wait("the intake", |daemon| daemon.metrics().sum("flowlog_intake_appended_bytes_total", &[]) > 32 << 20);
    daemon.freeze();
    let mut frames = frames(&daemon.state().join("intake"), Kind::Raw);
    frames.retain(|frame| split_origin(&frame.payload).is_some_and(|(_, bytes)| !numbers(bytes).is_empty()));
    // Not the last one: that would be a torn one, which the source gives once more.
    let frame = &frames[frames.len() - 3];
    if when == While::Down {
        daemon.kill();
    }
    frame.spoil();
    match when {
        While::Running => daemon.thaw(),
        While::Down => daemon.start(),
    }
    let lost = numbers(split_origin(&frame.payload).expect("an origin").1);
    daemon.wait("the last line", |daemon| daemon.metrics().sum("flowlog_input_lines_total", &[]) >= LINES - lost.len() as u64);
    assert_eq!(daemon.metrics().sum("flowlog_lost_total", &[r#"cause="intake-corrupt""#]), frame.bytes());
    daemon.stop();
    let lines = daemon.lines();
    let gaps: Vec<&Value> = lines.iter().map(|line| &line["flow"]["extensions"]["value"]["gap"]).filter(|gap| !gap.is_null()).collect();
    println!("{when:?}: {} lines lost with {} bytes of the intake: {gaps:?}", lost.len(), frame.bytes());
    assert!(gaps.len() == 1 && gaps[0]["cause"] == "intake-corrupt" && gaps[0]["bytes"] == frame.bytes(), "{gaps:?}");
    assert_all_but(&lines, LINES, &lost);
    daemon.verified("all");
}

fn a_spoilt_spool(when: While) {
    const LINES: u64 = 20_000;
    let lab = Lab::new();
    let text = "flowLogs:\n  - {name: all, filePath: out/events.log, window: 0s, fileMaxSizeMb: 100, sinks: [second]}\n\
                sinks:\n  second: {type: file, filePath: out/second.log, fileMaxSizeMb: 100}\n";
    let mut daemon = with_input(&lab, text, LINES);
    let out = Tmpfs::mount(&daemon.path("out"), "64m");
    out.fill();
    daemon.start();
    daemon.wait("the spool", |daemon| daemon.metrics().sum("flowlog_lines_total", &[]) >= LINES);
    daemon.wait("the disk", |daemon| daemon.metrics().sum("flowlog_spool_unsynced_bytes", &[]) == 0);
    let frames = frames(&daemon.state().join("logs/all/spool"), Kind::Records);
    let frame = &frames[frames.len() / 2];
    if when == While::Down {
        daemon.kill();
    }
    frame.spoil();
    if when == While::Down {
        daemon.start();
    }
    out.free();
    let declared = r#"cause="spool-corrupt""#;
    daemon.wait("the files", |daemon| {
        let metrics = daemon.metrics();
        metrics.sum("flowlog_lost_total", &[declared]) > 0
            && metrics.sum("flowlog_sink_gaps_total", &[]) == 2
            && metrics.sum("flowlog_sink_lag_records", &[]) == 0
    });
    let mut lost = BTreeSet::new();
    let mut rest = frame.payload.as_slice();
    while let Some((record, more)) = split_record(rest) {
        lost.extend(numbers(record.line));
        rest = more;
    }
    println!("{when:?}: {} records lost with a frame of {} bytes", lost.len(), frame.bytes());
    let (metrics, count) = (daemon.metrics(), lost.len() as u64);
    // Each of the two sinks met it; the flow log has lost it once.
    assert_eq!(metrics.sum("flowlog_sink_dropped_records_total", &[r#"cause="corrupt""#]), 2 * count);
    assert_eq!(metrics.sum("flowlog_lost_total", &[declared]), count);
    daemon.stop();
    // Nor is it lost again by a life that reads over the same place.
    std::fs::remove_file(daemon.state().join("logs/all/spool/cursors/second.cursor")).expect("the cursor of a sink");
    std::fs::remove_file(daemon.path("out/second.log")).expect("its file");
    daemon.start();
    daemon.wait("the second file", |daemon| {
        let metrics = daemon.metrics();
        metrics.sum("flowlog_sink_gaps_total", &[]) == 1 && metrics.sum("flowlog_sink_lag_records", &[]) == 0
    });
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(daemon.metrics().sum("flowlog_lost_total", &[declared]), count);
    daemon.stop();
    for stem in ["events", "second"] {
        let lines = daemon.lines_in(&daemon.path("out"), stem);
        assert_all_but(&lines, LINES, &lost);
        let gaps: Vec<&Value> = lines.iter().map(|line| &line["flow"]["extensions"]["value"]["gap"]).filter(|gap| !gap.is_null()).collect();
        assert!(gaps.len() == 1 && gaps[0]["cause"] == "spool-corrupt" && gaps[0]["records"] == count, "{stem}: {gaps:?}");
        let time = |key: &str| gaps[0][key].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()).expect("a time");
        assert!(time("first") <= time("last"), "{gaps:?}");
    }
}

#[test]
fn a_flipped_bit_in_the_intake_costs_what_stood_in_its_frame_and_is_declared_in_bytes() {
    if skip::lacks_root("a_flipped_bit_in_the_intake_costs_what_stood_in_its_frame_and_is_declared_in_bytes") {
        return;
    }
    a_spoilt_intake(While::Running);
    a_spoilt_intake(While::Down);
}

#[test]
fn a_flipped_bit_in_the_spool_costs_the_records_of_its_frame_and_they_are_declared_once() {
    if skip::lacks_root("a_flipped_bit_in_the_spool_costs_the_records_of_its_frame_and_they_are_declared_once") {
        return;
    }
    a_spoilt_spool(While::Running);
    a_spoilt_spool(While::Down);
}

/// The newest segment of a folder and its length.
fn newest(folder: &Path) -> (PathBuf, u64) {
    let segment = inspect::segments(folder).expect("the folder").pop().expect("a segment");
    let length = segment.path.metadata().expect("metadata").len();
    (segment.path, length)
}

/// Has the daemon see another boot of the machine.
fn rebooted(daemon: Daemon) -> Daemon {
    let boot = daemon.path("boot_id");
    std::fs::write(&boot, "01234567-89ab-cdef-0123-456789abcdef\n").expect("a boot id");
    let mount = format!("mount --bind {} /proc/sys/kernel/random/boot_id; exec \"$0\" \"$@\"", boot.display());
    daemon.through(&["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", &mount])
}

#[test]
fn a_power_loss_costs_what_was_not_synced_and_the_numbers_of_that_are_never_used_again() {
    if skip::lacks_root("a_power_loss_costs_what_was_not_synced_and_the_numbers_of_that_are_never_used_again") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    // Nothing is delivered as yet, since nothing is before it is synced.
    let away = "flowLogs:\n  - {name: all, sinks: [away]}\nsinks:\n  away: {type: loki, url: \"http://127.0.0.1:9\"}\n";
    let mut daemon = Daemon::new(&lab.router, away).started();
    let made = |daemon: &Daemon| daemon.metrics().sum("flowlog_lines_total", &[]);
    send(&lab, 30_000, 100);
    daemon.wait("the first lines", |daemon| made(daemon) >= 100);
    std::thread::sleep(Duration::from_millis(1500));
    let folders = [daemon.state().join("logs/all/spool"), daemon.state().join("intake")];
    let synced = [newest(&folders[0]), newest(&folders[1])];
    let known = made(&daemon);
    send(&lab, 31_000, 50);
    daemon.wait("what will be lost", |daemon| made(daemon) >= known + 50);
    std::thread::sleep(Duration::from_millis(1500));
    daemon.kill();
    let killed = jiff::Timestamp::now();
    for (path, length) in &synced {
        let file = std::fs::File::options().write(true).open(path).expect("a segment");
        assert!(file.metadata().expect("metadata").len() > *length, "there is something to lose");
        file.set_len(*length).expect("a cut");
    }
    let old = inspect::segments(&folders[0]).expect("the folder")[0].head.as_ref().expect("a header").id.to_string();
    let last = inspect::last_commit(&folders[0]).expect("the spool").expect("a commit");
    daemon.configure(EVERYTHING);
    let mut daemon = rebooted(daemon).started();
    let going_on = jiff::Timestamp::now();
    send(&lab, 32_000, 70);
    daemon.finish();

    let lines = daemon.lines();
    let sent_to = |from: u16, to: u16| {
        let ports =
            lines.iter().filter(|line| (from..to).contains(&(line["flow"]["l4"]["UDP"]["destination_port"].as_u64().unwrap_or(0) as u16)));
        ports.map(|line| line["flow"]["extensions"]["value"]["packets"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let totals = Totals::of(&lines);
    let ranges = daemon.verified("all");
    println!("{ranges:?} {:?}", totals.causes);
    assert_each_once(&lines);
    assert_eq!((sent_to(30_000, 31_000), sent_to(31_000, 32_000), sent_to(32_000, 33_000)), (100, 0, 70));
    assert_eq!(totals.forwarded + 50, lab.counters().since(before).sent);
    let (renewed, of_old) = (ranges.last().expect("an identity"), ranges.iter().filter(|(id, ..)| *id == old));
    assert!(renewed.0 != old && of_old.into_iter().all(|(_, _, highest)| *highest < last.next), "{ranges:?}, cut back to {last:?}");
    let gap =
        lines.iter().map(|line| &line["flow"]["extensions"]["value"]["gap"]).find(|gap| gap["cause"] == "spool-renewed").expect("a gap");
    let begun: jiff::Timestamp = gap["first"].as_str().expect("a time").parse().expect("a time");
    assert_eq!(begun.as_nanosecond(), i128::from(last.time), "the gap begins with the last commit that is left");
    let ended: jiff::Timestamp = gap["last"].as_str().expect("a time").parse().expect("a time");
    assert!(killed <= ended && ended <= going_on, "it ends with the start: {killed} {ended} {going_on}");
}

#[test]
fn another_boot_and_a_restored_copy_get_new_numbers_and_say_so() {
    if skip::lacks_root("another_boot_and_a_restored_copy_get_new_numbers_and_say_so") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    send(&lab, 30_000, 50);
    daemon.wait("the first lines", |daemon| daemon.lines().len() >= 50);
    // A crash of the machine: the daemon had no time to say that it stopped.
    daemon.kill();
    let mut daemon = rebooted(daemon).started();
    send(&lab, 31_000, 50);
    daemon.wait("more lines", |daemon| daemon.lines().len() >= 100);
    daemon.kill();
    let ranges = daemon.verified("all");
    assert_eq!(ranges.len(), 2, "{ranges:?}");

    // A restored copy: the same bytes in other files.
    let copy = Command::new("sh")
        .arg("-ec")
        .arg(format!("cd {}; cp -a state copy; rm -rf state; mv copy state", daemon.path("").display()))
        .status();
    assert!(copy.expect("sh").success());
    daemon.start();
    send(&lab, 32_000, 50);
    daemon.finish();
    let after = daemon.verified("all");
    let (last, _, _) = after.last().expect("an identity");
    assert!(ranges.iter().all(|(known, _, _)| known != last), "{ranges:?} {after:?}");
    let lines = daemon.lines();
    assert_each_once(&lines);
    let totals = Totals::of(&lines);
    println!("{ranges:?} {after:?} {totals:?}");
    assert_eq!(totals.causes.iter().filter(|cause| *cause == "spool-renewed").count(), 2, "{totals:?}");
}
