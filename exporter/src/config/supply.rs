//! What a source can know of a flow, so that `check` and `run` can warn of masks and filters that ask for more.
//!
//! The kernel's programs see packets: addresses, ports, flags, drops. Names come from a file of identities. What Hubble adds (L7, policies,
//! DNS) comes only with its own flows, so a JSONL source counts as knowing everything.

use super::place::Problems;
use super::settings::SourceSpec;
use super::types::{FilterText, FlowLog};

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

/// The paths that a filter's field looks at, where that is not plain from its name.
const FIELDS: &[(&str, &str)] = &[
    ("source_ip", "IP.source"),
    ("source_ip_xlated", "IP.source_xlated"),
    ("destination_ip", "IP.destination"),
    ("source_pod", "source.pod_name"),
    ("destination_pod", "destination.pod_name"),
    ("source_fqdn", "source_names"),
    ("destination_fqdn", "destination_names"),
    ("source_workload", "source.workloads"),
    ("destination_workload", "destination.workloads"),
    ("source_cluster_name", "source.cluster_name"),
    ("destination_cluster_name", "destination.cluster_name"),
    ("dns_query", "l7.dns"),
    ("http_status_code", "l7.http"),
    ("http_method", "l7.http"),
    ("http_path", "l7.http"),
    ("http_url", "l7.http"),
    ("http_header", "l7.http"),
    ("encrypted", "IP.encrypted"),
    ("node_labels", "node_labels"),
    ("trace_id", "trace_context"),
    ("ip_trace_id", "ip_trace_id"),
    ("source_service", "source_service"),
    ("destination_service", "destination_service"),
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
        if self
            .sources
            .iter()
            .any(|source| *source != SourceSpec::Kernel)
        {
            return problems;
        }
        let lists = [
            ("fieldMask", &entry.field_mask),
            ("fieldAggregate", &entry.field_aggregate),
        ];
        for (key, paths) in lists {
            for (n, path) in paths.iter().enumerate() {
                if let Some(advice) = self.missing(path) {
                    let place = entry.places.below(&format!("{key}[{n}]"));
                    problems.warn(
                        &place,
                        format!("`{path}` stays empty: no configured source knows it"),
                        Some(advice),
                    );
                }
            }
        }
        for (filters, effect) in [
            (&entry.include_filters, "matches nothing"),
            (&entry.exclude_filters, "excludes nothing"),
        ] {
            for filter in filters {
                self.filter(filter, effect, &mut problems);
            }
        }
        problems
    }

    fn filter(&self, filter: &FilterText, effect: &str, problems: &mut Problems) {
        for field in filter
            .value
            .as_object()
            .into_iter()
            .flat_map(|object| object.keys())
        {
            let Some((_, path)) = FIELDS.iter().find(|(name, _)| name == field) else {
                continue;
            };
            if let Some(advice) = self.missing(path) {
                problems.warn(
                    &filter.place,
                    format!("{effect}: no configured source knows what {field} asks for"),
                    Some(advice),
                );
            }
        }
    }

    /// What to do about a path that nothing supplies; `None` where something does, or part of it.
    fn missing(&self, path: &str) -> Option<String> {
        let among = |known: &[&str]| known.iter().any(|known| overlap(known, path));
        if among(KERNEL) || (self.identities && among(IDENTITIES)) {
            return None;
        }
        Some(match among(IDENTITIES) {
            true => "give --identities FILE, or a source with Hubble's flows (--source jsonl:PATH)"
                .to_owned(),
            false => "give a source with Hubble's flows (--source jsonl:PATH)".to_owned(),
        })
    }
}

/// True if one path is the other, or holds it.
fn overlap(a: &str, b: &str) -> bool {
    let holds = |outer: &str, inner: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    holds(a, b) || holds(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(sources: &[SourceSpec], identities: bool) -> Vec<String> {
        let text = b"flowLogs:\n- name: a\n  filePath: /x\n  fieldMask: [time, l7.http.url, source.pod_name, l4, source, extensions]\n  includeFilters: [{dns_query: [x], verdict: [DROPPED]}]\n  excludeFilters: [{source_pod: [a/]}]\n";
        let entry = crate::config::read(text, true)
            .unwrap()
            .file
            .flow_logs
            .remove(0);
        Supply {
            sources,
            identities,
        }
        .warnings(&entry)
        .0
        .iter()
        .map(|problem| problem.place.path.clone())
        .collect()
    }

    #[test]
    fn what_no_source_knows_is_warned_of_at_its_place() {
        let (mask, names) = ("flowLogs[0].fieldMask[1]", "flowLogs[0].fieldMask[2]");
        let (include, exclude) = (
            "flowLogs[0].includeFilters[0]",
            "flowLogs[0].excludeFilters[0]",
        );
        assert_eq!(
            warnings(&[SourceSpec::Kernel], false),
            [mask, names, include, exclude]
        );
        assert_eq!(warnings(&[SourceSpec::Kernel], true), [mask, include]);
        assert!(
            warnings(
                &[SourceSpec::Kernel, SourceSpec::JsonLines("/x".into())],
                false
            )
            .is_empty()
        );
    }

    #[test]
    fn every_path_here_is_a_path_of_a_flow() {
        for path in KERNEL
            .iter()
            .chain(IDENTITIES)
            .chain(FIELDS.iter().map(|(_, path)| path))
        {
            assert!(crate::mask::Mask::parse(&[path]).is_ok(), "{path}");
        }
    }
}
