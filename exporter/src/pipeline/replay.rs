//! Recorded flows through one flow log, without an intake: the input itself can be read again.
//!
//! The only difference to the daemon is the clock: windows are cut on the flow's own time. The window after the present one ends it, and so does a step of
//! more than one window back; a flow that is a little late still joins. What is left at the end of the input is flushed. Windows are whole multiples of their
//! length since 1970, but those of `fieldAggregate` begin with the first flow, as upstream's do with the exporter: an interval longer than the input is one.
//!
//! A position is the number of a line of the input. Every commit stores the one it covers, with the beginning of the open window and its sums so far, so that
//! an interrupted replay goes on behind it.

use std::sync::Arc;
use std::time::Duration;

use flowlog_sinks::spool::{Gap, Stalled};

use super::fold::FoldTable;
use super::json_lines::{self, Target};
use super::log::CompiledLog;
use super::output::{Books, Output, Resumed};
use super::surroundings::Surroundings;
use super::totals::Totals;
use crate::flow::{Event, ExportEvent};

/// Lines after which what is there is made visible, where no window does it.
const COMMIT_EVERY: u64 = 4096;

/// One flow log being replayed into.
pub struct ReplayLog {
    log: Arc<CompiledLog>,
    output: Output,
    fold: FoldTable,
    /// The accounting.
    pub totals: Totals,
    gaps: Vec<Gap>,
    line: Vec<u8>,
    around: Arc<Surroundings>,
    /// When the open window begins, Unix nanoseconds.
    window: Option<i64>,
    /// Number of the last line that was applied, counted from 1.
    position: u64,
    committed: u64,
}

impl ReplayLog {
    /// Takes up where the last commit left off. `fold` holds what it left of an open window.
    #[must_use]
    pub fn new(log: Arc<CompiledLog>, (output, resumed): (Output, Resumed), fold: FoldTable, around: Arc<Surroundings>) -> Self {
        let Resumed { position, totals, gaps, open, .. } = resumed;
        let window = open.as_slice().try_into().ok().map(i64::from_le_bytes);
        let position = position.unwrap_or_default();
        Self { committed: totals.lines, log, output, fold, totals, gaps, line: Vec::new(), around, window, position }
    }

    /// Begins an input, whatever was replayed here before.
    ///
    /// # Errors
    /// When the disk does not take a commit just now; call [`ReplayLog::retry`].
    pub fn begin(&mut self, now: i64) -> Result<(), Stalled> {
        (self.window, self.position) = (None, 0);
        self.commit(now)
    }

    /// Whether a line was applied before an interruption.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        number <= self.position
    }

    /// Applies the event of a line. `now` is the wall clock, Unix nanoseconds.
    ///
    /// # Errors
    /// When the disk does not take a commit just now. The event was applied; call [`ReplayLog::retry`].
    pub fn apply(&mut self, number: u64, event: ExportEvent<'_>, now: i64) -> Result<(), Stalled> {
        let mut result = Ok(());
        if self.log.folds()
            && let Some(time) = event.flow().and_then(|flow| flow.time)
            && let Some(Event::Flow(_)) = event.event
        {
            let (time, length) = (time.unix_nanos(), self.log.window);
            match self.window {
                Some(open) => {
                    let steps = time.saturating_sub(open).div_euclid(length);
                    if !matches!(steps, -1 | 0) {
                        result = self.cut(now);
                        self.window = Some(open.saturating_add(steps.saturating_mul(length)));
                    }
                }
                None if self.log.aggregate => self.window = Some(time),
                None => self.window = Some(time.saturating_sub(time.rem_euclid(length))),
            }
        }
        let Self { log, fold, output, totals, gaps, line, .. } = self;
        json_lines::apply(event, now, &mut Target { log, fold, output, totals, gaps, line });
        self.position = number;
        if self.fold.full() {
            self.totals.early_cuts += 1;
            self.output.spill(&mut self.fold);
            self.fold.forget_idle();
            return self.commit(now).and(result);
        }
        if self.totals.lines - self.committed >= COMMIT_EVERY {
            return self.commit(now).and(result);
        }
        result
    }

    /// Ends the open window.
    ///
    /// # Errors
    /// As for [`ReplayLog::apply`].
    pub fn cut(&mut self, now: i64) -> Result<(), Stalled> {
        if self.output.spilled() {
            self.output.store_run(&mut self.fold);
            // The window's lines are read back from what is committed here.
            let mut committed = self.commit(now);
            while committed.is_err() {
                std::thread::sleep(Duration::from_millis(100));
                committed = self.retry();
            }
        }
        let Self { around, output, fold, totals, gaps, .. } = self;
        output.end_long_window(fold, &mut Books { around, totals, gaps });
        self.fold.forget_idle();
        self.commit(now)
    }

    fn commit(&mut self, now: i64) -> Result<(), Stalled> {
        self.committed = self.totals.lines;
        // Lines that do not fold are committed in the middle of a window.
        if self.fold.lines() > 0 {
            self.output.store_run(&mut self.fold);
        }
        self.output.take_damage(&mut self.totals, &mut self.gaps);
        let gaps = std::mem::take(&mut self.gaps);
        (self.totals.open_inputs, self.totals.open_packets) = self.output.open_volume(&self.fold);
        let open = self.window.map(i64::to_le_bytes);
        self.output.commit(self.position, now, &self.log.hash, gaps, &self.totals, open.as_ref().map_or(&[], |window| window))
    }

    /// Tries again what stalled.
    ///
    /// # Errors
    /// When the disk still does not take it.
    pub fn retry(&mut self) -> Result<(), Stalled> {
        self.output.retry()
    }

    /// Bytes of the spool on disk.
    #[must_use]
    pub fn spool_bytes(&self) -> u64 {
        self.output.writer().spool().metrics().bytes.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Closes the spool.
    pub fn close(self, patience: Duration) -> Totals {
        self.output.close(patience);
        self.totals
    }
}
