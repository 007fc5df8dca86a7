//! Hubble's metrics: the same names, labels, options and buckets (Hubble digest §8), over what the kernel reported and over lines of the input.
//!
//! * `spec` and `context` read the configuration, `families` says what a flow counts for, `words` how numbers are called, `table` keeps the series.
//! * Flows of the input are observed one by one. A line of the kernel is resolved to its series once, when its flow enters the cache
//!   (`Registry::resolve`), and then only numbers are added (`Registry::add`).
//! * Independent of flow logs: what their filters leave out is counted here all the same. A metric may have filters of its own, which are the flow
//!   logs' (Hubble digest §3): of the kernel's flows they are asked when the flow is resolved, and at each event only where they look at what varies.
//!
//! Differences from Hubble, on purpose: lost events are counted, not notifications of them; a metric has at most [`table::MOST_SERIES`] series and a
//! declared one for the rest; a change of the metrics needs a start, where Cilium reads its dynamic metrics file again; its removal of deleted pods'
//! series is not there.

pub mod context;
mod exemplar;
pub mod families;
pub mod kernel;
pub mod spec;
pub mod table;
pub mod words;

use std::borrow::Cow;

use self::families::Amount;
use self::spec::{Family, Spec, Specs};
use self::table::{MOST_SERIES, Table};
use crate::filter::PerFlow;
use crate::flow::{Event, ExportEvent, Flow, LostEvent};
use crate::metrics::text::{Exemplar, Kind, Page};
use crate::pipeline::log;
use crate::pipeline::sums::Sums;

/// One wanted family and its metrics.
#[derive(Debug)]
struct Wanted {
    spec: Spec,
    tables: Vec<Table>,
}

/// All metrics.
#[derive(Debug)]
pub struct Registry {
    wanted: Vec<Wanted>,
    lost: Table,
    /// Bytes of the intake that were given up before they were read for metrics.
    pub skipped_bytes: u64,
    /// Flows of the kernel that a metric counts although its filters ask for a port that the kernel had removed.
    undecided: u64,
}

/// One number that a kernel line adds to: family, metric and series, and of what.
type Step = (u8, u8, u32, u8);

/// A step's length as bytes.
const STEP: usize = 7;
/// Amounts of kernel lines by their number in a step.
const AMOUNTS: [Amount; 5] = [Amount::Events, Amount::Packets, Amount::Syn, Amount::Fin, Amount::Rst];

impl Registry {
    /// The metrics that are wanted, all zero.
    #[must_use]
    pub fn new(specs: &Specs) -> Self {
        Self::bounded(specs, MOST_SERIES)
    }

    /// The same with another bound of series for each metric.
    #[must_use]
    pub fn bounded(specs: &Specs, most: usize) -> Self {
        let wanted = |spec: &Spec| Wanted {
            spec: spec.clone(),
            tables: families::layouts(spec).into_iter().map(|layout| Table::new(layout, most)).collect(),
        };
        let lost =
            table::Layout { name: "hubble_lost_events_total", help: "Number of lost events", kind: Kind::Counter, labels: vec!["source"] };
        Self { wanted: specs.0.iter().map(wanted).collect(), lost: Table::new(lost, most), skipped_bytes: 0, undecided: 0 }
    }

    /// Counts an event of the input.
    pub fn observe(&mut self, event: &ExportEvent<'_>) {
        match &event.event {
            Some(Event::Flow(flow)) => self.flow(flow),
            Some(Event::LostEvents(lost)) => self.lost(lost),
            _ => {}
        }
    }

    fn flow(&mut self, flow: &Flow<'_>) {
        for Wanted { spec, tables } in &mut self.wanted {
            if spec.filters.as_ref().is_some_and(|filters| !filters.matches_flow(flow)) {
                continue;
            }
            let traced = matches!(spec.family, Family::Http { exemplars: true } | Family::HttpV2 { exemplars: true });
            families::visit(spec, flow, false, &mut |metric: usize, values: &[Cow<'_, str>], amount| {
                let Some(table) = tables.get_mut(metric) else { return };
                let at = table.series(values);
                let exemplar = |value| if traced { exemplar(flow, value) } else { None };
                match amount {
                    Amount::Seconds(seconds) => table.observe(at, seconds, exemplar(seconds)),
                    _ => table.add(at, 1, exemplar(1.0)),
                }
            });
        }
    }

    fn lost(&mut self, lost: &LostEvent<'_>) {
        let at = self.lost.series(&[lost.source.to_string().to_ascii_lowercase().into()]);
        // An old agent says that events were lost, and not how many.
        self.lost.add(at, lost.num_events_lost.max(1), None);
    }

    /// Counts a line of the kernel.
    pub fn observe_kernel(&mut self, flow: &Flow<'_>, sums: &Sums) {
        let steps = self.resolve(flow, false);
        self.add(&steps, sums);
    }

    /// Whether the filters of some metric have to be asked at each event of a kernel flow, with its TCP flags set.
    #[must_use]
    pub fn varies(&self, flow: &Flow<'_>) -> bool {
        let filters = self.wanted.iter().filter_map(|wanted| wanted.spec.filters.as_deref());
        filters.filter(|filters| filters.vary()).any(|filters| matches!(filters.per_flow(flow), PerFlow::PerEvent(_)))
    }

    /// Which numbers the line of a kernel flow adds to, for [`Registry::add`]. Two flows that add to the same numbers give the same bytes.
    pub fn resolve(&mut self, flow: &Flow<'_>, port_removed: bool) -> Vec<u8> {
        let mut steps = Vec::new();
        for (family, Wanted { spec, tables }) in self.wanted.iter_mut().enumerate() {
            match spec.filters.as_deref() {
                Some(filters) if port_removed => match log::without_port(filters, flow) {
                    log::Wanted::No => continue,
                    wanted => self.undecided += u64::from(wanted == log::Wanted::Undecided),
                },
                Some(filters) if !filters.matches_flow(flow) => continue,
                _ => {}
            }
            families::visit(spec, flow, true, &mut |metric: usize, values: &[Cow<'_, str>], amount| {
                let Some(of) = AMOUNTS.iter().position(|known| *known == amount) else { return };
                let Some(table) = tables.get_mut(metric) else { return };
                // There are eleven families of at most three metrics.
                let step: Step = (family as u8, metric as u8, table.series(values), of as u8);
                steps.extend([step.0, step.1]);
                steps.extend(step.2.to_le_bytes());
                steps.push(step.3);
            });
        }
        steps
    }

    /// Adds the sums of a line of the kernel to the numbers it was resolved to.
    pub fn add(&mut self, steps: &[u8], sums: &Sums) {
        for step in steps.chunks_exact(STEP) {
            let [family, metric, a, b, c, d, of] = *step else { continue };
            let Some(table) = self.wanted.get_mut(usize::from(family)).and_then(|wanted| wanted.tables.get_mut(usize::from(metric))) else {
                continue;
            };
            let amount = match AMOUNTS.get(usize::from(of)) {
                Some(Amount::Events) => sums.inputs,
                Some(Amount::Packets) => sums.counted.packets + sums.dropped_after.packets,
                Some(Amount::Syn) => sums.syn,
                Some(Amount::Fin) => sums.fin,
                Some(Amount::Rst) => sums.rst,
                Some(Amount::Seconds(_)) | None => 0,
            };
            table.add(u32::from_le_bytes([a, b, c, d]), amount, None);
        }
    }

    /// Writes all metrics.
    pub fn render(&self, page: &mut Page) {
        let tables = || std::iter::once(&self.lost).chain(self.wanted.iter().flat_map(|wanted| &wanted.tables));
        tables().for_each(|table| table.render(page));
        let mut family = page.family(
            "flowlog_metrics_overflow_total",
            Kind::Counter,
            "Observations counted in a metric's overflow series, for want of room for more series.",
        );
        for table in tables().filter(|table| table.overflowed > 0) {
            family.sample(&[("metric", table.name())], table.overflowed);
        }
        let help = "Bytes of the intake that were given up before they could be counted in the metrics of flows.";
        page.family("flowlog_metrics_skipped_bytes_total", Kind::Counter, help).sample(&[], self.skipped_bytes);
        let help = "Flows of the kernel that a metric counts although its filters ask for a port that the kernel had removed.";
        page.family("flowlog_metrics_undecided_total", Kind::Counter, help).sample(&[], self.undecided);
    }
}

fn exemplar(flow: &Flow<'_>, value: f64) -> Option<Exemplar> {
    let trace_id = flow.trace_context.as_ref()?.parent.as_ref()?.trace_id.as_ref().into();
    Some(Exemplar { trace_id, value, unix_ns: flow.time.map_or(0, |time| time.unix_nanos()) })
}

#[cfg(test)]
mod tests;
