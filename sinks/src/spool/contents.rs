//! What a folder holds: its segments in order, where the log ends, and what of it cannot be parsed.
//!
//! Only the last segment of a spool is read through (further ones back where it holds no commit); damage in older ones is met by the
//! readers. A spool is cut back to its last commit: what came after was never visible, and is folded again from the intake. Bytes that
//! are cut off or cannot be parsed are kept in `corrupt/`, never just deleted.

use super::folder::{self, Folder, OpenError, at};
use super::frame::{Head, Kind};
use super::log::{Segment, Settings};
use super::recover::Found;
use super::segment::{HeadError, Piece, ReadAt, SEGMENT_HEAD, Scan, SegmentHead};
use super::{Commit, SpoolId, SpoolMetrics};
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

/// Where the log ends.
pub(super) struct End {
    pub position: u64,
    pub number: u64,
}

/// The segments in a folder, in order. `ids` are the identities that the id file names.
pub(super) fn list(folder: &Folder, settings: &Settings, ids: &[SpoolId], metrics: &SpoolMetrics) -> Result<VecDeque<Segment>, OpenError> {
    let mut bases: Vec<u64> = Vec::new();
    for entry in std::fs::read_dir(&folder.path).map_err(at(&folder.path))? {
        let path = entry.map_err(at(&folder.path))?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => bases.extend(path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<u64>().ok())),
            // Begun and never finished: nothing in it was ever part of the log.
            Some("tmp" | "again") => std::fs::remove_file(&path).map_err(at(&path))?,
            _ => {}
        }
    }
    bases.sort_unstable();
    let mut found = Vec::new();
    for (index, base) in bases.iter().copied().enumerate() {
        let path = folder.segment(base);
        let file = File::open(&path).map_err(at(&path))?;
        let length = file.metadata().map_err(at(&path))?.len();
        let mut bytes = [0; SEGMENT_HEAD];
        let count = ReadAt::read_at(&file, &mut bytes, 0).map_err(at(&path))?;
        let limit = bases.get(index + 1).copied().unwrap_or(u64::MAX);
        let end = limit.min(base.saturating_add(length.saturating_sub(SEGMENT_HEAD as u64)));
        let head = match SegmentHead::parse(&bytes[..count]) {
            Err(source @ HeadError::Format(_)) => return Err(OpenError::Format { path, source }),
            head => head.ok().filter(|head| head.base == base && head.kind == settings.kind),
        };
        found.push((base, end, head));
    }
    // Every identity that anything here names.
    let heads = found.iter().filter_map(|(_, _, head)| head.as_ref());
    let named = heads.flat_map(|head| [Some(head.id), head.previous.map(|(id, _)| id)]);
    let known: Vec<SpoolId> = named.flatten().chain(ids.iter().copied()).collect();
    let mut segments: VecDeque<Segment> = VecDeque::new();
    for (base, end, head) in found {
        let segment = match head {
            Some(head) => Some(Segment { base, end, id: head.id, number: head.number, previous: head.previous }),
            None => {
                metrics.corrupt_frames.fetch_add(1, Relaxed);
                headless(folder, (base, end), &known, segments.back())?
            }
        };
        segments.extend(segment);
    }
    Ok(segments)
}

/// A segment whose header is damaged: its frames say themselves whether they belong to an identity we know. If none does, it is set aside.
fn headless(folder: &Folder, (base, end): (u64, u64), known: &[SpoolId], before: Option<&Segment>) -> Result<Option<Segment>, OpenError> {
    let path = folder.segment(base);
    let file = File::open(&path).map_err(at(&path))?;
    let Some((id, number)) = known.iter().find_map(|id| first_number(&file, base, end, *id).map(|number| (*id, number))) else {
        return folder.set_aside(&path).map_err(at(&path)).map(|()| None);
    };
    let previous = match before {
        Some(before) if before.id == id => before.previous,
        Some(before) => last_commit(&folder.segment(before.base), before)?.0.map(|(commit, _)| (before.id, commit.next)),
        None => None,
    };
    Ok(Some(Segment { base, end, id, number, previous }))
}

fn first_number(file: &File, base: u64, end: u64, id: SpoolId) -> Option<u64> {
    let mut scan = Scan::new(file.try_clone().ok()?, base, &id, base);
    loop {
        if let Piece::Frame(head, _) = scan.next(end).ok()?? {
            return Some(head.number);
        }
    }
}

/// Cuts a spool back to its last commit.
pub(super) fn cut(folder: &Folder, segments: &mut VecDeque<Segment>, found: &mut Found) -> Result<End, OpenError> {
    let mut end =
        End { position: segments.front().map_or(0, |segment| segment.base), number: segments.front().map_or(1, |segment| segment.number) };
    let mut keep = 0;
    for index in (0..segments.len()).rev() {
        let segment = segments[index].clone();
        let path = folder.segment(segment.base);
        let (commit, corrupt, cut) = last_commit(&path, &segment)?;
        found.corrupt_bytes += corrupt;
        found.cut_bytes += cut;
        if let Some((commit, position)) = commit {
            end = End { position, number: commit.next };
            found.last = Some((commit, position));
            keep = index + 1;
            break;
        }
    }
    // An identity's first segment may be without a commit because it was begun just now; whatever it is, nothing of it was visible.
    for segment in segments.drain(keep..) {
        let path = folder.segment(segment.base);
        folder.keep_copy(&path, SEGMENT_HEAD as u64).map_err(at(&path))?;
        std::fs::remove_file(&path).map_err(at(&path))?;
    }
    if let Some(segment) = segments.back_mut() {
        let path = folder.segment(segment.base);
        let offset = end.position - segment.base + SEGMENT_HEAD as u64;
        let file = std::fs::OpenOptions::new().write(true).open(&path).map_err(at(&path))?;
        if file.metadata().map_err(at(&path))?.len() > offset {
            folder.keep_copy(&path, offset).map_err(at(&path))?;
            file.set_len(offset).and_then(|()| file.sync_all()).map_err(at(&path))?;
        }
        segment.end = end.position;
    }
    folder::sync_folder(&folder.path).map_err(at(&folder.path))?;
    Ok(end)
}

/// A segment's last commit and the position after it, the bytes that are no frame, and the bytes of whole frames behind the commit.
type LastCommit = (Option<(Commit, u64)>, u64, u64);

fn last_commit(path: &Path, segment: &Segment) -> Result<LastCommit, OpenError> {
    let file = File::open(path).map_err(at(path))?;
    let mut scan = Scan::new(file, segment.base, &segment.id, segment.base);
    let (mut commit, mut corrupt, mut behind) = (None, 0, 0);
    loop {
        let from = scan.position();
        match scan.next(segment.end).map_err(at(path))? {
            Some(Piece::Frame(head, payload)) => {
                behind += head.end() - from;
                if let Some(parsed) = (head.kind == Kind::Commit).then(|| serde_json::from_slice::<Commit>(payload).ok()).flatten() {
                    commit = Some((parsed, head.end()));
                    behind = 0;
                }
            }
            Some(Piece::Bad { to, .. }) => corrupt += to - from,
            None => return Ok((commit, corrupt + (segment.end - scan.position()), behind)),
        }
    }
}

/// Reads all of an intake: its end is behind its last whole frame.
pub(super) fn read_through(
    folder: &Folder,
    segments: &mut VecDeque<Segment>,
    found: &mut Found,
    visit: &mut dyn FnMut(&Head, &[u8]),
) -> Result<End, OpenError> {
    let mut end = End { position: segments.front().map_or(0, |segment| segment.base), number: 0 };
    let count = segments.len();
    for (index, segment) in segments.iter_mut().enumerate() {
        let path = folder.segment(segment.base);
        let file = File::open(&path).map_err(at(&path))?;
        let mut scan = Scan::new(file, segment.base, &segment.id, segment.base);
        let mut last = segment.base;
        loop {
            let from = scan.position();
            match scan.next(segment.end).map_err(at(&path))? {
                Some(Piece::Frame(head, payload)) => {
                    visit(&head, payload);
                    last = head.end();
                }
                Some(Piece::Bad { to, .. }) => found.corrupt_bytes += to - from,
                None => break,
            }
        }
        if index + 1 == count {
            // What lies behind is a torn frame, or a segment file's earlier life.
            segment.end = last;
        }
        end.position = segment.end;
    }
    Ok(end)
}
