//! Starting a sink's driver, and ending it.

use super::run::Driver;
use super::{Sink, SinkMetrics};
use crate::spool::{Gap, Spool, WhenFull, cause};
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How a driver treats its sink.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// The sink's name: names its cursor and quarantine files, and appears in messages.
    pub name: String,
    /// What happens when the spool is at its bound and the sink is behind.
    pub when_full: WhenFull,
}

/// What a driver has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// Freeze nothing more; end with what is on the way, at the latest then.
    Stop(Instant),
    /// Deliver everything that is visible, without waiting for batches to fill, and end; at the latest then.
    Drain(Instant),
}

/// How a drain ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Drained {
    /// Everything that was visible is delivered.
    All,
    /// The time was over before this was delivered. The cursor stays in front of it, until [`Spool::forget`].
    Left(Gap),
    /// It was called back: the cursor stays for whoever goes on.
    CalledBack,
}

/// A running driver. Dropping it ends the driver as a kill would.
pub struct Running {
    name: String,
    spool: Spool,
    metrics: Arc<SinkMetrics>,
    order: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// Starts delivering to a sink. Needs a tokio runtime with time.
///
/// # Errors
/// If the sink's cursor file cannot be read just now.
pub fn start<S: Sink>(spool: &Spool, sink: Arc<S>, options: DriverOptions) -> io::Result<Running> {
    let (reader, stored) = spool.reader(&options.name, options.when_full)?;
    let metrics = Arc::new(SinkMetrics::default());
    // Weakly: whoever still looks at the numbers of a sink that has ended does not keep its client.
    let counting = Arc::downgrade(&sink);
    let ask = move || counting.upgrade().map_or_else(Vec::new, |sink| sink.numbers());
    metrics.own.0.get_or_init(|| Box::new(ask));
    let (order, orders) = watch::channel(Order::Run);
    let name = options.name.clone();
    let driver = Driver::new(spool.clone(), sink, options, reader, stored, metrics.clone(), orders);
    let task = tokio::spawn(driver.run());
    Ok(Running { name, spool: spool.clone(), metrics, order, task })
}

impl Running {
    /// What the sink counts.
    pub fn metrics(&self) -> &Arc<SinkMetrics> {
        &self.metrics
    }

    /// Ends the driver: what is on the way may land within `grace`, the rest is sent after the next start.
    pub async fn stop(self, grace: Duration) {
        self.end(Order::Stop(Instant::now() + grace)).await;
    }

    /// Delivers everything that is visible, then ends the driver. What is not delivered within `timeout` is given back as a gap; the
    /// cursor stays in front of it, until [`Spool::forget`].
    pub async fn drain(self, timeout: Duration) -> Option<Gap> {
        match self.drain_unless(timeout, pending()).await {
            Drained::Left(gap) => Some(gap),
            Drained::All | Drained::CalledBack => None,
        }
    }

    /// The same, until it is called back: then what is on the way may land within the grace that `called_back` gives.
    pub async fn drain_unless(mut self, timeout: Duration, called_back: impl Future<Output = Duration>) -> Drained {
        let (spool, name, metrics) = (self.spool.clone(), self.name.clone(), self.metrics.clone());
        self.order.send_replace(Order::Drain(Instant::now() + timeout));
        tokio::select! {
            // It ends by itself at its deadline; that it panicked is in the process's log.
            _ = &mut self.task => {}
            grace = called_back => {
                self.stop(grace).await;
                return Drained::CalledBack;
            }
        }
        let left = spool.lag(&name);
        metrics.records_dropped_removed.fetch_add(left.map_or(0, |(records, _)| records), Relaxed);
        match left.filter(|(records, _)| *records > 0) {
            Some((records, sequences)) => Drained::Left(Gap {
                cause: cause::REMOVED.to_owned(),
                records: Some(records),
                sequences: Some(sequences),
                ..Gap::default()
            }),
            None => Drained::All,
        }
    }

    async fn end(mut self, order: Order) {
        self.order.send_replace(order);
        // It ends by itself at its deadline; that it panicked is in the process's log.
        drop((&mut self.task).await);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
