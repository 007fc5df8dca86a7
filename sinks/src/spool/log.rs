//! The writing end of a log, whichever it is: a stream of frames cut into segments, written at its tail, synced in groups.
//!
//! What has been handed over is never given up: a write that fails (a full disk, an error) leaves the frames in memory and is tried
//! again; a failed fdatasync counts as "the pages are lost" (Linux marks them clean) and makes the flusher write everything since the
//! last good one into a new segment. Nothing is sticky; everything is counted.

use super::damage::{Damaged, Register};
use super::folder::{self, Folder};
use super::retention::Holder;
use super::segment::{LogKind, SEGMENT_HEAD, SegmentHead};
use super::tail::Tail;
use super::{SpoolId, SpoolMetrics};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How a log writes and syncs; tests put failures in its place.
#[derive(Clone)]
pub(super) struct Disk {
    pub write: fn(&File, &[IoSlice<'_>], u64) -> io::Result<usize>,
    pub sync: fn(&File) -> io::Result<()>,
    pub remove: fn(&Path) -> io::Result<()>,
}

impl Default for Disk {
    fn default() -> Self {
        Self {
            write: |file, parts, offset| Ok(rustix::io::pwritev(file, parts, offset)?),
            sync: |file| Ok(rustix::fs::fdatasync(file)?),
            remove: |path| std::fs::remove_file(path),
        }
    }
}

/// No segment is larger, however large the log may be.
const MAX_SEGMENT: u64 = 64 << 20;

/// What a log does not change while it is open.
#[derive(Clone)]
pub(super) struct Settings {
    pub kind: LogKind,
    pub node: String,
    /// A segment is at most this part of the bound.
    pub segments: u64,
    /// Keep frames in memory until they are synced.
    pub retain: bool,
    /// Segments that are kept to be used again instead of unlinked.
    pub spares: usize,
    pub min_free_percent: u64,
    pub disk: Disk,
}

/// How far readers may go, and what the last commit there said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Visible {
    pub id: SpoolId,
    pub position: u64,
    pub sequence: u64,
    pub time: i64,
    pub intake_position: u64,
    /// The spool itself needs everything from here on: the last commit, and the partial sums of open windows.
    pub keep: u64,
}

/// A segment in the index.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub base: u64,
    pub end: u64,
    pub id: SpoolId,
    pub number: u64,
    pub previous: Option<(SpoolId, u64)>,
}

/// Whole frames on their way to the disk.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub position: u64,
    pub bytes: Bytes,
    /// The sequence number after the chunk.
    pub number: u64,
    /// What becomes visible once the chunk is synced.
    pub visible: Option<Visible>,
}

pub(super) struct State {
    pub segments: VecDeque<Segment>,
    pub active: Arc<File>,
    pub id: SpoolId,
    /// The stream's end as far as it is written; chunks go on from here.
    pub written: u64,
    pub queued: u64,
    pub synced: u64,
    /// Not written yet, and, where the settings say so, not synced yet.
    pub chunks: VecDeque<Chunk>,
    /// The sequence numbers at `written` and at `synced`, for the header of a new segment.
    pub number: u64,
    pub synced_number: u64,
    pub last: Visible,
    /// Segments written to but not synced, apart from the active one.
    pub dirty: Vec<Arc<File>>,
    pub folder_dirty: bool,
    /// Segments whose frames stand in another one by now; their files have to go before that counts as synced.
    pub replaced: Vec<u64>,
    /// How often a segment was written again. A file that was opened before may be that of a segment that was replaced.
    pub rewrites: u64,
    /// An fdatasync failed: nothing after `synced` is on disk.
    pub sync_failed: bool,
    /// A write failed for another reason than room: go on in a new segment.
    pub renew_segment: bool,
    pub holders: BTreeMap<String, Holder>,
    /// The spool itself needs everything from here on, see [`Visible::keep`].
    pub keep: u64,
    pub spares: usize,
    pub stop: bool,
    pub kick: bool,
}

impl State {
    /// The state of a log that was opened just now and ends at `visible`.
    pub fn new(segments: VecDeque<Segment>, active: File, visible: Visible, spares: usize) -> Self {
        Self {
            segments,
            active: Arc::new(active),
            id: visible.id,
            written: visible.position,
            queued: visible.position,
            synced: visible.position,
            chunks: VecDeque::new(),
            number: visible.sequence,
            synced_number: visible.sequence,
            last: visible,
            dirty: Vec::new(),
            folder_dirty: false,
            replaced: Vec::new(),
            rewrites: 0,
            sync_failed: false,
            renew_segment: false,
            holders: BTreeMap::new(),
            keep: visible.keep,
            spares,
            stop: false,
            kick: false,
        }
    }

    /// Bytes from the oldest segment's beginning to the end of what is written.
    pub fn on_disk(&self) -> u64 {
        self.written - self.segments.front().map_or(0, |segment| segment.base)
    }
}

/// What writer, flusher and readers share.
pub(super) struct Shared {
    pub folder: Folder,
    pub settings: Settings,
    /// The most the log may take on disk; a reload changes it.
    pub max_bytes: AtomicU64,
    pub state: Mutex<State>,
    /// Held during a sync.
    pub syncing: Mutex<()>,
    /// Wakes the flusher.
    pub wake: Condvar,
    /// Tells that the flusher got on.
    pub progress: Condvar,
    pub visible: watch::Sender<Visible>,
    /// The end that readers of an intake see.
    pub tail: Tail,
    pub metrics: SpoolMetrics,
    pub damage: Mutex<Register>,
}

impl Shared {
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the state was locked cannot happen by our own rules; the state is consistent between statements anyway.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size at which a segment is full.
    pub fn segment_bytes(&self) -> u64 {
        (self.max_bytes.load(Relaxed) / self.settings.segments).min(MAX_SEGMENT)
    }

    /// A reader of a spool is about to go past records that could not be read back.
    pub fn meet(&self, damaged: Vec<Damaged>) {
        let begins = self.begins();
        if let Err(error) = self.damage.lock().unwrap_or_else(PoisonError::into_inner).meet(damaged, &begins) {
            tracing::warn!(folder = %self.folder.path.display(), %error, "Damage in the spool cannot be noted down; it is declared unless the daemon ends before.");
        }
    }

    /// Where the numbers of each identity begin that segments are left of.
    pub fn begins(&self) -> Vec<(SpoolId, u64)> {
        let mut begins: Vec<(SpoolId, u64)> = Vec::new();
        for segment in &self.lock().segments {
            if begins.last().is_none_or(|(id, _)| *id != segment.id) {
                begins.push((segment.id, segment.number));
            }
        }
        begins
    }

    /// Hands frames over. They will be written, now or later; the error says why not now.
    pub fn append(&self, state: &mut State, chunk: Chunk) -> io::Result<()> {
        state.queued = chunk.position + chunk.bytes.len() as u64;
        state.chunks.push_back(chunk);
        self.write_queued(state)
    }

    /// Writes what has been handed over and is not written yet.
    pub fn write_queued(&self, state: &mut State) -> io::Result<()> {
        while state.written < state.queued {
            let at = state.chunks.partition_point(|chunk| chunk.position < state.written);
            let Some(chunk) = state.chunks.get(at).cloned() else {
                break;
            };
            self.write(state, &[IoSlice::new(&chunk.bytes)], chunk.bytes.len() as u64)?;
            state.number = chunk.number;
            if let Some(visible) = chunk.visible {
                state.last = visible;
            }
            if !self.settings.retain {
                state.chunks.pop_front();
            }
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Writes whole frames at the tail, all or nothing, in a new segment where they do not fit.
    pub fn write(&self, state: &mut State, parts: &[IoSlice<'_>], length: u64) -> io::Result<()> {
        let base = state.segments.back().map_or(0, |segment| segment.base);
        let full = state.written > base && state.written - base + length + SEGMENT_HEAD as u64 > self.segment_bytes();
        if full || state.renew_segment {
            if let Err(error) = self.roll(state) {
                self.metrics.write_errors.fetch_add(1, Relaxed);
                return Err(error);
            }
            state.renew_segment = false;
        }
        let base = state.segments.back().map_or(0, |segment| segment.base);
        let offset = state.written - base + SEGMENT_HEAD as u64;
        let result = write_all_at(&self.settings.disk, &state.active, parts, offset);
        if let Err(error) = &result {
            self.metrics.write_errors.fetch_add(1, Relaxed);
            state.renew_segment = error.kind() != io::ErrorKind::StorageFull;
            return result;
        }
        state.written += length;
        if let Some(segment) = state.segments.back_mut() {
            segment.end = state.written;
        }
        Ok(())
    }

    /// Begins a new segment at the tail.
    pub fn roll(&self, state: &mut State) -> io::Result<()> {
        self.make_room(state);
        let head = SegmentHead {
            kind: self.settings.kind,
            node: self.settings.node.clone(),
            id: state.id,
            base: state.written,
            number: state.number,
            created: folder::now(),
            // In every segment, not only in the first, which may make room long before a sink comes to where the identity before ended.
            previous: state.segments.back().filter(|segment| segment.id == state.id).and_then(|segment| segment.previous),
        };
        let file = self.begin_segment(state, &head)?;
        if state.segments.back().is_some_and(|segment| segment.base == head.base) {
            state.segments.pop_back();
        }
        let before = std::mem::replace(&mut state.active, file);
        state.dirty.push(before);
        state.folder_dirty = true;
        let (base, end) = (head.base, head.base);
        state.segments.push_back(Segment { base, end, id: head.id, number: head.number, previous: head.previous });
        Ok(())
    }

    /// Makes the file of a new segment: its header first, its name last.
    pub fn begin_segment(&self, state: &mut State, head: &SegmentHead) -> io::Result<Arc<File>> {
        let path = self.folder.segment(head.base);
        let (file, temporary) = if state.spares > 0 {
            state.spares -= 1;
            let spare = self.spare(state.spares);
            (std::fs::OpenOptions::new().read(true).write(true).open(&spare)?, spare)
        } else {
            let temporary = path.with_extension("tmp");
            (folder::create(&temporary)?, temporary)
        };
        write_all_at(&self.settings.disk, &file, &[IoSlice::new(&head.encode())], 0)?;
        std::fs::rename(&temporary, &path)?;
        state.replaced.retain(|base| *base != head.base);
        Ok(Arc::new(file))
    }

    pub fn spare(&self, number: usize) -> std::path::PathBuf {
        self.folder.path.join(format!("spare-{number}"))
    }

    /// Bytes the log takes on disk.
    pub fn bytes(state: &State) -> u64 {
        state.segments.iter().map(|segment| segment.end - segment.base + SEGMENT_HEAD as u64).sum()
    }
}

/// Writes all of `parts` at an offset. After an error nothing counts as written.
pub(super) fn write_all_at(disk: &Disk, file: &File, parts: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut done = 0;
    while done < total {
        let mut skip = done;
        let rest: Vec<IoSlice<'_>> = parts
            .iter()
            .filter_map(|part| {
                let from = skip.min(part.len());
                skip -= from;
                (from < part.len()).then(|| IoSlice::new(&part[from..]))
            })
            .collect();
        match (disk.write)(file, &rest, offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
