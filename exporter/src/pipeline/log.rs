//! A flow log as it is applied: filters, mask, fold rule and labels of one entry, compiled.
//!
//! Building one can fail and changes nothing; using one can't. That is what makes a reload atomic: whatever can go wrong has gone wrong before the running
//! flow log hears of it.

use std::time::Duration;

use super::identify::Sighting;
use super::key::{self, Kept};
use super::line::{Kind, Prepared};
use super::service;
use super::surroundings::{Surroundings, hubble_lacks};
use super::template::{Hole, Stands, Template};
use super::window::whole_seconds;
use crate::config::{FlowLog, FoldBy, build};
use crate::filter::{Answer, Filters, PerFlow, UnknownPorts};
use crate::flow::{ExportEvent, Flags, Flow, Protocol, summary};
use crate::mask::{Encoder, Mask};

/// Whether a flow log wants a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It depends on values of each event.
    PerEvent,
    /// A filter asks for a port that the kernel had removed: kept, and counted.
    Undecided,
}

/// What decides about the kernel's flows and what their lines look like: a flow log, or the metrics.
pub trait LineRules {
    /// Whether a flow is wanted, as far as its tuple and identities decide.
    fn wants(&self, flow: &Flow<'_>, port_removed: bool) -> Wanted;

    /// Whether an event is wanted, with its TCP flags.
    fn wants_event(&self, flow: &mut Flow<'_>, tcp_flags: u16) -> Wanted;

    /// The line of a flow.
    fn prepare_kernel(&self, flow: Flow<'_>, sighting: Sighting, port_removed: bool, around: &Surroundings) -> Prepared;

    /// The line of traffic that belongs to no flow. Neither filters nor mask touch it.
    fn unattributed(&self) -> Prepared;

    /// Whether nothing is written any more at this time, Unix nanoseconds.
    fn has_ended(&self, _now: i64) -> bool {
        false
    }
}

/// What filters say of a flow of the kernel, one port of which had been removed.
pub fn without_port(filters: &Filters, flow: &Flow<'_>) -> Wanted {
    let (source, destination) = key::ports(flow);
    match filters.answer(flow, UnknownPorts { source: source == 0, destination: destination == 0 }) {
        Answer::Yes => Wanted::Yes,
        Answer::No => Wanted::No,
        Answer::Unknown => Wanted::Undecided,
    }
}

/// Gives a flow of the kernel the TCP flags of an event.
pub fn set_tcp_flags(flow: &mut Flow<'_>, tcp_flags: u16) {
    if let Some(Protocol::Tcp(tcp)) = flow.l4.as_mut().and_then(|l4| l4.protocol.as_mut()) {
        tcp.flags = Some(Flags::from_header(tcp_flags).into());
    }
}

/// One entry, compiled.
#[derive(Debug)]
pub struct CompiledLog {
    /// Its name.
    pub name: String,
    /// SHA-256 of its configuration, as commits carry it.
    pub hash: [u8; 32],
    /// Length of its window in nanoseconds; 0 writes a line per event.
    pub window: i64,
    /// Length of `fieldAggregate`'s interval, where that is on.
    pub aggregate: bool,
    /// `fieldAggregate` lists the time.
    by_time: bool,
    /// Nothing is written after this moment, Unix nanoseconds.
    pub end: Option<i64>,
    filters: Filters,
    encoder: Encoder,
    fold_by: FoldBy,
    kept: Kept,
    labels: Vec<Label>,
}

/// A value that some sink routes or indexes by.
#[derive(Debug)]
struct Label {
    path: String,
    encoder: Encoder,
}

/// Why an entry can't be built.
#[derive(Debug, thiserror::Error)]
#[error("flow log {name:?}: {why}")]
pub struct BuildError {
    name: String,
    why: String,
}

impl LineRules for CompiledLog {
    fn has_ended(&self, now: i64) -> bool {
        self.end.is_some_and(|end| now > end)
    }

    fn wants(&self, flow: &Flow<'_>, port_removed: bool) -> Wanted {
        if port_removed {
            return without_port(&self.filters, flow);
        }
        match self.filters.per_flow(flow) {
            PerFlow::Decided(true) => Wanted::Yes,
            PerFlow::Decided(false) => Wanted::No,
            PerFlow::PerEvent(_) => Wanted::PerEvent,
        }
    }

    fn wants_event(&self, flow: &mut Flow<'_>, tcp_flags: u16) -> Wanted {
        set_tcp_flags(flow, tcp_flags);
        if self.filters.matches_flow(flow) { Wanted::Yes } else { Wanted::No }
    }

    fn prepare_kernel(&self, mut flow: Flow<'_>, sighting: Sighting, _: bool, around: &Surroundings) -> Prepared {
        let drop_reason = match sighting {
            Sighting::Dropped { reason, .. } => around.drop_reason(reason).0,
            _ => "",
        };
        let by_service = self.fold_by == FoldBy::Service && self.folds();
        if by_service {
            service::remove_client_port(&mut flow);
        }
        flow.summary = summary::of(&flow).into();
        if hubble_lacks(drop_reason) {
            flow.summary = format!("{drop_reason}; {}", flow.summary).into();
        }
        let kind = Kind::Kernel { connections: by_service, drop_reason };
        self.prepare(flow, kind, Stands::ForPackets)
    }

    fn unattributed(&self) -> Prepared {
        let mut template = Template::extensions_only();
        template.tell_apart("unattributed", &[Hole::Extensions]);
        Prepared::new(&template, b"", b"", Kind::Unattributed)
    }
}

impl CompiledLog {
    /// Compiles an entry. `labels` are the mask paths that its sinks take labels from.
    ///
    /// # Errors
    /// When a filter, the mask or a label's path can't be built.
    pub fn build(entry: &FlowLog, labels: &[String]) -> Result<Self, BuildError> {
        let failed = |why: String| BuildError { name: entry.name.clone(), why };
        let aggregation = entry.aggregation();
        let mask = build::mask(entry).map_err(|error| failed(error.to_string()))?;
        let redaction = build::redaction(&entry.redact);
        let labels = labels
            .iter()
            .map(|path| {
                if !mask.touches(path) {
                    return Err(failed(format!(
                        "a sink takes a label from {path}, which the mask removes; add it to fieldMask or drop the label"
                    )));
                }
                let only = Mask::parse(&[path]).map_err(|error| failed(error.to_string()))?;
                Ok(Label { path: path.clone(), encoder: Encoder::compile(&only, redaction.clone()) })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: entry.name.clone(),
            hash: entry.hash,
            window: whole_seconds(nanoseconds(aggregation.unwrap_or(entry.window))),
            aggregate: aggregation.is_some(),
            by_time: entry.field_aggregate.iter().any(|path| path == "time" || path.starts_with("time.")),
            end: entry.end.as_ref().map(|end| end.unix_ns),
            filters: build::filters(entry).map_err(|problems| failed(problems.to_string()))?,
            encoder: Encoder::compile(&with_counts(entry, mask.clone()).map_err(|error| failed(error.to_string()))?, redaction),
            fold_by: entry.fold_by,
            kept: Kept::by(&mask),
            labels,
        })
    }

    /// Whether an input event is wanted.
    #[must_use]
    pub fn wants_input(&self, event: &ExportEvent<'_>) -> bool {
        self.filters.matches(event)
    }

    /// Appends an input flow as a line, with nothing added to it.
    pub fn encode_flow(&self, flow: &Flow<'_>, line: &mut Vec<u8>) {
        self.encoder.encode_flow(flow, line);
    }

    /// Appends an input event as a line, with nothing added to it.
    pub fn encode(&self, event: &ExportEvent<'_>, line: &mut Vec<u8>) {
        self.encoder.encode(event, line);
    }

    /// Leaves out of an input flow that folds what its lines never say, be they of one flow or of many.
    pub fn reduce_input(&self, flow: &mut Flow<'_>) {
        if self.fold_by == FoldBy::Service && !self.aggregate {
            service::remove_client_port(flow);
        }
    }

    /// The line of an input flow that folds, reduced already.
    #[must_use]
    pub fn prepare_input(&self, flow: Flow<'_>) -> Prepared {
        let stands = if self.aggregate { Stands::ForReduced { by_time: self.by_time } } else { Stands::ForFlows };
        self.prepare(flow, Kind::Input, stands)
    }

    fn prepare(&self, flow: Flow<'_>, kind: Kind<'_>, stands: Stands) -> Prepared {
        let (key, labels) = (key::of_addresses(&flow, &self.kept), self.labels(&flow));
        let mut template = Template::of(&self.encoder, flow, stands);
        if let Kind::Kernel { drop_reason, .. } = kind {
            let holes = if hubble_lacks(drop_reason) { &[Hole::Extensions, Hole::Summary][..] } else { &[Hole::Extensions] };
            template.tell_apart(drop_reason, holes);
        }
        let key = key.unwrap_or_else(|| key::of_fold_key(template.parts().fixed()));
        Prepared::new(&template, key.as_bytes(), &labels, kind)
    }

    /// Key and labels of a line that is not folded.
    pub fn route(&self, flow: &Flow<'_>, line: &[u8]) -> (String, Vec<u8>) {
        (key::of_addresses(flow, &self.kept).unwrap_or_else(|| key::of_fold_key(line)), self.labels(flow))
    }

    /// The labels blob of a flow (`flowlog_sinks::spool::labels`).
    fn labels(&self, flow: &Flow<'_>) -> Vec<u8> {
        let mut blob = Vec::new();
        for label in &self.labels {
            let Some(value) = label.value(flow) else { continue };
            let (Ok(path_length), Ok(value_length)) = (u8::try_from(label.path.len()), u16::try_from(value.len())) else { continue };
            blob.push(path_length);
            blob.extend_from_slice(label.path.as_bytes());
            blob.extend_from_slice(&value_length.to_le_bytes());
            blob.extend_from_slice(value.as_bytes());
        }
        blob
    }

    /// Whether lines are folded at all.
    #[must_use]
    pub fn folds(&self) -> bool {
        self.window > 0
    }
}

impl Label {
    /// The value as it stands in the masked and redacted line; texts bare, everything else as JSON. `None` where the flow has none.
    fn value(&self, flow: &Flow<'_>) -> Option<String> {
        let mut line = Vec::new();
        self.encoder.encode_flow(flow, &mut line);
        let line: serde_json::Value = serde_json::from_slice(&line).ok()?;
        let value = self.path.split('.').try_fold(line.get("flow")?, |value, part| value.get(part))?;
        match value {
            serde_json::Value::Null => None,
            serde_json::Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// A reduced flow always has its number of flows and a time beside its fields.
fn with_counts(entry: &FlowLog, mask: Mask) -> Result<Mask, crate::mask::InvalidPath> {
    if entry.aggregation().is_none() {
        return Ok(mask);
    }
    let own = ["time".to_owned(), "aggregate".to_owned()];
    let listed = entry.field_aggregate.iter().filter(|path| !path.starts_with("time."));
    Mask::parse(&listed.chain(&own).collect::<Vec<_>>())
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX / 4)
}
