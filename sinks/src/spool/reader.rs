//! A cursor's view of a spool: committed records whose frames are on disk, in order, with their commits and gaps.

use super::{Commit, Cursor, Gap, Record, SpoolId};

/// What comes next in a spool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Item<'a> {
    /// A record.
    Record(Record<'a>),
    /// The commit that covers the records since the one before. Has the place of its own in the order: after its records.
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
    /// The commit time of the next item; `None` if there is no item.
    pub oldest: Option<i64>,
}

/// Reads a spool from a place on. Made by the spool; each has a place of its own.
pub struct Reader {}

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

impl Reader {
    /// The next item, without going past it. `None` at the end of what is visible.
    ///
    /// # Errors
    /// If the disk cannot be read just now.
    pub fn peek(&mut self) -> Result<Option<Item<'_>>, ReadError> {
        Ok(None)
    }

    /// Goes past the item that [`Reader::peek`] showed last. Without one it does nothing.
    pub fn advance(&mut self) {}

    /// The place in front of the item that `peek` shows next.
    pub fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    /// Goes to another place, normally back to one that `cursor` gave earlier.
    pub fn seek(&mut self, _place: &Cursor) {}

    /// What lies ahead.
    ///
    /// # Errors
    /// If the disk cannot be read just now.
    pub fn pending(&mut self) -> Result<Pending, ReadError> {
        Ok(Pending::default())
    }
}
