//! Partial sums of a window longer than a second, as they lie in the spool's hidden frames.
//!
//! Every second the lines that changed are written as a *run* with their sums since the window began, so a restart goes on where the last commit was and
//! neither the intake nor anything else has to hold a window. When a window has more lines than memory may hold, the table is written once more and emptied:
//! a new *epoch* begins, whose sums start from nothing. The sums of a line are therefore its last ones of each epoch, added up; [`Merge`] does that, for one
//! share of the lines at a time, so that the end of a window needs no more memory than its middle.
//!
//! An entry is the fields of [`Sums`] as `put_sums` writes them, the line of an only input flow, and the prepared line. Reading is total: torn or foreign
//! bytes give an error, never a panic.

use std::collections::{HashMap, HashSet};

use super::bytes::{Put, Take};
use super::line::Prepared;
use super::sums::{MAX_INTERFACES, Sums};

/// One entry of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The line.
    pub prepared: Prepared,
    /// Its sums since the epoch began.
    pub sums: Sums,
    /// The line of its only input flow.
    pub single: Option<Box<[u8]>>,
}

/// Bytes that are no run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a partial window is damaged at byte {0}; its sums up to there were kept")]
pub struct Damaged(pub usize);

/// Appends an entry to a run.
pub fn put(run: &mut Vec<u8>, prepared: &Prepared, sums: &Sums, single: Option<&[u8]>) {
    put_sums(run, sums);
    run.put_bytes(single.unwrap_or_default());
    prepared.put(run);
}

/// Reads the entry at `at` and moves past it; `None` at the end.
///
/// # Errors
/// When the bytes there are no entry. Nothing behind them can be read.
pub fn get(run: &[u8], at: &mut usize) -> Result<Option<Entry>, Damaged> {
    let mut rest = Take(run.get(*at..).unwrap_or_default());
    if rest.0.is_empty() {
        return Ok(None);
    }
    let mut entry = || {
        let sums = get_sums(&mut rest)?;
        let single = rest.bytes()?;
        Some(Entry { prepared: Prepared::get(&mut rest)?, sums, single: (!single.is_empty()).then(|| single.into()) })
    };
    let entry = entry().ok_or(Damaged(*at))?;
    *at = run.len() - rest.0.len();
    Ok(Some(entry))
}

/// Notes the hashes of a run's fold keys.
///
/// # Errors
/// When the run is damaged; those before that place were noted.
pub fn hashes(run: &[u8], into: &mut HashSet<u64>) -> Result<(), Damaged> {
    let mut at = 0;
    while let Some(entry) = get(run, &mut at)? {
        into.insert(super::fold::hash(entry.prepared.fold_key()));
    }
    Ok(())
}

/// Adds up the runs of a window, in the order they were written.
#[derive(Debug)]
pub struct Merge {
    share: u64,
    shares: u64,
    lines: HashMap<Box<[u8]>, Merged, foldhash::quality::RandomState>,
}

#[derive(Debug)]
struct Merged {
    epoch: u32,
    /// Of the epochs before.
    before: Sums,
    /// Of this epoch, so far.
    entry: Entry,
}

impl Merge {
    /// For the `share`-th of `shares` shares of the lines, by the hash of their fold keys.
    #[must_use]
    pub fn new(share: u64, shares: u64) -> Self {
        Self { share, shares: shares.max(1), lines: HashMap::default() }
    }

    /// Takes one run of an epoch.
    ///
    /// # Errors
    /// When the run is damaged; its entries before that place were taken.
    pub fn absorb(&mut self, epoch: u32, run: &[u8]) -> Result<(), Damaged> {
        let mut at = 0;
        while let Some(entry) = get(run, &mut at)? {
            let key = entry.prepared.fold_key();
            if super::fold::hash(key) % self.shares != self.share {
                continue;
            }
            match self.lines.get_mut(key) {
                None => {
                    self.lines.insert(key.into(), Merged { epoch, before: Sums::default(), entry });
                }
                Some(merged) => {
                    if merged.epoch != epoch {
                        merged.before.add(&merged.entry.sums);
                        merged.epoch = epoch;
                    }
                    merged.entry = entry;
                }
            }
        }
        Ok(())
    }

    /// The lines with their sums, in the order of their fold keys.
    #[must_use]
    pub fn finish(self) -> Vec<Entry> {
        let mut lines: Vec<_> = self.lines.into_iter().collect();
        lines.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        lines
            .into_iter()
            .map(|(_, Merged { before, mut entry, .. })| {
                entry.sums.add(&before);
                entry.single = entry.single.filter(|_| entry.sums.inputs == 1);
                entry
            })
            .collect()
    }
}

fn put_sums(to: &mut Vec<u8>, sums: &Sums) {
    let numbers = [sums.first as u64, sums.last as u64, sums.inputs, sums.other, sums.syn, sums.fin, sums.rst, sums.connections];
    numbers.into_iter().chain(sums.flows).for_each(|number| to.put_u64(number));
    [sums.counted, sums.entered, sums.dropped_after].into_iter().for_each(|count| to.put_count(count));
    sums.interfaces.into_iter().for_each(|index| to.put_u32(index));
    to.put_u32(u32::from(sums.tcp_flags));
}

fn get_sums(from: &mut Take<'_>) -> Option<Sums> {
    let (first, last) = (from.i64()?, from.i64()?);
    let [inputs, other, syn, fin, rst, connections] = [from.u64()?, from.u64()?, from.u64()?, from.u64()?, from.u64()?, from.u64()?];
    let flows = [from.u64()?, from.u64()?, from.u64()?];
    let [counted, entered, dropped_after] = [from.count()?, from.count()?, from.count()?];
    let mut interfaces = [0; MAX_INTERFACES];
    for index in &mut interfaces {
        *index = from.u32()?;
    }
    let tcp_flags = u16::try_from(from.u32()?).ok()?;
    Some(Sums { first, last, inputs, counted, entered, dropped_after, other, syn, fin, rst, connections, tcp_flags, flows, interfaces })
}
