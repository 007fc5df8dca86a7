//! One numbered log on disk, used twice: as a flow log's spool (records made visible by commits) and as the intake (raw bytes).
//!
//! Promises: what a sink has been given is on disk; sequence numbers are never used twice under one [`SpoolId`]; a loss is counted
//! exactly wherever the frames behind it can still be read. Does not promise to keep what was never committed: recovery cuts a spool
//! back to its last commit, because the events can be folded again from the intake.

mod commit;
mod cursor;
mod id;
mod reader;
mod record;

pub use commit::{Commit, Gap, cause};
pub use cursor::{Cursor, Cut, WhenFull};
pub use id::SpoolId;
pub use reader::{Item, Pending, ReadError, Reader};
pub use record::{Record, labels};
