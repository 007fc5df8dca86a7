//! What a log counts. Plain atomics; the exporter renders them.

use std::sync::atomic::AtomicU64;

/// Counters and gauges of one log, spool or intake. All counters start at 0 with the process.
#[derive(Debug, Default)]
pub struct SpoolMetrics {
    /// Gauge: bytes on disk.
    pub bytes: AtomicU64,
    /// Gauge: segments on disk.
    pub segments: AtomicU64,
    /// Gauge: bytes written and not yet synced.
    pub unsynced_bytes: AtomicU64,
    /// Records appended.
    pub records: AtomicU64,
    /// Bytes appended, frame headers included.
    pub appended_bytes: AtomicU64,
    /// Commits.
    pub commits: AtomicU64,
    /// Successful fdatasyncs.
    pub syncs: AtomicU64,
    /// Time spent in them, nanoseconds.
    pub sync_nanoseconds: AtomicU64,
    /// Writes that failed and are tried again.
    pub write_errors: AtomicU64,
    /// Fdatasyncs that failed; what they covered was written again.
    pub sync_errors: AtomicU64,
    /// Stretches of bytes that are no frame, met by readers and by recovery.
    pub corrupt_frames: AtomicU64,
    /// Bytes in them.
    pub corrupt_bytes: AtomicU64,
    /// Segments that made room at the bound before every sink had passed them.
    pub segments_dropped: AtomicU64,
    /// Appends refused because the intake was at its bound.
    pub full: AtomicU64,
}
