//! Looks into a log's folder without taking it: nothing is locked, cut, moved or written. For people and for the order in which a daemon opens its logs.
//!
//! Beside a running daemon this sees a moment that is already over, and may take a frame that is being written for a torn one.

use super::segment::{Piece, ReadAt, SEGMENT_HEAD, Scan, SegmentHead};
use super::{Commit, Head, Kind};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// One segment of a folder.
#[derive(Clone, Debug)]
pub struct FoundSegment {
    /// Its file.
    pub path: PathBuf,
    /// What its header says, or why that can't be read.
    pub head: Result<SegmentHead, String>,
    /// The position where it ends.
    pub end: u64,
}

/// Part of a segment.
#[derive(Clone, Copy, Debug)]
pub enum Part<'p> {
    /// A whole frame.
    Frame(&'p Head, &'p [u8]),
    /// Bytes that are no frame.
    Bad {
        /// Where they begin.
        from: u64,
        /// Where they end.
        to: u64,
    },
}

/// The segments of a folder, in order. A folder that is not there has none.
///
/// # Errors
/// When the folder or a file can't be read.
pub fn segments(folder: &Path) -> io::Result<Vec<FoundSegment>> {
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "seg")
            && let Some(base) = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok())
        {
            found.push((base, path));
        }
    }
    found.sort();
    let bases: Vec<u64> = found.iter().map(|(base, _)| *base).collect();
    let mut segments = Vec::new();
    for (index, (base, path)) in found.into_iter().enumerate() {
        let file = File::open(&path)?;
        let length = file.metadata()?.len();
        let mut bytes = [0; SEGMENT_HEAD];
        let count = ReadAt::read_at(&file, &mut bytes, 0)?;
        let limit = bases.get(index + 1).copied().unwrap_or(u64::MAX);
        let end = limit.min(base.saturating_add(length.saturating_sub(SEGMENT_HEAD as u64)));
        let head = SegmentHead::parse(&bytes[..count]).map_err(|error| error.to_string());
        segments.push(FoundSegment { path, head, end });
    }
    Ok(segments)
}

/// Goes through a segment's frames.
///
/// # Errors
/// When the file can't be read.
pub fn walk(segment: &FoundSegment, each: &mut dyn FnMut(Part<'_>)) -> io::Result<()> {
    let Ok(head) = &segment.head else { return Ok(()) };
    let mut scan = Scan::new(File::open(&segment.path)?, head.base, &head.id, head.base);
    loop {
        let from = scan.position();
        match scan.next(segment.end)? {
            Some(Piece::Frame(head, payload)) => each(Part::Frame(&head, payload)),
            Some(Piece::Bad { to, .. }) => each(Part::Bad { from, to }),
            None => {
                if scan.position() < segment.end {
                    each(Part::Bad { from: scan.position(), to: segment.end });
                }
                return Ok(());
            }
        }
    }
}

/// The last commit in a spool's folder, if there is one.
///
/// # Errors
/// When the folder or a file can't be read.
pub fn last_commit(folder: &Path) -> io::Result<Option<Commit>> {
    for segment in segments(folder)?.iter().rev() {
        let mut last = None;
        walk(segment, &mut |part| {
            if let Part::Frame(head, payload) = part
                && head.kind == Kind::Commit
            {
                last = serde_json::from_slice(payload).ok().or(last.take());
            }
        })?;
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(None)
}
