//! One flow log: Cilium's keys by Cilium's rules, ours strictly.

use std::time::Duration;

use super::fields::{At, Fields, Unknown};
use super::filters::filters;
use crate::config::keys::{FILE, FLOW_LOG, REDACT};
use crate::config::place::{Place, Places, Problems};
use crate::config::types::{Compress, FileOutput, FlowLog, FoldBy, Redact, RedactHeaders};

/// Default of `window`.
pub(super) const DEFAULT_WINDOW: Duration = Duration::from_secs(1);
/// Default of `spoolMaxBytes`.
pub(super) const DEFAULT_SPOOL_MAX_BYTES: u64 = 1 << 30;
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);
const SHORTEST_WINDOW: Duration = Duration::from_millis(100);
const SMALLEST_SPOOL: u64 = 1 << 20;

/// Reads an item of `flowLogs`; a flow log without a name or destination comes back too, so that the rest of it is checked.
pub(super) fn flow_log(at: &At<'_>, problems: &mut Problems) -> Option<FlowLog> {
    if at.node.is_null() {
        problems.reject(&at.place, "is empty", Some("write a flow log with name and filePath, or remove the dash".into()));
        return None;
    }
    let fields = Fields::take(at, &[FLOW_LOG, FILE], Unknown::Warn, problems)?;
    let sinks = fields.whole("sinks", problems, At::texts).unwrap_or_default();
    let entry = FlowLog {
        name: fields.value("name", problems, At::text).unwrap_or_default(),
        file: file(&fields, "", problems),
        field_mask: fields.whole("fieldMask", problems, At::texts).unwrap_or_default(),
        field_aggregate: fields.whole("fieldAggregate", problems, At::texts).unwrap_or_default(),
        aggregation_interval_ns: interval(&fields, problems),
        include_filters: fields.whole("includeFilters", problems, filters).unwrap_or_default(),
        exclude_filters: fields.whole("excludeFilters", problems, filters).unwrap_or_default(),
        end: fields.whole("end", problems, At::moment),
        window: fields.value("window", problems, window).unwrap_or(DEFAULT_WINDOW),
        fold_by: fields.value("foldBy", problems, fold_by).unwrap_or_default(),
        redact: fields.value("redact", problems, redact).unwrap_or_default(),
        sinks,
        spool_max_bytes: fields
            .value("spoolMaxBytes", problems, |at, problems| at.size(problems, SMALLEST_SPOOL))
            .unwrap_or(DEFAULT_SPOOL_MAX_BYTES),
        hash: [0; 32],
        place: at.place.clone(),
        places: Places::new(at.place.clone(), at.node),
    };
    #[cfg(test)]
    fields.assert_all_asked();
    if entry.name.is_empty() {
        problems.reject(fields.place(), "name is missing", Some("give the flow log a unique name".into()));
    }
    if entry.file.is_none() && entry.sinks.is_empty() {
        problems.reject(fields.place(), "filePath is missing", Some("write filePath, or name sinks".into()));
    }
    Some(entry)
}

/// The interval decodes even where it is empty, which is an error there and here. Of several spellings the last counts, and all have to decode.
fn interval(fields: &Fields<'_>, problems: &mut Problems) -> i64 {
    fields.spellings("aggregationInterval").iter().fold(0, |last, at| at.interval(problems).unwrap_or(last))
}

fn window(at: &At<'_>, problems: &mut Problems) -> Option<Duration> {
    match at.duration(problems)? {
        Duration::ZERO => Some(Duration::ZERO),
        _ => at.duration_within(problems, SHORTEST_WINDOW, LONGEST_WINDOW),
    }
}

fn fold_by(at: &At<'_>, problems: &mut Problems) -> Option<FoldBy> {
    at.choice(problems, &[("connection", FoldBy::Connection), ("service", FoldBy::Service)])
}

/// Default of `fileMode`.
const DEFAULT_MODE: u32 = 0o640;

/// The keys of a rotated file, if it has a path.
pub(super) fn file(fields: &Fields<'_>, default_path: &str, problems: &mut Problems) -> Option<FileOutput> {
    let file = FileOutput {
        path: fields.value("filePath", problems, At::text).unwrap_or_else(|| default_path.to_owned()),
        max_size_mb: fields.value("fileMaxSizeMb", problems, At::integer).unwrap_or(0),
        max_backups: fields.value("fileMaxBackups", problems, At::integer).unwrap_or(0),
        compress: fields.value("fileCompress", problems, compress).unwrap_or_default(),
        max_age: fields.value("fileMaxAge", problems, |at, problems| at.duration_within(problems, Duration::from_secs(1), Duration::MAX)),
        max_total_mb: fields.value("fileMaxTotalMb", problems, |at, problems| at.number(problems, 1, u64::from(u32::MAX))),
        min_rotate_interval: fields.value("fileMinRotateInterval", problems, At::duration).unwrap_or(Duration::from_secs(10)),
        mode: fields.value("fileMode", problems, mode).unwrap_or(DEFAULT_MODE),
        group: fields.value("fileGroup", problems, At::word),
    };
    (!file.path.is_empty()).then_some(file)
}

/// `false`, `true` (gzip), or our words; quoted truth values are refused as Cilium does.
pub(super) fn compress(at: &At<'_>, problems: &mut Problems) -> Option<Compress> {
    use crate::config::yaml::{Kind, Scalar};
    match &at.node.kind {
        Kind::Scalar(Scalar::Text, text) if text == "gzip" => Some(Compress::Gzip),
        Kind::Scalar(Scalar::Text, text) if text == "zstd" => Some(Compress::Zstd),
        Kind::Scalar(Scalar::Text, text) if !matches!(text.as_str(), "true" | "false") => {
            problems.reject(&at.place, format!("`{text}` is not known here"), Some("write true, false, gzip or zstd".into()));
            None
        }
        _ => at.truth(problems).map(|truth| if truth { Compress::Gzip } else { Compress::No }),
    }
}

/// Permission bits, always octal, whether YAML took the digits for a number or not.
fn mode(at: &At<'_>, problems: &mut Problems) -> Option<u32> {
    use crate::config::yaml::Kind;
    let Kind::Scalar(_, text) = &at.node.kind else {
        at.reject(problems, "octal permission bits", Some("write \"0640\"".into()));
        return None;
    };
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777 && mode & 0o600 == 0o600 && !digits.starts_with('+'));
    if mode.is_none() {
        problems.reject(
            &at.place,
            format!("`{text}` is no set of permissions the writer can work with"),
            Some("write \"0640\", or bits from 0600 to 0777".into()),
        );
    }
    mode
}

fn redact(at: &At<'_>, problems: &mut Problems) -> Option<Redact> {
    use crate::config::yaml::Kind;
    if !matches!(at.node.kind, Kind::Map(_)) {
        return at.truth(problems).map(|hide| if hide { Redact::default() } else { Redact::nothing() });
    }
    let fields = Fields::take(at, &[REDACT], Unknown::Reject, problems)?;
    let default = Redact::default();
    let allow = fields.whole("headersAllow", problems, At::texts);
    let deny = fields.whole("headersDeny", problems, At::texts);
    if allow.is_some() && deny.is_some() {
        problems.reject(
            &at.place,
            "gives both headersAllow and headersDeny",
            Some("keep one: allow hides all but those, deny hides only those".into()),
        );
    }
    let redact = Redact {
        url_userinfo: fields.value("urlUserinfo", problems, At::truth).unwrap_or(default.url_userinfo),
        url_query: fields.value("urlQuery", problems, At::truth).unwrap_or(default.url_query),
        headers: match (allow, deny) {
            (Some(names), _) => RedactHeaders::AllBut(names),
            (None, Some(names)) => RedactHeaders::Named(names),
            (None, None) => default.headers,
        },
    };
    #[cfg(test)]
    fields.assert_all_asked();
    Some(redact)
}

/// A flow log with defaults everywhere, to be filled in.
pub(super) fn plain(name: &str, place: &Place) -> FlowLog {
    FlowLog {
        name: name.to_owned(),
        file: None,
        field_mask: Vec::new(),
        field_aggregate: Vec::new(),
        aggregation_interval_ns: 0,
        include_filters: Vec::new(),
        exclude_filters: Vec::new(),
        end: None,
        window: DEFAULT_WINDOW,
        fold_by: FoldBy::default(),
        redact: Redact::default(),
        sinks: Vec::new(),
        spool_max_bytes: DEFAULT_SPOOL_MAX_BYTES,
        hash: [0; 32],
        place: place.clone(),
        places: Default::default(),
    }
}
