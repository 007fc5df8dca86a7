//! A handle on an open spool, for everything but writing: readers, cursors, metrics.

use super::log::{Shared, Visible};
use super::retention::Holder;
use super::{Cursor, Damaged, Reader, SpoolId, SpoolMetrics, Stored, WhenFull, cursor};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::watch;

/// An open spool. Cheap to clone; the spool is closed by its writer.
#[derive(Clone)]
pub struct Spool {
    pub(super) shared: Arc<Shared>,
}

impl Spool {
    /// The spool's folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder.path
    }

    /// The identity under which records are numbered now.
    pub fn id(&self) -> SpoolId {
        self.shared.visible.borrow().id
    }

    /// What the spool counts.
    pub fn metrics(&self) -> &SpoolMetrics {
        &self.shared.metrics
    }

    /// A reader for the sink of this name, at its stored cursor or, for a new one, before the oldest record there is, and what else is
    /// stored. From now on the spool keeps for the sink what it has not released, as `when_full` says, over restarts too: where nothing is
    /// stored yet, its place is stored, if the disk takes it. A sink that was forgotten goes on where it was, as far as that is still there.
    ///
    /// # Errors
    /// If the cursor file cannot be read just now. A damaged one is like none.
    pub fn reader(&self, sink: &str, when_full: WhenFull) -> io::Result<(Reader, Stored)> {
        let known = cursor::load(self.folder(), sink)?;
        let former = if known.is_none() { cursor::former(self.folder(), sink)? } else { None };
        let is_new = known.is_none();
        let mut state = self.shared.lock();
        let visible = *self.shared.visible.borrow();
        let begin = state.segments.front().map_or(visible.position, |segment| segment.base);
        let stored = known.or(former.filter(|former| (begin..=visible.position).contains(&former.cursor.position)));
        let oldest = state.segments.front().map(|segment| Cursor { spool: segment.id, sequence: segment.number, position: segment.base });
        let end = Cursor { spool: visible.id, sequence: visible.sequence, position: visible.position };
        let stored = stored.unwrap_or_else(|| Stored { cursor: oldest.unwrap_or(end), ..Stored::default() });
        state.holders.insert(sink.to_owned(), Holder { position: stored.cursor.position, when_full });
        drop(state);
        if is_new && let Err(error) = self.store(sink, &stored) {
            // It starts all the same: only a crash before its next cursor would let go of what it has not delivered.
            tracing::warn!(folder = %self.folder().display(), sink, %error, "The place of a new sink cannot be stored.");
        }
        Ok((Reader::new(self.shared.clone(), stored.cursor).of(sink), stored))
    }

    /// A reader at this place that holds nothing.
    pub(crate) fn fork(&self, place: &Cursor) -> Reader {
        Reader::new(self.shared.clone(), *place)
    }

    /// These records have left the spool before the sink was done with them: its loss alone, declared with the next commit.
    pub(crate) fn lose(&self, sink: &str, gone: &[(SpoolId, (u64, u64))]) {
        let lost = |&(spool, (first, next))| Damaged { spool, first, next, from: None, to: None, sink: Some(sink.to_owned()) };
        self.shared.meet(gone.iter().map(lost).collect());
    }

    /// The position up to which readers see.
    pub fn end(&self) -> u64 {
        self.shared.visible.borrow().position
    }

    /// What lies before this place is not kept for the sink any more.
    pub fn release(&self, sink: &str, place: &Cursor) {
        let mut state = self.shared.lock();
        if let Some(holder) = state.holders.get_mut(sink) {
            holder.position = place.position;
        }
        self.shared.reclaim(&mut state);
    }

    /// Bounds the spool anew. Where it is larger now, what the sinks' policies let go makes room with the next segment, as at any bound.
    pub fn set_max_bytes(&self, bytes: u64) {
        self.shared.max_bytes.store(bytes, Relaxed);
    }

    /// Tells when more becomes visible.
    pub(crate) fn changes(&self) -> Changes {
        Changes(self.shared.visible.subscribe())
    }

    /// Records between what a sink has released and the visible end, and their sequence numbers under the identity of now. `None` if the
    /// spool keeps nothing for a sink of this name.
    pub fn lag(&self, sink: &str) -> Option<(u64, (u64, u64))> {
        let stored = cursor::load(self.folder(), sink).ok().flatten()?;
        let mut reader = Reader::new(self.shared.clone(), stored.cursor);
        let records = reader.pending().ok()?.records;
        let next = self.shared.visible.borrow().sequence;
        Some((records, (next.saturating_sub(records), next)))
    }

    /// Stores how far a sink has got, durably.
    ///
    /// # Errors
    /// If the disk does not take it just now.
    pub fn store(&self, sink: &str, stored: &Stored) -> io::Result<()> {
        cursor::store(self.folder(), sink, stored)
    }

    /// Marks how far a sink has got since its cursor was stored: survives this process, and not the machine. Cheap.
    ///
    /// # Errors
    /// If the disk does not take it just now.
    pub fn mark(&self, sink: &str, cursor: &Cursor) -> io::Result<()> {
        cursor::mark(self.folder(), sink, cursor)
    }

    /// The sinks that have a cursor here, with what they stored.
    ///
    /// # Errors
    /// If the cursors cannot be read just now.
    pub fn cursors(&self) -> io::Result<Vec<(String, Stored)>> {
        cursor::all(self.folder())
    }

    /// Forgets a sink: nothing is kept for it any more.
    ///
    /// # Errors
    /// If its cursor file cannot be removed just now.
    pub fn forget(&self, sink: &str) -> io::Result<()> {
        let mut state = self.shared.lock();
        state.holders.remove(sink);
        self.shared.reclaim(&mut state);
        drop(state);
        cursor::forget(self.folder(), sink)
    }
}

/// Tells when more of a spool becomes visible.
pub(crate) struct Changes(watch::Receiver<Visible>);

impl Changes {
    /// Waits until more is visible than at the last call. `false`: the spool is closed, there will be no more.
    pub async fn next(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
