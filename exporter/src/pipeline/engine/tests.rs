//! One flow log over a real intake and a real spool: whenever it is killed, what it goes on to write is what one uninterrupted pass writes.
//!
//! Frames are stamped by the story, not by a clock, so that every run is cut alike.

use std::path::Path;

use flowlog_bpf::event::Event;
use flowlog_sinks::spool::{Intake, IntakeOptions, Item, Options, WhenFull, Writer};
use proptest::prelude::*;

use super::*;
use crate::pipeline::surroundings::Shared;
use crate::pipeline::tests::{HERE, THERE, identities, key, log, report, surroundings};
use crate::sources::clock::ArrivalClock;

const SECOND: i64 = 1_000_000_000;
const MASK: &str = "    fieldMask: [source.pod_name, aggregate]\n";

struct Story {
    folder: tempfile::TempDir,
    intake: Intake,
    log: Arc<CompiledLog>,
    /// Lines memory may hold.
    most: usize,
    written: u64,
}

impl Story {
    fn new(entry: &str, most: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (intake, _) = Intake::open(&folder.path().join("intake"), &IntakeOptions::new("node", "boot")).unwrap();
        Self { folder, intake, log: log(entry), most, written: 0 }
    }

    fn frame(&mut self, arrival: i64, text: &str) {
        let origin =
            Origin { arrival, ring_id: [7; 16], ring_position: self.written, source: SourceKind::Lines as u8, ..Origin::default() };
        self.intake.append(&origin, text.as_bytes()).unwrap();
        self.written += text.len() as u64;
    }

    fn engine(&self) -> (Engine, Sender<Command>) {
        let (writer, found) =
            Writer::open(&spool(self.folder.path()), &Options { min_free_percent: 0, ..Options::new("node", "boot") }).unwrap();
        let mut fold = FoldTable::new(self.most);
        let output = Output::open(writer, &found, &mut fold, 0).unwrap();
        let reader = self.intake.readers().reader("story", output.1.position.unwrap_or_default());
        let commons = Commons {
            identities: Arc::new(Shared::new(identities())),
            around: Arc::new(Shared::new(surroundings())),
            clock: Arc::new(ArrivalClock::after(0)),
        };
        Engine::new(Arc::clone(&self.log), reader, output, fold, commons, Arc::new(Published::default()))
    }
}

fn spool(folder: &Path) -> std::path::PathBuf {
    folder.join("spool")
}

fn lines(engine: &Engine) -> Vec<String> {
    let writer = engine.work.output.writer();
    writer.flush(Duration::from_secs(20)).unwrap();
    let (mut reader, _) = writer.spool().reader("test", WhenFull::Hold).unwrap();
    let mut lines = Vec::new();
    while let Some(item) = reader.peek().unwrap() {
        if let Item::Record(record) = item {
            lines.push(String::from_utf8(record.line.to_vec()).unwrap());
        }
        reader.advance();
    }
    lines.sort();
    lines
}

fn flow(pod: u8) -> String {
    format!("{{\"flow\":{{\"verdict\":\"FORWARDED\",\"source\":{{\"pod_name\":\"pod-{pod}\"}},\"traffic_direction\":\"INGRESS\"}}}}\n")
}

/// The lines of all frames, with a kill behind each frame that `kills` names.
fn told(entry: &str, most: usize, frames: &[Vec<u8>], kills: &[usize]) -> Vec<String> {
    let mut story = Story::new(entry, most);
    for (at, pods) in frames.iter().enumerate() {
        let text: String = pods.iter().map(|pod| flow(*pod)).collect();
        story.frame(100 * SECOND + at as i64 * 300_000_000, &text);
    }
    // The senders live on: a dropped one would be an order to stop.
    let mut senders = Vec::new();
    let (mut engine, sender) = story.engine();
    senders.push(sender);
    for kill in kills {
        for _ in 0..*kill {
            engine.read_frame();
        }
        drop(engine);
        let sender;
        (engine, sender) = story.engine();
        senders.push(sender);
    }
    while engine.read_frame() {}
    engine.work.cut_until(200 * SECOND);
    assert_eq!(engine.work.totals.violations(), Vec::<String>::new());
    lines(&engine)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_flow_is_written_once_whenever_the_flow_log_is_killed(
        frames in proptest::collection::vec(proptest::collection::vec(0u8..12, 1..8), 1..40),
        kills in proptest::collection::vec(0usize..30, 0..6),
        few: bool,
    ) {
        let most = if few { 3 } else { 1000 };
        for window in ["0s", "1s", "30s"] {
            let entry = format!("{MASK}    window: {window}\n");
            // A window that memory cannot hold is cut early, where that is no longer than a second: then only a long one comes out alike.
            let most = if window == "1s" { 1000 } else { most };
            prop_assert_eq!(told(&entry, most, &frames, &kills), told(&entry, 1000, &frames, &[]), "window {}", window);
        }
    }
}

#[test]
fn a_day_without_an_arrival_costs_a_few_commits_however_short_the_window_and_whatever_waits() {
    const DAY: i64 = 86_400 * SECOND;
    for window in ["0s", "1s", "30s"] {
        let mut story = Story::new(&format!("    fieldMask: [verdict]\n    window: {window}\n"), 1000);
        let (mut engine, _sender) = story.engine();
        engine.work.windows.open(100 * SECOND);
        let (kernel, mut cx) = engine.work.context(100 * SECOND);
        kernel.apply(&[Event::Flow(report(key(THERE, 80), 1, 0))], &mut cx);
        engine.work.cut(101 * SECOND, Cut::Partial, 101 * SECOND);
        drop(engine);
        story.frame(100 * SECOND + DAY, &flow(1));
        let (mut engine, _sender) = story.engine();
        assert!(engine.work.kernel.waits());
        while engine.read_frame() {}
        engine.work.cut_until(100 * SECOND + 2 * DAY);
        assert!(engine.work.kernel.waits());
        assert_eq!(lines(&engine), ["{\"flow\":{\"verdict\":\"FORWARDED\"}}"], "{window}");
        let commits = engine.work.output.writer().spool().metrics().commits.load(std::sync::atomic::Ordering::Relaxed);
        assert!(commits <= 4, "{commits} commits with a window of {window}");
        // What waited is decided once time goes on, and then nothing is cut any more.
        engine.work.kernel.hear(i64::MAX);
        engine.work.cut_until(100 * SECOND + 3 * DAY);
        assert_eq!((lines(&engine).len(), engine.work.windows.next()), (2, None), "{window}");
    }
}

#[test]
fn of_several_rings_none_tells_how_far_another_has_been_read() {
    // What a ring holds of one packet for this host, as `struct flow_report` in its record.
    let record = |boot_ns: i64| {
        let mut bytes = [0; 168];
        bytes[..4].copy_from_slice(&160_u32.to_le_bytes());
        (bytes[8], bytes[9], bytes[10], bytes[12]) = (event::LAYOUT_VERSION, 1, 160, 1);
        bytes[16..24].copy_from_slice(&boot_ns.to_le_bytes());
        let key = key(HERE, 80);
        bytes[24..40].copy_from_slice(&key.source);
        bytes[40..56].copy_from_slice(&key.destination);
        (bytes[56], bytes[58], bytes[60], bytes[61]) = (1, 80, key.protocol, key.family);
        bytes[80..88].copy_from_slice(&(1_u64 << 39 | 100).to_le_bytes());
        bytes[144] = 2;
        bytes
    };
    for several in [false, true] {
        let mut story = Story::new("", 1000);
        let (mut engine, _sender) = story.engine();
        engine.work.kernel = KernelEvents::new(100);
        let clock = Arc::clone(&engine.work.commons.clock);
        let rings: Vec<_> = (0..=u32::from(several)).map(|_| clock.ring()).collect();
        rings.iter().for_each(|read| read.store(0, std::sync::atomic::Ordering::Release));
        for (ring, boot) in [1_000, 2_000].into_iter().enumerate() {
            let origin = Origin {
                arrival: 100 * SECOND,
                ring_id: [7; 16],
                ring: if several { ring as u32 } else { 0 },
                ring_position: if several { 0 } else { ring as u64 * 168 },
                source: SourceKind::Ring as u8,
                ..Origin::default()
            };
            story.intake.append(&origin, &record(boot * SECOND / 1000)).unwrap();
        }
        engine.step();
        engine.work.cut(101 * SECOND, Cut::Window, 101 * SECOND);
        assert_eq!((engine.work.totals.entered.packets, engine.work.totals.malformed_events), (2, 0));
        assert_eq!(engine.work.totals.delivered.packets, u64::from(!several));
        // Now the other one has been read too. It is heard of once what was there at that moment is applied.
        for read in [3, 4] {
            rings.iter().for_each(|ring| ring.store(read * SECOND, std::sync::atomic::Ordering::Release));
            engine.step();
            engine.step();
            engine.work.cut((99 + read) * SECOND, Cut::Window, (99 + read) * SECOND);
        }
        assert_eq!(engine.work.totals.delivered.packets, 2);
    }
}

#[test]
fn a_window_that_memory_did_not_hold_is_written_although_the_entry_has_a_short_one_after_the_restart() {
    let mut story = Story::new(&format!("{MASK}    window: 30s\n"), 3);
    for pod in 0..8 {
        story.frame(100 * SECOND + i64::from(pod) * 100_000_000, &flow(pod));
    }
    let (mut engine, _long) = story.engine();
    while engine.read_frame() {}
    engine.work.cut_until(102 * SECOND);
    assert!(engine.work.output.spilled() && lines(&engine).is_empty());
    drop(engine);
    story.log = log(&format!("{MASK}    window: 1s\n"));
    story.frame(103 * SECOND, &flow(8));
    let (mut engine, _short) = story.engine();
    while engine.read_frame() {}
    engine.work.cut_until(104 * SECOND);
    assert_eq!(lines(&engine).len(), 9);
    assert_eq!((engine.work.totals.open_inputs, engine.work.totals.violations()), (0, Vec::<String>::new()));
}

#[test]
fn a_frame_that_takes_the_table_over_its_bound_is_not_committed_in_halves() {
    let mut story = Story::new(&format!("{MASK}    window: 1s\n"), 2);
    story.frame(100 * SECOND, &(0..10).map(flow).collect::<String>());
    let (mut engine, _sender) = story.engine();
    assert!(engine.read_frame());
    drop(engine);
    let (mut engine, _sender) = story.engine();
    while engine.read_frame() {}
    engine.work.cut_until(102 * SECOND);
    assert_eq!(lines(&engine).len(), 10);
    assert_eq!(engine.work.totals.inputs, 10);
}

#[test]
fn a_changed_entry_takes_over_between_two_frames_and_loses_and_doubles_nothing() {
    let mut story = Story::new(&format!("{MASK}    window: 30s\n"), 1000);
    story.frame(100 * SECOND, &flow(1));
    story.frame(101 * SECOND, &flow(2));
    let (mut engine, _sender) = story.engine();
    engine.read_frame();
    engine.work.change(log("    fieldMask: [verdict]\n    window: 1s\n"));
    while engine.read_frame() {}
    engine.work.cut_until(103 * SECOND);
    assert_eq!(lines(&engine), [r#"{"flow":{"source":{"pod_name":"pod-1"}}}"#, r#"{"flow":{"verdict":"FORWARDED"}}"#]);
}

#[test]
fn a_line_of_one_flow_keeps_its_uuid_and_a_line_of_several_has_its_own() {
    let mut story = Story::new("    fieldMask: [uuid, source.pod_name]\n", 1000);
    let with_uuid = |pod: u8| flow(pod).replace("{\"flow\":{", "{\"flow\":{\"uuid\":\"given\",");
    story.frame(100 * SECOND, &[with_uuid(1), flow(2), with_uuid(3), with_uuid(3)].concat());
    let (mut engine, _sender) = story.engine();
    while engine.read_frame() {}
    engine.work.cut_until(102 * SECOND);
    let lines = lines(&engine);
    assert!(lines.contains(&r#"{"flow":{"uuid":"given","source":{"pod_name":"pod-1"}}}"#.to_owned()), "{lines:?}");
    assert!(lines.contains(&r#"{"flow":{"source":{"pod_name":"pod-2"}}}"#.to_owned()), "{lines:?}");
    let id = engine.work.output.writer().id();
    let own = (1..=3).map(|sequence| uuid::Uuid::from_bytes(id.uuid8(sequence)).to_string());
    assert!(
        own.into_iter().any(|own| lines.contains(&format!(r#"{{"flow":{{"uuid":"{own}","source":{{"pod_name":"pod-3"}}}}}}"#))),
        "{lines:?}"
    );
}

#[test]
fn a_gap_is_a_line_that_no_mask_touches() {
    let gap = Gap {
        cause: cause::UNOBSERVED.into(),
        first: Some(SECOND),
        last: Some(2 * SECOND),
        packets: Some(3),
        bytes: Some(4),
        interface: Some("eth0".into()),
        ..Gap::default()
    };
    let mut line = Vec::new();
    crate::pipeline::line::write_gap(&gap, 9, "node", &mut line);
    let value = r#"{"gap":{"bytes":4,"cause":"unobserved","first":"1970-01-01T00:00:01Z","interface":"eth0","last":"1970-01-01T00:00:02Z","packets":3}}"#;
    let expected = format!(
        r#"{{"flow":{{"time":"1970-01-01T00:00:01Z","node_name":"node","extensions":{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{value}}}}},"node_name":"node","time":"1970-01-01T00:00:01Z"}}"#
    );
    assert_eq!(String::from_utf8(line).unwrap(), expected);
}
