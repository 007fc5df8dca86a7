//! What the driver does with batches that are done: the cursor past them, the refused ones aside, and back to be frozen again.

use super::Sink;
use super::backoff::{Backoff, random};
use super::quarantine::{self, Refusal};
use super::run::{DISK_PAUSE, Driver};
use super::send::{Done, Flight};
use crate::spool::{Cut, now};
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

impl<S: Sink> Driver<S> {
    /// Gives up the flights from this one on: they are frozen again.
    pub(super) async fn rewind(&mut self, index: usize) {
        let gone: Vec<Flight> = self.flights.drain(index..).collect();
        let Some(first) = gone.first() else { return };
        // One that lands all the same finds no flight of its number.
        gone.iter().filter_map(|flight| flight.abort.as_ref()).for_each(tokio::task::AbortHandle::abort);
        self.place = first.from;
        self.reader.lock().await.seek(&first.from);
        self.stored.cuts.truncate(self.cuts_under_way());
        self.given.clear();
        self.gaps.clear();
        self.unstored = true;
    }

    /// The batches on the way that have a cut: as many of the stored ones are theirs, the first.
    pub(super) fn cuts_under_way(&self) -> usize {
        self.flights.iter().filter(|flight| flight.has_cut).count()
    }

    /// Makes a batch's cut durable before it is sent, unless it is the one that was given. Whether the disk took it.
    pub(super) async fn store_cut(&mut self, records: u64, cut: Option<Cut>) -> bool {
        // As long as a batch with records ends where the given cut does, what that one says may stand at the destination already.
        let stands = |given: &Cut, cut: &Cut| given == cut || (given.end == cut.end && records > 0);
        let Some(cut) = cut.filter(|cut| !self.given.front().is_some_and(|given| stands(given, cut))) else {
            return true;
        };
        // Those behind a cut that does not stand any more do not follow on this one either.
        let before = self.stored.cuts.split_off(self.cuts_under_way());
        self.stored.cuts.push(cut);
        if self.store().await {
            self.given.clear();
            return true;
        }
        self.stored.cuts.pop();
        self.stored.cuts.extend(before);
        false
    }

    /// Ends what is on the way. What has landed by now counts.
    pub(super) async fn end_flights(&mut self) {
        self.tasks.abort_all();
        while let Some(landed) = self.tasks.join_next().await {
            // The rest is sent again after the next start, by a client that is new then.
            if let Ok((number, done)) = landed
                && !matches!(done, Done::Shrink | Done::Fatal)
            {
                self.landed(number, done).await;
            }
        }
    }

    /// Goes back to the cursor, with the cuts that are stored, and has the sink's client made anew.
    pub(super) async fn rewind_all(&mut self) {
        self.tasks.shutdown().await;
        self.flights.clear();
        self.given = self.stored.cuts.iter().cloned().collect();
        self.place = self.stored.cursor;
        self.gaps.clear();
        self.reader.lock().await.seek(&self.place);
        self.metrics.resets.fetch_add(1, Relaxed);
        self.sink.reset().await;
        self.not_before = Instant::now() + Backoff::default().next(self.sink.max_backoff(), random());
    }

    /// Moves the cursor past the batches that are done, in order.
    pub(super) fn advance(&mut self) {
        self.refuse_at = None;
        while let Some(done) = self.flights.front_mut().and_then(|flight| flight.done.take()) {
            // A batch has records of one identity, and ends in it.
            let (records, batch) = self.flights.front().map_or_else(Default::default, |flight| (flight.records, flight.to.spool));
            let (is_kept, refused) = match &done {
                Done::Partial { rejected } => (self.refuse(&Refusal::some(batch, rejected)), rejected.len() as u64),
                Done::Reject { why } => (self.refuse(&Refusal::All(why)), records),
                _ => (true, 0),
            };
            if !is_kept {
                self.refuse_at = Some(Instant::now() + DISK_PAUSE);
                if let Some(flight) = self.flights.front_mut() {
                    flight.done = Some(done);
                }
                return;
            };
            if let Done::Delivered { state } = done {
                self.stored.state = state;
                self.shrink = self.shrink.saturating_sub(1);
            }
            let Some(flight) = self.flights.pop_front() else {
                return;
            };
            self.count(&flight, refused);
            self.stored.cursor = flight.to;
            if flight.has_cut && !self.stored.cuts.is_empty() {
                self.stored.cuts.remove(0);
            }
            self.unstored = true;
        }
    }

    fn count(&self, flight: &Flight, refused: u64) {
        self.metrics.records_sent.fetch_add(flight.records.saturating_sub(refused), Relaxed);
        self.metrics.records_rejected.fetch_add(refused, Relaxed);
        if flight.records > refused {
            self.metrics.bytes_sent.fetch_add(flight.bytes, Relaxed);
            self.metrics.batches_sent.fetch_add(1, Relaxed);
        }
        flight.gaps.iter().for_each(|(_, gap)| self.metrics.count_gap(gap));
    }

    /// Puts what was refused of the first flight into the quarantine file, and declares what of it has left the spool. `false` if the disk does not take it
    /// just now.
    fn refuse(&self, refusal: &Refusal<'_>) -> bool {
        let Some(flight) = self.flights.front() else {
            return true;
        };
        // Rare, small, and nothing else of this driver may go on before: worth blocking for.
        let mut reader = self.spool.fork(&flight.from);
        let span = (&flight.from, &flight.to);
        // What was gone already when the batch was frozen is a gap of its own.
        let known: Vec<quarantine::Range> = flight.gaps.iter().filter_map(|(spool, gap)| Some((*spool, gap.sequences?))).collect();
        match quarantine::put(self.spool.folder(), &self.options.name, &mut reader, span, refusal, &known) {
            Ok(quarantine::Kept { count, overwritten, gone }) => {
                let (sink, lost) = (&self.options.name, gone.iter().map(|(_, (first, next))| next - first).sum::<u64>());
                tracing::warn!(%sink, count, lost, "The destination refused records for good; they are in the quarantine file, but for those the spool lost.");
                self.spool.lose(sink, &gone);
                self.metrics.quarantine_overwritten.fetch_add(overwritten, Relaxed);
                true
            }
            Err(error) => {
                tracing::warn!(sink = %self.options.name, %error, "The quarantine file cannot be written; it is tried again.");
                self.metrics.state_errors.fetch_add(1, Relaxed);
                false
            }
        }
    }

    /// Marks the cursor, for a sink that wants it. A mark that fails is made good by the next one or by the stored cursor.
    pub(super) async fn mark(&self) {
        if !self.sink.is_marked() || !self.unstored {
            return;
        }
        let (spool, name, cursor) = (self.spool.clone(), self.options.name.clone(), self.stored.cursor);
        match spawn_blocking(move || spool.mark(&name, &cursor)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => drop(self.disk_failed(&error)),
            Err(error) => drop(self.disk_failed(&error)),
        }
    }

    /// Stores the cursor durably, and lets the spool go of what lies before it. Whether the disk took it.
    pub(super) async fn store(&mut self) -> bool {
        let (spool, name, stored) = (self.spool.clone(), self.options.name.clone(), self.stored.clone());
        let sink = self.sink.clone();
        let result = spawn_blocking(move || {
            sink.settle()?;
            spool.store(&name, &stored)?;
            spool.release(&name, &stored.cursor);
            Ok(())
        })
        .await;
        self.stored_at = Instant::now();
        let error = match result {
            Ok(Ok(())) => {
                self.unstored = false;
                return true;
            }
            Ok(Err(error)) => error,
            Err(error) => std::io::Error::other(error),
        };
        self.disk_failed(&error);
        false
    }

    pub(super) async fn store_if_due(&mut self) {
        if self.unstored && self.stored_at.elapsed() >= self.sink.store_every() {
            self.store().await;
        }
    }

    /// Shows that the disk under spool or cursor failed, and gives when to try again.
    pub(super) fn disk_failed(&self, error: &dyn std::error::Error) -> Instant {
        tracing::warn!(sink = %self.options.name, %error, "The sink's state cannot be read or written; it is tried again.");
        self.metrics.state_errors.fetch_add(1, Relaxed);
        Instant::now() + DISK_PAUSE
    }

    /// Shows how far the sink is behind.
    pub(super) async fn measure(&mut self) {
        let pending = self.reader.lock().await.pending().unwrap_or_default();
        let flying: u64 = self.flights.iter().map(|flight| flight.records).sum();
        let waiting = pending.oldest.map(|oldest| (oldest, self.seen(&pending)));
        // Not in the future, whatever became of the clock since the commit.
        let since =
            |(oldest, seen): (i64, Instant)| oldest.min(now().saturating_sub(i64::try_from(seen.elapsed().as_nanos()).unwrap_or(i64::MAX)));
        let oldest = self.flights.front().map(|flight| (flight.oldest, flight.seen)).or(waiting).map_or(0, since);
        self.metrics.lag_records.store(pending.records + flying, Relaxed);
        self.metrics.lag_bytes.store(self.spool.end().saturating_sub(self.stored.cursor.position), Relaxed);
        self.metrics.oldest_unacked.store(oldest, Relaxed);
        self.metrics.in_flight.store(self.flights.len() as u64, Relaxed);
        self.metrics.concurrency_limit.store(self.concurrency.limit() as u64, Relaxed);
    }
}
