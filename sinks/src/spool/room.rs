//! Room on the disk: which segments are no longer needed, and which make room at the bound.

use super::WhenFull;
use super::log::{Shared, State};
use super::retention::{Extent, Holder, victim};
use super::segment::{LogKind, SEGMENT_HEAD};
use std::sync::atomic::Ordering::Relaxed;

impl Shared {
    /// Removes what everybody has passed.
    pub fn reclaim(&self, state: &mut State) {
        let needed = state.holders.values().map(|holder| holder.position).min().unwrap_or(u64::MAX).min(state.keep);
        while state.segments.len() > 1 && state.segments.front().is_some_and(|segment| segment.end <= needed) {
            if !self.remove(state, 0) {
                break;
            }
        }
        self.measure(state);
    }

    /// Before a new segment is begun: keeps the log within its bound and the disk's share free.
    pub fn make_room(&self, state: &mut State) {
        self.reclaim(state);
        if self.settings.kind == LogKind::Intake {
            // It gives nothing up; at its bound it takes nothing more.
            return;
        }
        let segment = self.segment_bytes();
        loop {
            let bytes = Self::bytes(state);
            let bound = self.bound(bytes);
            if bytes + segment <= bound {
                break;
            }
            if self.let_go(state) {
                self.reclaim(state);
                continue;
            }
            // The active segment is not up for removal.
            let count = state.segments.len().saturating_sub(1);
            let extents: Vec<Extent> =
                state.segments.iter().take(count).map(|segment| Extent { base: segment.base, end: segment.end }).collect();
            let holders: Vec<Holder> = state.holders.values().copied().collect();
            let Some(index) = victim(&extents, &holders, state.keep, bound) else {
                break;
            };
            self.metrics.segments_dropped.fetch_add(1, Relaxed);
            if !self.remove(state, index) {
                break;
            }
        }
        self.measure(state);
    }

    /// At the bound, sinks that are to be detached hold nothing any more. Whether there was one.
    fn let_go(&self, state: &mut State) -> bool {
        let active = state.segments.back().map_or(0, |segment| segment.base);
        let mut found = false;
        for holder in state.holders.values_mut() {
            if holder.when_full == WhenFull::Detach && holder.position < active {
                holder.position = u64::MAX;
                found = true;
            }
        }
        found
    }

    /// How large the log may be. Where the disk is short of free room it may not grow, but gives nothing up that it has.
    fn bound(&self, bytes: u64) -> u64 {
        let max_bytes = self.max_bytes.load(Relaxed);
        let Ok((free, size)) = self.folder.disk() else {
            return max_bytes;
        };
        let reserve = size / 100 * self.settings.min_free_percent;
        let least = bytes.max(4 * self.segment_bytes());
        max_bytes.min(bytes.saturating_add(free.saturating_sub(reserve)).max(least))
    }

    /// Takes a segment away, or keeps its file to be used again.
    fn remove(&self, state: &mut State, index: usize) -> bool {
        let Some(segment) = state.segments.get(index) else {
            return false;
        };
        let path = self.folder.segment(segment.base);
        let whole = segment.end - segment.base + SEGMENT_HEAD as u64 > self.segment_bytes() / 2;
        let result = if whole && state.spares < self.settings.spares {
            std::fs::rename(&path, self.spare(state.spares)).map(|()| state.spares += 1)
        } else {
            std::fs::remove_file(&path)
        };
        match result {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "A segment could not be removed; it is tried again with the next one.");
                return false;
            }
        }
        state.segments.remove(index);
        state.folder_dirty = true;
        true
    }

    fn measure(&self, state: &State) {
        self.metrics.bytes.store(Self::bytes(state), Relaxed);
        self.metrics.segments.store(state.segments.len() as u64, Relaxed);
    }
}
