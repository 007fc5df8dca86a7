//! Applies lines of JSON: flows and other events that Hubble, or another flowlog, wrote.
//!
//! A line that can't be read is counted and named by its place, and its neighbours never notice. Events that are not flows are never folded: they are written
//! at once, as Hubble's exporter does.

use flowlog_sinks::spool::Gap;

use super::fold::FoldTable;
use super::log::CompiledLog;
use super::output::Output;
use super::totals::Totals;
use crate::flow::json::{self, Options};
use crate::flow::{Event, ExportEvent, Flow, Protocol, TrafficDirection};

/// What lines are applied to.
pub struct Target<'t> {
    /// The flow log's compiled configuration.
    pub log: &'t CompiledLog,
    /// Lines in the making.
    pub fold: &'t mut FoldTable,
    /// Where lines go that do not fold.
    pub output: &'t mut Output,
    /// The accounting.
    pub totals: &'t mut Totals,
    /// Gaps of the next commit.
    pub gaps: &'t mut Vec<Gap>,
    /// A scratch line.
    pub line: &'t mut Vec<u8>,
}

/// Reads one line; `None` after counting and naming what is wrong with it.
pub fn decode<'l>(line: &'l [u8], place: &dyn std::fmt::Display, totals: &mut Totals) -> Option<ExportEvent<'l>> {
    totals.input_lines += 1;
    match json::decode(line, Options::default()) {
        Ok(event) => Some(event),
        Err(error) => {
            totals.malformed_lines += 1;
            tracing::warn!(%error, %place, "an input line cannot be read; it was passed over");
            None
        }
    }
}

/// Applies one event. `arrival` stands in for the time of an event that has none, Unix nanoseconds.
pub fn apply(event: ExportEvent<'_>, arrival: i64, target: &mut Target<'_>) {
    let Target { log, fold, totals, .. } = target;
    totals.inputs += 1;
    if log.end.is_some_and(|end| arrival > end) || !log.wants_input(&event) {
        totals.filtered += 1;
        return;
    }
    let time = time_of(&event).unwrap_or(arrival);
    match event {
        ExportEvent { event: Some(Event::Flow(mut flow)), .. } if log.folds() => {
            log.reduce_input(&mut flow);
            let sums = InputSums::of(&flow, time);
            target.line.clear();
            if !log.aggregate {
                log.encode_flow(&flow, target.line);
            }
            let group = fold.find_or_make(log.prepare_input(*flow));
            if let Some(group) = fold.touch(group) {
                sums.add_to(&mut group.sums, log.aggregate);
                group.single = (group.sums.inputs == 1 && !log.aggregate).then(|| target.line.as_slice().into());
            }
        }
        event => write(&event, time, target),
    }
}

fn write(event: &ExportEvent<'_>, time: i64, target: &mut Target<'_>) {
    target.line.clear();
    target.log.encode(event, target.line);
    let (key, labels) = match event.flow() {
        Some(flow) => target.log.route(flow, target.line),
        None => Default::default(),
    };
    target.totals.lines_inputs += 1;
    target.output.append(time, key.as_bytes(), &labels, target.line, target.totals, target.gaps);
}

fn time_of(event: &ExportEvent<'_>) -> Option<i64> {
    let time = event.flow().and_then(|flow| flow.time).or(event.time)?;
    Some(time.unix_nanos())
}

/// What one input flow adds.
struct InputSums {
    time: i64,
    direction: usize,
    tcp_flags: u16,
}

impl InputSums {
    fn of(flow: &Flow<'_>, time: i64) -> Self {
        let direction = match flow.traffic_direction {
            TrafficDirection::INGRESS => 0,
            TrafficDirection::EGRESS => 1,
            _ => 2,
        };
        let tcp_flags = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
            Some(Protocol::Tcp(tcp)) => tcp.flags.as_ref().map_or(0, |flags| flags.set.0),
            _ => 0,
        };
        Self { time, direction, tcp_flags }
    }

    /// A reduced flow has the time of the first one that arrived (Hubble digest §6.1), any other line the earliest.
    fn add_to(&self, sums: &mut super::sums::Sums, reduced: bool) {
        if reduced {
            sums.follow(self.time);
        } else {
            sums.cover(self.time, self.time);
        }
        sums.flows[self.direction] += 1;
        sums.tcp_flags |= self.tcp_flags;
    }
}
