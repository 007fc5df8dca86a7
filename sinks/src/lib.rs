//! Spool, delivery, destinations and evidence. Knows bytes and sequence numbers, never what a flow is.
//!
//! [`spool`] is the numbered log on disk, used twice: as a flow log's spool and as the intake of raw events. [`driver`] moves records
//! from a cursor in a spool to a destination and owns everything that destinations have in common; [`secret`], [`tls`] and
//! [`problem`] are what those over a network share. The other modules are destinations.

pub mod denied;
pub mod driver;
pub mod file;
pub mod kafka;
pub mod loki;
pub mod problem;
pub mod s3;
pub mod secret;
pub mod spool;
pub mod tls;
mod uid;

#[cfg(test)]
#[path = "../../tests/lib/skip_line.rs"]
mod skip_line;
