//! Cilium's static exporter as a block of keys: at the top of the file, below `static`, or in a Helm values file.
//!
//! It becomes one more flow log, named `static`. Its filters are texts in the syntax of the agent's flags, since that is what Helm joins
//! them to; its paths may be one text, which the agent splits (`spec/hubble.md` §5.1, §5.3).

use super::entry::{compress, file, plain};
use super::fields::{At, Fields, Unknown};
use super::filters::filter;
use super::flag::filters_of_flag;
use crate::config::keys::STATIC;
use crate::config::place::{Places, Problems};
use crate::config::types::{Compress, FileOutput, FilterText, FlowLog};
use crate::config::yaml::Kind;

/// Helm's default path.
const HELM_PATH: &str = "/var/run/cilium/hubble/events.log";

/// The name of a static block's flow log.
pub(super) const STATIC_NAME: &str = "static";

/// The block whose keys stand at the top, if it has a path: an empty one is how Cilium turns the exporter off.
pub(super) fn at_top(fields: &Fields<'_>, problems: &mut Problems) -> Option<FlowLog> {
    fields.raw("filePath").filter(|at| !at.node.is_null())?;
    flow_log(fields, None, problems).filter(|entry| entry.file.is_some())
}

/// The block below `static`.
pub(super) fn block(at: &At<'_>, problems: &mut Problems) -> Option<Option<FlowLog>> {
    let fields = Fields::take(at, &[STATIC], Unknown::Warn, problems)?;
    let entry = flow_log(&fields, None, problems);
    #[cfg(test)]
    fields.assert_all_asked();
    if entry.as_ref().is_some_and(|entry| entry.file.is_none()) {
        problems.reject(&at.place, "filePath is missing", None);
    }
    Some(entry)
}

/// Both exporters of a values file: `hubble.export.static` and `hubble.export.dynamic.config.content`, each where enabled.
pub(super) fn helm(at: &At<'_>, problems: &mut Problems) -> Vec<FlowLog> {
    let mut flow_logs = Vec::new();
    if let Some(at) = below(at, &["export", "static"]).filter(enabled)
        && let Some(fields) = Fields::take(&at, &[STATIC], Unknown::Warn, problems)
    {
        flow_logs.extend(flow_log(&fields, Some(HELM_PATH), problems));
    }
    if below(at, &["export", "dynamic"]).is_some_and(|at| enabled(&at))
        && let Some(content) = below(at, &["export", "dynamic", "config", "content"])
        && !content.node.is_null()
    {
        flow_logs.extend(super::entries(&content, problems).unwrap_or_default());
    }
    for file in flow_logs.iter_mut().filter_map(|entry| entry.file.as_mut()) {
        as_older_values_say(file, at, problems);
    }
    flow_logs
}

/// Where these keys stood in earlier charts they still count, unless they are 0 or `false` (`spec/hubble.md` §5.3).
fn as_older_values_say(file: &mut FileOutput, at: &At<'_>, problems: &mut Problems) {
    let mut integer = |name| below(at, &["export", name]).and_then(|at| at.integer(problems)).filter(|number| *number != 0);
    file.max_size_mb = integer("fileMaxSizeMb").unwrap_or(file.max_size_mb);
    file.max_backups = integer("fileMaxBackups").unwrap_or(file.max_backups);
    if let Some(kind) = below(at, &["export", "fileCompress"]).and_then(|at| compress(&at, problems)).filter(|kind| *kind != Compress::No) {
        file.compress = kind;
    }
}

/// In a values file both are off unless `enabled: true` stands there.
fn enabled(at: &At<'_>) -> bool {
    below(at, &["enabled"]).and_then(|at| at.truth(&mut Problems::default())).unwrap_or(false)
}

/// The value below a path of keys, if every step is a map that has the next; anything else there is none of our business.
fn below<'n>(at: &At<'n>, keys: &[&str]) -> Option<At<'n>> {
    keys.iter().try_fold(at.clone(), |at, key| {
        let Kind::Map(entries) = &at.node.kind else {
            return None;
        };
        let entry = entries.get(*key)?;
        let mut place = at.place.clone();
        place.path = at.place.key(key);
        (place.line, place.column) = (entry.mark.line, entry.mark.column);
        Some(At { node: &entry.value, place })
    })
}

fn flow_log(fields: &Fields<'_>, default_path: Option<&str>, problems: &mut Problems) -> Option<FlowLog> {
    let mut entry = plain(STATIC_NAME, fields.place());
    entry.file = file(fields, default_path.unwrap_or_default(), problems).map(|file| as_flags_say(file, fields));
    entry.field_mask = fields.whole("fieldMask", problems, paths).unwrap_or_default();
    entry.field_aggregate = fields.whole("fieldAggregate", problems, paths).unwrap_or_default();
    entry.aggregation_interval_ns = fields.value("aggregationInterval", problems, At::interval).unwrap_or(0);
    entry.include_filters = fields.whole("allowList", problems, list).unwrap_or_default();
    entry.exclude_filters = fields.whole("denyList", problems, list).unwrap_or_default();
    entry.places = Places::new(fields.place().clone(), fields.node());
    let enabled = fields.value("enabled", problems, At::truth).unwrap_or(true);
    enabled.then_some(entry)
}

/// A 0 that is written here goes to the agent's file library as it is, which takes 100 MiB for it, and keeps every backup (`spec/hubble.md` §5.1).
fn as_flags_say(mut file: FileOutput, fields: &Fields<'_>) -> FileOutput {
    let written = |name| fields.raw(name).is_some_and(|at| !at.node.is_null());
    if file.max_size_mb == 0 && written("fileMaxSizeMb") {
        file.max_size_mb = 100;
    }
    if file.max_backups == 0 && written("fileMaxBackups") {
        file.max_backups = -1;
    }
    file
}

/// A list, or one text that is split at commas or, without any, at white space.
fn paths(at: &At<'_>, problems: &mut Problems) -> Option<Vec<String>> {
    let texts = match &at.node.kind {
        Kind::List(_) => at.texts(problems)?,
        _ => vec![at.text(problems)?],
    };
    let [text] = texts.as_slice() else {
        return Some(texts);
    };
    let parts: Vec<String> = match text.contains(',') {
        true => text.split(',').map(str::to_owned).collect(),
        false => text.split_whitespace().map(str::to_owned).collect(),
    };
    Some(parts)
}

/// Filters: texts of JSON objects, or maps, one or many.
fn list(at: &At<'_>, problems: &mut Problems) -> Option<Vec<FilterText>> {
    let one = |at: &At<'_>, problems: &mut Problems| match &at.node.kind {
        Kind::Map(_) => vec![filter(at, problems)],
        _ => at.text(problems).map(|text| filters_of_flag(&text, at, problems)).unwrap_or_default(),
    };
    match &at.node.kind {
        Kind::List(_) => Some(at.items(problems)?.iter().flat_map(|item| one(item, problems)).collect()),
        _ => Some(one(at, problems)),
    }
}
