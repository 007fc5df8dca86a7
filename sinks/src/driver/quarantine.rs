//! Records that a destination refused for good, kept as JSON lines with the reason: `{"uid", "why", "line"}`.
//!
//! Bounded to two files of 128 MiB a sink, the older of which makes room; how many records that costs is counted.

use crate::spool::{Cursor, Item, Reader, SpoolId, cause, sink_path};
use serde::Serialize;
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
    /// Records with a reason that have made room in the spool since they were read: first number and the one after the last.
    pub gone: Vec<(SpoolId, (u64, u64))>,
}

/// Writes the records between two places that `why` gives a reason for, durably. A repetition after a crash may write a record twice: the
/// uid tells.
pub(super) fn put(
    folder: &Path,
    sink: &str,
    reader: &mut Reader,
    (from, to): (&Cursor, &Cursor),
    why: &dyn Fn(u64) -> Option<String>,
) -> io::Result<Kept> {
    let path = sink_path(folder, "quarantine", sink, "jsonl");
    let mut kept = Kept { overwritten: make_room(&path)?, ..Kept::default() };
    let mut lines = Vec::new();
    reader.seek(from);
    while is_before(&reader.cursor(), from, to) {
        let spool = reader.cursor().spool;
        match reader.peek().map_err(io::Error::other)? {
            Some(Item::Record(record)) if record.spool == from.spool || record.spool == to.spool => {
                if let Some(why) = why(record.sequence) {
                    let line = String::from_utf8_lossy(record.line);
                    serde_json::to_writer(&mut lines, &Refused { uid: record.uid(), why: &why, line })?;
                    lines.push(b'\n');
                    kept.count += 1;
                }
            }
            Some(Item::Gap(gap)) if gap.cause == cause::FULL => {
                let (first, next) = gap.sequences.unwrap_or_default();
                let next = if spool == to.spool { next.min(to.sequence) } else { next };
                (first..next).filter(|sequence| why(*sequence).is_some()).for_each(|sequence| kept.lack(spool, sequence));
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

impl Kept {
    fn lack(&mut self, spool: SpoolId, sequence: u64) {
        match self.gone.last_mut() {
            Some((last, (_, next))) if *last == spool && *next == sequence => *next += 1,
            _ => self.gone.push((spool, (sequence, sequence + 1))),
        }
    }
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
