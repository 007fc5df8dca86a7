//! Records that a destination refused for good, kept as JSON lines with the reason: `{"uid", "why", "line"}`.
//!
//! Bounded to two files of 128 MiB a sink, the older of which makes room; how many records that costs is counted.

use crate::spool::{Cursor, Item, Reader, SpoolId, cause, sink_path};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file is followed by a new one at this size.
const MAX_BYTES: u64 = 128 << 20;

#[derive(Serialize)]
struct Refused<'a> {
    uid: String,
    why: &'a str,
    line: std::borrow::Cow<'a, str>,
}

/// What came of [`put`].
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Records written.
    pub count: u64,
    /// Older ones that made room.
    pub overwritten: u64,
    /// Refused records that have made room in the spool since they were read.
    pub gone: Vec<Range>,
}

/// Records of one identity: first number and the one after the last.
pub(super) type Range = (SpoolId, (u64, u64));

/// What of a batch was refused, and why.
pub(super) enum Refusal<'a> {
    All(&'a str),
    /// These numbers of an identity: those of another say nothing.
    Some(SpoolId, BTreeMap<u64, &'a str>),
}

impl<'a> Refusal<'a> {
    pub fn some(spool: SpoolId, rejected: &'a [(u64, String)]) -> Self {
        Self::Some(spool, rejected.iter().map(|(number, why)| (*number, why.as_str())).collect())
    }

    fn why(&self, spool: SpoolId, sequence: u64) -> Option<&'a str> {
        match self {
            Self::All(why) => Some(why),
            Self::Some(of, numbers) => numbers.get(&sequence).filter(|_| *of == spool).copied(),
        }
    }

    /// The refused ones of a range, as few ranges.
    fn within(&self, (spool, (first, next)): Range) -> Vec<(u64, u64)> {
        let numbers = match self {
            _ if first >= next => return Vec::new(),
            Self::All(_) => return vec![(first, next)],
            Self::Some(of, _) if *of != spool => return Vec::new(),
            Self::Some(_, numbers) => numbers.range(first..next).map(|(number, _)| *number),
        };
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for number in numbers {
            match ranges.last_mut() {
                Some((_, next)) if *next == number => *next += 1,
                _ => ranges.push((number, number + 1)),
            }
        }
        ranges
    }
}

/// Writes the refused records between two places, durably. A repetition after a crash may write a record twice: the uid tells. What is `known` to be gone
/// is not counted as such again.
pub(super) fn put(
    folder: &Path,
    sink: &str,
    reader: &mut Reader,
    (from, to): (&Cursor, &Cursor),
    refusal: &Refusal<'_>,
    known: &[Range],
) -> io::Result<Kept> {
    let path = sink_path(folder, "quarantine", sink, "jsonl");
    let mut kept = Kept { overwritten: make_room(&path)?, ..Kept::default() };
    let mut lines = Vec::new();
    reader.seek(from);
    while is_before(&reader.cursor(), from, to) {
        let spool = reader.cursor().spool;
        match reader.peek().map_err(io::Error::other)? {
            Some(Item::Record(record)) if record.spool == from.spool || record.spool == to.spool => {
                if let Some(why) = refusal.why(record.spool, record.sequence) {
                    let line = String::from_utf8_lossy(record.line);
                    serde_json::to_writer(&mut lines, &Refused { uid: record.uid(), why, line })?;
                    lines.push(b'\n');
                    kept.count += 1;
                }
            }
            Some(Item::Gap(gap)) if gap.cause == cause::FULL => {
                let (first, next) = gap.sequences.unwrap_or_default();
                let next = if spool == to.spool { next.min(to.sequence) } else { next };
                let gone = refusal.within((spool, (first, next))).into_iter().flat_map(|range| without((spool, range), known));
                kept.gone.extend(gone.map(|range| (spool, range)));
            }
            Some(_) => {}
            None => break,
        }
        reader.advance();
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    file.write_all(&lines)?;
    file.sync_all()?;
    Ok(kept)
}

/// The parts of a range that `known` does not hold.
fn without((spool, range): Range, known: &[Range]) -> Vec<(u64, u64)> {
    let mut left = vec![range];
    for (_, (first, next)) in known.iter().filter(|(of, _)| *of == spool) {
        left =
            left.iter().flat_map(|(from, to)| [(*from, *to.min(first)), (*from.max(next), *to)]).filter(|(from, to)| from < to).collect();
    }
    left
}

/// Whether records between the two places may lie behind this one. A gap leads past where they were, so the place may never be the last one itself.
fn is_before(place: &Cursor, from: &Cursor, to: &Cursor) -> bool {
    if place.spool == to.spool {
        return place.sequence < to.sequence;
    }
    // Numbers begin anew with an identity; the positions go on.
    to.spool != from.spool && place.position <= to.position
}

fn make_room(path: &Path) -> io::Result<u64> {
    match path.metadata() {
        Ok(found) if found.len() < MAX_BYTES => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
        Ok(_) => {}
    }
    let older = PathBuf::from(format!("{}.1", path.display()));
    let overwritten = match std::fs::read(&older) {
        Ok(bytes) => memchr::memchr_iter(b'\n', &bytes).count() as u64,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    std::fs::rename(path, &older)?;
    Ok(overwritten)
}
