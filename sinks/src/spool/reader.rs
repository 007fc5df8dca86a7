//! A cursor's view of a spool: committed records whose frames are on disk, in order, with their commits and gaps.

use super::log::{Shared, Visible};
use super::walk::{Step, Walk};
use super::{Commit, Cursor, Damaged, Gap, RawRecord, Record, SpoolId, cause, split_record};
use crate::spool::frame::{Head, Kind};
use std::sync::Arc;
use tokio::sync::watch;

/// What comes next in a spool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// The commit that covers the records since the one before. Has a place of its own in the order: after its records.
    Commit(&'a Commit),
    /// Something that this reader will not get: corrupt frames, segments that made room. Its place is where the records would be.
    Gap(&'a Gap),
    /// The spool continues under a new identity; sequence numbers start again. Batches should not span this.
    Renewed {
        /// The identity before.
        previous: SpoolId,
        /// The identity from here on.
        id: SpoolId,
    },
}

/// What lies between a reader and the end of what it may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Records, also counting those that will turn out to be gaps. 0 records may still leave a commit to read.
    pub records: u64,
    /// Bytes in the log, frame headers included.
    pub bytes: u64,
    /// The commit time of the next item, nanoseconds since 1970 UTC; `None` if there is no item.
    pub oldest: Option<i64>,
}

/// The spool could not be read just now. Nothing was skipped; try again later.
#[derive(Debug, thiserror::Error)]
#[error("spool {folder} cannot be read at position {position}: {source}")]
pub struct ReadError {
    /// The spool's folder.
    pub folder: String,
    /// Where in the log.
    pub position: u64,
    /// What the system said.
    pub source: std::io::Error,
}

/// What `peek` shows.
enum Current {
    Nothing,
    /// Records of the frame the walk read last: the next one's number and where it lies in the payload, and where it ends.
    Records {
        head: Head,
        sequence: u64,
        from: usize,
        to: usize,
    },
    Commit {
        commit: Box<Commit>,
        end: u64,
    },
    /// With the place behind it.
    Gap {
        gap: Box<Gap>,
        after: Cursor,
    },
    Renewed {
        id: SpoolId,
    },
}

/// The commit ahead of a place: valid for frames from `from` up to the commit's own.
struct Ahead {
    from: u64,
    commit_at: u64,
    time: i64,
}

/// Reads a spool from a place on. Made by [`super::Spool::reader`]; each has a place of its own.
pub struct Reader {
    shared: Arc<Shared>,
    walk: Walk,
    place: Cursor,
    current: Current,
    ahead: Option<Ahead>,
    gaps: Vec<(SpoolId, Gap)>,
    /// The time of the commit that this reader went past last.
    passed: Option<i64>,
    visible: watch::Receiver<Visible>,
    /// For whom it reads: what is gone before it comes to it, this sink has lost.
    sink: Option<String>,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, place: Cursor) -> Self {
        let visible = shared.visible.subscribe();
        let walk = Walk::new(shared.clone(), place.position);
        Self { shared, walk, place, current: Current::Nothing, ahead: None, gaps: Vec::new(), passed: None, visible, sink: None }
    }

    /// Reads for the sink of this name.
    pub(super) fn of(self, sink: &str) -> Self {
        Self { sink: Some(sink.to_owned()), ..self }
    }

    /// The next item, without going past it. `None` at the end of what is visible.
    ///
    /// # Errors
    /// If the disk cannot be read just now.
    pub fn peek(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        while matches!(self.current, Current::Nothing) {
            if !self.load()? {
                return Ok(None);
            }
        }
        Ok(match &self.current {
            Current::Nothing => None,
            Current::Records { sequence, from, to, .. } => {
                let commit_time = self.ahead.as_ref().map_or(0, |ahead| ahead.time);
                let bytes = self.walk.payload().get(*from..*to).unwrap_or(&[]);
                split_record(bytes).map(|(raw, _)| {
                    let RawRecord { time, nudge, key, labels, line } = raw;
                    Item::Record(Record { spool: self.place.spool, sequence: *sequence, time, nudge, commit_time, key, labels, line })
                })
            }
            Current::Commit { commit, .. } => Some(Item::Commit(commit)),
            Current::Gap { gap, .. } => Some(Item::Gap(gap)),
            Current::Renewed { id } => Some(Item::Renewed { previous: self.place.spool, id: *id }),
        })
    }

    /// Goes past the item that [`Reader::peek`] showed last. Without one it does nothing.
    pub fn advance(&mut self) {
        match std::mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Records { head, sequence, to, .. } => {
                self.place.sequence = sequence + 1;
                self.show_record(head, to);
            }
            Current::Commit { commit, end } => {
                self.passed = Some(commit.time);
                self.place.position = end;
            }
            Current::Gap { gap, after } => {
                self.report(&gap);
                self.gaps.push((self.place.spool, *gap));
                self.place = after;
            }
            // Numbers begin with 1; if the first segments are gone or damaged, what they held is missing where the walk enters the next.
            Current::Renewed { id } => self.place = Cursor { spool: id, sequence: 1, position: self.place.position },
        }
    }

    /// The place in front of the item that `peek` shows next.
    pub fn cursor(&self) -> Cursor {
        self.place
    }

    /// Goes to another place, normally back to one that `cursor` gave earlier.
    pub fn seek(&mut self, place: &Cursor) {
        self.place = *place;
        self.gaps.clear();
        self.passed = None;
        self.current = Current::Nothing;
        self.walk.seek(place.position);
    }

    /// What lies ahead.
    ///
    /// # Errors
    /// If the disk cannot be read just now.
    pub fn pending(&mut self) -> Result<Pending, ReadError> {
        let visible = *self.visible.borrow();
        let bytes = visible.position.saturating_sub(self.place.position);
        if bytes == 0 {
            return Ok(Pending::default());
        }
        let mut records = visible.sequence.saturating_sub(self.place.sequence);
        if visible.id != self.place.spool {
            let ended = self.ended(self.place.spool).unwrap_or(self.place.sequence);
            records = visible.sequence.saturating_sub(1) + ended.saturating_sub(self.place.sequence);
        }
        self.look_ahead(self.place.position, visible)?;
        Ok(Pending { records, bytes, oldest: self.ahead.as_ref().map(|ahead| ahead.time) })
    }

    /// The gaps gone past since the last call or [`Reader::seek`], with the identity whose records they are.
    pub fn take_gaps(&mut self) -> Vec<(SpoolId, Gap)> {
        std::mem::take(&mut self.gaps)
    }

    /// Reads on until `current` shows something. `false` at the visible end.
    fn load(&mut self) -> Result<bool, ReadError> {
        let visible = *self.visible.borrow_and_update();
        self.walk.seek(self.place.position);
        // Where another identity begins is shown as long as the place is in front of it.
        self.walk.leave_other(self.place.spool);
        match self.walk.next(visible.position, false)? {
            Step::End => Ok(self.place.spool == visible.id && self.missing(visible.sequence, cause::CORRUPT, self.place.position)),
            Step::Entered { from, base, id, number } => {
                let why = if from < base { cause::FULL } else { cause::CORRUPT };
                let position = self.place.position.max(base);
                if id != self.place.spool {
                    self.change_over((from, base), id, why);
                } else if !self.missing(number, why, position) {
                    self.place.position = position;
                }
                Ok(true)
            }
            Step::Bad { to, .. } => {
                self.place.position = to;
                Ok(true)
            }
            Step::Gone { to, .. } => {
                if self.place.spool != visible.id || !self.missing(visible.sequence, cause::FULL, to) {
                    self.place.position = to;
                }
                Ok(true)
            }
            Step::Frame(head) => self.frame(head, visible),
        }
    }

    /// The segment at `base` has another identity. What the one of the place still held comes first, then that it ended. The place stays in front of the
    /// segment, so that whoever comes back to it meets the same.
    fn change_over(&mut self, (from, base): (u64, u64), id: SpoolId, why: &str) {
        let ended = self.ended(self.place.spool);
        if ended.is_some_and(|ended| self.missing(ended, why, self.place.position)) {
            return;
        }
        if ended.is_none() && from + 1 < base {
            // Nothing is left that says how many there were. Behind the gap one byte is left of the hole: what else is missing lay in it too.
            let gap = Gap { cause: why.to_owned(), ..Gap::default() };
            self.current = Current::Gap { gap: Box::new(gap), after: Cursor { position: base - 1, ..self.place } };
            return;
        }
        // An identity of which all has made room is still known to the one behind it.
        let between = self.before(id).filter(|_| ended.is_none());
        self.current = Current::Renewed { id: between.unwrap_or(id) };
    }

    fn frame(&mut self, head: Head, visible: Visible) -> Result<bool, ReadError> {
        if head.number > self.place.sequence {
            self.look_ahead(head.position, visible)?;
            return Ok(self.missing(head.number, cause::CORRUPT, self.place.position));
        }
        match head.kind {
            Kind::Records if head.next_number() > self.place.sequence => {
                self.look_ahead(head.position, visible)?;
                let mut from = 0;
                for _ in head.number..self.place.sequence {
                    let payload = self.walk.payload();
                    from = payload.len() - split_record(&payload[from..]).map_or(0, |(_, rest)| rest.len());
                }
                self.show_record(head, from);
            }
            Kind::Commit => match serde_json::from_slice(self.walk.payload()) {
                Ok(commit) => self.current = Current::Commit { commit: Box::new(commit), end: head.end() },
                Err(_) => self.place.position = head.end(),
            },
            _ => self.place.position = head.end(),
        }
        Ok(true)
    }

    /// Shows the record that begins at `from` in the payload, or moves behind the frame.
    fn show_record(&mut self, head: Head, from: usize) {
        let payload = self.walk.payload();
        let left = self.place.sequence < head.next_number();
        match payload.get(from..).and_then(split_record).filter(|_| left) {
            Some((_, rest)) => {
                let to = payload.len() - rest.len();
                self.current = Current::Records { head, sequence: self.place.sequence, from, to };
            }
            None => {
                self.place.position = head.end();
                self.current = Current::Nothing;
            }
        }
    }

    /// Shows a gap if records are missing up to `next`, and says whether. `position` is where reading goes on behind the gap. Until then the place stays in
    /// front of it, so that whoever comes back to it meets the same gap.
    fn missing(&mut self, next: u64, why: &str, position: u64) -> bool {
        let first = self.place.sequence;
        if next <= first {
            return false;
        }
        let gap = Gap { cause: why.to_owned(), records: Some(next - first), sequences: Some((first, next)), ..Gap::default() };
        self.current = Current::Gap { gap: Box::new(gap), after: Cursor { sequence: next, position, ..self.place } };
        true
    }

    /// Damage is a loss of the whole flow log, which declares it once, whichever sink met it first; what made room, its sink alone has lost.
    fn report(&self, gap: &Gap) {
        let sink = match gap.cause.as_str() {
            cause::CORRUPT => None,
            cause::FULL if self.sink.is_some() => self.sink.clone(),
            _ => return,
        };
        if gap.sequences.is_none() {
            // The register counts in numbers.
            tracing::error!(spool = %self.place.spool, sink = self.sink, "Records made room before the sink had them; how many is not known any more.");
        }
        if let Some((first, next)) = gap.sequences {
            let to = self.ahead.as_ref().filter(|ahead| ahead.commit_at >= self.place.position).map(|ahead| ahead.time);
            self.shared.meet(vec![Damaged { spool: self.place.spool, first, next, from: self.passed, to, sink }]);
        }
    }

    /// Where the numbers of an earlier identity ended, if that is known.
    fn ended(&self, id: SpoolId) -> Option<u64> {
        let state = self.shared.lock();
        state.segments.iter().find_map(|segment| segment.previous.filter(|(previous, _)| *previous == id).map(|(_, number)| number))
    }

    /// The identity before another, if that is known.
    fn before(&self, id: SpoolId) -> Option<SpoolId> {
        let state = self.shared.lock();
        state.segments.iter().filter(|segment| segment.id == id).find_map(|segment| segment.previous.map(|(previous, _)| previous))
    }

    /// Finds the commit that covers the frame at `position`, reading headers only.
    fn look_ahead(&mut self, position: u64, visible: Visible) -> Result<(), ReadError> {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.from <= position && position <= ahead.commit_at) {
            return Ok(());
        }
        let mut walk = Walk::new(self.shared.clone(), position);
        let found = loop {
            match walk.next(visible.position, true)? {
                Step::End => {
                    break Ahead { from: position, commit_at: visible.position, time: visible.time };
                }
                Step::Frame(head) if head.kind == Kind::Commit => {
                    walk.seek(head.position);
                    let whole = matches!(walk.next(visible.position, false)?, Step::Frame(found) if found == head);
                    let commit = if whole { serde_json::from_slice::<Commit>(walk.payload()).ok() } else { None };
                    if let Some(commit) = commit {
                        break Ahead { from: position, commit_at: head.position, time: commit.time };
                    }
                }
                Step::Frame(_) | Step::Bad { .. } | Step::Gone { .. } | Step::Entered { .. } => {}
            }
        };
        self.ahead = Some(found);
        Ok(())
    }
}
