//! What a reload changes: by name, what stays, what is replaced, what comes and what goes.
//!
//! Names are identities: renaming is removing and adding. Entries of equal hash are not touched, whatever else stands in the file
//! (`spec/hubble.md` §5.2).

use std::collections::BTreeMap;

use super::place::Problems;
use super::sink_types::{RetentionMode, RetentionPeriod, Sink, SinkKind};
use super::types::{File, FlowLog, Hash};

/// The changes of one kind of thing.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes<'f> {
    /// In both files and the same.
    pub untouched: Vec<&'f str>,
    /// In both files, and not the same.
    pub changed: Vec<&'f str>,
    /// Only in the new file.
    pub added: Vec<&'f str>,
    /// Only in the old file.
    pub removed: Vec<&'f str>,
}

impl Changes<'_> {
    /// True if nothing has to be done.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

/// What a reload changes.
#[derive(Debug, PartialEq, Eq)]
pub struct Diff<'f> {
    /// Of the flow logs.
    pub flow_logs: Changes<'f>,
    /// Of the sinks. A flow log that names a changed sink need not itself be changed.
    pub sinks: Changes<'f>,
}

/// Compares the running file with a new one.
pub fn diff<'f>(old: &'f File, new: &'f File) -> Diff<'f> {
    let entries = |file: &'f File| file.flow_logs.iter().map(|entry: &FlowLog| (entry.name.as_str(), entry.hash)).collect();
    let sinks = |file: &'f File| file.sinks.values().map(|sink: &Sink| (sink.name.as_str(), sink.hash)).collect();
    Diff { flow_logs: changes(entries(old), entries(new)), sinks: changes(sinks(old), sinks(new)) }
}

fn changes<'f>(old: BTreeMap<&'f str, Hash>, new: BTreeMap<&'f str, Hash>) -> Changes<'f> {
    let mut changes = Changes { untouched: Vec::new(), changed: Vec::new(), added: Vec::new(), removed: Vec::new() };
    for (name, hash) in &new {
        match old.get(name) {
            None => changes.added.push(name),
            Some(before) if before == hash => changes.untouched.push(name),
            Some(_) => changes.changed.push(name),
        }
    }
    changes.removed = old.into_keys().filter(|name| !new.contains_key(name)).collect();
    changes
}

/// Retentions that a reload would shorten or weaken, which is refused unless asked for: an archive's promise must not end by an editor's slip.
pub fn shorter_retentions(old: &File, new: &File) -> Problems {
    let mut problems = Problems::default();
    for (name, after) in &new.sinks {
        let (Some(SinkKind::S3(before)), SinkKind::S3(s3)) = (old.sinks.get(name).map(|sink| &sink.kind), &after.kind) else { continue };
        let place = after.places.below("retention");
        let advice = Some("start with --allow-shorter-retention, or name the sink anew".to_owned());
        match (&before.retention, &s3.retention) {
            (None, _) => {}
            (Some(_), None) => problems.reject(&place, "the retention is gone", advice),
            (Some(before), Some(after)) => {
                let shorter = match (&before.period, &after.period) {
                    (RetentionPeriod::Days(before), RetentionPeriod::Days(after)) => after < before,
                    (RetentionPeriod::Until(before), RetentionPeriod::Until(after)) => after.unix_ns < before.unix_ns,
                    // The one moves with time and the other does not; which is longer changes.
                    _ => true,
                };
                if shorter {
                    problems.reject(&place, "the retention may be shorter than before", advice.clone());
                }
                if before.mode == RetentionMode::Compliance && after.mode == RetentionMode::Governance {
                    problems.reject(&place, "the retention is weaker than before", advice);
                }
            }
        }
        if before.legal_hold && !s3.legal_hold {
            problems.reject(
                &after.places.below("legalHold"),
                "the legal hold is gone",
                Some("start with --allow-shorter-retention".into()),
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> File {
        crate::config::read(text.as_bytes(), true).unwrap_or_else(|problems| panic!("{problems}")).file
    }

    #[test]
    fn a_reload_is_told_by_names() {
        let old = file("flowLogs: [{name: a, filePath: /a}, {name: b, filePath: /b}, {name: c, filePath: /c}]");
        let new = file(
            "flowLogs:\n# moved and spelled out\n- {filePath: /c, name: c, window: 1s}\n- {name: a, filePath: /a, window: 2s}\n- {name: d, filePath: /d}",
        );
        let changes = diff(&old, &new).flow_logs;
        assert_eq!(changes, Changes { untouched: vec!["c"], changed: vec!["a"], added: vec!["d"], removed: vec!["b"] });
        assert!(diff(&old, &old).flow_logs.is_empty());
    }

    #[test]
    fn a_changed_sink_leaves_its_flow_logs_alone() {
        let text = |size: &str| {
            format!("flowLogs: [{{name: a, sinks: [s]}}]\nsinks: {{s: {{type: loki, url: 'http://h', batch: {{maxBytes: {size}}}}}}}")
        };
        let (old, new) = (file(&text("1MiB")), file(&text("2MiB")));
        let diff = diff(&old, &new);
        assert!(diff.flow_logs.is_empty());
        assert_eq!(diff.sinks.changed, ["s"]);
    }

    #[test]
    fn a_changed_password_is_a_changed_sink() {
        let text = |password: &str| {
            format!(
                "flowLogs: [{{name: a, sinks: [s]}}]\nsinks: {{s: {{type: loki, url: 'http://h', basicAuth: {{username: u, password: {password}}}}}}}"
            )
        };
        assert_eq!(diff(&file(&text("x")), &file(&text("y"))).sinks.changed, ["s"]);
    }

    #[test]
    fn a_retention_is_not_shortened_unasked() {
        let text =
            |retention: &str| format!("flowLogs: [{{name: a, sinks: [s]}}]\nsinks: {{s: {{type: s3, url: 's3://bucket'{retention}}}}}");
        let year = ", retention: {mode: COMPLIANCE, days: 365}";
        for (before, after, refused) in [
            (year, year, false),
            (year, ", retention: {mode: COMPLIANCE, days: 366}", false),
            ("", year, false),
            (year, ", retention: {mode: COMPLIANCE, days: 364}", true),
            (year, ", retention: {mode: GOVERNANCE, days: 365}", true),
            (year, ", retention: {mode: COMPLIANCE, until: 2099-01-01T00:00:00Z}", true),
            (year, "", true),
            (", legalHold: true", "", true),
        ] {
            let problems = shorter_retentions(&file(&text(before)), &file(&text(after)));
            assert_eq!(problems.rejects_file(), refused, "{before} -> {after}: {problems}");
        }
    }
}
