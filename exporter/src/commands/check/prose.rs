//! A configuration in sentences: for each flow log what it keeps, writes, folds and hides, where it goes, and how long an outage it survives.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::config::{
    Compress, File, FileOutput, FilterText, FlowLog, FoldBy, Redact, RedactHeaders, RetentionMode, RetentionPeriod, Sink, SinkKind,
    WhenFull,
};

/// Describes a whole file.
pub(super) fn describe(path: &Path, file: &File, rate: u64) -> String {
    let mut text = format!("{}: {}, {}\n", path.display(), number(file.flow_logs.len(), "flow log"), number(file.sinks.len(), "sink"));
    if file.flow_logs.is_empty() {
        text.push_str("\nNothing is recorded. While the daemon runs, taking such a file over ends every flow log.\n");
    }
    for entry in &file.flow_logs {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", flow_log(entry, file, rate));
    }
    text
}

fn number(count: usize, of: &str) -> String {
    format!("{count} {of}{}", if count == 1 { "" } else { "s" })
}

fn flow_log(entry: &FlowLog, file: &File, rate: u64) -> String {
    let mut lines = vec![format!("{} (line {})", entry.name, entry.place.line)];
    let mut add = |head: &str, text: String| lines.push(format!("  {head:<9}{text}"));
    add("keeps", keeps(entry));
    if entry.aggregation().is_some() {
        add("counts", format!("by {}, every {}", entry.field_aggregate.join(", "), human(nanoseconds(entry.aggregation_interval_ns))));
    } else {
        add("writes", if entry.field_mask.is_empty() { "every field".into() } else { entry.field_mask.join(", ") });
        add("folds", folds(entry));
    }
    add("hides", hides(&entry.redact));
    if let Some(end) = &entry.end {
        add("ends", format!("at {}", end.text));
    }
    if let Some(output) = &entry.file {
        add("to", file_output(output));
    }
    for name in &entry.sinks {
        if let Some(sink) = file.sinks.get(name) {
            add("to", format!("{name}: {}", destination(sink)));
        }
    }
    for line in outage(entry, file, rate) {
        add("spool", line);
    }
    lines.join("\n") + "\n"
}

fn keeps(entry: &FlowLog) -> String {
    let list = |filters: &[FilterText]| filters.iter().map(|filter| self::filter(&filter.value)).collect::<Vec<_>>().join("; or ");
    let included =
        if entry.include_filters.is_empty() { "every flow".to_owned() } else { format!("flows with {}", list(&entry.include_filters)) };
    match entry.exclude_filters.is_empty() {
        true => included,
        false => format!("{included}, except those with {}", list(&entry.exclude_filters)),
    }
}

/// One filter: its fields are joined by "and", the values of a field by "or".
fn filter(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten().filter(|(_, values)| values.as_array().is_none_or(|values| !values.is_empty()));
    let fields: Vec<String> = fields
        .map(|(field, values)| {
            let values =
                values.as_array().map_or_else(|| vec![plain(values)], |values| values.iter().map(|value| element(field, value)).collect());
            format!("{field} {}", values.join(" or "))
        })
        .collect();
    if fields.is_empty() { "anything".to_owned() } else { fields.join(" and ") }
}

/// A value of a field; names of pods and services say what they match, since that surprises (`spec/hubble.md` §3.4).
fn element(field: &str, value: &Value) -> String {
    let text = plain(value);
    if !field.ends_with("_pod") && !(field.ends_with("_service")) {
        return text;
    }
    match text.split_once('/') {
        None => format!("{text}… in namespace default"),
        Some((namespace, "")) if !namespace.is_empty() => format!("in namespace {namespace}"),
        Some(("", "")) => "in any namespace".to_owned(),
        Some(("", name)) => format!("{name}… in any namespace"),
        Some((namespace, name)) => format!("{name}… in namespace {namespace}"),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn folds(entry: &FlowLog) -> String {
    if entry.window.is_zero() {
        return "nothing: a line per event".to_owned();
    }
    let by = match entry.fold_by {
        FoldBy::Connection => "client ports kept",
        FoldBy::Service => "client ports left out",
    };
    format!("what is identical within {} into one line, {by}", human(entry.window))
}

fn hides(redact: &Redact) -> String {
    let mut parts = Vec::new();
    if redact.url_userinfo {
        parts.push("passwords in URLs".to_owned());
    }
    if redact.url_query {
        parts.push("queries of URLs".to_owned());
    }
    match &redact.headers {
        RedactHeaders::Named(names) if names.is_empty() => {}
        RedactHeaders::Named(names) => parts.push(format!("the HTTP headers {}", names.join(", "))),
        RedactHeaders::AllBut(names) if names.is_empty() => parts.push("all HTTP headers".to_owned()),
        RedactHeaders::AllBut(names) => parts.push(format!("all HTTP headers but {}", names.join(", "))),
    }
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

fn file_output(output: &FileOutput) -> String {
    if output.is_stdout() {
        return "standard output".to_owned();
    }
    let kept = output.kept_backups().map_or("all".to_owned(), |kept| kept.to_string());
    let compressed = match output.compress {
        Compress::No => "",
        Compress::Gzip => ", gzip",
        Compress::Zstd => ", zstd",
    };
    let age = output.max_age.map(|age| format!(", for {} at most", human(age))).unwrap_or_default();
    let total = output.max_total_mb.map(|total| format!(", {total} MiB together at most")).unwrap_or_default();
    format!("{}, rotated at {} MiB, {kept} kept{age}{total}{compressed}, mode {:04o}", output.path, output.max_bytes() >> 20, output.mode)
}

fn destination(sink: &Sink) -> String {
    match &sink.kind {
        SinkKind::File(output) => file_output(output),
        SinkKind::Loki(loki) => {
            let labels: Vec<&str> = loki.labels.keys().map(String::as_str).collect();
            let labels = if labels.is_empty() { String::new() } else { format!(", labels {}", labels.join(", ")) };
            format!("Loki at {}{labels}", loki.url)
        }
        SinkKind::Kafka(kafka) => format!("topic {} of Kafka at {}", kafka.topic, kafka.brokers.join(", ")),
        SinkKind::S3(s3) => {
            let locked = s3.retention.as_ref().map(|retention| {
                let mode = match retention.mode {
                    RetentionMode::Compliance => "by nobody",
                    RetentionMode::Governance => "only with a special permission",
                };
                match &retention.period {
                    RetentionPeriod::Days(days) => {
                        format!(", for {} deleted {mode}", number(usize::try_from(*days).unwrap_or(usize::MAX), "day"))
                    }
                    RetentionPeriod::Until(until) => format!(", until {} deleted {mode}", until.text),
                }
            });
            format!("objects below {}{}", s3.url, locked.unwrap_or_default())
        }
    }
}

/// How long each sink may be away before something is lost: the part of the spool it may fill, at a rate, by the size of a line.
fn outage(entry: &FlowLog, file: &File, rate: u64) -> Vec<String> {
    let bytes = line_bytes(entry);
    let survives = |share: u64| {
        let seconds = share / bytes.saturating_mul(rate).max(1);
        format!("{} at {rate} lines/s of about {bytes} bytes", human(Duration::from_secs(seconds)))
    };
    let sinks: Vec<&Sink> = entry.sinks.iter().filter_map(|name| file.sinks.get(name)).collect();
    let held = sinks.iter().any(|sink| sink.when_full == WhenFull::Hold);
    let quarter = entry.spool_max_bytes / 4;
    let mut lines = vec![format!("up to {} on disk", crate::config::format_size(entry.spool_max_bytes))];
    for sink in sinks {
        let (share, then) = match sink.when_full {
            WhenFull::Hold => (entry.spool_max_bytes - quarter, "then the newest give way, declared"),
            WhenFull::DropOldest if held => (quarter, "then the oldest give way, declared"),
            WhenFull::DropOldest => (entry.spool_max_bytes, "then the oldest give way, declared"),
            WhenFull::Detach => (entry.spool_max_bytes, "then it is left behind, declared"),
        };
        lines.push(format!("{} may be away for {}; {then}", sink.name, survives(share)));
    }
    lines
}

/// A guess at a line: Hubble's unmasked ones were measured at 1580 bytes (`spec/hubble.md` §7.3), a masked one grows with its paths.
fn line_bytes(entry: &FlowLog) -> u64 {
    let paths = if entry.aggregation().is_some() { &entry.field_aggregate } else { &entry.field_mask };
    match paths.len() {
        0 => 1_580,
        paths => (60 + 45 * paths as u64).min(1_580),
    }
}

fn nanoseconds(nanoseconds: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// A duration with its two largest units: `1d 3h`, `17m 20s`, `1s`.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{} ms", duration.as_millis());
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if rest >= size {
            parts.push(format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(text: &str) -> String {
        describe(Path::new("f.yaml"), &crate::config::read(text.as_bytes(), true).unwrap().file, 1000)
    }

    #[test]
    fn a_flow_log_is_told_in_sentences() {
        let text = "\
flowLogs:
- name: shop
  filePath: /x
  fieldMask: [time, verdict, extensions]
  includeFilters: [{source_pod: [shop/cart, kube-system/, web], verdict: [DROPPED]}, {}]
  excludeFilters: [{destination_port: ['53']}]
  foldBy: service
  sinks: [audit, search]
sinks:
  audit: {type: s3, url: 's3://bucket/p', retention: {mode: COMPLIANCE, days: 365}}
  search: {type: loki, url: 'http://h', labels: {v: verdict}}
";
        let expected = "\
f.yaml: 1 flow log, 2 sinks

shop (line 2)
  keeps    flows with source_pod cart… in namespace shop or in namespace kube-system or web… in namespace default and verdict DROPPED; or anything, except those with destination_port 53
  writes   time, verdict, extensions
  folds    what is identical within 1s into one line, client ports left out
  hides    passwords in URLs, the HTTP headers Authorization, Proxy-Authorization, Cookie, Set-Cookie
  to       /x, rotated at 10 MiB, 5 kept, mode 0640
  to       audit: objects below s3://bucket/p, for 365 days deleted by nobody
  to       search: Loki at http://h, labels v
  spool    up to 1GiB on disk
  spool    audit may be away for 1h 8m at 1000 lines/s of about 195 bytes; then the newest give way, declared
  spool    search may be away for 22m 56s at 1000 lines/s of about 195 bytes; then the oldest give way, declared
";
        assert_eq!(described(text), expected);
    }

    #[test]
    fn an_empty_file_says_that_it_records_nothing() {
        assert!(described("").contains("Nothing is recorded"));
    }
}
