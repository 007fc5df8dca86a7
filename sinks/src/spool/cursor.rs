//! How far one sink has got in a spool, what it was about to do, and the file that remembers both.
//!
//! The file is small JSON with its CRC-32C behind it, replaced as a whole and durably. One that cannot be read is like none: the sink
//! starts from the oldest segment there is, which may repeat and never loses.
//!
//! Beside it may stand a mark: how far the sink has got since, written in place and not synced. It outlives a kill of the process, which is
//! the crash that happens; after a crash of the machine the file alone counts.

use super::{SpoolId, folder};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes of a mark.
const MARK_BYTES: usize = 36;

/// A place between two records of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// The identity `sequence` counts in.
    pub spool: SpoolId,
    /// The next record to take.
    pub sequence: u64,
    /// The position in the log of the frame that holds it.
    pub position: u64,
}

/// What a sink is about to send, made durable before the first byte goes out, so that a crash never cuts differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The place after the last record of the batch.
    pub end: Cursor,
    /// What else the sink has to remember about the batch (an object's key and hash, a file's next name), in the sink's own shape.
    pub intent: serde_json::Value,
}

/// What a sink's cursor file holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stored {
    /// Everything before it is delivered, or declared as a gap.
    pub cursor: Cursor,
    /// The sink's own state at the cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<serde_json::Value>,
    /// Batches that may be on the way, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cuts: Vec<Cut>,
}

/// What happens at a spool's bound to a sink that is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WhenFull {
    /// Keep the oldest segments the sink needs, up to three quarters of the bound; newer ones make room.
    Hold,
    /// The oldest segments make room.
    #[default]
    DropOldest,
    /// The sink no longer holds anything in the spool.
    Detach,
}

/// The path of a sink's file in a folder of the spool: the name with everything but `[A-Za-z0-9._-]` percent-encoded.
pub(crate) fn path(spool: &Path, folder: &str, sink: &str, extension: &str) -> PathBuf {
    let mut name = String::new();
    for byte in sink.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    spool.join(folder).join(format!("{name}.{extension}"))
}

/// Reads what a cursor file's bytes say; `None` if they are damaged.
pub fn parse_stored(bytes: &[u8]) -> Option<Stored> {
    let (json, sum) = bytes.strip_suffix(b"\n")?.split_last_chunk::<9>()?;
    let [b'\n', digits @ ..] = sum else {
        return None;
    };
    let sum = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (crc32c::crc32c(json) == sum).then(|| serde_json::from_slice(json).ok()).flatten()
}

/// The bytes of a cursor file.
fn encode_stored(stored: &Stored) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(stored)?;
    let sum = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(format!("\n{sum:08x}\n").as_bytes());
    Ok(bytes)
}

/// What a sink stored; `None` if nothing, or if it is damaged.
pub(super) fn load(spool: &Path, sink: &str) -> io::Result<Option<Stored>> {
    match read(&path(spool, "cursors", sink, "cursor"))? {
        Some(stored) => Ok(Some(marked(spool, sink, stored)?)),
        None => Ok(None),
    }
}

fn read(path: &Path) -> io::Result<Option<Stored>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(parse_stored(&bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a sink stored, at its mark where that is further.
fn marked(spool: &Path, sink: &str, mut stored: Stored) -> io::Result<Stored> {
    let mark = match std::fs::read(path(spool, "cursors", sink, "mark")) {
        Ok(bytes) => parse_mark(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let place = |cursor: &Cursor| (cursor.position, cursor.sequence);
    if let Some(mark) = mark.filter(|mark| place(mark) > place(&stored.cursor)) {
        stored.cursor = mark;
    }
    Ok(stored)
}

/// A mark: the identity, the sequence number and the position, and their CRC-32C. Always as long, so that one write replaces it whole.
fn encode_mark(cursor: &Cursor) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    bytes[..16].copy_from_slice(&cursor.spool.0);
    bytes[16..24].copy_from_slice(&cursor.sequence.to_le_bytes());
    bytes[24..32].copy_from_slice(&cursor.position.to_le_bytes());
    let sum = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn parse_mark(bytes: &[u8]) -> Option<Cursor> {
    let (spool, rest) = bytes.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let (position, sum) = rest.split_first_chunk()?;
    let sum = u32::from_le_bytes(sum.try_into().ok()?);
    let cursor = Cursor { spool: SpoolId(*spool), sequence: u64::from_le_bytes(*sequence), position: u64::from_le_bytes(*position) };
    (crc32c::crc32c(&bytes[..32]) == sum).then_some(cursor)
}

/// Marks how far a sink has got, without syncing.
pub(super) fn mark(spool: &Path, sink: &str, cursor: &Cursor) -> io::Result<()> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path(spool, "cursors", sink, "mark"))?;
    file.write_all_at(&encode_mark(cursor), 0)
}

/// Stores it durably.
pub(super) fn store(spool: &Path, sink: &str, stored: &Stored) -> io::Result<()> {
    folder::replace(&path(spool, "cursors", sink, "cursor"), &encode_stored(stored)?)
}

/// Puts a sink's cursor file aside: it holds nothing any more, and a sink of that name that comes back goes on there.
pub(super) fn forget(spool: &Path, sink: &str) -> io::Result<()> {
    let cursor = path(spool, "cursors", sink, "cursor");
    if let Some(stored) = load(spool, sink)? {
        // As far as its mark, which goes with it.
        folder::replace(&cursor, &encode_stored(&stored)?)?;
    }
    match std::fs::remove_file(path(spool, "cursors", sink, "mark")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match std::fs::rename(&cursor, path(spool, "cursors", sink, "former")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    folder::sync_folder(&spool.join("cursors"))
}

/// What a sink of this name had stored when it was forgotten; `None` if there was none, or if it is damaged.
pub(super) fn former(spool: &Path, sink: &str) -> io::Result<Option<Stored>> {
    read(&path(spool, "cursors", sink, "former"))
}

/// All cursors of a spool that can be read, by the name of their sink.
///
/// # Errors
/// If the folder cannot be listed or a file not be read.
pub fn all(spool: &Path) -> io::Result<Vec<(String, Stored)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(spool.join("cursors"))? {
        let path = entry?.path();
        let name =
            path.file_stem().and_then(|name| name.to_str()).and_then(decode).filter(|_| path.extension().is_some_and(|e| e == "cursor"));
        let Some(name) = name else { continue };
        // One that has gone meanwhile has been put aside.
        if let Some(stored) = load(spool, &name)? {
            found.push((name, stored));
        }
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// Undoes the percent-encoding of [`path`].
fn decode(name: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Stored {
        let cursor = Cursor { spool: SpoolId([3; 16]), sequence: 7, position: 99 };
        Stored { cursor, state: Some(serde_json::json!({"inode": 5})), cuts: vec![Cut { end: cursor, intent: serde_json::json!("key") }] }
    }

    #[test]
    fn a_cursor_is_stored_and_forgotten_by_its_sinks_name_whatever_that_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cursors")).unwrap();
        for sink in ["audit", "/var/log/events.log", "../ä%2F"] {
            assert_eq!(load(folder.path(), sink).unwrap(), None);
            store(folder.path(), sink, &example()).unwrap();
            assert_eq!(load(folder.path(), sink).unwrap(), Some(example()));
        }
        let names: Vec<String> = all(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["../ä%2F", "/var/log/events.log", "audit"]);
        forget(folder.path(), "audit").unwrap();
        forget(folder.path(), "audit").unwrap();
        assert_eq!(load(folder.path(), "audit").unwrap(), None);
        assert_eq!(former(folder.path(), "audit").unwrap(), Some(example()));
        assert_eq!(former(folder.path(), "never there").unwrap(), None);
    }

    #[test]
    fn a_mark_counts_where_it_is_whole_and_further_than_the_cursor() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cursors")).unwrap();
        let at = |position| Cursor { spool: SpoolId([4; 16]), sequence: position / 10, position };
        mark(folder.path(), "stream", &at(200)).unwrap();
        assert_eq!(load(folder.path(), "stream").unwrap(), None, "there is no cursor to be ahead of");
        store(folder.path(), "stream", &example()).unwrap();
        for (position, wanted) in [(98, example().cursor), (200, at(200)), (150, at(150)), (90, example().cursor)] {
            mark(folder.path(), "stream", &at(position)).unwrap();
            assert_eq!(load(folder.path(), "stream").unwrap().unwrap(), Stored { cursor: wanted, ..example() }, "{position}");
            assert_eq!(all(folder.path()).unwrap()[0].1.cursor, wanted);
        }
        mark(folder.path(), "stream", &at(200)).unwrap();
        let path = path(folder.path(), "cursors", "stream", "mark");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(load(folder.path(), "stream").unwrap().unwrap().cursor, example().cursor, "a torn one");
        forget(folder.path(), "stream").unwrap();
        assert!(!path.exists());
    }

    proptest! {
        #[test]
        fn a_damaged_cursor_is_like_none(bit in any::<prop::sample::Index>()) {
            let mut bytes = encode_stored(&example()).unwrap();
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            // The digits of the sum may change their case without changing their value.
            prop_assert!(parse_stored(&bytes).is_none_or(|stored| stored == example()));
        }
    }
}
