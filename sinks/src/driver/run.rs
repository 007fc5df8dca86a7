//! The loop: wait until a batch is due, freeze it, send it, advance in order.
//!
//! The cursor moves only past what the destination has, or what stands in the quarantine file, or what the spool itself declared lost.
//! It is stored a few times a second, and always before a batch with a [`Cut`] goes out.

use super::backoff::{Backoff, random};
use super::concurrency::Concurrency;
use super::control::{DriverOptions, Order};
use super::send::{Done, Flight, Landed, launch};
use super::{Limits, ResumeError, Sink, SinkMetrics, Step};
use crate::spool::{Changes, Cursor, Cut, Gap, Pending, Reader, Spool, SpoolId, Stored, now};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};

/// The pause after the disk failed.
pub(super) const DISK_PAUSE: Duration = Duration::from_millis(500);

pub(super) struct Driver<S: Sink> {
    pub(super) spool: Spool,
    pub(super) sink: Arc<S>,
    pub(super) options: DriverOptions,
    /// Shared with the blocking pool, where batches are frozen; never contended.
    pub(super) reader: Arc<Mutex<Reader>>,
    /// The reader's place: where the next batch begins.
    pub(super) place: Cursor,
    /// When something was first seen pending at which place.
    pub(super) seen: Option<(Cursor, Instant)>,
    /// Gaps that were gone past for a batch that is not frozen yet.
    pub(super) gaps: Vec<(SpoolId, Gap)>,
    pub(super) stored: Stored,
    pub(super) unstored: bool,
    pub(super) stored_at: Instant,
    /// Cuts from before a restart, or of batches to be frozen again, oldest first.
    pub(super) given: VecDeque<Cut>,
    pub(super) flights: VecDeque<Flight>,
    pub(super) tasks: JoinSet<Landed>,
    next_number: u64,
    pub(super) concurrency: Concurrency,
    /// The sink's limits shifted right by this, after batches that were too large.
    pub(super) shrink: u32,
    pub(super) not_before: Instant,
    /// When the quarantine file is tried again.
    pub(super) refuse_at: Option<Instant>,
    pub(super) metrics: Arc<SinkMetrics>,
    orders: watch::Receiver<Order>,
    changes: Changes,
    retries: (mpsc::UnboundedSender<()>, mpsc::UnboundedReceiver<()>),
}

impl<S: Sink> Driver<S> {
    pub fn new(
        spool: Spool,
        sink: Arc<S>,
        options: DriverOptions,
        reader: Reader,
        stored: Stored,
        metrics: Arc<SinkMetrics>,
        orders: watch::Receiver<Order>,
    ) -> Self {
        let now = Instant::now();
        Self {
            changes: spool.changes(),
            spool,
            concurrency: Concurrency::new(sink.in_flight()),
            sink,
            options,
            place: reader.cursor(),
            seen: None,
            gaps: Vec::new(),
            reader: Arc::new(Mutex::new(reader)),
            given: stored.cuts.iter().cloned().collect(),
            stored,
            unstored: false,
            stored_at: now,
            flights: VecDeque::new(),
            tasks: JoinSet::new(),
            next_number: 0,
            shrink: 0,
            not_before: now,
            refuse_at: None,
            metrics,
            orders,
            retries: mpsc::unbounded_channel(),
        }
    }

    /// Runs until it is told to end.
    pub async fn run(mut self) {
        let (sink, metrics, name) = (self.sink.clone(), self.metrics.clone(), self.options.name.clone());
        tokio::spawn(async move {
            match sink.check().await {
                Ok(()) => metrics.succeeded(),
                Err(health) => {
                    metrics.failed(&health.0);
                    tracing::warn!(sink = %name, %health, "The destination does not look usable; delivery is tried all the same.");
                }
            }
        });
        let resumed = self.resume().await;
        // From here on record before anything is sent: where the sink began, and in which state it found its destination.
        while resumed && !self.store().await && !self.ended() {
            sleep(DISK_PAUSE).await;
        }
        while resumed && !self.ended() {
            let wait = self.fill().await;
            self.measure().await;
            self.advance();
            self.store_if_due().await;
            if self.ended() {
                break;
            }
            self.wait(wait).await;
        }
        self.end_flights().await;
        while self.unstored && Instant::now() < self.deadline().unwrap_or_else(Instant::now) + DISK_PAUSE && !self.store().await {
            sleep(DISK_PAUSE).await;
        }
        self.measure().await;
        self.sink.close().await;
    }

    fn deadline(&self) -> Option<Instant> {
        match *self.orders.borrow() {
            Order::Run => None,
            Order::Stop(at) | Order::Drain(at) => Some(at),
        }
    }

    /// Whether it has been told to end and has nothing left to do, or no time.
    fn ended(&self) -> bool {
        let order = *self.orders.borrow();
        let late = self.deadline().is_some_and(|at| Instant::now() >= at);
        match order {
            Order::Run => false,
            Order::Stop(_) => late || self.flights.is_empty(),
            Order::Drain(_) => late || (self.flights.is_empty() && self.place.position >= self.spool.end()),
        }
    }

    /// Lets the sink take up where the process before left off. `false` if it is to end first.
    async fn resume(&mut self) -> bool {
        let mut backoff = Backoff::default();
        loop {
            let (sink, reader, state, from) = (self.sink.clone(), self.reader.clone(), self.stored.state.clone(), self.stored.cursor);
            let result = spawn_blocking(move || {
                let mut reader = reader.blocking_lock();
                reader.seek(&from);
                let state = sink.resume(&mut reader, state.as_ref())?;
                Ok::<_, ResumeError>((state, reader.cursor()))
            });
            match result.await {
                Ok(Ok((state, place))) => {
                    self.stored.cursor = place;
                    self.stored.state = state;
                    self.place = place;
                    // What the sink moved past needs no cut. Where it moved nowhere, each one stands, also one of a batch without records.
                    let ahead = |cut: &Cut| (cut.end.position, cut.end.sequence) > (place.position, place.sequence);
                    self.stored.cuts.retain(|cut| place == from || ahead(cut));
                    self.given = self.stored.cuts.iter().cloned().collect();
                    return true;
                }
                Ok(Err(error)) => {
                    tracing::warn!(sink = %self.options.name, %error, "The sink cannot take up its work; it is tried again.");
                    self.metrics.failed(&error.to_string());
                }
                Err(error) => {
                    tracing::error!(sink = %self.options.name, %error, "The sink failed while taking up its work.");
                    self.metrics.failed(&error.to_string());
                }
            }
            self.metrics.retries.fetch_add(1, Relaxed);
            let until = Instant::now() + backoff.next(self.sink.max_backoff(), random());
            loop {
                // Whoever looks meanwhile has to see how far behind it is.
                self.measure().await;
                tokio::select! {
                    () = sleep_until(until) => break,
                    _ = self.orders.changed() => break,
                    true = self.changes.next() => {}
                }
            }
            let stop = matches!(*self.orders.borrow(), Order::Stop(_));
            if stop || self.deadline().is_some_and(|at| Instant::now() >= at) || self.orders.has_changed().is_err() {
                return false;
            }
        }
    }

    /// Freezes and launches batches as long as they are due and may be on the way. Gives how long until the next one is due.
    async fn fill(&mut self) -> Option<Instant> {
        while self.flights.len() < self.concurrency.limit() {
            if matches!(*self.orders.borrow(), Order::Stop(_)) {
                return None;
            }
            if Instant::now() < self.not_before {
                return Some(self.not_before);
            }
            let pending = match self.reader.lock().await.pending() {
                Ok(pending) => pending,
                Err(error) => return Some(self.disk_failed(&error)),
            };
            if let Some(due) = self.due(&pending)
                && due > Instant::now()
            {
                return Some(due);
            }
            let is_draining = matches!(*self.orders.borrow(), Order::Drain(_));
            if pending.bytes == 0 && (is_draining || !self.sink.freezes_when_idle()) {
                return None;
            }
            if let Some(wait) = self.freeze(&pending).await {
                return Some(wait);
            }
        }
        None
    }

    /// When what is pending makes a batch.
    fn due(&mut self, pending: &Pending) -> Option<Instant> {
        let limits = self.limits();
        let at_once = !self.given.is_empty()
            || matches!(*self.orders.borrow(), Order::Drain(_))
            || pending.records >= limits.max_records
            || pending.bytes >= limits.max_bytes;
        let oldest = pending.oldest.filter(|_| !at_once)?;
        let age = Duration::from_nanos(u64::try_from(now().saturating_sub(oldest)).unwrap_or(0));
        // Commit times are ahead of a clock that was set back, for as long as it was: what is pending waits no longer for that.
        let age = age.max(self.seen(pending).elapsed());
        Some(Instant::now() + limits.max_age.saturating_sub(age))
    }

    /// When what is pending at the place was first seen, by a clock that does not jump.
    pub(super) fn seen(&mut self, pending: &Pending) -> Instant {
        let now = Instant::now();
        match self.seen.filter(|(place, _)| *place == self.place) {
            Some((_, seen)) => seen,
            None => {
                self.seen = pending.oldest.map(|_| (self.place, now));
                now
            }
        }
    }

    fn limits(&self) -> Limits {
        let limits = self.sink.limits();
        let max_records = (limits.max_records >> self.shrink).max(1);
        let is_draining = matches!(*self.orders.borrow(), Order::Drain(_));
        Limits {
            max_bytes: (limits.max_bytes >> self.shrink).max(1),
            max_records,
            max_age: if is_draining { Duration::ZERO } else { limits.max_age },
        }
    }

    /// Freezes the next batch and launches it. Gives a time where nothing could be frozen now.
    async fn freeze(&mut self, pending: &Pending) -> Option<Instant> {
        let (oldest, seen) = (pending.oldest.unwrap_or(0), self.seen(pending));
        let (sink, reader, limits, cut) = (self.sink.clone(), self.reader.clone(), self.limits(), self.given.front().cloned());
        let from = self.place;
        let result = spawn_blocking(move || {
            let mut reader = reader.blocking_lock();
            let step = sink.freeze(&mut reader, &limits, cut.as_ref(), now());
            let gaps = reader.take_gaps();
            if !matches!(step, Ok(Step::Skip | Step::Batch(_))) {
                reader.seek(&from);
            }
            (step, reader.cursor(), gaps)
        });
        let (step, to, gaps) = match result.await {
            Ok(frozen) => frozen,
            Err(error) => return Some(self.disk_failed(&error)),
        };
        // A sink that waits goes on behind what it has read, or reads it once more.
        for gap in gaps {
            if !self.gaps.contains(&gap) {
                self.gaps.push(gap);
            }
        }
        let (number, gaps) = (self.next_number, Vec::new());
        let mut flight = Flight { number, from, to, records: 0, bytes: 0, oldest, seen, has_cut: false, gaps, done: None, abort: None };
        match step {
            Err(error) => return Some(self.disk_failed(&error)),
            Ok(Step::Wait(pause)) => {
                self.not_before = Instant::now() + pause;
                return Some(self.not_before);
            }
            Ok(Step::Skip) => {
                flight.has_cut = self.given.pop_front().is_some();
                flight.done = Some(Done::Skipped);
            }
            Ok(Step::Batch(batch)) => {
                (flight.records, flight.bytes) = (batch.records, batch.bytes);
                if !self.store_cut(batch.records, batch.cut).await {
                    self.reader.lock().await.seek(&from);
                    return Some(Instant::now() + DISK_PAUSE);
                }
                flight.has_cut = self.stored.cuts.len() > self.cuts_under_way();
                self.given.pop_front();
                let name = (self.options.name.as_str(), flight.number, flight.records);
                flight.abort = Some(launch(&mut self.tasks, name, &self.sink, batch.frozen, &self.metrics, &self.retries.0));
            }
        }
        flight.gaps = std::mem::take(&mut self.gaps);
        self.place = to;
        self.next_number += 1;
        self.flights.push_back(flight);
        self.advance();
        None
    }

    /// Waits for whatever comes next.
    async fn wait(&mut self, until: Option<Instant>) {
        let store = self.unstored.then(|| self.stored_at + self.sink.store_every());
        let until = [until, store, self.refuse_at, self.deadline()].into_iter().flatten().min();
        let timer = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let full = self.flights.len() >= self.concurrency.limit();
        tokio::select! {
            Some(landed) = self.tasks.join_next(), if !self.tasks.is_empty() => match landed {
                Ok((number, done)) => self.landed(number, done).await,
                // A sink that panicked in a batch is treated like one whose client is broken.
                Err(error) if error.is_panic() => self.rewind_all().await,
                Err(_) => {}
            },
            more = self.changes.next(), if !full => {
                if !more {
                    // The spool was closed: nothing more comes by itself.
                    sleep(Duration::from_millis(50)).await;
                }
            }
            Some(()) = self.retries.1.recv() => self.concurrency.pushed_back(),
            _ = self.orders.changed() => {}
            () = timer => {}
        }
    }

    pub(super) async fn landed(&mut self, number: u64, done: Done) {
        let Some(index) = self.flights.iter().position(|flight| flight.number == number) else {
            return;
        };
        match done {
            Done::Shrink => {
                self.shrink = (self.shrink + 1).min(40);
                self.rewind(index).await;
            }
            Done::Fatal => self.rewind_all().await,
            done => {
                self.concurrency.succeeded();
                self.flights[index].done = Some(done);
                self.advance();
                self.mark().await;
            }
        }
    }
}
