//! From an entry's texts to what runs: its mask, its filters, what it hides. What cannot be built fails this entry alone.

use super::place::{Place, Places, Problems};
use super::types::{FilterText, FlowLog, Redact, RedactHeaders};
use crate::filter::{self, Filters, FlowFilter, List};
use crate::mask::{HeaderRule, InvalidPath, Mask, Redaction};

/// The mask of an entry: `fieldAggregate` where it aggregates, else `fieldMask`.
///
/// # Errors
/// The first path that is none.
pub fn mask(entry: &FlowLog) -> Result<Mask, InvalidPath> {
    Mask::parse(if entry.aggregation().is_some() { &entry.field_aggregate } else { &entry.field_mask })
}

/// What an entry hides, for the encoder.
pub fn redaction(redact: &Redact) -> Redaction {
    let headers = match &redact.headers {
        RedactHeaders::Named(names) if names.is_empty() => HeaderRule::Keep,
        RedactHeaders::Named(names) => HeaderRule::Deny(names.clone()),
        RedactHeaders::AllBut(names) if names.is_empty() => HeaderRule::HideAll,
        RedactHeaders::AllBut(names) => HeaderRule::Allow(names.clone()),
    };
    Redaction { url_userinfo: redact.url_userinfo, url_query: redact.url_query, headers }
}

/// Both lists of filters as a file has them, in a flow log or in a metric.
pub struct FilterLists<'l> {
    /// At least one must match, unless empty.
    pub include: &'l [FilterText],
    /// None may match.
    pub exclude: &'l [FilterText],
    /// Where everything stands in the map that has the lists.
    pub places: &'l Places,
}

impl FilterLists<'_> {
    /// The filters.
    ///
    /// # Errors
    /// Every value that cannot be built, each with its place.
    pub fn compile(&self) -> Result<Filters, Problems> {
        let mut problems = Problems::default();
        let mut list = |texts: &[FilterText]| -> Vec<FlowFilter<'static>> {
            let decoded = texts.iter().map(|text| FlowFilter::from_json(&text.value.to_string()).map_err(|error| (text, error)));
            // The file's own check lets nothing pass that does not decode; should it, the entry fails and no more.
            let decoded = decoded.map(|filter| filter.map_err(|(text, error)| problems.fail_entry(&text.place, error.to_string(), None)));
            decoded.filter_map(Result::ok).collect()
        };
        let (include, exclude) = (list(self.include), list(self.exclude));
        match Filters::compile(&include, &exclude) {
            Ok(filters) if problems.is_empty() => Ok(filters),
            Ok(_) => Err(problems),
            Err(errors) => {
                for error in errors {
                    problems.fail_entry(&self.place_of(&error.place), format!("{:?} cannot be used: {}", error.value, error.why), None);
                }
                Err(problems)
            }
        }
    }

    /// Notes what is unlikely to be meant, each with its place.
    pub fn advise(&self, filters: &Filters, problems: &mut Problems) {
        for advice in filters.advice() {
            problems.warn(&self.place_of(&advice.place), format!("{:?} may not do what is meant: {}", advice.value, advice.why), None);
        }
    }

    /// Where a value of a filter stands in the file.
    pub(super) fn place_of(&self, place: &filter::Place) -> Place {
        let list = match place.list {
            List::Include => self.include,
            List::Exclude => self.exclude,
        };
        match list.get(place.filter) {
            // A static block has its filters under other keys, and in texts: the text is the nearest place.
            Some(filter) if !filter.place.path.ends_with(&format!("{}[{}]", place.list.key(), place.filter)) => {
                Place { path: filter.place.key(&place.field), ..filter.place.clone() }
            }
            _ => self.places.below(&place.to_string()),
        }
    }
}

/// The filters of an entry, not compiled.
pub fn filter_lists(entry: &FlowLog) -> FilterLists<'_> {
    FilterLists { include: &entry.include_filters, exclude: &entry.exclude_filters, places: &entry.places }
}

/// The filters of an entry.
///
/// # Errors
/// Every value that cannot be built, each with its place.
pub fn filters(entry: &FlowLog) -> Result<Filters, Problems> {
    filter_lists(entry).compile()
}

/// Builds all of an entry and throws it away: everything in it that fails, and what is unlikely to be meant, each with its place.
pub fn check(entry: &FlowLog) -> Problems {
    let mut problems = Problems::default();
    for (key, paths) in [("fieldMask", &entry.field_mask), ("fieldAggregate", &entry.field_aggregate)] {
        for (n, path) in paths.iter().enumerate() {
            if let Err(error) = Mask::parse(&[path]) {
                problems.fail_entry(&entry.places.below(&format!("{key}[{n}]")), format!("`{path}` is no field: {}", error.why), None);
            }
        }
    }
    let lists = filter_lists(entry);
    match lists.compile() {
        Err(failed) => problems.append(failed),
        Ok(filters) => lists.advise(&filters, &mut problems),
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Severity, read};

    fn checked(text: &str) -> Problems {
        let file = read(text.as_bytes(), true).unwrap_or_else(|problems| panic!("{problems}")).file;
        let mut problems = Problems::default();
        file.flow_logs.iter().for_each(|entry| problems.append(check(entry)));
        problems
    }

    #[test]
    fn entries_that_upstream_cannot_build_fail_and_no_others() {
        let cases = include_str!("../../../tests/data/hubble-vectors.jsonl").lines();
        let cases = cases.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).filter(|case| case["kind"] == "config");
        let mut failed = 0;
        for case in cases {
            for (n, expected) in case["entries"].as_array().into_iter().flatten().enumerate() {
                let file = read(case["yaml"].as_str().unwrap().as_bytes(), false).unwrap().file;
                let fails = check(&file.flow_logs[n]).worst() == Some(Severity::Entry);
                assert_eq!(fails, expected.get("create_error").is_some(), "{}", case["yaml"]);
                failed += usize::from(fails);
            }
        }
        assert_eq!(failed, 3);
    }

    #[test]
    fn what_fails_names_its_line_and_what_to_write() {
        let problems = checked("flowLogs:\n- name: a\n  filePath: /x\n  fieldMask: [source.podName]\n  includeFilters:\n  - source_ip:\n    - 10.0.0.1\n    - bad\n  - {verdict: [DROPPED]}\n").to_string();
        assert!(
            problems.contains("line 4: flowLogs[0].fieldMask[0]: `source.podName` is no field") && problems.contains("pod_name"),
            "{problems}"
        );
        assert!(problems.contains("line 8: flowLogs[0].includeFilters[0].source_ip[1]: \"bad\" cannot be used"), "{problems}");
    }

    #[test]
    fn a_star_in_a_pod_s_name_gets_the_prefix_to_write() {
        let problems = checked("flowLogs:\n- name: a\n  filePath: /x\n  excludeFilters: [{source_pod: [kube-system/coredns*]}]\n");
        assert_eq!(problems.worst(), Some(Severity::Warning));
        assert!(problems.to_string().contains("kube-system/coredns`"), "{problems}");
    }

    #[test]
    fn a_filter_in_a_flag_s_text_is_found_at_the_text() {
        let problems = checked("filePath: /x\nallowList:\n- '{\"source_pod\":[\"a/\"]}'\n- '{\"source_ip\":[\"bad\"]}'\n").to_string();
        assert!(problems.starts_with("line 4: allowList[1].source_ip[0]: "), "{problems}");
    }
}
