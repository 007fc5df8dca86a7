//! One reader of the intake, at its own position.

use super::ReadError;
use super::frame::Kind;
use super::intake::{Origin, split_origin};
use super::log::Shared;
use super::walk::{Step, Walk};
use std::sync::Arc;
use std::time::Duration;

/// What comes next in the intake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// A frame.
    Frame {
        /// Where it begins. A commit that covers all of it names the position after it, [`IntakeReader::position`].
        position: u64,
        /// Where its bytes come from.
        origin: Origin,
        /// The bytes as they were in the ring.
        bytes: &'a [u8],
    },
    /// Bytes of the intake that could not be read back. How many bytes of which ring that were shows at the ring's next frame, whose
    /// `ring_position` lies that much further than expected.
    Lost {
        /// Where they begin.
        from: u64,
        /// Where the intake goes on.
        to: u64,
    },
}

/// Reads the intake from a position on. Sees what was appended at once, whether it is synced or not. Dropping it gives up its hold.
pub struct IntakeReader {
    pub(super) shared: Arc<Shared>,
    name: String,
    walk: Walk,
    position: u64,
}

impl IntakeReader {
    pub(super) fn new(shared: Arc<Shared>, name: &str, position: u64) -> Self {
        Self { walk: Walk::new(shared.clone(), position), shared, name: name.to_owned(), position }
    }

    /// The next frame or loss, and goes past it. `None` at the end.
    ///
    /// # Errors
    /// If the disk cannot be read just now; nothing was skipped.
    pub fn take(&mut self) -> Result<Option<Raw<'_>>, ReadError> {
        loop {
            match self.walk.next(self.shared.tail.position(), false)? {
                Step::End => return Ok(None),
                Step::Entered { from, base, .. } if from < base => {
                    self.position = base;
                    return Ok(Some(Raw::Lost { from, to: base }));
                }
                Step::Entered { .. } => {}
                Step::Bad { from, to } | Step::Gone { from, to } => {
                    self.position = to;
                    return Ok(Some(Raw::Lost { from, to }));
                }
                Step::Frame(head) => {
                    self.position = head.end();
                    if head.kind == Kind::Raw && split_origin(self.walk.payload()).is_some() {
                        break;
                    }
                }
            }
        }
        let payload = self.walk.payload();
        let position = self.position - (super::frame::HEAD + payload.len()) as u64;
        Ok(split_origin(payload).map(|(origin, bytes)| Raw::Frame { position, origin, bytes }))
    }

    /// The position behind what `take` gave last.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Bytes between here and the end.
    pub fn pending(&self) -> u64 {
        self.shared.tail.position().saturating_sub(self.position)
    }

    /// Waits until there is more to take, at most this long. Whether there is.
    pub fn wait(&self, timeout: Duration) -> bool {
        self.shared.tail.wait(self.position, timeout)
    }

    /// Everything before this position is durable elsewhere (a commit's that is on disk) and may go.
    pub fn release(&self, position: u64) {
        let mut state = self.shared.lock();
        if let Some(holder) = state.holders.get_mut(&self.name) {
            holder.position = position;
        }
        self.shared.reclaim(&mut state);
    }
}

impl Drop for IntakeReader {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.holders.remove(&self.name);
    }
}
