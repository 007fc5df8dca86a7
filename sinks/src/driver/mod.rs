//! One loop for all sinks: cursor → frozen batch → send → classify → advance.
//!
//! The driver owns retries (without limit: the spool owns the lifetime), back-off, the cursor, the quarantine file, metrics and
//! shutdown. A sink owns its protocol only, and says with an [`Outcome`] what came of a batch. Nothing a sink does or fails to do
//! reaches anything but its own cursor.

mod advance;
mod backoff;
mod concurrency;
mod control;
mod metrics;
mod quarantine;
mod run;
mod send;

pub use control::{Drained, DriverOptions, Running, start};
pub use metrics::{Histogram, Number, SinkMetrics};

use crate::spool::{Cut, ReadError, Reader};
use std::future::Future;
use std::time::Duration;

/// A destination.
///
/// The driver calls `check` once, then `resume` once, then `freeze` and `send` for ever.
pub trait Sink: Send + Sync + 'static {
    /// A batch whose bytes will not change any more: every retry sends the same.
    type Frozen: Send + Sync + 'static;

    /// When a batch is due. The driver calls [`Sink::freeze`] once the spool holds that much, or the oldest item is that old.
    fn limits(&self) -> Limits;

    /// How many batches may be on the way at once. Batches are frozen in order, and the cursor advances in order.
    fn in_flight(&self) -> usize {
        1
    }

    /// Whether `freeze` is to be called, as often as it asks with [`Step::Wait`], although the spool has nothing new: for what goes
    /// out by the clock.
    fn freezes_when_idle(&self) -> bool {
        false
    }

    /// The longest pause between attempts. Default 60 s.
    fn max_backoff(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// How often the cursor is stored, at most. Default 250 ms.
    fn store_every(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// Whether the cursor is all there is to remember, and repeats are worth avoiding: then each delivered batch is marked at once, so that
    /// a kill of the process repeats only what was on the way.
    fn is_marked(&self) -> bool {
        false
    }

    /// Called before a cursor is stored: everything delivered has to be as durable at the destination as it will get. Blocking.
    ///
    /// # Errors
    /// If it is not; the cursor is then not stored, and it is tried again.
    fn settle(&self) -> std::io::Result<()> {
        Ok(())
    }

    /// Takes up where the process before left off, before anything is frozen: asks the destination what it has, and moves the reader
    /// past it. `state` is what stands in the cursor file; given back is the state that belongs to the reader's new place.
    ///
    /// # Errors
    /// If spool or destination do not answer just now; it is shown and tried again.
    fn resume(&self, reader: &mut Reader, state: Option<&serde_json::Value>) -> Result<Option<serde_json::Value>, ResumeError> {
        let _ = reader;
        Ok(state.cloned())
    }

    /// Pulls items from the reader until `limits` (never more than the sink's own; smaller after a batch turned out too large) or the
    /// end, and freezes them; a `max_age` of 0 means that the sink is drained, and nothing waits to be filled. Has to be a pure function of the spool and
    /// `limits`, or give a [`Batch::cut`], which is durable before the batch is sent; after a restart the same cut is given back, and the batch has to end
    /// there. A reader moved but not used (with [`Step::Wait`]) is put back by the driver.
    ///
    /// # Errors
    /// If the spool cannot be read just now; tried again.
    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, now: i64) -> Result<Step<Self::Frozen>, ReadError>;

    /// Sends a batch once. Must be safe to repeat, and to be dropped at any await.
    fn send(&self, frozen: &Self::Frozen) -> impl Future<Output = Outcome> + Send;

    /// Makes anew what a [`Outcome::Fatal`] said is broken (a producer, a client).
    fn reset(&self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Whether the destination looks usable. A failure is shown and blocks nothing.
    fn check(&self) -> impl Future<Output = Result<(), Health>> + Send;

    /// What only this kind of sink counts, for `/metrics`. Asked at any time.
    fn numbers(&self) -> Vec<Number> {
        Vec::new()
    }

    /// The driver is done with the sink: flush and close what is open.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// When a batch is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Encoded bytes before compression.
    pub max_bytes: u64,
    /// Records.
    pub max_records: u64,
    /// Age of the oldest item's commit.
    pub max_age: Duration,
}

/// What [`Sink::freeze`] came to.
#[derive(Debug)]
pub enum Step<F> {
    /// Not yet; call again after this long, or when there is more.
    Wait(Duration),
    /// Nothing of what was read concerns the destination: advance the cursor without sending.
    Skip,
    /// Send this.
    Batch(Batch<F>),
}

/// A frozen batch and what the driver has to know about it. Where it ends is where the reader stands.
#[derive(Debug)]
pub struct Batch<F> {
    /// The sink's own form.
    pub frozen: F,
    /// Records in it.
    pub records: u64,
    /// Bytes that will go out.
    pub bytes: u64,
    /// Set to make the driver store [`Batch::cut`] durably, with the cursor in front of the batch, before the batch is sent.
    pub cut: Option<Cut>,
}

/// What came of sending a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The destination has all of it, durably.
    Delivered {
        /// What the sink wants back at [`Sink::resume`] together with the cursor behind this batch.
        state: Option<serde_json::Value>,
    },
    /// The destination has all but these records, and will never take them.
    Partial {
        /// The records refused, by sequence number, each with the destination's reason.
        rejected: Vec<(u64, String)>,
    },
    /// Try the same bytes again.
    Retry {
        /// What happened, for people.
        why: String,
        /// Not before this long (`Retry-After`).
        after: Option<Duration>,
        /// The batch may have been refused for its size: freeze it again, smaller. Only where nothing of it can have been stored under
        /// a name that depends on where it ends.
        shrink: bool,
    },
    /// The destination will never take any record of it; they go to the quarantine file.
    Reject {
        /// The destination's reason.
        why: String,
    },
    /// The sink's client is broken: rewind to the last delivered record, [`Sink::reset`], go on.
    Fatal {
        /// What happened, for people.
        why: String,
    },
}

/// Why a destination does not look usable, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Health(pub String);

/// Why a sink cannot take up its work just now.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// The spool cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The destination does not answer.
    #[error("{0}")]
    Destination(String),
}

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod tests;
