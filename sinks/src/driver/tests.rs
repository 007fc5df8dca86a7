//! The driver against a sink that answers whatever comes to its mind.

use super::*;
use crate::spool::{Commit, Cursor, Item, Options, Spool, WhenFull, Writer};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

/// What the destination has, and what it will answer, in turn.
#[derive(Default)]
struct Destination {
    has: Mutex<Vec<u64>>,
    refused: Mutex<BTreeSet<u64>>,
    answers: Mutex<Vec<u8>>,
    resets: Mutex<u64>,
    in_flight: usize,
    cuts: bool,
    /// Marks each batch, and stores its cursor only when it begins and ends.
    is_marked: bool,
}

struct Frozen(Vec<u64>);

impl Sink for Destination {
    type Frozen = Frozen;

    fn limits(&self) -> Limits {
        Limits { max_bytes: 100_000, max_records: 16, max_age: Duration::from_millis(1) }
    }

    fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn max_backoff(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn is_marked(&self) -> bool {
        self.is_marked
    }

    fn store_every(&self) -> Duration {
        Duration::from_millis(if self.is_marked { 3_600_000 } else { 250 })
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, _now: i64) -> Result<Step<Frozen>, ReadError> {
        let mut sequences = Vec::new();
        let room = |taken: usize, place: Cursor| cut.map_or((taken as u64) < limits.max_records, |cut| place != cut.end);
        while room(sequences.len(), reader.cursor()) {
            match reader.peek()? {
                Some(Item::Record(record)) => sequences.push(record.sequence),
                Some(Item::Gap(gap)) => panic!("nothing was lost, yet: {gap:?}"),
                Some(_) => {}
                None => break,
            }
            reader.advance();
        }
        if sequences.is_empty() {
            return Ok(Step::Skip);
        }
        let cut = self.cuts.then(|| Cut { end: reader.cursor(), intent: serde_json::json!(sequences) });
        Ok(Step::Batch(Batch { records: sequences.len() as u64, bytes: 1, cut, frozen: Frozen(sequences) }))
    }

    async fn send(&self, Frozen(sequences): &Frozen) -> Outcome {
        let answer = self.answers.lock().unwrap().pop().unwrap_or(0);
        let retry = |shrink| Outcome::Retry { why: "not now".to_owned(), after: None, shrink };
        match answer % 8 {
            1 => return retry(false),
            2 => {
                // Stored, but the answer was lost.
                self.has.lock().unwrap().extend(sequences);
                return retry(false);
            }
            3 => return retry(!self.cuts),
            4 => {
                self.refused.lock().unwrap().extend(&sequences[..1]);
                self.has.lock().unwrap().extend(&sequences[1..]);
                return Outcome::Partial { rejected: vec![(sequences[0], "not that one".to_owned())] };
            }
            5 => {
                self.refused.lock().unwrap().extend(sequences);
                return Outcome::Reject { why: "none of them".to_owned() };
            }
            6 => {
                return Outcome::Fatal { why: "broken".to_owned() };
            }
            7 => tokio::time::sleep(Duration::from_millis(1)).await,
            _ => {}
        }
        self.has.lock().unwrap().extend(sequences);
        Outcome::Delivered { state: Some(serde_json::json!(sequences.last())) }
    }

    async fn reset(&self) {
        *self.resets.lock().unwrap() += 1;
    }

    async fn check(&self) -> Result<(), Health> {
        Err(Health("never asked".to_owned()))
    }
}

fn options() -> DriverOptions {
    DriverOptions { name: "wild".to_owned(), when_full: WhenFull::Hold }
}

fn fill(folder: &Path, records: u64) -> Spool {
    let (mut writer, _) = Writer::open(folder, &Options::new("n", "b")).unwrap();
    for number in 0..records {
        writer.append(0, b"", b"", b"line").unwrap();
        if number % 7 == 0 {
            writer.commit(Commit::default()).unwrap();
        }
    }
    writer.commit(Commit::default()).unwrap();
    let spool = writer.spool();
    writer.close(Duration::from_secs(60)).unwrap();
    spool
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_the_destination_answers_every_record_ends_there_or_in_quarantine(
        answers in prop::collection::vec(any::<u8>(), 0..60),
        in_flight in 1_usize..4,
        cuts in any::<bool>(),
        stops in prop::collection::vec(0_u64..20, 0..3),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let refused_nothing = answers.iter().all(|answer| ![4, 5].contains(&(answer % 8)));
        let spool = fill(folder.path(), 300);
        let destination = Arc::new(Destination { answers: Mutex::new(answers), in_flight, cuts, ..Destination::default() });
        runtime().block_on(async {
            // Killed a few times in between.
            for stop in stops {
                let running = start(&spool, destination.clone(), options()).unwrap();
                tokio::time::sleep(Duration::from_millis(stop)).await;
                drop(running);
            }
            let running = start(&spool, destination.clone(), options()).unwrap();
            let metrics = running.metrics().clone();
            prop_assert_eq!(running.drain(Duration::from_secs(60)).await, None);
            prop_assert_eq!(metrics.lag_records.load(Relaxed), 0);
            Ok(())
        })?;
        let has = destination.has.lock().unwrap().clone();
        let everything: BTreeSet<u64> = has.iter().chain(destination.refused.lock().unwrap().iter()).copied().collect();
        prop_assert_eq!(everything, (1..=300).collect::<BTreeSet<u64>>());
        if in_flight == 1 && refused_nothing {
            // Repeats aside, in order: a record is first stored after all before it.
            let mut seen = BTreeSet::new();
            let first: Vec<u64> = has.into_iter().filter(|sequence| seen.insert(*sequence)).collect();
            prop_assert!(first.is_sorted());
        }
        // What was refused stands in the quarantine file, with its reason.
        let refused = destination.refused.lock().unwrap().clone();
        let quarantine = std::fs::read_to_string(folder.path().join("quarantine/wild.jsonl")).unwrap_or_default();
        let kept: BTreeSet<u64> = quarantine
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .inspect(|value| assert!(value["why"].as_str().unwrap().ends_with("one") || value["why"] == "none of them"))
            .map(|value| value["uid"].as_str().unwrap()[33..].parse().unwrap())
            .collect();
        // A kill may fall between the refusal and the file; then the record was sent again, and is at the destination.
        let has = destination.has.lock().unwrap().clone();
        prop_assert!(refused.iter().all(|sequence| kept.contains(sequence) || has.contains(sequence)));
    }
}

#[test]
fn a_cut_that_was_stored_is_given_back_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let spool = fill(folder.path(), 40);
    // Nothing is ever delivered before the kill: one failure after another.
    let stuck = Arc::new(Destination { answers: Mutex::new(vec![1; 100_000]), in_flight: 1, cuts: true, ..Destination::default() });
    runtime().block_on(async {
        let running = start(&spool, stuck, options()).unwrap();
        let metrics = running.metrics().clone();
        while metrics.attempts.load(Relaxed) < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(running);
        let stored = &spool.cursors().unwrap()[0].1;
        assert_eq!(stored.cuts.len(), 1);
        let cut = stored.cuts[0].intent.as_array().unwrap().len() as u64;
        let well = Arc::new(Destination { in_flight: 1, cuts: true, ..Destination::default() });
        let running = start(&spool, well.clone(), options()).unwrap();
        assert_eq!(running.drain(Duration::from_secs(60)).await, None);
        assert!(well.has.lock().unwrap().iter().take(cut as usize).copied().eq(1..=cut));
    });
}

/// Says something about every start, in a batch that holds no records, and remembers what it said.
#[derive(Default)]
struct Herald {
    said: Mutex<Vec<serde_json::Value>>,
    answers: bool,
}

impl Sink for Herald {
    type Frozen = serde_json::Value;

    fn limits(&self) -> Limits {
        Limits { max_bytes: 1, max_records: 1, max_age: Duration::ZERO }
    }

    fn max_backoff(&self) -> Duration {
        Duration::from_millis(2)
    }

    fn freeze(&self, reader: &mut Reader, _limits: &Limits, cut: Option<&Cut>, now: i64) -> Result<Step<Self::Frozen>, ReadError> {
        let cut = cut.cloned().unwrap_or(Cut { end: reader.cursor(), intent: serde_json::json!(now) });
        Ok(Step::Batch(Batch { frozen: cut.intent.clone(), records: 0, bytes: 1, cut: Some(cut) }))
    }

    async fn send(&self, said: &Self::Frozen) -> Outcome {
        self.said.lock().unwrap().push(said.clone());
        if !self.answers {
            return Outcome::Retry { why: "the answer was lost".to_owned(), after: None, shrink: false };
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        Outcome::Delivered { state: None }
    }

    async fn check(&self) -> Result<(), Health> {
        Ok(())
    }
}

#[test]
fn a_cut_without_records_is_given_back_after_a_kill_too() {
    let folder = tempfile::tempdir().unwrap();
    let spool = fill(folder.path(), 1);
    let said = |herald: &Herald| herald.said.lock().unwrap().first().cloned();
    let first = [false, true].map(|answers| {
        let herald = Arc::new(Herald { answers, ..Herald::default() });
        runtime().block_on(async {
            let running = start(&spool, herald.clone(), options()).unwrap();
            while said(&herald).is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(running);
        });
        said(&herald)
    });
    assert_eq!(first[0], first[1], "the same is said again");
}

#[test]
fn a_kill_right_behind_an_answer_repeats_nothing_of_a_sink_that_is_marked() {
    let folder = tempfile::tempdir().unwrap();
    let spool = fill(folder.path(), 100);
    let destination = Arc::new(Destination { in_flight: 3, is_marked: true, ..Destination::default() });
    runtime().block_on(async {
        let running = start(&spool, destination.clone(), options()).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        while spool.cursors().unwrap().first().is_none_or(|(_, stored)| stored.cursor.sequence <= 100) {
            assert!(tokio::time::Instant::now() < deadline, "the last batch was never marked");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(running);
        let running = start(&spool, destination.clone(), options()).unwrap();
        assert_eq!(running.drain(Duration::from_secs(60)).await, None);
    });
    let mut has = destination.has.lock().unwrap().clone();
    has.sort_unstable();
    assert_eq!(has, (1..=100).collect::<Vec<u64>>());
}

#[test]
fn what_a_removed_sink_did_not_take_in_time_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let spool = fill(folder.path(), 40);
    let stuck = Arc::new(Destination { answers: Mutex::new(vec![1; 1_000_000]), in_flight: 1, ..Destination::default() });
    runtime().block_on(async {
        // A cursor to be measured from exists once something was stored; the first one is the oldest record.
        let running = start(&spool, stuck, options()).unwrap();
        let gap = running.drain(Duration::from_millis(50)).await.unwrap();
        assert_eq!((gap.cause.as_str(), gap.records, gap.sequences), ("sink-removed", Some(40), Some((1, 41))));
        spool.forget("wild").unwrap();
        assert!(spool.cursors().unwrap().is_empty());
    });
}
