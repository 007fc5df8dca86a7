//! The driver where records have left the spool, the clock was set back, or it has to end: what it counts, declares and stores.

use super::*;
use crate::spool::{Commit, Cursor, Damaged, Item, Options, Spool, Stored, WhenFull, Writer, now};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Mutex};

type Freeze = dyn Fn(&mut Reader, Option<&Cut>) -> Step<Vec<u64>> + Send + Sync;
type Answer = dyn Fn(&[u64]) -> Outcome + Send + Sync;

/// Does as it is told.
struct Puppet {
    max_age: Duration,
    freeze: Box<Freeze>,
    answer: Box<Answer>,
    /// Where an attempt waits before its answer.
    gate: Option<tokio::sync::Notify>,
}

impl Puppet {
    fn new(
        freeze: impl Fn(&mut Reader, Option<&Cut>) -> Step<Vec<u64>> + Send + Sync + 'static,
        answer: impl Fn(&[u64]) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self { max_age: Duration::ZERO, freeze: Box::new(freeze), answer: Box::new(answer), gate: None }
    }
}

impl Sink for Puppet {
    type Frozen = Vec<u64>;

    fn limits(&self) -> Limits {
        Limits { max_bytes: u64::MAX, max_records: u64::MAX, max_age: self.max_age }
    }

    fn max_backoff(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn freeze(&self, reader: &mut Reader, _limits: &Limits, cut: Option<&Cut>, _now: i64) -> Result<Step<Vec<u64>>, ReadError> {
        Ok((self.freeze)(reader, cut))
    }

    async fn send(&self, sequences: &Vec<u64>) -> Outcome {
        if let Some(gate) = &self.gate {
            gate.notified().await;
        }
        (self.answer)(sequences)
    }

    async fn check(&self) -> Result<(), Health> {
        Ok(())
    }
}

/// Reads to the end.
fn take(reader: &mut Reader) -> Vec<u64> {
    let mut sequences = Vec::new();
    while let Some(item) = reader.peek().unwrap() {
        if let Item::Record(record) = item {
            sequences.push(record.sequence);
        }
        reader.advance();
    }
    sequences
}

fn batch(sequences: Vec<u64>, cut: Option<Cut>) -> Step<Vec<u64>> {
    if sequences.is_empty() && cut.is_none() {
        Step::Skip
    } else {
        Step::Batch(Batch { records: sequences.len() as u64, bytes: 1, cut, frozen: sequences })
    }
}

fn retry() -> Outcome {
    Outcome::Retry { why: "not now".to_owned(), after: None, shrink: false }
}

fn delivered() -> Outcome {
    Outcome::Delivered { state: None }
}

fn open(folder: &std::path::Path) -> Writer {
    // Segments of 16 KiB, sixteen of them.
    Writer::open(folder, &Options { max_bytes: 16 * 16384, min_free_percent: 0, ..Options::new("n", "b") }).unwrap().0
}

fn write(writer: &mut Writer, records: u64, time: i64) {
    for _ in 0..records {
        writer.append(0, b"", b"", &[7; 1000]).unwrap();
    }
    writer.commit(Commit { time, ..Commit::default() }).unwrap();
    writer.flush(Duration::from_secs(60)).unwrap();
}

fn options() -> DriverOptions {
    DriverOptions { name: "puppet".to_owned(), when_full: WhenFull::DropOldest }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The first batch is on the way for so long that its segment makes room; then the destination is back with this answer, and 400 records more have come.
fn deliver_after_an_outage(
    spool: &Spool,
    writer: &mut Writer,
    back: impl Fn(&[u64]) -> Outcome + Send + Sync + 'static,
) -> Arc<SinkMetrics> {
    let is_back = Arc::new(AtomicBool::new(false));
    let there = is_back.clone();
    let answer = move |sequences: &[u64]| if there.load(SeqCst) { back(sequences) } else { retry() };
    runtime().block_on(async {
        let running = start(spool, Arc::new(Puppet::new(|reader, _| batch(take(reader), None), answer)), options()).unwrap();
        let metrics = running.metrics().clone();
        until("it is never sent", || metrics.attempts.load(Relaxed) > 0).await;
        (0..40).for_each(|_| write(writer, 10, 2));
        is_back.store(true, SeqCst);
        assert_eq!(running.drain(Duration::from_secs(60)).await, None);
        metrics
    })
}

#[test]
fn what_is_pending_is_sent_in_time_although_the_clock_was_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    write(&mut writer, 3, now() + 3_600_000_000_000);
    runtime().block_on(async {
        let sink = Puppet { max_age: Duration::from_millis(20), ..Puppet::new(|reader, _| batch(take(reader), None), |_| retry()) };
        let running = start(&writer.spool(), Arc::new(sink), options()).unwrap();
        let metrics = running.metrics().clone();
        until("it is never sent", || metrics.attempts.load(Relaxed) > 1 && metrics.oldest_unacked.load(Relaxed) > 0).await;
        assert!(metrics.oldest_unacked.load(Relaxed) <= now(), "what waits is not from the future");
    });
}

#[test]
fn refused_records_that_have_left_the_spool_are_counted_and_declared() {
    for (is_partial, refused, (first, next)) in [(true, 2, (3, 5)), (false, 10, (1, 11))] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path());
        let spool = writer.spool();
        write(&mut writer, 10, 1);
        let metrics = deliver_after_an_outage(&spool, &mut writer, move |sequences| match sequences.first() {
            Some(1) if is_partial => Outcome::Partial { rejected: [3, 4].map(|number| (number, "no".to_owned())).into() },
            Some(1) => Outcome::Reject { why: "no".to_owned() },
            _ => delivered(),
        });
        assert_eq!(metrics.records_rejected.load(Relaxed), refused);
        assert_eq!(metrics.records_sent.load(Relaxed) + metrics.records_dropped_full.load(Relaxed) + refused, 410);
        let lost = Damaged { spool: writer.id(), first, next, from: None, to: None, sink: Some("puppet".to_owned()) };
        let declared = writer.take_damage();
        assert!(declared.contains(&lost), "{declared:?}");
        assert!(std::fs::read_to_string(folder.path().join("quarantine/puppet.jsonl")).unwrap().is_empty());
    }
}

#[test]
fn scattered_refused_records_that_have_left_the_spool_are_all_declared() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    let spool = writer.spool();
    write(&mut writer, 150, 1);
    let odd = |sequences: &[u64]| sequences.iter().filter(|number| *number % 2 == 1).map(|number| (*number, "no".to_owned())).collect();
    deliver_after_an_outage(&spool, &mut writer, move |sequences| match sequences.first() {
        Some(1) => Outcome::Partial { rejected: odd(sequences) },
        _ => delivered(),
    });
    let declared: Vec<_> = writer.take_damage().iter().map(|lost| (lost.first, lost.next)).collect();
    let all: Vec<_> = (0..75).map(|number| (2 * number + 1, 2 * number + 2)).collect();
    assert_eq!(declared[..75], all, "{declared:?}");
}

#[test]
fn what_was_gone_of_the_identity_before_hides_no_refused_record_of_the_same_number() {
    for (is_partial, is_late) in [(true, false), (false, false), (true, true), (false, true)] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path());
        drop(writer.spool().reader("puppet", WhenFull::DropOldest).unwrap());
        (0..40).for_each(|_| write(&mut writer, 10, 1));
        let before = writer.id();
        drop(writer);
        let of_next_boot = Options { max_bytes: 16 * 16384, min_free_percent: 0, ..Options::new("n", "c") };
        let mut writer = Writer::open(folder.path(), &of_next_boot).unwrap().0;
        assert_ne!(before, writer.id());
        (0..40).for_each(|_| write(&mut writer, 10, 2));
        let spool = writer.spool();
        let is_back = Arc::new(AtomicBool::new(!is_late));
        let (there, batches) = (is_back.clone(), Arc::new(Mutex::new(Vec::new())));
        let sent = batches.clone();
        let answer = move |sequences: &[u64]| {
            sent.lock().unwrap().push(sequences.to_vec());
            match (there.load(SeqCst), sequences[0] < 400) {
                (false, _) => retry(),
                (true, true) if is_partial => {
                    Outcome::Partial { rejected: vec![(sequences[3], "no".to_owned()), (sequences[4], "no".to_owned())] }
                }
                (true, true) => Outcome::Reject { why: "no".to_owned() },
                _ => delivered(),
            }
        };
        runtime().block_on(async {
            let running = start(&spool, Arc::new(Puppet::new(|reader, _| batch(take(reader), None), answer)), options()).unwrap();
            let metrics = running.metrics().clone();
            until("it is never sent", || metrics.attempts.load(Relaxed) > 0).await;
            if is_late {
                (0..40).for_each(|_| write(&mut writer, 10, 3));
                is_back.store(true, SeqCst);
            }
            assert_eq!(running.drain(Duration::from_secs(60)).await, None);
        });
        let first = batches.lock().unwrap()[0].clone();
        assert!((2..390).contains(&first[0]), "its numbers are among those that were gone before: {first:?}");
        let (from, to) = if is_partial { (first[3], first[5]) } else { (first[0], first[0] + first.len() as u64) };
        let kept = std::fs::read_to_string(folder.path().join("quarantine/puppet.jsonl")).unwrap();
        assert_eq!(kept.lines().count() as u64, if is_late { 0 } else { to - from });
        let lost = Damaged { spool: writer.id(), first: from, next: to, from: None, to: None, sink: Some("puppet".to_owned()) };
        let declared = writer.take_damage();
        assert_eq!(declared.contains(&lost), is_late, "{declared:?}");
        let of_before: u64 = declared.iter().filter(|lost| lost.spool == before).map(|lost| lost.next - lost.first).sum();
        assert_eq!(of_before, 400, "once: {declared:?}");
    }
}

#[test]
fn a_gap_read_while_a_batch_fills_is_counted_with_it_and_once() {
    for goes_on in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path());
        let (_, stored) = writer.spool().reader("puppet", WhenFull::DropOldest).unwrap();
        (0..40).for_each(|_| write(&mut writer, 10, 1));
        assert_eq!(stored.cursor.sequence, 1);
        // Reads, waits once, and goes on behind what it has read or reads it again.
        let read: Mutex<Option<(Cursor, Vec<u64>)>> = Mutex::default();
        let freeze = move |reader: &mut Reader, _: Option<&Cut>| {
            let mut read = read.lock().unwrap();
            let Some((place, mut sequences)) = read.take() else {
                let sequences = take(reader);
                *read = Some((reader.cursor(), sequences));
                return Step::Wait(Duration::from_millis(1));
            };
            if goes_on {
                reader.seek(&place);
            } else {
                sequences.clear();
            }
            sequences.extend(take(reader));
            batch(sequences, None)
        };
        runtime().block_on(async {
            let running = start(&writer.spool(), Arc::new(Puppet::new(freeze, |_| delivered())), options()).unwrap();
            let metrics = running.metrics().clone();
            until("it is never sent", || metrics.records_sent.load(Relaxed) > 0).await;
            assert_eq!(metrics.gaps.load(Relaxed), 1);
            assert_eq!(metrics.records_sent.load(Relaxed) + metrics.records_dropped_full.load(Relaxed), 400);
        });
    }
}

#[test]
fn a_batch_that_lands_as_the_driver_has_to_end_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = open(folder.path());
    let spool = writer.spool();
    for round in 1..=40 {
        write(&mut writer, 1, 1);
        let sink = Puppet { gate: Some(tokio::sync::Notify::new()), ..Puppet::new(|reader, _| batch(take(reader), None), |_| delivered()) };
        let sink = Arc::new(sink);
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let running = start(&spool, sink.clone(), options()).unwrap();
            let metrics = running.metrics().clone();
            until("it is never sent", || metrics.attempts.load(Relaxed) > 0).await;
            // The answer is there first, and the driver sees both at once.
            sink.gate.as_ref().unwrap().notify_one();
            running.stop(Duration::ZERO).await;
        });
        assert_eq!(spool.cursors().unwrap()[0].1.cursor.sequence, round + 1);
    }
}

#[test]
fn a_cut_that_does_not_stand_any_more_gives_way_to_the_one_that_is_sent() {
    // The cut given ends behind two records; what is frozen now, and whether its cut is stored.
    type Case = (&'static str, u64, fn(&mut Reader, &Cut), bool);
    let cases: [Case; 3] = [
        ("says something else, without records, at the same place", 0, |reader, cut| reader.seek(&cut.end), true),
        ("ends elsewhere", 1, |_, _| {}, true),
        ("has other records and the same end", 1, |reader, cut| reader.seek(&cut.end), false),
    ];
    for (what, records, go, is_stored) in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = open(folder.path());
        write(&mut writer, 2, 1);
        let spool = writer.spool();
        let (mut reader, stored) = spool.reader("puppet", WhenFull::DropOldest).unwrap();
        take(&mut reader);
        let given = Cut { end: reader.cursor(), intent: serde_json::json!("given") };
        spool.store("puppet", &Stored { cuts: vec![given.clone()], ..stored }).unwrap();
        let freeze = move |reader: &mut Reader, cut: Option<&Cut>| {
            go(reader, cut.unwrap());
            batch(vec![1; records as usize], Some(Cut { end: reader.cursor(), intent: serde_json::json!("new") }))
        };
        runtime().block_on(async {
            let running = start(&spool, Arc::new(Puppet::new(freeze, |_| retry())), options()).unwrap();
            let metrics = running.metrics().clone();
            until("it is never sent", || metrics.attempts.load(Relaxed) > 0).await;
        });
        let cuts = spool.cursors().unwrap()[0].1.cuts.clone();
        assert_eq!(cuts.len(), 1, "{what}");
        assert_eq!((cuts[0] != given, cuts[0].intent == "new"), (is_stored, is_stored), "{what}");
    }
}
