//! What each family counts (Hubble digest §8.1): which flows, under which labels, and how much of them.
//!
//! A flow that Hubble saw is one event. A line of the kernel stands for many packets, so its flows say not how much but of what the amount is:
//! SYN, FIN and RST count segments, drops, ICMP messages and ports count packets, everything else counts events.

use std::borrow::Cow;

use super::spec::{Family, Spec};
use super::table::Layout;
use super::words;
use crate::flow::{
    Dns, DropReason, Flags, Flow, Http, L7FlowType, Layer7, Protocol, Record, SctpChunkType, TrafficDirection, Verdict, datapath,
};
use crate::metrics::text::Kind;

/// Of what an amount is. For a flow of the input all but `Seconds` are one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// Events.
    Events,
    /// Packets.
    Packets,
    /// TCP segments with SYN.
    Syn,
    /// TCP segments with FIN.
    Fin,
    /// TCP segments with RST.
    Rst,
    /// A duration.
    Seconds(f64),
}

/// Takes what a flow counts for: which of the family's metrics, the values of its labels, the amount.
pub type Emit<'e> = dyn FnMut(usize, &[Cow<'_, str>], Amount) + 'e;

const DNS_QUERIES: usize = 0;
const DNS_RESPONSES: usize = 1;
const DNS_TYPES: usize = 2;
/// Metrics of both HTTP families: requests, durations, and responses where they are counted apart.
const HTTP_REQUESTS: usize = 0;
const HTTP_SECONDS: usize = 1;
const HTTP_RESPONSES: usize = 2;

/// The metrics of a family.
#[must_use]
pub fn layouts(spec: &Spec) -> Vec<Layout> {
    let layout = |name, help, kind, own: &[&'static str]| Layout {
        name,
        help,
        kind,
        labels: own.iter().copied().chain(spec.context.names()).collect(),
    };
    let counter = |name, help, own: &[&'static str]| layout(name, help, Kind::Counter, own);
    match spec.family {
        Family::Dns { query, .. } => {
            let (mut common, mut types) = (vec!["rcode", "qtypes", "ips_returned"], vec!["type", "qtypes"]);
            if query {
                common.push("query");
                types.push("query");
            }
            vec![
                counter("hubble_dns_queries_total", "Number of DNS queries observed", &common),
                counter("hubble_dns_responses_total", "Number of DNS responses observed", &common),
                counter("hubble_dns_response_types_total", "Number of records in DNS responses observed, by type", &types),
            ]
        }
        Family::Drop => vec![counter("hubble_drop_total", "Number of drops", &["reason", "protocol"])],
        Family::Tcp => vec![counter("hubble_tcp_flags_total", "TCP flag occurrences", &["flag", "family"])],
        Family::Flow => {
            vec![counter("hubble_flows_processed_total", "Total number of flows processed", &["protocol", "type", "subtype", "verdict"])]
        }
        Family::FlowsToWorld { port, .. } => {
            let own: &[&str] = if port { &["protocol", "verdict", "port"] } else { &["protocol", "verdict"] };
            vec![counter("hubble_flows_to_world_total", "Total number of flows to reserved:world", own)]
        }
        Family::Http { .. } => vec![
            counter("hubble_http_requests_total", "Count of HTTP requests", &["method", "protocol", "reporter"]),
            layout(
                "hubble_http_request_duration_seconds",
                "Quantiles of HTTP request duration in seconds",
                Kind::Histogram,
                &["method", "reporter"],
            ),
            counter("hubble_http_responses_total", "Count of HTTP responses", &["method", "protocol", "status", "reporter"]),
        ],
        Family::HttpV2 { .. } => vec![
            counter("hubble_http_requests_total", "Count of HTTP requests", &["method", "protocol", "status", "reporter"]),
            layout(
                "hubble_http_request_duration_seconds",
                "Quantiles of HTTP request duration in seconds",
                Kind::Histogram,
                &["method", "reporter"],
            ),
        ],
        Family::Icmp => vec![counter("hubble_icmp_total", "Number of ICMP messages", &["family", "type"])],
        Family::PortDistribution => {
            vec![counter("hubble_port_distribution_total", "Numbers of packets distributed by destination port", &["protocol", "port"])]
        }
        Family::Policy => vec![counter(
            "hubble_policy_verdicts_total",
            "Total number of Cilium network policy verdicts",
            &["direction", "match", "action"],
        )],
        Family::Sctp => vec![counter("hubble_sctp_chunk_types_total", "SCTP chunk type occurrences", &["chunk_type", "family"])],
    }
}

/// Says what a flow counts for. `kernel`: it is the flow of a line of the kernel, whose flags do not count.
pub fn visit(spec: &Spec, flow: &Flow<'_>, kernel: bool, emit: &mut Emit<'_>) {
    let mut count = |metric: usize, own: &[Cow<'_, str>], inverted: bool, amount: Amount| {
        let mut values: Vec<Cow<'_, str>> = own.to_vec();
        spec.context.values(flow, inverted, &mut values);
        emit(metric, &values, amount);
    };
    let mut one = |own: &[Cow<'_, str>], amount: Amount| count(0, own, false, amount);
    match spec.family {
        Family::Drop if flow.verdict == Verdict::DROPPED => {
            one(&[flow.drop_reason_desc.to_string().into(), words::protocol(flow).into()], Amount::Packets);
        }
        Family::Drop => {}
        Family::Flow => {
            let (kind, subtype) = words::flow_type(flow);
            one(&[words::protocol(flow).into(), kind.into(), subtype, flow.verdict.to_string().into()], events(flow));
        }
        Family::Tcp => tcp(flow, kernel, |flag, family, amount| one(&[flag.into(), family], amount)),
        Family::Sctp => {
            if let (true, Some(Protocol::Sctp(sctp)), Some(ip)) = (was_forwarded(flow), words::layer4(flow), &flow.ip)
                && sctp.chunk_type != SctpChunkType::UNSUPPORTED
            {
                one(&[sctp.chunk_type.to_string().into(), ip.ip_version.to_string().into()], Amount::Packets);
            }
        }
        Family::Icmp => match words::layer4(flow) {
            Some(Protocol::Icmpv4(icmp)) => {
                one(&["IPv4".into(), crate::flow::icmp::v4_name(icmp.r#type, icmp.code).into()], Amount::Packets)
            }
            Some(Protocol::Icmpv6(icmp)) => {
                one(&["IPv6".into(), crate::flow::icmp::v6_name(icmp.r#type, icmp.code).into()], Amount::Packets)
            }
            _ => {}
        },
        Family::PortDistribution => {
            if let (true, Some(false), Some(protocol)) = (was_forwarded(flow), flow.is_reply, words::layer4(flow)) {
                one(
                    &[words::layer4_name(protocol).into(), destination_port(protocol).unwrap_or_default().to_string().into()],
                    Amount::Packets,
                );
            }
        }
        Family::FlowsToWorld { any_drop, port, syn_only } => {
            if let Some((protocol, amount)) = to_world(flow, kernel, any_drop, syn_only) {
                let mut own = vec![words::protocol(flow).into(), flow.verdict.to_string().into()];
                if port {
                    own.push(protocol.and_then(destination_port).map_or_else(String::new, |port| port.to_string()).into());
                }
                one(&own, amount);
            }
        }
        Family::Policy => {
            if let Some(matched) = policy(flow) {
                let [direction, action] =
                    [flow.traffic_direction.to_string(), flow.verdict.to_string()].map(|text| text.to_ascii_lowercase());
                one(&[direction.into(), matched, action.into()], Amount::Events);
            }
        }
        Family::Dns { query, ignore_aaaa } => {
            if let Some(Record::Dns(record)) = words::record(flow) {
                dns(flow, record, query, ignore_aaaa, |metric, own| count(metric, own, false, Amount::Events));
            }
        }
        Family::Http { .. } | Family::HttpV2 { .. } => {
            if let (Some(l7), Some(Record::Http(record))) = (&flow.l7, words::record(flow)) {
                let second = matches!(spec.family, Family::HttpV2 { .. });
                // The second version takes its labels from the response, as those of the request: the ends change places.
                http(flow, l7, record, second, |metric, own, amount| count(metric, own, second, amount));
            }
        }
    }
}

/// Drops are reported packet by packet, everything else as often as the datapath cares to.
fn events(flow: &Flow<'_>) -> Amount {
    if flow.verdict == Verdict::DROPPED { Amount::Packets } else { Amount::Events }
}

fn was_forwarded(flow: &Flow<'_>) -> bool {
    matches!(flow.verdict, Verdict::FORWARDED | Verdict::REDIRECTED)
}

fn destination_port(protocol: &Protocol<'_>) -> Option<u32> {
    match protocol {
        Protocol::Tcp(tcp) => Some(tcp.destination_port),
        Protocol::Udp(udp) => Some(udp.destination_port),
        Protocol::Sctp(sctp) => Some(sctp.destination_port),
        _ => None,
    }
}

fn tcp(flow: &Flow<'_>, kernel: bool, mut one: impl FnMut(&'static str, Cow<'static, str>, Amount)) {
    let (true, Some(ip), Some(Protocol::Tcp(tcp))) = (was_forwarded(flow), &flow.ip, words::layer4(flow)) else { return };
    let Some(flags) = tcp.flags.as_ref().map(|flags| flags.set) else { return };
    let family = || ip.ip_version.name().map_or_else(|| ip.ip_version.to_string().into(), Cow::Borrowed);
    // Which segments of a kernel's line had SYN and ACK both is not counted apart; but only one side of a connection sends such.
    let answers = if kernel { flow.is_reply == Some(true) } else { flags.has(Flags::ACK) };
    for (name, flag, amount) in [
        ("FIN", Flags::FIN, Amount::Fin),
        (if answers { "SYN-ACK" } else { "SYN" }, Flags::SYN, Amount::Syn),
        ("RST", Flags::RST, Amount::Rst),
    ] {
        if kernel || flags.has(flag) {
            one(name, family(), amount);
        }
    }
}

/// Whether a flow with a layer 4 goes to the world outside the cluster; its protocol, where that is known, and of what it counts.
fn to_world<'f>(flow: &'f Flow<'_>, kernel: bool, any_drop: bool, syn_only: bool) -> Option<(Option<&'f Protocol<'f>>, Amount)> {
    let world = |label: Cow<'_, str>| matches!(label.as_ref(), "reserved:world" | "reserved:world-ipv4" | "reserved:world-ipv6");
    let protocol = flow.l4.as_ref()?.protocol.as_ref();
    if !flow.destination.as_ref()?.labels.iter().any(world) || flow.event_type.is_none() {
        return None;
    }
    let (dropped, reply) = (flow.verdict == Verdict::DROPPED, flow.is_reply == Some(true));
    // Replies are left out because their destination is an ephemeral port.
    if (dropped && !any_drop && flow.drop_reason_desc != DropReason::POLICY_DENIED) || (!dropped && reply) {
        return None;
    }
    if !syn_only {
        return Some((protocol, events(flow)));
    }
    match protocol {
        Some(Protocol::Tcp(_)) if reply => None,
        // Flags of dropped segments are not reported.
        Some(Protocol::Tcp(_)) if kernel => (!dropped).then_some((protocol, Amount::Syn)),
        Some(Protocol::Tcp(tcp)) => tcp.flags.as_ref().is_some_and(|flags| flags.set.has(Flags::SYN)).then_some((protocol, Amount::Events)),
        _ => None,
    }
}

/// How a policy matched, for flows that tell.
fn policy(flow: &Flow<'_>) -> Option<Cow<'static, str>> {
    match words::event_type(flow) {
        // The host may reach every endpoint on it: what is decided about it says nothing (identity 1 is reserved:host).
        datapath::POLICY_VERDICT if flow.source.as_ref().is_some_and(|source| source.identity == 1) => None,
        datapath::POLICY_VERDICT => Some(datapath::policy_match(flow.policy_match_type).to_ascii_lowercase().into()),
        datapath::LAYER7 => Some(match words::record(flow) {
            Some(Record::Dns(_)) => "l7/dns".into(),
            Some(Record::Http(_)) => "l7/http".into(),
            _ => "l7/".into(),
        }),
        _ => None,
    }
}

fn dns(flow: &Flow<'_>, dns: &Dns<'_>, query: bool, ignore_aaaa: bool, mut count: impl FnMut(usize, &[Cow<'_, str>])) {
    let mut qtypes = dns.qtypes.iter();
    if ignore_aaaa && qtypes.next().as_deref() == Some("AAAA") && qtypes.next().is_none() {
        return;
    }
    let qtypes: String = dns.qtypes.iter().collect::<Vec<_>>().join(",");
    let (metric, rcode) = match (flow.verdict == Verdict::DROPPED, flow.is_reply == Some(true)) {
        (true, _) => (DNS_QUERIES, "Policy denied"),
        (false, false) => (DNS_QUERIES, ""),
        (false, true) => (DNS_RESPONSES, words::rcode(dns.rcode)),
    };
    let name: Option<Cow<'_, str>> = query.then(|| dns.query.as_ref().into());
    let own: [Cow<'_, str>; 3] = [rcode.into(), qtypes.as_str().into(), dns.ips.len().to_string().into()];
    count(metric, &own.into_iter().chain(name.clone()).collect::<Vec<_>>());
    if metric == DNS_RESPONSES {
        for kind in &dns.rrtypes {
            count(DNS_TYPES, &[kind, qtypes.as_str().into()].into_iter().chain(name.clone()).collect::<Vec<_>>());
        }
    }
}

fn http(flow: &Flow<'_>, l7: &Layer7<'_>, http: &Http<'_>, second: bool, mut count: impl FnMut(usize, &[Cow<'_, str>], Amount)) {
    let reporter = match flow.traffic_direction {
        TrafficDirection::EGRESS => "client",
        TrafficDirection::INGRESS => "server",
        _ => "unknown",
    };
    let (method, protocol, status) = (http.method.as_ref(), http.protocol.as_ref(), http.code.to_string());
    match l7.r#type {
        L7FlowType::REQUEST if !second => count(HTTP_REQUESTS, &[method.into(), protocol.into(), reporter.into()], Amount::Events),
        L7FlowType::RESPONSE => {
            let metric = if second { HTTP_REQUESTS } else { HTTP_RESPONSES };
            count(metric, &[method.into(), protocol.into(), status.into(), reporter.into()], Amount::Events);
            count(HTTP_SECONDS, &[method.into(), reporter.into()], Amount::Seconds(l7.latency_ns as f64 / 1e9));
        }
        _ => {}
    }
}
