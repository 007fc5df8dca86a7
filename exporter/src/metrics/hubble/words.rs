//! Names that Hubble gives to numbers in label values. Dashboards and alerts match on them, so they are a contract (Hubble digest §8.1).

use std::borrow::Cow;

use crate::flow::{Flow, Protocol, Record, datapath};

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

/// Type and subtype of a flow.
#[must_use]
pub fn flow_type(flow: &Flow<'_>) -> (&'static str, Cow<'static, str>) {
    match event_type(flow) {
        datapath::LAYER7 => {
            let subtype = match record(flow) {
                Some(Record::Dns(_)) => "DNS",
                Some(Record::Http(_)) => "HTTP",
                _ => "",
            };
            ("L7", subtype.into())
        }
        datapath::DROP => ("Drop", "".into()),
        datapath::CAPTURE => ("Capture", "".into()),
        datapath::TRACE => {
            // Its numbers fit a byte.
            let point = flow.event_type.as_ref().map_or(0, |event| event.sub_type) as u8;
            ("Trace", datapath::trace_point(point).unwrap_or_default().into())
        }
        datapath::POLICY_VERDICT => ("PolicyVerdict", "".into()),
        other => ("Unknown", other.to_string().into()),
    }
}

/// The protocol that says most about a flow: layer 7 of a request, layer 4 of a packet.
#[must_use]
pub fn protocol(flow: &Flow<'_>) -> &'static str {
    match event_type(flow) {
        datapath::LAYER7 => match record(flow) {
            Some(Record::Dns(_)) => "DNS",
            Some(Record::Http(_)) => "HTTP",
            // Nobody makes records of Kafka any more; where one is left, upstream does not name it either.
            Some(Record::Kafka(_)) | None => "Unknown L7",
        },
        datapath::DROP | datapath::TRACE | datapath::POLICY_VERDICT | datapath::CAPTURE => layer4(flow).map_or("Unknown L4", layer4_name),
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
