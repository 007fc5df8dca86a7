//! What a source can know of a flow, so that `check` and `run` can warn of masks and filters that ask for more.
//!
//! The kernel's programs see packets: addresses, ports, flags, drops. Names come from a file of identities. What Hubble adds (L7, policies,
//! DNS) comes only with its own flows, so a JSONL source counts as knowing everything.

use std::collections::BTreeMap;

use super::build;
use super::place::Problems;
use super::settings::SourceSpec;
use super::types::FlowLog;
use crate::filter::{self, List};

/// Paths that flows of the kernel have.
const KERNEL: &[&str] = &[
    "time",
    "uuid",
    "emitter",
    "verdict",
    "drop_reason",
    "ethernet",
    "IP.source",
    "IP.destination",
    "IP.ipVersion",
    "l4.TCP",
    "l4.UDP",
    "l4.ICMPv4",
    "l4.ICMPv6",
    "l4.SCTP",
    "tunnel",
    "source.identity",
    "source.labels",
    "destination.identity",
    "destination.labels",
    "Type",
    "node_name",
    "reply",
    "event_type",
    "traffic_direction",
    "trace_observation_point",
    "drop_reason_desc",
    "is_reply",
    "interface",
    "Summary",
    "extensions",
];

/// Paths that a file of identities adds.
const IDENTITIES: &[&str] = &[
    "source.cluster_name",
    "source.namespace",
    "source.pod_name",
    "source.workloads",
    "destination.cluster_name",
    "destination.namespace",
    "destination.pod_name",
    "destination.workloads",
    "source_names",
    "destination_names",
    "source_service",
    "destination_service",
];

/// What is configured, as far as it decides what can be known.
#[derive(Clone, Copy, Debug)]
pub struct Supply<'s> {
    /// The sources.
    pub sources: &'s [SourceSpec],
    /// Whether there is a file of identities.
    pub identities: bool,
}

impl Supply<'_> {
    /// What an entry asks for that nothing configured can give, as warnings.
    pub fn warnings(&self, entry: &FlowLog) -> Problems {
        let mut problems = Problems::default();
        if self.sources.iter().any(|source| *source != SourceSpec::Kernel) {
            return problems;
        }
        for (key, paths) in [("fieldMask", &entry.field_mask), ("fieldAggregate", &entry.field_aggregate)] {
            self.paths(key, paths, entry, &mut problems);
        }
        self.filters(entry, &mut problems);
        problems
    }

    /// Of each field of a filter, whether something it looks at can be known.
    fn filters(&self, entry: &FlowLog, problems: &mut Problems) {
        let Ok(filters) = build::filters(entry) else { return };
        let mut needs: Vec<(filter::Place, Vec<String>)> = Vec::new();
        for need in filters.requirements().into_iter().filter(|need| !need.path.is_empty()) {
            match needs.last_mut() {
                Some((place, paths)) if *place == need.place => paths.push(need.path),
                _ => needs.push((need.place, vec![need.path])),
            }
        }
        for (place, paths) in needs {
            let missing: Vec<String> = paths.iter().map_while(|path| self.missing(path)).collect();
            if let Some(advice) = missing.first().filter(|_| missing.len() == paths.len()) {
                let effect = if place.list == List::Include { "matches nothing" } else { "excludes nothing" };
                let what = format!("{effect}: no configured source knows {}", paths.join(", "));
                problems.warn(&build::filter_lists(entry).place_of(&place), what, Some(advice.clone()));
            }
        }
    }

    /// One warning for all paths of a list that the same remedy would fill.
    fn paths(&self, key: &str, paths: &[String], entry: &FlowLog, problems: &mut Problems) {
        let valid = paths.iter().enumerate().filter(|(_, path)| crate::mask::Mask::parse(&[path]).is_ok());
        let mut missing: BTreeMap<String, Vec<(usize, &str)>> = BTreeMap::new();
        for (n, path) in valid {
            if let Some(advice) = self.missing(path) {
                missing.entry(advice).or_default().push((n, path));
            }
        }
        for (advice, paths) in missing {
            let place = entry.places.below(&format!("{key}[{}]", paths[0].0));
            let names: Vec<&str> = paths.iter().map(|(_, path)| *path).collect();
            problems.warn(&place, format!("no configured source knows {}", names.join(", ")), Some(advice));
        }
    }

    /// What to do about a path that nothing supplies; `None` where something does, or part of it.
    fn missing(&self, path: &str) -> Option<String> {
        let among = |known: &[&str]| known.iter().any(|known| overlap(known, path));
        if among(KERNEL) || (self.identities && among(IDENTITIES)) {
            return None;
        }
        Some(match among(IDENTITIES) {
            true => "give --identities FILE, or a source with Hubble's flows (--source jsonl:PATH)".to_owned(),
            false => "give a source with Hubble's flows (--source jsonl:PATH)".to_owned(),
        })
    }
}

/// True if one path is the other, or holds it.
fn overlap(a: &str, b: &str) -> bool {
    let holds = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    holds(a, b) || holds(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(sources: &[SourceSpec], identities: bool) -> Vec<String> {
        let text = b"flowLogs:\n- name: a\n  filePath: /x\n  fieldMask: [time, l7.http.url, source.pod_name, l4, source, extensions]\n  includeFilters: [{dns_query: [x], verdict: [DROPPED]}]\n  excludeFilters: [{source_pod: [a/]}]\n";
        let entry = crate::config::read(text, true).unwrap().file.flow_logs.remove(0);
        Supply { sources, identities }.warnings(&entry).0.iter().map(|problem| problem.place.path.clone()).collect()
    }

    #[test]
    fn what_no_source_knows_is_warned_of_at_its_place() {
        let (mask, names) = ("flowLogs[0].fieldMask[1]", "flowLogs[0].fieldMask[2]");
        let (include, exclude) = ("flowLogs[0].includeFilters[0].dns_query", "flowLogs[0].excludeFilters[0].source_pod");
        assert_eq!(warnings(&[SourceSpec::Kernel], false), [names, mask, include, exclude]);
        assert_eq!(warnings(&[SourceSpec::Kernel], true), [mask, include]);
        assert!(warnings(&[SourceSpec::Kernel, SourceSpec::JsonLines("/x".into())], false).is_empty());
    }

    #[test]
    fn every_path_here_is_a_path_of_a_flow() {
        for path in KERNEL.iter().chain(IDENTITIES) {
            assert!(crate::mask::Mask::parse(&[path]).is_ok(), "{path}");
        }
    }
}
