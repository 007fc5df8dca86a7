//! Names that Hubble gives to numbers in label values. Dashboards and alerts match on them, so they are a contract (Hubble digest §8.1).

use std::borrow::Cow;

use crate::flow::{Flow, Protocol, Record};

/// Message types of the datapath.
pub mod event {
    /// A packet was dropped.
    pub const DROP: i32 = 1;
    /// A debug capture.
    pub const CAPTURE: i32 = 3;
    /// A packet was seen.
    pub const TRACE: i32 = 4;
    /// A policy decided.
    pub const POLICY_VERDICT: i32 = 5;
    /// A proxy saw a request.
    pub const ACCESS_LOG: i32 = 129;
}

/// The datapath's number of a flow's event; 0 without one.
#[must_use]
pub fn event_type(flow: &Flow<'_>) -> i32 {
    flow.event_type.as_ref().map_or(0, |event| event.r#type)
}

/// What a response code of DNS says (RFC 6895 §2.3); empty for a number without a name.
#[must_use]
pub fn rcode(number: u32) -> &'static str {
    match number {
        0 => "No Error",
        1 => "Format Error",
        2 => "Server Failure",
        3 => "Non-Existent Domain",
        4 => "Not Implemented",
        5 => "Query Refused",
        6 => "Name Exists when it should not",
        7 => "RR Set Exists when it should not",
        8 => "RR Set that should exist does not",
        9 => "Not Authorized",
        10 => "Name not contained in zone",
        11 => "DSO-TYPE Not Implemented",
        16 => "Bad OPT Version",
        17 => "Key not recognized",
        18 => "Signature out of time window",
        19 => "Bad TKEY Mode",
        20 => "Duplicate key name",
        21 => "Algorithm not supported",
        22 => "Bad Truncation",
        23 => "Bad/missing Server Cookie",
        _ => "",
    }
}

/// How a policy matched, in lower case.
#[must_use]
pub fn policy_match(number: u32) -> &'static str {
    match number {
        0 => "none",
        1 => "l3-only",
        2 => "l3-l4",
        3 => "l4-only",
        4 => "all",
        5 => "l3-proto",
        6 => "proto-only",
        _ => "unknown",
    }
}

/// Type and subtype of a flow.
#[must_use]
pub fn flow_type(flow: &Flow<'_>) -> (&'static str, Cow<'static, str>) {
    match event_type(flow) {
        event::ACCESS_LOG => {
            let subtype = match record(flow) {
                Some(Record::Dns(_)) => "DNS",
                Some(Record::Http(_)) => "HTTP",
                _ => "",
            };
            ("L7", subtype.into())
        }
        event::DROP => ("Drop", "".into()),
        event::CAPTURE => ("Capture", "".into()),
        event::TRACE => ("Trace", trace_point(flow.event_type.as_ref().map_or(0, |event| event.sub_type)).into()),
        event::POLICY_VERDICT => ("PolicyVerdict", "".into()),
        other => ("Unknown", other.to_string().into()),
    }
}

/// The datapath's observation points; its numbers fit a byte.
fn trace_point(number: i32) -> &'static str {
    const POINTS: [&str; 14] = [
        "to-endpoint",
        "to-proxy",
        "to-host",
        "to-stack",
        "to-overlay",
        "from-endpoint",
        "from-proxy",
        "from-host",
        "from-stack",
        "from-overlay",
        "from-network",
        "to-network",
        "from-crypto",
        "to-crypto",
    ];
    POINTS.get((number & 0xff) as usize).copied().unwrap_or_default()
}

/// The protocol that says most about a flow: layer 7 of a request, layer 4 of a packet.
#[must_use]
pub fn protocol(flow: &Flow<'_>) -> &'static str {
    match event_type(flow) {
        event::ACCESS_LOG => match record(flow) {
            Some(Record::Dns(_)) => "DNS",
            Some(Record::Http(_)) => "HTTP",
            Some(Record::Kafka(_)) => "Kafka",
            None => "Unknown L7",
        },
        event::DROP | event::TRACE | event::POLICY_VERDICT | event::CAPTURE => layer4(flow).map_or("Unknown L4", layer4_name),
        _ => "Unknown flow",
    }
}

/// The name of a protocol of layer 4.
#[must_use]
pub fn layer4_name(protocol: &Protocol<'_>) -> &'static str {
    match protocol {
        Protocol::Tcp(_) => "TCP",
        Protocol::Udp(_) => "UDP",
        Protocol::Icmpv4(_) => "ICMPv4",
        Protocol::Icmpv6(_) => "ICMPv6",
        Protocol::Sctp(_) => "SCTP",
        Protocol::Vrrp(_) => "VRRP",
        Protocol::Igmp(_) => "IGMP",
    }
}

/// Layer 4 of a flow.
#[must_use]
pub fn layer4<'f>(flow: &'f Flow<'_>) -> Option<&'f Protocol<'f>> {
    flow.l4.as_ref()?.protocol.as_ref()
}

/// Layer 7 of a flow.
#[must_use]
pub fn record<'f>(flow: &'f Flow<'_>) -> Option<&'f Record<'f>> {
    flow.l7.as_ref()?.record.as_ref()
}
