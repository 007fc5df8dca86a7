//! The flusher: one thread a log that makes frames durable in groups, at most every 100 ms, and only then visible.
//!
//! An idle log costs nothing (the thread sleeps until something is written), and the first write after a pause is synced at once.

use super::log::{Segment, Shared, State, Visible, write_all_at};
use super::segment::{Piece, SEGMENT_HEAD, Scan, SegmentHead};
use super::{folder, log};
use std::fs::File;
use std::io::{self, IoSlice};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Not more often than this is a log synced, unless much is waiting.
const INTERVAL: Duration = Duration::from_millis(100);
/// So many bytes written and not synced are synced at once.
pub(super) const SOON: u64 = 4 << 20;
/// How long the flusher waits after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// The flusher's thread, until [`State::stop`].
pub(super) fn run(shared: &Shared) {
    let mut last: Option<Instant> = None;
    let mut state = shared.lock();
    loop {
        while !state.stop && !state.sync_failed && state.written == state.synced && state.written == state.queued {
            state = shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stop {
            return;
        }
        let due = last.map_or(Duration::ZERO, |last| INTERVAL.saturating_sub(last.elapsed()));
        let much = state.written - state.synced >= SOON;
        if !due.is_zero() && !much && !state.kick {
            state = shared.wake.wait_timeout(state, due).unwrap_or_else(PoisonError::into_inner).0;
            continue;
        }
        state.kick = false;
        last = Some(Instant::now());
        drop(state);
        let result = sync(shared);
        state = shared.lock();
        shared.progress.notify_all();
        if result.is_err() && !state.stop {
            state = shared.wake.wait_timeout(state, PAUSE).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Makes everything written so far durable and visible.
pub(super) fn sync(shared: &Shared) -> io::Result<()> {
    // One at a time, so that what is visible never goes back.
    let _one = shared.syncing.lock().unwrap_or_else(PoisonError::into_inner);
    let mut state = shared.lock();
    let written = shared.write_queued(&mut state);
    if state.sync_failed {
        rewrite(shared, &mut state)?;
        return written;
    }
    let (target, last, number) = (state.written, state.last, state.number);
    if target == state.synced && !state.folder_dirty {
        return written;
    }
    let closed = state.dirty.len();
    let files: Vec<Arc<File>> = state.dirty.iter().chain([&state.active]).cloned().collect();
    let folder_dirty = std::mem::take(&mut state.folder_dirty);
    drop(state);

    let started = Instant::now();
    let mut result = files.iter().try_for_each(|file| (shared.settings.disk.sync)(file));
    if folder_dirty {
        result = result.and_then(|()| folder::sync_folder(&shared.folder.path));
    }
    let mut state = shared.lock();
    match result {
        Ok(()) => {
            state.dirty.drain(..closed);
            state.synced_number = number;
            publish(shared, &mut state, target, last, started);
            written
        }
        Err(error) => {
            tracing::warn!(folder = %shared.folder.path.display(), %error, "The log could not be synced; it is written again into a new segment.");
            shared.metrics.sync_errors.fetch_add(1, Relaxed);
            state.sync_failed = true;
            rewrite(shared, &mut state)
        }
    }
}

fn publish(shared: &Shared, state: &mut State, target: u64, last: Visible, started: Instant) {
    state.synced = target;
    if shared.settings.retain {
        state.keep = last.keep;
    }
    while state.chunks.front().is_some_and(|chunk| chunk.position + chunk.bytes.len() as u64 <= target) {
        state.chunks.pop_front();
    }
    shared.metrics.syncs.fetch_add(1, Relaxed);
    shared.metrics.sync_nanoseconds.fetch_add(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX), Relaxed);
    shared.metrics.unsynced_bytes.store(state.written - state.synced, Relaxed);
    shared.visible.send_if_modified(|visible| std::mem::replace(visible, last) != last);
}

/// After a failed fdatasync: writes all frames since the last good one into a new segment and syncs that.
fn rewrite(shared: &Shared, state: &mut State) -> io::Result<()> {
    let started = Instant::now();
    // What everybody has passed may be gone already.
    let oldest = state.segments.front().map_or(0, |segment| segment.base);
    let (from, to) = (state.synced.max(oldest), state.written);
    let first = state.segments.iter().rev().find(|segment| segment.base <= from);
    let Some(first) = first.cloned() else {
        return Ok(());
    };
    // A segment that begins right at the last good sync is replaced as a whole, and takes its header along.
    let head = SegmentHead {
        kind: shared.settings.kind,
        node: shared.settings.node.clone(),
        id: state.id,
        base: from,
        number: if first.base == from { first.number } else { state.synced_number },
        created: folder::now(),
        previous: first.previous.filter(|_| first.id == state.id),
    };
    let path = shared.folder.segment(from);
    let temporary = path.with_extension("again");
    let file = folder::create(&temporary)?;
    write_all_at(&shared.settings.disk, &file, &[IoSlice::new(&head.encode())], 0)?;
    if shared.settings.retain {
        for chunk in state.chunks.iter().filter(|chunk| chunk.position < to) {
            write_all_at(&shared.settings.disk, &file, &[IoSlice::new(&chunk.bytes)], chunk.position - from + SEGMENT_HEAD as u64)?;
        }
    } else {
        copy_frames(shared, state, from, to, &file)?;
    }
    (shared.settings.disk.sync)(&file)?;
    std::fs::rename(&temporary, &path)?;
    // From here on the frames stand in the new segment, also if the old ones cannot be removed yet and all of this is done again.
    state.rewrites += 1;
    state.replaced.extend(state.segments.iter().map(|segment| segment.base).filter(|base| *base > from));
    state.replaced.retain(|base| *base != from);
    state.segments.retain(|segment| segment.base < from);
    if let Some(before) = state.segments.back_mut() {
        before.end = before.end.min(from);
    }
    state.segments.push_back(Segment { base: from, end: to, id: head.id, number: head.number, previous: head.previous });
    state.active = Arc::new(file);
    state.dirty.clear();
    while let Some(base) = state.replaced.last().copied() {
        match (shared.settings.disk.remove)(&shared.folder.segment(base)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => state.replaced.pop(),
        };
    }
    folder::sync_folder(&shared.folder.path)?;
    state.folder_dirty = false;
    state.sync_failed = false;
    state.synced_number = state.number;
    let last = state.last;
    publish(shared, state, to, last, started);
    Ok(())
}

/// Copies frames that are no longer in memory out of the old segments. What does not come back whole from the page cache is left out: a
/// reader declares it.
fn copy_frames(shared: &Shared, state: &State, from: u64, to: u64, file: &File) -> io::Result<()> {
    for segment in state.segments.iter().filter(|segment| segment.end > from) {
        let source = File::open(shared.folder.segment(segment.base))?;
        let mut scan = Scan::new(source, segment.base, &segment.id, from.max(segment.base));
        while let Some(piece) = scan.next(segment.end.min(to))? {
            if let Piece::Frame(head, payload) = piece {
                let bytes = head.encode(super::frame::Seed::of(&segment.id));
                let offset = head.position - from + SEGMENT_HEAD as u64;
                log::write_all_at(&shared.settings.disk, file, &[IoSlice::new(&bytes), IoSlice::new(payload)], offset)?;
            }
        }
    }
    Ok(())
}
