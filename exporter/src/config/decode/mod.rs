//! From the tree of a file to flow logs and sinks, with every problem noted on the way.

mod entry;
mod fields;
mod filters;
mod flag;
pub(crate) mod metrics;
mod sinks;
mod statics;
pub(crate) mod suggest;
pub(crate) mod values;

use std::collections::BTreeMap;

use super::keys::{STATIC, TOP};
use super::place::Problems;
use super::sink_types::Sink;
use super::types::FlowLog;
use super::yaml::Node;
pub(crate) use fields::{At, Fields, Unknown};

/// What a file holds, before its parts are held against each other.
#[derive(Default)]
pub(super) struct Decoded {
    pub flow_logs: Vec<FlowLog>,
    pub sinks: BTreeMap<String, Sink>,
    /// Every sink the file names, also those that did not decode, so that they are not called unknown on top.
    pub sink_names: Vec<String>,
}

/// Decodes a whole file.
pub(super) fn decode(root: &Node, problems: &mut Problems) -> Decoded {
    let at = At::new(root, String::new());
    if root.is_null() {
        return Decoded::default();
    }
    let Some(fields) = Fields::take(&at, &[TOP, STATIC], Unknown::Warn, problems) else {
        return Decoded::default();
    };
    let mut flow_logs = Vec::new();
    flow_logs.extend(statics::at_top(&fields, problems));
    flow_logs.extend(fields.whole("static", problems, statics::block).flatten());
    if let Some(helm) = fields.raw("hubble") {
        flow_logs.extend(statics::helm(&helm, problems));
    }
    flow_logs.extend(fields.whole("flowLogs", problems, entries).unwrap_or_default());
    let sinks_at = fields.raw("sinks");
    Decoded {
        flow_logs,
        sinks: fields.whole("sinks", problems, sinks::sinks).unwrap_or_default(),
        sink_names: sinks_at
            .and_then(|at| at.entries(&mut Problems::default()))
            .into_iter()
            .flatten()
            .map(|(name, _)| name.to_owned())
            .collect(),
    }
}

/// The entries of a `flowLogs` list.
fn entries(at: &At<'_>, problems: &mut Problems) -> Option<Vec<FlowLog>> {
    Some(at.items(problems)?.iter().filter_map(|item| entry::flow_log(item, problems)).collect())
}
