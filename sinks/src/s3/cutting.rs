//! What becomes of what is read from the spool: records go into the open object, commits and gaps into the chain, until
//! an object or a manifest is due.
//!
//! An object is due when it is large, or old, or its hour is over; a manifest when an hour is over and its objects are
//! stored. So objects and manifests go out in the order of the spool, and each only after what is before it.

use std::io;
use std::path::Path;
use std::time::Instant;

use super::chain::Chain;
use super::key::Hour;
use super::manifest::Reason;
use super::object::{Arrived, Open};
use crate::spool::{Cursor, Item, SpoolId};

/// What is read and not yet sent: from a cursor to another.
pub struct Cutting {
    /// Where it begins.
    pub from: Cursor,
    /// How far it has got.
    pub to: Cursor,
    /// The object that takes records, if there were any.
    pub open: Option<Open>,
    /// The chain with everything between `from` and `to` noted, less the open object.
    pub chain: Chain,
    /// When it was begun, by a clock that does not jump.
    since: Instant,
}

/// Limits of an object.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Packed bytes.
    pub bytes: u64,
    /// Records.
    pub records: u64,
    /// The zstd level.
    pub level: i32,
}

/// What an item means for what is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is taken; go on.
    Yes,
    /// It is not taken: the open object has to go first.
    CloseObject,
    /// It is not taken: this manifest has to go first, its period ending here.
    WriteManifest(i64),
    /// A manifest has to go first; from the next item on (`true`) or from this one on the spool has this id.
    Renewed(SpoolId, bool),
}

impl Cutting {
    /// Nothing read yet behind `from`.
    pub fn new(from: Cursor, chain: Chain) -> Self {
        Self { from, to: from, open: None, chain, since: Instant::now() }
    }

    /// Takes an item or says what has to go first. `staging` is the file of the open object, `started` the hour in which
    /// this process started.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn take(&mut self, item: Item<'_>, size: Size, staging: &Path, started: Hour) -> io::Result<Taken> {
        match item {
            Item::Record(record) => {
                let hour = Hour::of(record.commit_time);
                if record.spool != self.chain.spool {
                    return Ok(if self.open.is_some() { Taken::CloseObject } else { Taken::Renewed(record.spool, false) });
                }
                if self.open.is_none()
                    && let Some(to) = self.chain.due(hour, started)
                {
                    return Ok(Taken::WriteManifest(to));
                }
                let arrived = Arrived { sequence: record.sequence, time: record.time, committed: record.commit_time, line: record.line };
                match &mut self.open {
                    None => self.open = Some(Open::create(staging, size.level, arrived)?),
                    Some(open) if is_full(open, size) || open.sums().hour != hour => {
                        return Ok(Taken::CloseObject);
                    }
                    Some(open) => open.push(arrived)?,
                }
            }
            Item::Commit(commit) => {
                let hour = Hour::of(commit.time);
                match &self.open {
                    Some(open) if hour > open.sums().hour => return Ok(Taken::CloseObject),
                    Some(_) => {}
                    None => {
                        if let Some(to) = self.chain.due(hour, started) {
                            return Ok(Taken::WriteManifest(to));
                        }
                    }
                }
                self.chain.note_commit(commit);
            }
            Item::Gap(gap) => {
                if self.open.is_some() && gap.sequences.is_some() {
                    return Ok(Taken::CloseObject);
                }
                self.chain.note_gap(gap);
            }
            Item::Renewed { .. } if self.open.is_some() => return Ok(Taken::CloseObject),
            Item::Renewed { id, .. } => return Ok(Taken::Renewed(id, true)),
        }
        Ok(Taken::Yes)
    }

    /// Whether the open object has to go although the spool has no more: it is full, `max_age` (nanoseconds) old, or
    /// `hour` has come, which is not its own. Else how long it may stay. Commit times can be ahead of the clock for long
    /// (they never go backwards when it does), so the time that really passed counts too.
    pub fn object_is_due(&self, size: Size, now: i64, max_age: i64, hour: Hour) -> Result<(), i64> {
        let Some(open) = &self.open else {
            return Err(max_age);
        };
        let sums = open.sums();
        let passed = i64::try_from(self.since.elapsed().as_nanos()).unwrap_or(i64::MAX);
        let left = max_age.saturating_sub(now.saturating_sub(sums.commit_times.0).max(passed));
        if is_full(open, size) || left <= 0 || hour > sums.hour { Ok(()) } else { Err(left) }
    }

    /// Why a manifest goes out for [`Taken`], and where its period ends.
    pub fn reason(&self, taken: Taken) -> Option<(Reason, i64)> {
        match taken {
            Taken::WriteManifest(to) => Some((Reason::Hour, to)),
            Taken::Renewed(..) => Some((Reason::Renewed, self.chain.committed)),
            Taken::Yes | Taken::CloseObject => None,
        }
    }
}

fn is_full(open: &Open, size: Size) -> bool {
    open.bytes() >= size.bytes || open.sums().records >= size.records
}
