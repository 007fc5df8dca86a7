//! Partial sums of a window longer than a second, as they lie in the spool's hidden frames.
//!
//! Every second what was added is written as a *run*: entries sorted by fold key. At the window's end the runs are merged by key, in a single pass with one
//! entry of each run in memory, so neither the intake nor memory has to hold a window, and a restart loses nothing of it. Merged lines come out in the
//! order of their keys.
//!
//! An entry, little endian: `u32` length of the rest, then the fields of [`Sums`] as written by `put_sums`, `u8` length of the uuid and the uuid,
//! and the prepared line. Reading is total: torn or foreign bytes give an error, never a panic.

use flowlog_bpf::event::Count;

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
    let start = run.len();
    run.extend_from_slice(&[0; 4]);
    put_sums(run, sums);
    let uuid = uuid.filter(|uuid| uuid.len() < 256).unwrap_or_default();
    run.push(uuid.len() as u8);
    run.extend_from_slice(uuid.as_bytes());
    prepared.put(run);
    // A run is at most as long as a frame, far below 4 GiB.
    let length = (run.len() - start - 4) as u32;
    run[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Reads the entry at `at` and moves past it; `None` at the end.
pub fn get(run: &[u8], at: &mut usize) -> Result<Option<Entry>, Damaged> {
    let rest = run.get(*at..).unwrap_or_default();
    if rest.is_empty() {
        return Ok(None);
    }
    let damaged = Damaged(*at);
    let entry = (|| {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let mut body = rest.get(..u32::from_le_bytes(*length) as usize)?;
        let length = body.len();
        let sums = get_sums(&mut body)?;
        let (&uuid_length, after) = body.split_first()?;
        let (uuid, after) = after.split_at_checked(usize::from(uuid_length))?;
        let uuid = std::str::from_utf8(uuid).ok()?;
        let prepared = Prepared::get(after)?;
        Some((Entry { prepared, sums, uuid: (!uuid.is_empty()).then(|| uuid.into()) }, 4 + length))
    })();
    let (entry, length) = entry.ok_or(damaged)?;
    *at += length;
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
    let counts = [sums.counted, sums.entered, sums.dropped_after];
    let numbers = [sums.first as u64, sums.last as u64, sums.inputs, sums.other, sums.syn, sums.fin, sums.rst, sums.connections];
    for number in numbers.into_iter().chain(counts.into_iter().flat_map(|count| [count.packets, count.bytes])).chain(sums.flows) {
        to.extend_from_slice(&number.to_le_bytes());
    }
    for index in sums.interfaces {
        to.extend_from_slice(&index.to_le_bytes());
    }
    to.extend_from_slice(&sums.tcp_flags.to_le_bytes());
}

fn get_sums(from: &mut &[u8]) -> Option<Sums> {
    let mut number = || {
        let (bytes, rest) = from.split_first_chunk::<8>()?;
        *from = rest;
        Some(u64::from_le_bytes(*bytes))
    };
    let (first, last) = (number()? as i64, number()? as i64);
    let [inputs, other, syn, fin, rst, connections] = [number()?, number()?, number()?, number()?, number()?, number()?];
    let mut count = || Some(Count { packets: number()?, bytes: number()? });
    let [counted, entered, dropped_after] = [count()?, count()?, count()?];
    let flows = [number()?, number()?, number()?];
    let mut interfaces = [0; MAX_INTERFACES];
    for index in &mut interfaces {
        let (bytes, rest) = from.split_first_chunk::<4>()?;
        *from = rest;
        *index = u32::from_le_bytes(*bytes);
    }
    let (flags, rest) = from.split_first_chunk::<2>()?;
    *from = rest;
    let tcp_flags = u16::from_le_bytes(*flags);
    Some(Sums { first, last, inputs, counted, entered, dropped_after, other, syn, fin, rst, connections, tcp_flags, flows, interfaces })
}
