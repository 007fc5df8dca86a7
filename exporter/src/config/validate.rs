//! What only shows when the parts of a file are held against each other: names, paths, sinks, and settings that defeat each other.

use std::collections::HashMap;

use super::decode::Decoded;
use super::decode::suggest::nearest;
use super::place::{Place, Problems};
use super::sink_types::{Sink, SinkKind};
use super::types::FlowLog;
use crate::daemon::network_sinks::{self, Origin};
use crate::daemon::sinks::FILE;

/// Checks a decoded file.
pub(super) fn validate(decoded: &Decoded, problems: &mut Problems) {
    names(&decoded.flow_logs, problems);
    destinations(decoded, problems);
    for entry in &decoded.flow_logs {
        sinks(entry, decoded, problems);
        lines(entry, problems);
    }
    for sink in decoded.sinks.values() {
        // A sink that did not decode whole has been given defaults, of which nothing need be said.
        if !problems.any_below(&sink.place.path) {
            settings(sink, problems);
        }
        if !decoded.flow_logs.iter().any(|entry| entry.sinks.contains(&sink.name)) {
            let advice = "add its name to the sinks of a flow log";
            problems.warn(&sink.place, format!("no flow log delivers to {}", sink.name), Some(advice.into()));
        }
    }
}

fn names(entries: &[FlowLog], problems: &mut Problems) {
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for entry in entries.iter().filter(|entry| !entry.name.is_empty()) {
        if let Some(before) = first.insert(&entry.name, &entry.place) {
            let what = format!("the name {} is taken by the flow log in line {}", entry.name, before.line);
            problems.reject(&entry.places.below("name"), what, Some("give each flow log its own name".into()));
        }
    }
}

/// What the sink itself says of its settings. Files are not opened, and no moment is compared with now: a file that was valid stays so.
fn settings(sink: &Sink, problems: &mut Problems) {
    let named = |name: &str| name.to_owned();
    let origin = Origin { cluster: named("cluster"), node: named("node"), log: named("log") };
    let found: Vec<(String, String)> = match &sink.kind {
        SinkKind::File(_) => Vec::new(),
        SinkKind::Loki(loki) => {
            network_sinks::loki(loki, &sink.batch, &sink.tls, &origin).problems().into_iter().map(|found| (found.key, found.why)).collect()
        }
        SinkKind::Kafka(kafka) => {
            network_sinks::kafka(kafka, &sink.batch, &sink.tls).problems().into_iter().map(|found| (found.key, found.why)).collect()
        }
        SinkKind::S3(s3) => {
            let found = network_sinks::s3(s3, &sink.batch, &sink.tls).problems(0).into_iter();
            found.filter(|found| found.key != "tls").map(|found| (found.key.to_owned(), found.why)).collect()
        }
    };
    for (key, why) in found {
        problems.reject(&sink.places.below(&key), why, None);
    }
}

/// One file has one writer: no path may be given twice, and no file sink used twice.
fn destinations(decoded: &Decoded, problems: &mut Problems) {
    let files = decoded.flow_logs.iter().filter_map(|entry| Some((entry.file.as_ref()?, entry.places.below("filePath"))));
    let sinks = decoded.sinks.values().filter_map(|sink| match &sink.kind {
        SinkKind::File(file) => Some((file, sink.places.below("filePath"))),
        _ => None,
    });
    let mut first: HashMap<&str, Place> = HashMap::new();
    for (file, place) in files.chain(sinks) {
        if let Some(before) = first.get(file.path.as_str()) {
            let what = format!("{} is written by line {} already", file.path, before.line);
            problems.reject(&place, what, Some("give each flow log its own file".into()));
        } else {
            first.insert(&file.path, place);
        }
    }
    for sink in decoded.sinks.values().filter(|sink| matches!(sink.kind, SinkKind::File(_))) {
        let users = decoded.flow_logs.iter().filter(|entry| entry.sinks.contains(&sink.name));
        for entry in users.skip(1) {
            let what = format!("the file sink {} already belongs to another flow log", sink.name);
            problems.reject(&entry.places.below("sinks"), what, Some("give each flow log its own file".into()));
        }
    }
}

fn sinks(entry: &FlowLog, decoded: &Decoded, problems: &mut Problems) {
    for (n, name) in entry.sinks.iter().enumerate() {
        let place = entry.places.below(&format!("sinks[{n}]"));
        if entry.sinks[..n].contains(name) {
            problems.reject(&place, format!("names {name} a second time"), Some("remove it".into()));
        } else if name == FILE && entry.file.is_some() {
            // Both would have one cursor, and one of them would get nothing.
            let what = format!("{FILE} is the name of the sink that this flow log's filePath stands for");
            problems.reject(&place, what, Some("give the sink another name".into()));
        } else if let Some(sink) = decoded.sinks.get(name) {
            labels(entry, sink, problems);
        } else if !decoded.sink_names.contains(name) {
            let advice = match nearest(name, decoded.sink_names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => "define it under sinks".to_owned(),
            };
            problems.reject(&place, format!("there is no sink {name}"), Some(advice));
        }
    }
}

/// Labels come from the masked flow, so the mask has to leave them.
fn labels(entry: &FlowLog, sink: &Sink, problems: &mut Problems) {
    let SinkKind::Loki(loki) = &sink.kind else {
        return;
    };
    let (paths, key) = match entry.aggregation() {
        Some(_) => (&entry.field_aggregate, "fieldAggregate"),
        None => (&entry.field_mask, "fieldMask"),
    };
    for (label, path) in &loki.labels {
        let removed = !paths.is_empty() && !paths.iter().any(|mask| covers(mask, path) || covers(path, mask));
        if removed {
            let place = sink.places.below(&format!("labels.{label}"));
            let what = format!("{path} is removed by the {key} of the flow log {}", entry.name);
            problems.reject(&place, what, Some(format!("add {path} to it, or remove the label")));
        }
    }
}

/// True if a mask path leaves all of another path.
fn covers(mask: &str, path: &str) -> bool {
    path.strip_prefix(mask).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Settings that make lines less than their reader expects.
fn lines(entry: &FlowLog, problems: &mut Problems) {
    let masked = !entry.field_mask.is_empty() && entry.aggregation().is_none();
    let leaves = |path: &str| entry.field_mask.iter().any(|mask| covers(mask, path) || covers(path, mask));
    let mask = entry.places.below("fieldMask");
    if masked && !entry.window.is_zero() && !leaves("extensions") {
        problems.warn(
            &mask,
            "folds lines, but leaves out their counts",
            Some("add extensions, or set window: 0 for a line per event".into()),
        );
    }
    if masked && !leaves("time") && !leaves("uuid") {
        let advice = "add time, so that tailers can tell the first line of a file from that of the next";
        problems.warn(&mask, "has neither time nor uuid", Some(advice.into()));
    }
    if !entry.field_aggregate.is_empty() && entry.aggregation().is_none() {
        let place = entry.places.below("fieldAggregate");
        problems.warn(&place, "has no effect without a positive aggregationInterval", Some("write aggregationInterval: 30s".into()));
    }
    if entry.field_aggregate.is_empty() && entry.aggregation_interval_ns > 0 {
        let place = entry.places.below("aggregationInterval");
        problems.warn(&place, "has no effect without fieldAggregate", Some("list the fields to count by, or remove it".into()));
    }
    if entry.file.as_ref().is_some_and(|file| file.max_size_mb < 0) {
        let what = "a negative size makes every write fail in Cilium; here it means 10";
        problems.warn(&entry.places.below("fileMaxSizeMb"), what, Some("write a positive number".into()));
    }
}
