//! Records that a destination refused for good, kept as JSON lines with the reason: `{"uid", "why", "line"}`.
//!
//! Bounded to two files of 128 MiB a sink, the older of which makes room; how many records that costs is counted.

use crate::spool::{Cursor, Item, Reader, sink_path};
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

/// Writes the records between two places that `why` gives a reason for, durably. Gives how many were written, and how many older ones made
/// room. A repetition after a crash may write a record twice: the uid tells.
pub(super) fn put(
    folder: &Path,
    sink: &str,
    reader: &mut Reader,
    (from, to): (&Cursor, &Cursor),
    why: &dyn Fn(u64) -> Option<String>,
) -> io::Result<(u64, u64)> {
    let path = sink_path(folder, "quarantine", sink, "jsonl");
    let overwritten = make_room(&path)?;
    let mut lines = Vec::new();
    let mut count = 0;
    reader.seek(from);
    while reader.cursor() != *to {
        match reader.peek().map_err(io::Error::other)? {
            Some(Item::Record(record)) => {
                if let Some(why) = why(record.sequence) {
                    let line = String::from_utf8_lossy(record.line);
                    serde_json::to_writer(&mut lines, &Refused { uid: record.uid(), why: &why, line })?;
                    lines.push(b'\n');
                    count += 1;
                }
            }
            Some(_) => {}
            None => break,
        }
        reader.advance();
    }
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
    file.write_all(&lines)?;
    file.sync_all()?;
    Ok((count, overwritten))
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
