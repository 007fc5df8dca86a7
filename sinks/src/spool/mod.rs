//! One numbered log on disk, used twice: as a flow log's spool (records made visible by commits) and as the intake (raw bytes).
//!
//! Promises: what a sink has been given is on disk; sequence numbers are never used twice under one [`SpoolId`]; a loss is counted
//! exactly wherever the frames behind it can still be read. Does not promise to keep what was never committed: recovery cuts a spool
//! back to its last commit, because the events can be folded again from the intake.
//!
//! From the bytes up: `frame` and `segment` (pure), `folder`, `log` with `flush` and `room` (writing), `recover` (opening), `walk`
//! and `damage` (reading), then the two faces: `writer` and `reader` for a spool, `intake` for the intake.

mod commit;
mod contents;
mod cursor;
mod damage;
mod flush;
mod folder;
mod frame;
mod handle;
mod id;
pub mod inspect;
mod intake;
mod intake_reader;
mod log;
mod metrics;
mod nudges;
mod options;
mod reader;
mod record;
mod recover;
mod retention;
mod room;
mod segment;
mod tail;
mod walk;
mod writer;

pub use commit::{Commit, Gap, cause};
pub(crate) use cursor::path as sink_path;
pub use cursor::{Cursor, Cut, Stored, WhenFull, all as stored_cursors, parse_stored};
pub use damage::Damaged;
pub use folder::{OpenError, Renewal, boot_id};
pub(crate) use folder::{now, replace, sync_folder};
pub use frame::{HEAD, Head, Kind, Seed, find_head, parse_head, payload_fits};
pub(crate) use handle::Changes;
pub use handle::Spool;
pub use id::SpoolId;
pub use intake::{Appended, Intake, IntakeOptions, IntakeReaders, ORIGIN, Origin, split_origin};
pub use intake_reader::{IntakeReader, Raw};
pub use metrics::SpoolMetrics;
pub use options::{Durable, Options, Stalled};
pub use reader::{Item, Pending, ReadError, Reader};
pub use record::{MAX_LINE, RawRecord, Record, TooLarge, labels, split_record};
pub use recover::Found;
pub use segment::{FORMAT, HeadError, LogKind, Piece, ReadAt, SEGMENT_HEAD, Scan, SegmentHead, scan_bytes};
pub use writer::Writer;

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tests;
