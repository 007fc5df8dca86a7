//! Which fields of a flow a filter looks at: so that `check` can say that no source fills one, and so that the cached path knows what it may
//! decide once.

use super::error::Place;

/// A filter's need of a field of the flow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// Which filter and which of its fields asks.
    pub place: Place,
    /// The mask path it looks at, such as `source.pod_name`; empty for a CEL expression that takes the flow as a whole.
    pub path: String,
}

/// What may differ between events of one cached flow. Everything else has to be the same for all events that share a cache entry.
pub const VARIES_PER_EVENT: [&str; 10] =
    ["time", "uuid", "l4.TCP.flags", "l7", "trace_context", "ip_trace_id", "socket_cookie", "Summary", "extensions", "aggregate"];

const PORTS: [&str; 6] = [
    "l4.TCP.source_port",
    "l4.TCP.destination_port",
    "l4.UDP.source_port",
    "l4.UDP.destination_port",
    "l4.SCTP.source_port",
    "l4.SCTP.destination_port",
];

/// Whether reading `path` may give something else for another event of the flow.
pub(super) fn varies_per_event(path: &str) -> bool {
    VARIES_PER_EVENT.iter().any(|varying| overlaps(path, varying))
}

/// Whether reading `path` reads a port.
pub(super) fn reads_port(path: &str) -> bool {
    PORTS.iter().any(|port| overlaps(path, port))
}

/// Whether one path is the other or lies below it; the empty one is above all.
fn overlaps(one: &str, other: &str) -> bool {
    let below = |path: &str, of: &str| of.is_empty() || path.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    below(one, other) || below(other, one)
}

/// The flow's paths that a field of a filter looks at.
pub(super) fn paths(field: &str) -> &'static [&'static str] {
    match field {
        "uuid" => &["uuid"],
        "source_ip" => &["IP.source"],
        "source_ip_xlated" => &["IP.source_xlated"],
        "destination_ip" => &["IP.destination"],
        "source_pod" => &["source.namespace", "source.pod_name"],
        "destination_pod" => &["destination.namespace", "destination.pod_name"],
        "source_service" => &["source_service"],
        "destination_service" => &["destination_service"],
        "source_fqdn" => &["source_names"],
        "destination_fqdn" => &["destination_names"],
        "source_label" => &["source.labels"],
        "destination_label" => &["destination.labels"],
        "node_labels" => &["node_labels"],
        "source_workload" => &["source.workloads"],
        "destination_workload" => &["destination.workloads"],
        "source_cluster_name" => &["source.cluster_name"],
        "destination_cluster_name" => &["destination.cluster_name"],
        "source_identity" => &["source.identity"],
        "destination_identity" => &["destination.identity"],
        "traffic_direction" => &["traffic_direction"],
        "verdict" => &["verdict"],
        "drop_reason_desc" => &["verdict", "drop_reason_desc"],
        "interface" => &["interface"],
        "event_type" => &["event_type"],
        "protocol" => &["l4", "l7"],
        "source_port" | "destination_port" => &["l4"],
        "reply" => &["is_reply"],
        "encrypted" => &["IP.encrypted"],
        "ip_version" => &["IP.ipVersion"],
        "tcp_flags" => &["l4.TCP.flags"],
        "node_name" => &["node_name"],
        "trace_id" => &["trace_context"],
        "ip_trace_id" => &["ip_trace_id"],
        "dns_query" => &["l7.dns"],
        "http_status_code" | "http_method" | "http_path" | "http_url" | "http_header" => &["l7.http"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_varies_when_it_meets_one_that_does() {
        for path in ["time", "l7", "l7.http.code", "l4", "l4.TCP", "l4.TCP.flags.SYN", ""] {
            assert!(varies_per_event(path), "{path}");
        }
        for path in ["source.labels", "l4.UDP.source_port", "l4.TCP.source_port", "verdict", "time_zone"] {
            assert!(!varies_per_event(path), "{path}");
        }
        assert!(reads_port("l4.TCP"));
        assert!(!reads_port("l4.TCP.flags"));
    }
}
