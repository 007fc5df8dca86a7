//! Walking through a log in the order of its positions, over its segments, holes and damage. What spool and intake readers share.

use super::log::{Segment, Shared};
use super::segment::{Piece, Scan};
use super::{ReadError, SpoolId};
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// One step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole frame; its payload is [`Walk::payload`].
    Frame(super::frame::Head),
    /// These bytes are no frame.
    Bad { from: u64, to: u64 },
    /// The walk comes into a segment, from `from`, which lies before its base where segments in between are gone.
    Entered { from: u64, base: u64, id: SpoolId, number: u64 },
    /// What lay here, up to the limit, has made room since.
    Gone { from: u64, to: u64 },
    /// Nothing before the limit.
    End,
}

pub(super) struct Walk {
    pub shared: Arc<Shared>,
    open: Option<(Segment, Scan<File>)>,
    position: u64,
    /// What [`super::log::State::rewrites`] was when the segment was opened.
    rewrites: u64,
}

impl Walk {
    pub fn new(shared: Arc<Shared>, position: u64) -> Self {
        Self { shared, open: None, position, rewrites: 0 }
    }

    pub fn seek(&mut self, position: u64) {
        self.position = position;
        match &mut self.open {
            Some((segment, scan)) if segment.base <= position && position < segment.end => scan.seek(position),
            _ => self.open = None,
        }
    }

    /// Forgets the open segment where it is not of this identity: it is entered again with the next step.
    pub fn leave_other(&mut self, id: SpoolId) {
        self.open = self.open.take().filter(|(segment, _)| segment.id == id);
    }

    pub fn payload(&self) -> &[u8] {
        self.open.as_ref().map_or(&[], |(_, scan)| scan.payload())
    }

    /// The next step, going no further than `limit`. With `heads`, payloads are neither read nor checked.
    pub fn next(&mut self, limit: u64, heads: bool) -> Result<Step, ReadError> {
        if self.position >= limit {
            return Ok(Step::End);
        }
        loop {
            self.refresh();
            let from = self.position;
            let Some((segment, scan)) = self.open.as_mut().filter(|(segment, _)| from < segment.end) else {
                match self.enter(limit)? {
                    Some(entered) => return Ok(entered),
                    None => continue,
                }
            };
            let end = segment.end.min(limit);
            let result = if heads { scan.next_head(end) } else { scan.next(end) };
            let step = match result {
                Ok(Some(Piece::Frame(head, _))) => Step::Frame(head),
                Ok(Some(Piece::Bad { to, .. })) => Step::Bad { from, to },
                Ok(None) => {
                    scan.seek(end);
                    Step::Bad { from, to: end }
                }
                Err(source) => return Err(self.failed(source)),
            };
            self.position = scan.position();
            if let (Step::Bad { from, to }, false) = (step, heads) {
                self.shared.metrics.corrupt_frames.fetch_add(1, Relaxed);
                self.shared.metrics.corrupt_bytes.fetch_add(to - from, Relaxed);
            }
            return Ok(step);
        }
    }

    /// The end of the segment being read may have moved: the active one grows, and is cut where frames were written again, into another file.
    fn refresh(&mut self) {
        if let Some((segment, _)) = &mut self.open {
            let state = self.shared.lock();
            if state.rewrites != self.rewrites {
                drop(state);
                self.open = None;
            } else if let Some(now) = state.segments.iter().rev().find(|now| now.base == segment.base) {
                segment.end = now.end;
            }
        }
    }

    /// Opens the segment that holds the position, or the next one there is. `None`: it is gone already, look again.
    fn enter(&mut self, limit: u64) -> Result<Option<Step>, ReadError> {
        let from = self.position;
        let (next, rewrites) = {
            let state = self.shared.lock();
            (state.segments.iter().find(|segment| segment.end > from).cloned(), state.rewrites)
        };
        let Some(segment) = next.filter(|segment| segment.base < limit) else {
            self.position = limit;
            return Ok(Some(Step::Gone { from, to: limit }));
        };
        match File::open(self.shared.folder.segment(segment.base)) {
            Ok(file) => {
                self.position = from.max(segment.base);
                let scan = Scan::new(file, segment.base, &segment.id, self.position);
                let entered = Step::Entered { from, base: segment.base, id: segment.id, number: segment.number };
                self.open = Some((segment, scan));
                self.rewrites = rewrites;
                Ok(Some(entered))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.drop_missing(segment.base) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// A segment that is not there any more must not be in the index either, whoever took it away. Whether it is out.
    fn drop_missing(&self, base: u64) -> bool {
        let mut state = self.shared.lock();
        let active = state.segments.back().map(|segment| segment.base);
        state.segments.retain(|segment| segment.base != base || active == Some(base));
        active != Some(base)
    }

    fn failed(&self, source: std::io::Error) -> ReadError {
        ReadError { folder: self.shared.folder.path.display().to_string(), position: self.position, source }
    }
}
