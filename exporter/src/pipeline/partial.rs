//! Partial sums of a window longer than a second, as they lie in the spool's hidden frames.
//!
//! Every second what was added is written as a *run*: entries sorted by fold key. At the window's end the runs are merged by key, in a single pass with one
//! entry of each run in memory, so neither the intake nor memory has to hold a window, and a restart loses nothing of it. Merged lines come out in the
//! order of their keys.
//!
//! An entry is the fields of [`Sums`] as `put_sums` writes them, the uuid, and the prepared line. Reading is total: torn or foreign bytes give an error,
//! never a panic.

use super::bytes::{Put, Take};
use super::line::Prepared;
use super::sums::{MAX_INTERFACES, Sums};

/// One entry of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The line.
    pub prepared: Prepared,
    /// Its sums.
    pub sums: Sums,
    /// The uuid of its only input flow.
    pub uuid: Option<Box<str>>,
}

/// A hidden frame that is not a run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a partial window is damaged at byte {0}; its sums up to there were kept")]
pub struct Damaged(pub usize);

/// Appends an entry to a run.
pub fn put(run: &mut Vec<u8>, prepared: &Prepared, sums: &Sums, uuid: Option<&str>) {
    put_sums(run, sums);
    run.put_bytes(uuid.unwrap_or_default().as_bytes());
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
        let uuid = std::str::from_utf8(rest.bytes()?).ok()?;
        Some(Entry { prepared: Prepared::get(&mut rest)?, sums, uuid: (!uuid.is_empty()).then(|| uuid.into()) })
    };
    let entry = entry().ok_or(Damaged(*at))?;
    *at = run.len() - rest.0.len();
    Ok(Some(entry))
}

/// Merges runs, each sorted by fold key, and hands out each key once, in order.
pub fn merge<E: From<Damaged>>(runs: &[impl AsRef<[u8]>], mut each: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
    let mut heads: Vec<(usize, usize, Entry)> = Vec::new();
    for (run, bytes) in runs.iter().enumerate() {
        let mut at = 0;
        if let Some(entry) = get(bytes.as_ref(), &mut at)? {
            heads.push((run, at, entry));
        }
    }
    while let Some(least) = heads.iter().map(|(_, _, entry)| entry.prepared.fold_key()).min().map(<[u8]>::to_vec) {
        let mut merged: Option<Entry> = None;
        let mut at = 0;
        while at < heads.len() {
            if heads[at].2.prepared.fold_key() != least {
                at += 1;
                continue;
            }
            let (run, position, _) = &mut heads[at];
            let next = get(runs[*run].as_ref(), position)?;
            let entry = match next {
                Some(next) => std::mem::replace(&mut heads[at].2, next),
                None => heads.remove(at).2,
            };
            match &mut merged {
                None => merged = Some(entry),
                Some(merged) => {
                    merged.sums.add(&entry.sums);
                    merged.uuid = None;
                }
            }
        }
        if let Some(merged) = merged {
            each(merged)?;
        }
    }
    Ok(())
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
