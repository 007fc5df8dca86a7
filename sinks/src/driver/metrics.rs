//! What each sink counts (`spec/sinks.md` §1.9). Plain atomics; the exporter renders them.

use crate::spool::{Gap, cause};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Counters and gauges of one sink of one flow log. All counters start at 0 with the process.
#[derive(Debug, Default)]
pub struct SinkMetrics {
    /// Records the destination has.
    pub records_sent: AtomicU64,
    /// Bytes the destination has, as they went out.
    pub bytes_sent: AtomicU64,
    /// Batches the destination has.
    pub batches_sent: AtomicU64,
    /// Attempts to send, successful or not.
    pub attempts: AtomicU64,
    /// Attempts that ended in a retry.
    pub retries: AtomicU64,
    /// Records sent again.
    pub records_retried: AtomicU64,
    /// Records the destination refused for good; they are in the quarantine file.
    pub records_rejected: AtomicU64,
    /// Records in gaps this sink met, with cause `spool-full`.
    pub records_dropped_full: AtomicU64,
    /// Records in gaps this sink met, with cause `spool-corrupt`.
    pub records_dropped_corrupt: AtomicU64,
    /// Records in gaps this sink met, with other causes.
    pub records_dropped_other: AtomicU64,
    /// Records in the quarantine files that made room for newer ones.
    pub quarantine_overwritten: AtomicU64,
    /// Records given up when the sink was removed.
    pub records_dropped_removed: AtomicU64,
    /// Gaps this sink met.
    pub gaps: AtomicU64,
    /// Times the sink's client was made anew.
    pub resets: AtomicU64,
    /// Failures to store the cursor or the quarantine file.
    pub state_errors: AtomicU64,
    /// Gauge: records between the cursor and the newest visible record.
    pub lag_records: AtomicU64,
    /// Gauge: bytes of the spool between the cursor and its visible end.
    pub lag_bytes: AtomicU64,
    /// Gauge: commit time of the oldest record not delivered, unix nanoseconds; 0 when there is none. Lag in seconds is now minus this.
    pub oldest_unacked: AtomicI64,
    /// Gauge: batches on the way.
    pub in_flight: AtomicU64,
    /// Gauge: batches that may be on the way at once (adaptive).
    pub concurrency_limit: AtomicU64,
    /// Gauge: whether the last attempt or check succeeded.
    pub healthy: AtomicBool,
    /// Why it did not.
    failure: Mutex<Option<String>>,
    /// What only this kind of sink counts.
    pub(super) own: OwnNumbers,
    /// Duration of attempts.
    pub request_seconds: Histogram,
}

/// A number that only one kind of sink has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The metric's name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows (until what counts it is made anew).
    pub is_counter: bool,
    /// Its value.
    pub value: u64,
}

/// Where a sink's own numbers are asked for.
#[derive(Default)]
pub(super) struct OwnNumbers(pub(super) OnceLock<Box<dyn Fn() -> Vec<Number> + Send + Sync>>);

impl fmt::Debug for OwnNumbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get().map(|ask| ask()).fmt(f)
    }
}

impl SinkMetrics {
    /// What only this kind of sink counts.
    pub fn own_numbers(&self) -> Vec<Number> {
        self.own.0.get().map_or_else(Vec::new, |ask| ask())
    }

    /// Why the last attempt or check failed, and what to do about it; `None` when it succeeded.
    pub fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn succeeded(&self) {
        if !self.healthy.swap(true, Ordering::Relaxed) {
            *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    pub(super) fn failed(&self, why: &str) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.healthy.store(false, Ordering::Relaxed);
    }

    /// Counts a gap that the sink met, under its cause.
    pub(super) fn count_gap(&self, gap: &Gap) {
        let counter = match gap.cause.as_str() {
            cause::FULL => &self.records_dropped_full,
            cause::CORRUPT => &self.records_dropped_corrupt,
            _ => &self.records_dropped_other,
        };
        counter.fetch_add(gap.records.unwrap_or(0), Ordering::Relaxed);
        self.gaps.fetch_add(1, Ordering::Relaxed);
    }
}

/// A cumulative histogram of durations with fixed bounds.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; Histogram::BOUNDS.len()],
    count: AtomicU64,
    sum_nanoseconds: AtomicU64,
}

impl Histogram {
    /// Upper bounds in seconds; the bucket without bound is the count.
    pub const BOUNDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        for (bound, bucket) in Self::BOUNDS.iter().zip(&self.buckets) {
            if seconds <= *bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_nanoseconds.fetch_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Cumulative counts in the order of [`Histogram::BOUNDS`], then the count of all and their sum in seconds.
    pub fn read(&self) -> ([u64; Histogram::BOUNDS.len()], u64, f64) {
        let buckets = std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed));
        (buckets, self.count.load(Ordering::Relaxed), self.sum_nanoseconds.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(1));
        histogram.observe(Duration::from_millis(40));
        histogram.observe(Duration::from_secs(100));
        let (buckets, count, sum) = histogram.read();
        assert_eq!((buckets[0], buckets[4], buckets[5], buckets[13], count), (1, 1, 2, 2, 3));
        assert!((sum - 100.041).abs() < 1e-9);
    }
}
