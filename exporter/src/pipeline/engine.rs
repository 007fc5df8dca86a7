//! One flow log at work: reads the intake from its own position, applies each frame, and cuts its windows into the spool.
//!
//! A flow log has a thread of its own and shares nothing with another but the intake it reads, so a slow one holds up nobody. Its whole state between two
//! commits can be made again from the intake: a crash at any moment folds the same frames once more, and nobody has seen the first attempt. What must
//! outlive a commit although its events are behind it (packets whose fate is open, sums of a long window) is written with the commit as hidden frames.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use flowlog_bpf::event::{self, Event};
use flowlog_sinks::spool::{Gap, IntakeReader, Origin, Raw};

use super::commons::{Commons, Known};
use super::fold::FoldTable;
use super::json_lines::{self, Target};
use super::kernel_events::{Context, KernelEvents, TOGETHER};
use super::log::CompiledLog;
use super::note::{Note, cause};
use super::orders::{Command, Orders};
use super::output::{Books, Output, Resumed};
use super::places::Places;
use super::published::Published;
use super::totals::Totals;
use super::window::{Cut, Windows};
use crate::sources::SourceKind;
use crate::sources::clock::boot_now;

/// Tuples one flow log keeps decisions for.
const MOST_ROWS: usize = 262_144;
/// Lines one window may have before it is cut early.
pub const MOST_LINES: usize = 131_072;
/// How long to wait before something that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How long a stop waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// A flow log at work.
pub struct Engine {
    intake: IntakeReader,
    work: Work,
}

/// Everything but the reader, which lends the frame that is being applied.
struct Work {
    log: Arc<CompiledLog>,
    output: Output,
    commons: Commons,
    published: Arc<Published>,
    known: Known,
    kernel: KernelEvents,
    fold: FoldTable,
    windows: Windows,
    totals: Totals,
    gaps: Vec<Gap>,
    places: Places,
    line: Vec<u8>,
    /// Those of the frame that are applied next, together.
    events: Vec<Event>,
    /// Position in the intake behind the last frame that was applied.
    position: u64,
    /// The position the last commit stored.
    committed: u64,
    /// Once this position has been read, everything has that was reported until then, boot clock.
    heard_behind: (u64, i64),
    /// When the last frame that was applied arrived.
    arrival: i64,
    offset: i64,
    orders: Orders,
}

impl Engine {
    /// Takes up where the last commit left off. `fold` holds what it left of an open window. What is sent into the channel is heard by [`Engine::run`].
    #[must_use]
    pub fn new(
        log: Arc<CompiledLog>,
        intake: IntakeReader,
        (output, resumed): (Output, Resumed),
        fold: FoldTable,
        commons: Commons,
        published: Arc<Published>,
    ) -> (Self, Sender<Command>) {
        let (orders, sender) = Orders::new();
        let now = commons.clock.now().unix;
        let mut kernel = KernelEvents::new(MOST_ROWS);
        kernel.restore(&resumed.open, boot_now());
        let mut windows = Windows::new(log.window);
        // From the last commit on, so that a window ends where it would have ended without the restart.
        let arrival = resumed.time.unwrap_or(now);
        if kernel.waits() || fold.lines() > 0 || output.has_runs() {
            windows.open(arrival);
        }
        let position = intake.position();
        let work = Work {
            known: Known::of(&commons),
            kernel,
            fold,
            windows,
            totals: resumed.totals,
            gaps: resumed.gaps,
            places: Places::default(),
            line: Vec::new(),
            events: Vec::new(),
            position,
            committed: position,
            heard_behind: (position, i64::MIN),
            arrival,
            offset: 0,
            orders,
            log,
            output,
            commons,
            published,
        };
        (Self { intake, work }, sender)
    }

    /// Says where this flow log begins, before any source appends behind that: a crash in its first window then finds the beginning and not a later end.
    pub fn begin(&mut self) {
        self.work.commit(self.work.commons.clock.now().unix);
    }

    /// Runs until told to stop, or until everybody who could tell is gone.
    pub fn run(mut self) {
        if !self.work.gaps.is_empty() {
            // A change of the spool's identity is declared before anything else.
            let now = self.work.commons.clock.now().unix;
            if self.work.windows.is_long() {
                self.work.output.store_run(&mut self.work.fold);
            }
            self.work.commit(now);
        }
        loop {
            self.work.orders.hear(Duration::ZERO);
            if let Some(log) = self.work.orders.change.take() {
                self.work.change(log);
            }
            if self.work.orders.stop.is_some() {
                return self.stop();
            }
            self.step();
            self.intake.release(self.work.output.durable());
        }
    }

    /// Applies what there is, or waits a little for more.
    fn step(&mut self) {
        let now = self.work.commons.clock.now().unix;
        let wait = match self.work.windows.next() {
            Some(at) => Duration::from_nanos(u64::try_from(at - now).unwrap_or(0)).min(Duration::from_millis(100)),
            None => Duration::from_millis(100),
        };
        // Asked before waiting: a frame that comes after this moment is stamped after it too.
        let (quiet_until, heard) = (self.work.commons.clock.now().unix, self.work.commons.clock.heard());
        self.work.hear_behind(self.intake.position() + self.intake.pending(), heard);
        if self.intake.wait(wait) {
            // A bounded burst, so that commands are heard.
            for _ in 0..64 {
                if !self.read_frame() {
                    break;
                }
            }
        } else {
            self.work.kernel.hear(heard);
            self.work.cut_until(quiet_until);
            self.work.commit_idle();
        }
    }

    fn read_frame(&mut self) -> bool {
        match self.intake.take() {
            Ok(Some(Raw::Frame { position, origin, bytes })) => self.work.frame(position, &origin, bytes),
            Ok(Some(Raw::Lost { from, to })) => self.work.lost(from, to),
            Ok(None) => return false,
            Err(error) => {
                tracing::error!(%error, "the intake cannot be read; trying again");
                std::thread::sleep(RETRY);
                return false;
            }
        }
        self.work.position = self.intake.position();
        self.work.after_frame();
        true
    }

    fn stop(mut self) {
        // What is in the intake by now still belongs to this life.
        while !self.work.orders.given_up && self.read_frame() {}
        if !self.work.orders.given_up {
            let (now, ended) = (self.work.commons.clock.now().unix, self.work.orders.ended);
            if ended {
                let (kernel, mut cx) = self.work.context(now);
                kernel.surrender(&mut cx);
            }
            self.work.cut(now, if self.work.windows.is_long() && !ended { Cut::Partial } else { Cut::Window }, now);
        }
        self.work.output.close(PATIENCE);
        self.work.published.stopped();
    }
}

impl Work {
    fn frame(&mut self, position: u64, origin: &Origin, bytes: &[u8]) {
        self.cut_until(origin.arrival);
        if self.known.refresh(&self.commons) {
            self.kernel.forget_decisions();
        }
        self.kernel.told_until(self.commons.clock.told_by_reports(), boot_now());
        (self.arrival, self.offset) = (origin.arrival, origin.clock_offset);
        self.windows.open(origin.arrival);
        match SourceKind::from_number(origin.source) {
            Some(SourceKind::Ring) => self.ring(position, origin, bytes),
            Some(SourceKind::Lines) => self.lines(origin, bytes),
            Some(SourceKind::Note) => match Note::decode(bytes) {
                Some(Note::Gap(gap)) => {
                    if cause::LOST.contains(&gap.cause.as_str()) {
                        *self.totals.lost.entry(gap.cause.clone()).or_default() += gap.bytes.unwrap_or(1);
                    }
                    self.gaps.push(gap);
                }
                Some(Note::Sources(sources)) => self.places.noted(sources),
                None => {}
            },
            None => tracing::warn!(source = origin.source, position, "a frame of an unknown source; it was passed over"),
        }
    }

    /// Everything that was reported until `heard` lies before `end`. Under a load that never ends this is all that tells how far several rings have been read.
    fn hear_behind(&mut self, end: u64, heard: i64) {
        if self.position >= self.heard_behind.0 {
            self.kernel.hear(self.heard_behind.1);
            self.heard_behind = (end, heard);
        }
    }

    fn ring(&mut self, position: u64, origin: &Origin, bytes: &[u8]) {
        let together = if self.windows.per_event() { 1 } else { TOGETHER };
        for event in event::iterate(bytes) {
            match event {
                Ok(event) => self.events.push(event),
                Err(malformed) => {
                    self.totals.malformed_events += 1;
                    tracing::warn!(%malformed, position, "a kernel event cannot be read; it was passed over");
                }
            }
            if self.events.len() >= together {
                self.apply(origin.arrival);
            }
        }
        self.apply(origin.arrival);
    }

    /// Applies the events that were read.
    fn apply(&mut self, arrival: i64) {
        let mut events = std::mem::take(&mut self.events);
        let (kernel, mut cx) = self.context(arrival);
        kernel.apply(&events, &mut cx);
        if self.windows.per_event() && !events.is_empty() {
            self.write_lines();
        }
        events.clear();
        self.events = events;
    }

    fn lines(&mut self, origin: &Origin, bytes: &[u8]) {
        let Self { log, fold, output, totals, gaps, line: scratch, places, .. } = self;
        let mut place = places.first(origin);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.is_empty()
                && let Some(event) = json_lines::decode(text, &place, totals)
            {
                json_lines::apply(event, origin.arrival, &mut Target { log, fold, output, totals, gaps, line: scratch });
            }
            place.next(line.len());
        }
        places.pass(origin, bytes);
    }

    /// Bytes of the intake that can't be read back.
    fn lost(&mut self, from: u64, to: u64) {
        *self.totals.lost.entry(cause::INTAKE.to_owned()).or_default() += to - from;
        self.gaps.push(Gap { cause: cause::INTAKE.to_owned(), bytes: Some(to - from), ..Gap::default() });
        self.windows.open(self.arrival);
    }

    /// A frame may take the table over its bound, by as many lines as it has: a commit inside it would have half of it folded again after a crash.
    fn after_frame(&mut self) {
        if self.fold.full() {
            self.make_room();
        }
    }

    /// The window has as many lines as memory may hold.
    fn make_room(&mut self) {
        self.totals.early_cuts += 1;
        if self.windows.is_long() {
            self.output.spill(&mut self.fold);
        } else {
            self.write_lines();
        }
        self.fold.forget_idle();
        self.commit(self.arrival);
    }

    fn context(&mut self, arrival: i64) -> (&mut KernelEvents, Context<'_>) {
        let Self { log, known, kernel, fold, totals, offset, .. } = self;
        let Known { identities, around, .. } = known;
        (kernel, Context { log: &**log, identities, around, fold, totals, arrival, clock_offset: *offset })
    }

    fn cut_until(&mut self, now: i64) {
        while let Some((at, cut)) = self.windows.due(now) {
            self.cut(at, cut, now);
        }
    }

    /// Cuts at `at`, on the way to `now`.
    fn cut(&mut self, at: i64, cut: Cut, now: i64) {
        let (kernel, mut cx) = self.context(at);
        kernel.settle(&mut cx);
        // What a long window left in the spool before a restart with a short one ends with the first cut.
        match (cut, self.windows.is_long() || self.output.spilled()) {
            (Cut::Window, false) | (Cut::Partial, false) => self.write_lines(),
            (Cut::Partial, true) => self.output.store_run(&mut self.fold),
            (Cut::Window, true) => {
                if self.output.spilled() {
                    self.output.store_run(&mut self.fold);
                    self.commit(at);
                }
                let Self { known, output, fold, totals, gaps, .. } = self;
                output.end_long_window(fold, &mut Books { around: &known.around, totals, gaps });
            }
        }
        self.fold.forget_idle();
        let open = self.kernel.waits() || self.output.has_runs();
        self.windows.cut(at, now, open);
        self.commit(at);
    }

    fn write_lines(&mut self) {
        let Self { fold, output, known, totals, gaps, .. } = self;
        let mut books = Books { around: &known.around, totals, gaps };
        fold.drain(|group| output.group(group, &mut books));
    }

    /// Commits, and does not give up: the intake holds what this flow log has not stored, and the kernel what the intake has no room for.
    fn commit(&mut self, at: i64) {
        if self.orders.given_up {
            return;
        }
        self.output.take_damage(&mut self.totals, &mut self.gaps);
        let gaps = std::mem::take(&mut self.gaps);
        for gap in &gaps {
            self.output.gap_line(&self.known.around, gap, at, &mut self.totals, &mut self.gaps);
        }
        let open = self.kernel.open_rows();
        (self.totals.open_inputs, self.totals.open_packets) = self.output.open_volume(&self.fold);
        let mut result = self.output.commit(self.position, at, &self.log.hash, gaps, &self.totals, &open);
        while let Err(error) = result {
            self.published.failing(&error.to_string());
            tracing::error!(%error, flow_log = self.log.name, "a window cannot be stored; trying again until it can");
            self.orders.hear(RETRY);
            if self.orders.stop.is_some_and(|since| since.elapsed() >= PATIENCE) {
                tracing::error!(
                    flow_log = self.log.name,
                    "the last window is not stored before the stop; the next start makes it again from the intake"
                );
                self.orders.given_up = true;
                return;
            }
            result = self.output.retry();
        }
        self.committed = self.position;
        self.published.committed(&self.totals, self.kernel.rows(), at);
    }

    /// Lets go of frames that changed nothing, so that the intake is not held by a quiet flow log, and declares what was found damaged meanwhile.
    fn commit_idle(&mut self) {
        if self.windows.next().is_none() && (self.position != self.committed || self.output.has_damage()) {
            self.commit(self.commons.clock.now().unix);
        }
    }

    fn change(&mut self, log: Arc<CompiledLog>) {
        // What has arrived and was not read yet belongs to the new configuration: the cut is made where this flow log is, not where the clock is.
        self.cut(self.arrival, Cut::Window, self.arrival);
        self.windows = Windows::new(log.window);
        if self.kernel.waits() {
            self.windows.open(self.arrival);
        }
        self.log = log;
        self.kernel.forget_decisions();
        self.fold.clear();
    }
}

#[cfg(test)]
mod tests;
