//! Metrics from the kernel's events: the walk of a flow log, whose lines are the sets of series that flows add to.
//!
//! Riding on the pipeline gives metrics its knowledge of a packet's fate (what a firewall ate was not forwarded) and its cost: an event finds its row,
//! the row its line, and the line's sums grow. Series are looked up once for each cached flow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flowlog_bpf::event::Event;

use super::Registry;
use crate::flow::Flow;
use crate::identity::Identities;
use crate::pipeline::fold::FoldTable;
use crate::pipeline::identify::Sighting;
use crate::pipeline::kernel_events::{Context, KernelEvents};
use crate::pipeline::line::{Kind, Prepared};
use crate::pipeline::log::{self, LineRules, Wanted};
use crate::pipeline::surroundings::Surroundings;
use crate::pipeline::template::Template;
use crate::pipeline::totals::Totals;

/// Tuples that are kept. With more at once the oldest idle ones are looked up again, which costs time and no count.
const MOST_ROWS: usize = 131_072;
/// Sets of series in one window.
const MOST_LINES: usize = 65_536;

/// Shares the registry between what adds to it and the page.
pub type Shared = Arc<Mutex<Registry>>;

/// Wants every flow, and takes the series it adds to for its line. Which metrics count it, the registry says.
#[derive(Debug)]
struct Rules(Shared);

impl Rules {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LineRules for Rules {
    fn wants(&self, flow: &Flow<'_>, port_removed: bool) -> Wanted {
        if !port_removed && self.registry().varies(flow) { Wanted::PerEvent } else { Wanted::Yes }
    }

    fn wants_event(&self, flow: &mut Flow<'_>, tcp_flags: u16) -> Wanted {
        log::set_tcp_flags(flow, tcp_flags);
        Wanted::Yes
    }

    fn prepare_kernel(&self, flow: Flow<'_>, _: Sighting, port_removed: bool, _: &Surroundings) -> Prepared {
        let steps = self.registry().resolve(&flow, port_removed);
        Prepared::new(&Template::without_holes(&steps), b"", b"", Kind::Input)
    }

    fn unattributed(&self) -> Prepared {
        Prepared::default()
    }
}

/// What surrounds an event.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// Who addresses are.
    pub identities: &'a Identities,
    /// Interfaces, drop reasons, this node's name.
    pub around: &'a Surroundings,
    /// Arrival time of the frame, Unix nanoseconds.
    pub arrival: i64,
    /// Unix time minus boot time when the frame arrived.
    pub clock_offset: i64,
}

/// Counts the kernel's events into a registry.
#[derive(Debug)]
pub struct KernelMetrics {
    rules: Rules,
    kernel: KernelEvents,
    fold: FoldTable,
    totals: Totals,
}

impl KernelMetrics {
    /// Counts into `registry`.
    #[must_use]
    pub fn new(registry: Shared) -> Self {
        Self { rules: Rules(registry), kernel: KernelEvents::new(MOST_ROWS), fold: FoldTable::new(MOST_LINES), totals: Totals::default() }
    }

    /// Applies events in their order; a few at a time, since what they take is bounded after each call. Numbers grow at the next [`KernelMetrics::cut`].
    pub fn apply(&mut self, events: &[Event], around: Around<'_>) {
        let Self { rules, kernel, fold, totals } = self;
        kernel.apply(events, &mut context(rules, fold, totals, around));
        if self.fold.full() {
            self.count();
        }
    }

    /// Decides what waited long enough, and adds everything to the registry. `around.arrival` is the moment of the cut.
    pub fn cut(&mut self, around: Around<'_>) {
        let Self { rules, kernel, fold, totals } = self;
        kernel.settle(&mut context(rules, fold, totals, around));
        self.count();
    }

    /// Everything that the kernel reported up to this moment of the boot clock has been applied.
    pub fn hear(&mut self, boot: i64) {
        self.kernel.hear(boot);
    }

    /// Drops what was resolved from old surroundings.
    pub fn forget_decisions(&mut self) {
        self.kernel.forget_decisions();
    }

    fn count(&mut self) {
        let mut registry = self.rules.registry();
        self.fold.drain(|group| registry.add(group.prepared.fold_key(), group.sums));
        drop(registry);
        self.fold.forget_idle();
    }
}

fn context<'c>(rules: &'c Rules, fold: &'c mut FoldTable, totals: &'c mut Totals, around: Around<'c>) -> Context<'c> {
    let Around { identities, around, arrival, clock_offset } = around;
    Context { log: rules, identities, around, fold, totals, arrival, clock_offset }
}
