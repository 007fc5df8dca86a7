//! Records that cannot be delivered any more: those that the disk gave back damaged, and those that made room before a sink had them. Which of them readers
//! have met, and which of those have been declared.
//!
//! Each sink meets damage in its own time, and a loss is declared once. What is met stands in `damaged.json` before the reader goes past it, and each commit
//! names what has been declared up to it: after a crash between the two, the next life declares the rest. Numbers that nobody can meet any more, because
//! their segments are gone, are forgotten. Where so much is damaged that the list is full, the oldest ranges go, and a slower sink that meets one of them
//! again has it declared once more: too much said, and never too little. What one sink alone has lost is its own to meet; it is remembered until newer losses
//! push it out.

use super::SpoolId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Ranges remembered at most.
const MOST: usize = 1000;
/// Of those the losses of single sinks.
const MOST_OF_SINKS: usize = 32;

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
        Self { path, met, declared }
    }

    /// A reader is about to go past this. `begins` says where the numbers of each identity begin that can still be met.
    ///
    /// # Errors
    /// If the disk does not take the note; it is kept in memory all the same.
    pub fn meet(&mut self, damaged: Damaged, begins: &[(SpoolId, u64)]) -> std::io::Result<()> {
        let new = rest(&damaged, &self.met);
        if new.is_empty() {
            return Ok(());
        }
        self.met.extend(new);
        forget(&mut self.met, begins);
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

    /// What has been declared, for the next commit to name.
    pub fn declared(&mut self, begins: &[(SpoolId, u64)]) -> Vec<Damaged> {
        forget(&mut self.declared, begins);
        self.declared.clone()
    }

    /// Whether there is nothing to name.
    pub fn is_empty(&self) -> bool {
        self.met.is_empty() && self.declared.is_empty()
    }
}

/// The parts of a range that `known` does not hold.
fn rest(range: &Damaged, known: &[Damaged]) -> Vec<Damaged> {
    let mut left = vec![range.clone()];
    for known in known.iter().filter(|known| known.spool == range.spool && known.sink == range.sink) {
        let parts = left.iter().flat_map(|part| {
            let before = Damaged { next: part.next.min(known.first), ..part.clone() };
            let behind = Damaged { first: part.first.max(known.next), ..part.clone() };
            [before, behind]
        });
        left = parts.filter(|part| part.first < part.next).collect();
    }
    left
}

fn forget(ranges: &mut Vec<Damaged>, begins: &[(SpoolId, u64)]) {
    let mut of_sinks = ranges.iter().filter(|range| range.sink.is_some()).count();
    ranges.retain(|range| match range.sink {
        None => begins.iter().any(|(id, first)| *id == range.spool && *first < range.next),
        Some(_) => {
            of_sinks -= 1;
            of_sinks < MOST_OF_SINKS
        }
    });
    ranges.drain(..ranges.len().saturating_sub(MOST));
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
        register.meet(damaged(ID, 10, 20), &begins).unwrap();
        register.meet(damaged(ID, 15, 20), &begins).unwrap();
        assert_eq!(register.declare(), [damaged(ID, 10, 20)]);
        register.meet(damaged(ID, 5, 30), &begins).unwrap();
        register.meet(damaged(OTHER, 12, 14), &begins).unwrap();
        assert_eq!(register.declare(), [damaged(ID, 5, 10), damaged(ID, 20, 30), damaged(OTHER, 12, 14)]);
        assert!(register.declare().is_empty() && !register.is_open());
    }

    #[test]
    fn what_was_met_before_a_crash_is_declared_after_it_and_what_was_committed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let begins = [(ID, 1)];
        let mut register = Register::open(folder.path(), Vec::new());
        register.meet(damaged(ID, 10, 20), &begins).unwrap();
        register.declare();
        let committed = register.declared(&begins);
        register.meet(damaged(ID, 30, 40), &begins).unwrap();
        let mut next = Register::open(folder.path(), committed);
        assert!(next.is_open());
        assert_eq!(next.declare(), [damaged(ID, 30, 40)]);
    }

    #[test]
    fn ranges_whose_segments_are_gone_are_forgotten_and_the_list_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut register = Register::open(folder.path(), vec![damaged(ID, 1, 5), damaged(OTHER, 1, 5)]);
        assert_eq!(register.declared(&[(ID, 4)]), [damaged(ID, 1, 5)]);
        assert!(register.declared(&[(ID, 5)]).is_empty());
        let mut many: Vec<Damaged> = (0..2 * MOST as u64).map(|number| damaged(ID, 2 * number, 2 * number + 1)).collect();
        forget(&mut many, &[(ID, 0)]);
        assert_eq!((many.len(), many[0].first), (MOST, 2 * MOST as u64));
    }
}
