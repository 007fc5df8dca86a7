//! Rotated files of whole lines, each line once across a kill; and standard output, at least once.
//!
//! Names, limits and habits are those of Hubble's exporter (lumberjack), less its defects: a write error is never sticky, two rotations
//! in one millisecond never overwrite each other, a line over the size limit gets a file of its own instead of an error, and somebody
//! else's rename, removal or truncation of the file is noticed. Tailers can follow: a file is only ever appended to and renamed, its
//! newest backup stays plain, and rotations are paced.

mod active;
mod backups;
mod config;
mod names;
mod resume;
mod sink;
mod stdout;

pub use config::{Compress, FileConfig, GroupError, group_id};
pub use sink::{FileMetrics, FileSink};
pub use stdout::StdoutSink;

#[cfg(test)]
mod tests;
