//! Reads the intake for Hubble's metrics, beside the flow logs and independent of what they filter.
//!
//! It begins at the intake's end and holds nothing: where it falls behind what flow logs have let go, it skips, and says how much. Counters begin at zero
//! with each start, as Prometheus expects.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use flowlog_bpf::event;
use flowlog_sinks::spool::{IntakeReader, Raw};

use crate::flow::json::{self, Options};
use crate::metrics::hubble::Registry;
use crate::metrics::hubble::kernel::{Around, KernelMetrics, Shared};
use crate::metrics::hubble::spec::Specs;
use crate::pipeline::commons::{Commons, Known};
use crate::pipeline::kernel_events::TOGETHER;
use crate::sources::SourceKind;
use crate::sources::intake::SharedIntake;

/// How often what the kernel reported gets into the numbers, nanoseconds.
const CUT_EVERY: i64 = 1_000_000_000;
/// How long to wait for more.
const WAIT: Duration = Duration::from_millis(250);

/// The thread that counts; stopped when dropped.
pub struct MetricsReader {
    registry: Shared,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    intake: IntakeReader,
    registry: Shared,
    kernel: KernelMetrics,
    commons: Commons,
    known: Known,
    offset: i64,
}

impl MetricsReader {
    /// Starts counting what comes into the intake from now on.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(specs: &Specs, intake: &SharedIntake, commons: &Commons) -> std::io::Result<Self> {
        let registry = Arc::new(Mutex::new(Registry::new(specs)));
        let readers = intake.readers();
        let reader = readers.reader("metrics", readers.end());
        // It needs nothing to be kept for it.
        reader.release(u64::MAX);
        let mut work = Work {
            intake: reader,
            kernel: KernelMetrics::new(Arc::clone(&registry)),
            registry: Arc::clone(&registry),
            known: Known::of(commons),
            commons: commons.clone(),
            offset: 0,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("metrics".to_owned()).spawn(move || work.run(&stopped))?;
        Ok(Self { registry, stop, thread: Some(thread) })
    }

    /// The numbers.
    #[must_use]
    pub fn registry(&self) -> Shared {
        Arc::clone(&self.registry)
    }
}

impl Drop for MetricsReader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Work {
    fn run(&mut self, stop: &AtomicBool) {
        let mut cut = 0;
        while !stop.load(Ordering::Acquire) {
            let heard = self.commons.clock.heard();
            if self.intake.wait(WAIT) {
                // A bounded burst, so that cuts and the stop are not kept waiting.
                for _ in 0..64 {
                    if !self.read_frame() {
                        break;
                    }
                }
            } else {
                self.kernel.hear(heard);
            }
            let now = self.commons.clock.now().unix;
            if now - cut >= CUT_EVERY {
                cut = now;
                let Self { kernel, known: Known { identities, around, .. }, offset, .. } = self;
                kernel.cut(Around { identities, around, arrival: now, clock_offset: *offset });
            }
        }
    }

    fn read_frame(&mut self) -> bool {
        if self.known.refresh(&self.commons) {
            self.kernel.forget_decisions();
        }
        let Self { intake, registry, kernel, known: Known { identities, around, .. }, offset, .. } = self;
        match intake.take() {
            Ok(Some(Raw::Frame { origin, bytes, .. })) => {
                *offset = origin.clock_offset;
                match SourceKind::from_number(origin.source) {
                    Some(SourceKind::Ring) => {
                        ring(kernel, Around { identities, around, arrival: origin.arrival, clock_offset: *offset }, bytes)
                    }
                    Some(SourceKind::Lines) => lines(registry, bytes),
                    Some(SourceKind::Note) | None => {}
                }
                true
            }
            Ok(Some(Raw::Lost { from, to })) => {
                registry.lock().unwrap_or_else(PoisonError::into_inner).skipped_bytes += to - from;
                true
            }
            Ok(None) => false,
            Err(error) => {
                tracing::error!(%error, "the intake cannot be read for metrics; trying again");
                std::thread::sleep(WAIT);
                false
            }
        }
    }
}

/// What can't be read is counted and named by the flow logs, which read the same frames.
fn ring(kernel: &mut KernelMetrics, around: Around<'_>, bytes: &[u8]) {
    let mut events = event::iterate(bytes).flatten();
    let mut together = Vec::with_capacity(TOGETHER);
    loop {
        together.clear();
        together.extend(events.by_ref().take(TOGETHER));
        if together.is_empty() {
            return;
        }
        kernel.apply(&together, around);
    }
}

fn lines(registry: &Shared, bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Ok(event) = json::decode(line, Options::default()) {
            registry.lock().unwrap_or_else(PoisonError::into_inner).observe(&event);
        }
    }
}
