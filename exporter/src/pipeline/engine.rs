//! One flow log at work: reads the intake from its own position, applies each frame, and cuts its windows into the spool.
//!
//! A flow log has a thread of its own and shares nothing with another but the intake it reads, so a slow one holds up nobody. Its whole state between two
//! commits can be made again from the intake: a crash at any moment folds the same frames once more, and nobody has seen the first attempt. What must
//! outlive a commit although its events are behind it (packets whose fate is open, sums of a long window) is written with the commit as hidden frames.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use flowlog_bpf::event;
use flowlog_sinks::spool::{Frame, FrameKind, Gap, IntakeReader};

use super::fold::FoldTable;
use super::json_lines;
use super::kernel_events::{Context, KernelEvents};
use super::log::CompiledLog;
use super::note::Note;
use super::output::{Output, OutputError};
use super::published::Published;
use super::surroundings::{Shared, Surroundings};
use super::totals::Totals;
use super::window::{Cut, Windows};
use crate::identity::Identities;
use crate::sources::clock::ArrivalClock;

/// Tuples one flow log keeps decisions for.
const MOST_ROWS: usize = 262_144;
/// Lines one window may have before it is cut early.
const MOST_LINES: usize = 131_072;
/// How long to wait before a failed commit is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What a running flow log can be told.
pub enum Command {
    /// Go on under another configuration from the next commit on.
    Change(Arc<CompiledLog>),
    /// Cut now what there is, commit, and end.
    Stop,
}

/// What a flow log needs to run.
pub struct Parts {
    /// Its configuration.
    pub log: Arc<CompiledLog>,
    /// Where it reads.
    pub intake: IntakeReader,
    /// Where it writes.
    pub output: Output,
    /// Who addresses are.
    pub identities: Arc<Shared<Identities>>,
    /// Interfaces, reasons, the node's name.
    pub around: Arc<Shared<Surroundings>>,
    /// The arrival clock.
    pub clock: Arc<ArrivalClock>,
    /// What others may read of it.
    pub published: Arc<Published>,
}

/// A flow log at work.
pub struct Engine {
    parts: Parts,
    identities: Arc<Identities>,
    around: Arc<Surroundings>,
    seen: (u64, u64),
    kernel: KernelEvents,
    fold: FoldTable,
    windows: Windows,
    totals: Totals,
    gaps: Vec<Gap>,
    /// Position in the intake behind the last frame that was applied.
    position: u64,
    /// The position the last commit stored.
    committed: u64,
    offset: i64,
}

impl Engine {
    /// Takes up where the last commit left off.
    #[must_use]
    pub fn new(mut parts: Parts) -> Self {
        let resumed = parts.output.resume();
        let mut kernel = KernelEvents::new(MOST_ROWS);
        kernel.restore(&resumed.open);
        Self {
            identities: parts.identities.get(),
            around: parts.around.get(),
            seen: (parts.identities.generation(), parts.around.generation()),
            kernel,
            fold: FoldTable::new(MOST_LINES),
            windows: Windows::new(parts.log.window),
            totals: resumed.totals,
            gaps: Vec::new(),
            position: resumed.position,
            committed: resumed.position,
            offset: 0,
            parts,
        }
    }

    /// Runs until told to stop, or until everybody who could tell is gone.
    pub fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.try_recv() {
                Ok(Command::Change(log)) => self.change(log),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return self.stop(),
                Err(TryRecvError::Empty) => {}
            }
            self.step();
        }
    }

    /// Applies what there is, or waits a little for more.
    fn step(&mut self) {
        let now = self.parts.clock.now().unix;
        let wait = match self.windows.next() {
            Some(at) => Duration::from_nanos(u64::try_from(at - now).unwrap_or(0)).min(Duration::from_millis(100)),
            None => Duration::from_millis(100),
        };
        if self.parts.intake.wait(wait) {
            // A bounded burst, so that commands are heard.
            for _ in 0..64 {
                if !self.read_frame() {
                    break;
                }
            }
        } else {
            // Quiet: the clock cuts. Frames stamped before this moment have all been read.
            let now = self.parts.clock.now().unix;
            self.cut_until(now);
            self.commit_idle();
        }
    }

    fn read_frame(&mut self) -> bool {
        let frame = match self.parts.intake.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return false,
            Err(error) => {
                tracing::error!(%error, "the intake cannot be read; trying again");
                std::thread::sleep(RETRY);
                return false;
            }
        };
        self.cut_until(frame.arrival);
        self.refresh();
        self.position = frame.next;
        self.offset = frame.clock_offset;
        self.apply(&frame);
        self.windows.open(frame.arrival);
        if self.fold.full() {
            self.totals.early_cuts += 1;
            self.cut(frame.arrival, Cut::Partial);
        }
        true
    }

    fn apply(&mut self, frame: &Frame) {
        match frame.kind {
            FrameKind::Ring => self.apply_ring(frame),
            FrameKind::Lines => self.apply_lines(frame),
            FrameKind::Note => match Note::decode(&frame.bytes) {
                Some(Note::Gap(gap)) => self.gaps.push(gap),
                Some(Note::Sources(_)) | None => {}
            },
        }
        if let Some(lost) = frame.lost_before {
            self.gaps.push(super::output::intake_gap(lost));
        }
    }

    fn apply_ring(&mut self, frame: &Frame) {
        for event in event::iterate(&frame.bytes) {
            match event {
                Ok(event) => {
                    let (kernel, mut cx) = self.context(frame.arrival);
                    kernel.apply(&event, &mut cx);
                }
                Err(malformed) => {
                    self.totals.malformed_events += 1;
                    tracing::warn!(%malformed, position = frame.position, "a kernel event cannot be read; it was passed over");
                }
            }
            if self.windows.per_event() {
                self.write_lines();
            }
        }
    }

    fn apply_lines(&mut self, frame: &Frame) {
        let Self { parts, fold, totals, gaps, .. } = self;
        json_lines::apply(&frame.bytes, frame.position, &parts.log, fold, &mut parts.output, totals, gaps);
    }

    fn context(&mut self, arrival: i64) -> (&mut KernelEvents, Context<'_>) {
        let Self { parts, identities, around, kernel, fold, totals, offset, .. } = self;
        (kernel, Context { log: &parts.log, identities, around, fold, totals, arrival, clock_offset: *offset })
    }

    /// Takes new identities and surroundings if there are any.
    fn refresh(&mut self) {
        let now = (self.parts.identities.generation(), self.parts.around.generation());
        if now != self.seen {
            self.seen = now;
            self.identities = self.parts.identities.get();
            self.around = self.parts.around.get();
        }
    }

    fn cut_until(&mut self, now: i64) {
        while let Some((at, cut)) = self.windows.due(now) {
            self.cut(at, cut);
        }
    }

    fn cut(&mut self, at: i64, cut: Cut) {
        let (kernel, mut cx) = self.context(at);
        kernel.settle(at, &mut cx);
        match cut {
            Cut::Window if !self.parts.output.has_runs() => self.write_lines(),
            Cut::Window => {
                self.write_run();
                let Self { parts, totals, around, .. } = self;
                parts.output.merge_runs(&parts.log, around, totals);
            }
            Cut::Partial if self.windows.is_long() => self.write_run(),
            Cut::Partial => self.write_lines(),
        }
        self.fold.forget_idle();
        let open = self.kernel.waits() || self.parts.output.has_runs();
        self.windows.cut(at, open);
        self.commit(at);
    }

    fn write_lines(&mut self) {
        let Self { parts, fold, totals, around, gaps, .. } = self;
        fold.drain(|group| parts.output.line(&parts.log, around, &group.prepared, &group.sums, group.uuid.as_deref(), totals, gaps));
    }

    fn write_run(&mut self) {
        self.parts.output.run(&mut self.fold);
    }

    /// Commits, and does not give up: the intake holds what this flow log has not stored, and the kernel what the intake has no room for.
    fn commit(&mut self, at: i64) {
        let gaps = std::mem::take(&mut self.gaps);
        for gap in &gaps {
            self.parts.output.gap_line(&self.parts.log, &self.around, gap, at, &mut self.totals);
        }
        let open = self.kernel.open_rows();
        while let Err(error) = self.parts.output.commit(self.position, at, &self.parts.log.hash, &gaps, &self.totals, &open) {
            self.parts.published.failing(&error.to_string());
            tracing::error!(%error, flow_log = self.parts.log.name, "a window cannot be stored; trying again until it can");
            std::thread::sleep(RETRY);
        }
        self.committed = self.position;
        self.parts.intake.release(self.position);
        self.parts.published.committed(&self.totals, self.kernel.rows(), at);
    }

    /// Lets go of frames that changed nothing, so that the intake is not held by a quiet flow log.
    fn commit_idle(&mut self) {
        if self.position != self.committed && self.windows.next().is_none() {
            let now = self.parts.clock.now().unix;
            self.commit(now);
        }
    }

    fn change(&mut self, log: Arc<CompiledLog>) {
        self.end_window();
        self.windows = Windows::new(log.window);
        self.parts.log = log;
        self.kernel.forget_decisions();
        self.fold.clear();
        self.windows.cut(self.parts.clock.now().unix, self.kernel.waits());
    }

    fn end_window(&mut self) {
        let now = self.parts.clock.now().unix;
        self.cut(now, Cut::Window);
    }

    fn stop(mut self) {
        // What is in the intake by now still belongs to this life.
        while self.read_frame() {}
        self.end_window();
        self.parts.output.close();
        self.parts.published.stopped();
    }
}
