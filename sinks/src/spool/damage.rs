//! Records that cannot be delivered any more: those that the disk gave back damaged, and those that made room before a sink had them. Which of them readers
//! have met, and which of those have been declared.
//!
//! Each sink meets damage in its own time, and a loss is declared once. What is met stands in `damaged.json` before the reader goes past it, and each commit
//! names what has been declared up to it: after a crash between the two, the next life declares the rest. Numbers that nobody can meet any more, because
//! their segments are gone, are forgotten. Where so much is damaged that the list is full, the oldest ranges go, and a slower sink that meets one of them
//! again has it declared once more: too much said, and never too little. What one sink alone has lost is its own to meet; it is remembered until a commit
//! that is durable has declared it and newer losses push it out. Where one sink has very many at once, those nearest to each other become one that covers
//! them and what lies between.

use super::SpoolId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Damaged ranges remembered at most.
const MOST: usize = 1000;
/// Losses of single sinks remembered at most, once they are declared.
const MOST_OF_SINKS: usize = 32;
/// Losses of one sink under one identity at most, declared or not.
const MOST_OF_ONE: usize = 1024;

/// Records that could not be read back, or, with a sink's name, that were gone before that sink came to them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damaged {
    /// The identity they were numbered under.
    pub spool: SpoolId,
    /// The number of the first one.
    pub first: u64,
    /// The number after the last one.
    pub next: u64,
    /// The commit time before them, nanoseconds since 1970 UTC, where the reader had seen that commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// The commit time behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// The only sink that has lost them: they made room at the spool's bound. `None`: they are damaged, for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
}

/// The register of one spool.
#[derive(Debug, Default)]
pub(super) struct Register {
    path: PathBuf,
    met: Vec<Damaged>,
    declared: Vec<Damaged>,
    /// What the last commit names as declared.
    named: Vec<Damaged>,
}

impl Register {
    /// What a folder remembers, and what its last commit says was declared.
    pub fn open(folder: &Path, declared: Vec<Damaged>) -> Self {
        let path = folder.join("damaged.json");
        let met = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "What was met damaged before cannot be read; it may be declared once more.");
                Vec::new()
            }),
            Err(_) => Vec::new(),
        };
        Self { path, met, named: declared.clone(), declared }
    }

    /// A reader is about to go past these, or a sink is. `begins` says where the numbers of each identity begin that can still be met.
    ///
    /// # Errors
    /// If the disk does not take the note; it is kept in memory all the same.
    pub fn meet(&mut self, damaged: Vec<Damaged>, begins: &[(SpoolId, u64)]) -> std::io::Result<()> {
        let new: Vec<Damaged> = damaged.iter().flat_map(|damaged| rest(damaged, &self.met)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let sinks: BTreeSet<_> = new.iter().filter_map(|new| Some((new.spool.0, new.sink.clone()?))).collect();
        self.met.extend(new);
        for (spool, sink) in sinks {
            join(&mut self.met, SpoolId(spool), &sink);
        }
        forget(&mut self.met, begins);
        self.write()
    }

    fn write(&self) -> std::io::Result<()> {
        super::replace(&self.path, &serde_json::to_vec(&self.met)?)
    }

    /// Whether [`Register::declare`] has anything to give.
    pub fn is_open(&self) -> bool {
        self.met.iter().any(|met| !rest(met, &self.declared).is_empty())
    }

    /// What was met and not declared. From now on it counts as declared by the next commit.
    pub fn declare(&mut self) -> Vec<Damaged> {
        let mut new = Vec::new();
        for met in &self.met {
            let open = rest(met, &self.declared);
            self.declared.extend(open.iter().cloned());
            new.extend(open);
        }
        new
    }

    /// What has been declared, for the next commit to name. `is_durable`: the commit before it is.
    pub fn declared(&mut self, begins: &[(SpoolId, u64)], is_durable: bool) -> Vec<Damaged> {
        if is_durable {
            self.settle();
        }
        forget(&mut self.declared, begins);
        // As long as what was met stands there, it has to be known as declared.
        let met = &self.met;
        keep_newest(&mut self.declared, |range| !met.iter().any(|met| overlap(met, range)));
        self.named.clone_from(&self.declared);
        self.declared.clone()
    }

    /// Forgets losses of single sinks that the last commit names, but for the newest.
    fn settle(&mut self) {
        let mut met = self.met.clone();
        keep_newest(&mut met, |range| rest(range, &self.named).is_empty());
        if met.len() == self.met.len() {
            return;
        }
        let before = std::mem::replace(&mut self.met, met);
        if let Err(error) = self.write() {
            tracing::warn!(path = %self.path.display(), %error, "Losses that are declared cannot be forgotten yet; it is tried again.");
            self.met = before;
        }
    }

    /// Whether there is nothing to name.
    pub fn is_empty(&self) -> bool {
        self.met.is_empty() && self.declared.is_empty()
    }
}

/// The parts of a range that `known` does not hold.
fn rest(range: &Damaged, known: &[Damaged]) -> Vec<Damaged> {
    let mut left = vec![range.clone()];
    for known in known.iter().filter(|known| overlap(known, range)) {
        let parts = left.iter().flat_map(|part| {
            let before = Damaged { next: part.next.min(known.first), ..part.clone() };
            let behind = Damaged { first: part.first.max(known.next), ..part.clone() };
            [before, behind]
        });
        left = parts.filter(|part| part.first < part.next).collect();
    }
    left
}

fn overlap(one: &Damaged, other: &Damaged) -> bool {
    one.first < other.next && other.first < one.next && one.spool == other.spool && one.sink == other.sink
}

/// Forgets what is damaged and cannot be met any more, and more than there is room for.
fn forget(ranges: &mut Vec<Damaged>, begins: &[(SpoolId, u64)]) {
    ranges.retain(|range| range.sink.is_some() || begins.iter().any(|(id, first)| *id == range.spool && *first < range.next));
    let mut over = ranges.iter().filter(|range| range.sink.is_none()).count().saturating_sub(MOST);
    ranges.retain(|range| {
        let is_over = range.sink.is_none() && over > 0;
        over -= usize::from(is_over);
        !is_over
    });
}

/// The newest losses of single sinks stay, and of the others those that may not go.
fn keep_newest(ranges: &mut Vec<Damaged>, may_go: impl Fn(&Damaged) -> bool) {
    let mut newer = ranges.iter().filter(|range| range.sink.is_some()).count();
    ranges.retain(|range| {
        newer -= usize::from(range.sink.is_some());
        range.sink.is_none() || newer < MOST_OF_SINKS || !may_go(range)
    });
}

/// Where one sink has lost too many ranges of an identity, joins those with the fewest records between them.
fn join(ranges: &mut Vec<Damaged>, spool: SpoolId, sink: &str) {
    let is_one = |range: &Damaged| range.spool == spool && range.sink.as_deref() == Some(sink);
    let over = ranges.iter().filter(|range| is_one(range)).count().saturating_sub(MOST_OF_ONE);
    if over == 0 {
        return;
    }
    let mut lost: Vec<Damaged> = ranges.extract_if(.., |range| is_one(range)).collect();
    lost.sort_by_key(|range| range.first);
    let mut between: Vec<(u64, usize)> =
        lost.windows(2).enumerate().map(|(index, pair)| (pair[1].first.saturating_sub(pair[0].next), index + 1)).collect();
    between.sort_unstable();
    let joined: BTreeSet<usize> = between.iter().take(over).map(|(_, index)| *index).collect();
    for (index, range) in lost.into_iter().enumerate() {
        match ranges.last_mut() {
            Some(last) if joined.contains(&index) => {
                last.next = last.next.max(range.next);
                last.from = last.from.or(range.from);
                last.to = range.to.or(last.to);
            }
            _ => ranges.push(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SpoolId = SpoolId([1; 16]);
    const OTHER: SpoolId = SpoolId([2; 16]);

    fn damaged(spool: SpoolId, first: u64, next: u64) -> Damaged {
        Damaged { spool, first, next, from: None, to: None, sink: None }
    }

    #[test]
    fn a_range_met_by_many_is_declared_once_and_a_wider_one_only_by_what_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let begins = [(ID, 1), (OTHER, 1)];
        let mut register = Register::open(folder.path(), Vec::new());
        register.meet(vec![damaged(ID, 10, 20)], &begins).unwrap();
        register.meet(vec![damaged(ID, 15, 20)], &begins).unwrap();
        assert_eq!(register.declare(), [damaged(ID, 10, 20)]);
        register.meet(vec![damaged(ID, 5, 30)], &begins).unwrap();
        register.meet(vec![damaged(OTHER, 12, 14)], &begins).unwrap();
        assert_eq!(register.declare(), [damaged(ID, 5, 10), damaged(ID, 20, 30), damaged(OTHER, 12, 14)]);
        assert!(register.declare().is_empty() && !register.is_open());
    }

    #[test]
    fn what_was_met_before_a_crash_is_declared_after_it_and_what_was_committed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let begins = [(ID, 1)];
        let mut register = Register::open(folder.path(), Vec::new());
        register.meet(vec![damaged(ID, 10, 20)], &begins).unwrap();
        register.declare();
        let committed = register.declared(&begins, true);
        register.meet(vec![damaged(ID, 30, 40)], &begins).unwrap();
        let mut next = Register::open(folder.path(), committed);
        assert!(next.is_open());
        assert_eq!(next.declare(), [damaged(ID, 30, 40)]);
    }

    fn lost(sink: &str, first: u64, next: u64) -> Damaged {
        Damaged { sink: Some(sink.to_owned()), ..damaged(ID, first, next) }
    }

    /// Every other number of so many.
    fn scattered(sink: &str, count: u64) -> Vec<Damaged> {
        (0..count).map(|number| lost(sink, 2 * number, 2 * number + 1)).collect()
    }

    #[test]
    fn losses_of_single_sinks_are_all_declared_however_many_there_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::open(folder.path(), Vec::new());
        register.meet(vec![lost("other", 5, 9)], &[]).unwrap();
        register.meet(scattered("sink", 300), &[]).unwrap();
        let all = [vec![lost("other", 5, 9)], scattered("sink", 300)].concat();
        // Killed before the commit.
        assert_eq!(Register::open(folder.path(), Vec::new()).declare(), all);
        assert_eq!(register.declare(), all);
        assert!(!register.is_open());
    }

    #[test]
    fn losses_of_single_sinks_are_forgotten_but_for_the_newest_once_a_durable_commit_has_declared_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::open(folder.path(), Vec::new());
        let (all, begins) = (scattered("sink", 300), [(ID, 1)]);
        register.meet([vec![damaged(ID, 7, 8)], all.clone()].concat(), &begins).unwrap();
        register.declare();
        let committed = register.declared(&begins, true);
        assert_eq!(committed.len(), 301);
        // What is met behind the commit waits for the next.
        register.meet(scattered("late", 40), &begins).unwrap();
        assert_eq!(register.declared(&begins, false), committed);
        assert_eq!(Register::open(folder.path(), committed.clone()).declare(), scattered("late", 40));
        let named = register.declared(&begins, true);
        assert_eq!(named, [vec![damaged(ID, 7, 8)], all[300 - MOST_OF_SINKS..].to_vec()].concat());
        for mut register in [Register::open(folder.path(), committed), Register::open(folder.path(), named), register] {
            assert_eq!(register.declare(), scattered("late", 40));
            assert!(!register.is_open());
        }
    }

    #[test]
    fn more_losses_of_one_sink_than_there_is_room_for_become_fewer_that_cover_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::open(folder.path(), Vec::new());
        let most = MOST_OF_ONE as u64;
        // The last three lie further apart than the others.
        let far = [4, 5, 6].map(|part| lost("sink", part * most, part * most + 1));
        register.meet([scattered("sink", most + 6), far.to_vec(), vec![lost("other", 1, 2)]].concat(), &[]).unwrap();
        let declared = register.declare();
        let of_sink: Vec<_> = declared.iter().filter(|lost| lost.sink.as_deref() == Some("sink")).cloned().collect();
        assert_eq!((of_sink.len(), declared.len()), (MOST_OF_ONE, MOST_OF_ONE + 1));
        assert!(scattered("sink", most + 6).iter().chain(&far).all(|lost| rest(lost, &declared).is_empty()));
        assert_eq!(of_sink.iter().map(|lost| lost.next - lost.first).sum::<u64>(), most + 9 + 9, "nine lay between those joined");
        assert_eq!(of_sink[MOST_OF_ONE - 3..], far);
    }

    #[test]
    fn ranges_whose_segments_are_gone_are_forgotten_and_the_list_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::open(folder.path(), vec![damaged(ID, 1, 5), damaged(OTHER, 1, 5)]);
        assert_eq!(register.declared(&[(ID, 4)], true), [damaged(ID, 1, 5)]);
        assert!(register.declared(&[(ID, 5)], true).is_empty());
        let mut many: Vec<Damaged> = (0..2 * MOST as u64).map(|number| damaged(ID, 2 * number, 2 * number + 1)).collect();
        forget(&mut many, &[(ID, 0)]);
        assert_eq!((many.len(), many[0].first), (MOST, 2 * MOST as u64));
    }
}
