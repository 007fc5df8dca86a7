//! One batch on its way: attempts without end, until the destination has it or says that it never will.

use super::backoff::{Backoff, random};
use super::{Outcome, Sink, SinkMetrics};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// How a batch's way ended.
#[derive(Debug)]
pub(super) enum Done {
    Delivered {
        state: Option<serde_json::Value>,
    },
    /// Nothing of it concerned the destination.
    Skipped,
    Partial {
        rejected: Vec<(u64, String)>,
    },
    Reject {
        why: String,
    },
    /// To be frozen again, smaller.
    Shrink,
    /// To be sent again by a client made anew.
    Fatal,
}

/// Sends a batch until it is done. `retried` tells the driver of every failure that may mean "too much".
pub(super) async fn send<S: Sink>(
    name: &str,
    sink: &S,
    frozen: &S::Frozen,
    records: u64,
    metrics: &SinkMetrics,
    retried: &(dyn Fn() + Send + Sync),
) -> Done {
    let mut backoff = Backoff::default();
    let mut shown: Option<Instant> = None;
    loop {
        metrics.attempts.fetch_add(1, Relaxed);
        let started = Instant::now();
        let outcome = sink.send(frozen).await;
        metrics.request_seconds.observe(started.elapsed());
        let (why, after, shrink) = match outcome {
            Outcome::Delivered { state } => {
                metrics.succeeded();
                return Done::Delivered { state };
            }
            Outcome::Partial { rejected } => {
                metrics.succeeded();
                return Done::Partial { rejected };
            }
            Outcome::Reject { why } => return Done::Reject { why },
            Outcome::Fatal { why } => {
                metrics.failed(&why);
                tracing::warn!(sink = name, %why, "The sink's client is broken; it is made anew, nothing is lost.");
                return Done::Fatal;
            }
            Outcome::Retry { why, after, shrink } => (why, after, shrink),
        };
        metrics.failed(&why);
        metrics.retries.fetch_add(1, Relaxed);
        retried();
        if shown.is_none_or(|shown| shown.elapsed() >= Duration::from_secs(60)) {
            tracing::warn!(sink = name, %why, records, "The destination did not take a batch; it is tried again without limit.");
            shown = Some(Instant::now());
        }
        let pause = backoff.next(sink.max_backoff(), random()).max(after.unwrap_or_default());
        tokio::time::sleep(pause).await;
        if shrink && records > 1 {
            return Done::Shrink;
        }
        metrics.records_retried.fetch_add(records, Relaxed);
    }
}

/// A batch that is on its way, or is done and waits for those before it.
#[derive(Debug)]
pub(super) struct Flight {
    pub number: u64,
    pub from: crate::spool::Cursor,
    pub to: crate::spool::Cursor,
    pub records: u64,
    pub bytes: u64,
    pub oldest: i64,
    /// When its oldest item was first seen.
    pub seen: tokio::time::Instant,
    /// Its cut is the first of the stored ones that are not done.
    pub has_cut: bool,
    /// What was gone already when it was frozen, each under the identity that it is numbered in.
    pub gaps: Vec<(crate::spool::SpoolId, crate::spool::Gap)>,
    pub done: Option<Done>,
    pub abort: Option<tokio::task::AbortHandle>,
}

/// What a task that carries a batch gives back.
pub(super) type Landed = (u64, Done);

/// Starts the task of a batch.
pub(super) fn launch<S: Sink>(
    tasks: &mut tokio::task::JoinSet<Landed>,
    (name, number, records): (&str, u64, u64),
    sink: &Arc<S>,
    frozen: S::Frozen,
    metrics: &Arc<SinkMetrics>,
    retries: &tokio::sync::mpsc::UnboundedSender<()>,
) -> tokio::task::AbortHandle {
    let (sink, metrics, name, retries) = (sink.clone(), metrics.clone(), name.to_owned(), retries.clone());
    tasks.spawn(async move {
        // The driver may be gone already; then nobody wants to know.
        let retried = || retries.send(()).unwrap_or_default();
        (number, send(&name, &*sink, &frozen, records, &metrics, &retried).await)
    })
}
