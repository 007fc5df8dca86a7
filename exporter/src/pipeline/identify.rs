//! Who a flow is between, and what it looks like in Hubble's words: makes a [`Flow`] of a tuple and what was seen of it.
//!
//! Runs once per cached flow and kind of sighting, never per event. Only fields that were measured or configured are filled: nothing is guessed but the
//! direction of a connection, and that only from evidence (a SYN, an ICMP type, or the reverse tuple seen first).

use std::net::{IpAddr, Ipv6Addr};

use flowlog_bpf::event::{FlowKey, FlowReport, Tunnel, TunnelKind};

use super::surroundings::{Side, Surroundings};
use crate::flow::{
    DropReason, Emitter, Ethernet, EventType, Flags, Flow, FlowType, Icmp, Ip, IpVersion, Layer4, NetworkInterface, Protocol, Sctp, Tcp,
    TraceObservationPoint, TrafficDirection, Udp, Verdict,
};
use crate::identity::{Identities, Who};

/// What was seen of a flow: decides verdict, observation point and interface of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sighting {
    /// Left through an interface.
    Left {
        /// Which.
        ifindex: u32,
    },
    /// Entered for an address of this host, and was not dropped.
    Delivered {
        /// Through which.
        ifindex: u32,
    },
    /// Entered, and was not seen again.
    Traced {
        /// Through which.
        ifindex: u32,
    },
    /// Dropped.
    Dropped {
        /// Device of the first dropped packet; 0 if it had none.
        ifindex: u32,
        /// The running kernel's number for the reason.
        reason: u32,
        /// Behind the egress hook.
        after: bool,
    },
}

/// What a report says of a tuple beside its counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'r> {
    /// Of the first packet; zeros on an L3 device.
    pub source_mac: [u8; 6],
    /// Of the first packet; zeros on an L3 device.
    pub destination_mac: [u8; 6],
    /// No Ethernet header.
    pub l3_device: bool,
    /// The outer header.
    pub tunnel: Option<&'r Tunnel>,
    /// Whether this tuple is the reply direction, where there is evidence.
    pub reply: Option<bool>,
}

impl<'r> Detail<'r> {
    /// Of a tuple's first report; `None` where that is of drops alone.
    #[must_use]
    pub fn of(report: Option<&'r FlowReport>, reply: Option<bool>) -> Self {
        match report {
            None => Self { l3_device: true, reply, ..Self::default() },
            Some(report) => Self {
                source_mac: report.source_mac,
                destination_mac: report.destination_mac,
                l3_device: report.l3_device,
                tunnel: report.tunnel.as_ref(),
                reply,
            },
        }
    }
}

/// An address of a key.
#[must_use]
pub fn address(bytes: [u8; 16], family: u8) -> IpAddr {
    let v6 = Ipv6Addr::from(bytes);
    match (family, v6.to_ipv4_mapped()) {
        (4, Some(v4)) => IpAddr::V4(v4),
        _ => IpAddr::V6(v6),
    }
}

/// Builds the flow of one sighting. Values that vary per event (time, uuid, flags, Summary, counts) are left unset, but for a TCP flow's `flags` being present.
#[must_use]
pub fn flow<'a>(key: &FlowKey, detail: &Detail<'_>, sighting: Sighting, identities: &'a Identities, around: &'a Surroundings) -> Flow<'a> {
    let (source, destination) = (address(key.source, key.family), address(key.destination, key.family));
    let (from, to) = (identities.of(source), identities.of(destination));
    let mut flow = Flow {
        emitter: Some(Emitter { name: "flowlog".into(), version: env!("CARGO_PKG_VERSION").into(), ..Emitter::default() }),
        ethernet: ethernet(detail),
        ip: Some(ip(source, destination)),
        l4: layer4(key),
        tunnel: detail.tunnel.map(|tunnel| Box::new(tunnel_of(tunnel))),
        source: Some(from.endpoint()),
        destination: Some(to.endpoint()),
        r#type: FlowType::L3_L4,
        node_name: around.node_name.as_str().into(),
        source_names: from.names(),
        destination_names: to.names(),
        source_service: from.service(),
        destination_service: to.service(),
        is_reply: detail.reply,
        reply: detail.reply == Some(true),
        ..Flow::default()
    };
    flow.traffic_direction = direction(from, to, detail.reply);
    observe(&mut flow, sighting, around);
    flow
}

/// The sub type of a drop whose reason Hubble has no number for. Its readers print 0 as `Success`, and this as the number.
const NO_HUBBLE_REASON: i32 = 255;

/// Verdict, observation point, event type and interface.
fn observe<'a>(flow: &mut Flow<'a>, sighting: Sighting, around: &'a Surroundings) {
    use TraceObservationPoint as Point;
    let (verdict, ifindex) = match sighting {
        Sighting::Left { ifindex } | Sighting::Delivered { ifindex } => (Verdict::FORWARDED, ifindex),
        Sighting::Traced { ifindex } => (Verdict::TRACED, ifindex),
        Sighting::Dropped { ifindex, .. } => (Verdict::DROPPED, ifindex),
    };
    let (name, side) = around.interface(ifindex);
    flow.verdict = verdict;
    flow.interface = (ifindex != 0).then(|| NetworkInterface { index: ifindex, name: name.into(), ..NetworkInterface::default() });
    let point = match (sighting, side) {
        (Sighting::Dropped { reason, .. }, _) => {
            let (_, hubble) = around.drop_reason(reason);
            flow.drop_reason_desc = hubble;
            flow.drop_reason = u32::try_from(hubble.0).unwrap_or_default();
            let sub_type = if hubble == DropReason::DROP_REASON_UNKNOWN { NO_HUBBLE_REASON } else { hubble.0 };
            flow.event_type = Some(EventType { r#type: 1, sub_type, ..EventType::default() });
            return;
        }
        (Sighting::Left { .. }, Side::Pod) => Point::TO_ENDPOINT,
        (Sighting::Left { .. }, Side::Network) => Point::TO_NETWORK,
        // What leaves through `lo` goes to this host's own stack, as what is delivered does.
        (Sighting::Left { .. }, Side::Loopback) | (Sighting::Delivered { .. }, _) => Point::TO_HOST,
        (Sighting::Traced { .. }, Side::Pod) => Point::FROM_ENDPOINT,
        (Sighting::Traced { .. }, Side::Loopback) => Point::FROM_HOST,
        (Sighting::Traced { .. }, Side::Network) => Point::FROM_NETWORK,
    };
    flow.trace_observation_point = point;
    // The datapath's own number: to-endpoint is 0 there (Hubble digest §2.5).
    let sub_type = if point == Point::TO_ENDPOINT { 0 } else { point.0 };
    flow.event_type = Some(EventType { r#type: 4, sub_type, ..EventType::default() });
}

/// Relative to the endpoint of this node that takes part: what it opened is EGRESS, what was opened to it INGRESS, replies counted with what they answer.
fn direction(from: &Who, to: &Who, reply: Option<bool>) -> TrafficDirection {
    let Some(reply) = reply else { return TrafficDirection::TRAFFIC_DIRECTION_UNKNOWN };
    match (from.is_local(), to.is_local()) {
        (false, false) => TrafficDirection::TRAFFIC_DIRECTION_UNKNOWN,
        // Between two local ends the one that opened decides.
        (true, true) | (true, false) if !reply => TrafficDirection::EGRESS,
        (true, true) => TrafficDirection::EGRESS,
        (true, false) => TrafficDirection::INGRESS,
        (false, true) if !reply => TrafficDirection::INGRESS,
        (false, true) => TrafficDirection::EGRESS,
    }
}

/// What the first packet of a tuple says about which way it runs: what the kernel saw of it (`began`), or what its flags tell; `reverse` is what is known
/// of the opposite tuple.
#[must_use]
pub fn is_reply(key: &FlowKey, began: Option<bool>, tcp_flags: u16, reverse: Option<Option<bool>>) -> Option<bool> {
    let flags = Flags::from_header(tcp_flags);
    match key.protocol {
        1 => icmp_is_reply(key.source_port, 8, &[0]),
        58 => icmp_is_reply(key.source_port, 128, &[129]),
        _ if began.is_some() => began,
        6 if flags.has(Flags::SYN) => Some(flags.has(Flags::ACK)),
        6 => reverse.flatten().map(|other| !other),
        _ => match reverse {
            Some(other) => other.map(|other| !other),
            // The first datagram of a tuple whose reverse was never seen opens it, as connection tracking has it.
            None => Some(false),
        },
    }
}

fn icmp_is_reply(kind: u16, request: u16, replies: &[u16]) -> Option<bool> {
    if kind == request {
        Some(false)
    } else if replies.contains(&kind) {
        Some(true)
    } else {
        None
    }
}

fn ethernet(detail: &Detail<'_>) -> Option<Ethernet<'static>> {
    (!detail.l3_device).then(|| Ethernet {
        source: mac(detail.source_mac).into(),
        destination: mac(detail.destination_mac).into(),
        ..Ethernet::default()
    })
}

fn mac(bytes: [u8; 6]) -> String {
    let digit = |value: u8| char::from(b"0123456789abcdef"[usize::from(value & 15)]);
    let mut text = String::with_capacity(17);
    for (at, byte) in bytes.into_iter().enumerate() {
        if at > 0 {
            text.push(':');
        }
        text.push(digit(byte >> 4));
        text.push(digit(byte));
    }
    text
}

fn ip(source: IpAddr, destination: IpAddr) -> Ip<'static> {
    let ip_version = if source.is_ipv4() { IpVersion::IPV4 } else { IpVersion::IPV6 };
    Ip { source: source.to_string().into(), destination: destination.to_string().into(), ip_version, ..Ip::default() }
}

fn layer4(key: &FlowKey) -> Option<Layer4<'static>> {
    let (source_port, destination_port) = (u32::from(key.source_port), u32::from(key.destination_port));
    let icmp = || Icmp { r#type: source_port, code: destination_port, ..Icmp::default() };
    let protocol = match key.protocol {
        1 => Protocol::Icmpv4(icmp()),
        6 => Protocol::Tcp(Tcp { source_port, destination_port, flags: Some(Flags::default().into()), ..Tcp::default() }),
        17 => Protocol::Udp(Udp { source_port, destination_port, ..Udp::default() }),
        58 => Protocol::Icmpv6(icmp()),
        132 => Protocol::Sctp(Sctp { source_port, destination_port, ..Sctp::default() }),
        _ => return None,
    };
    Some(Layer4 { protocol: Some(protocol), ..Layer4::default() })
}

fn tunnel_of(tunnel: &Tunnel) -> crate::flow::Tunnel<'static> {
    let family = |bytes: [u8; 16]| if Ipv6Addr::from(bytes).to_ipv4_mapped().is_some() { 4 } else { 6 };
    let end = |bytes: [u8; 16]| address(bytes, family(bytes));
    crate::flow::Tunnel {
        protocol: match tunnel.kind {
            TunnelKind::Vxlan => crate::flow::TunnelProtocol::VXLAN,
            TunnelKind::Geneve => crate::flow::TunnelProtocol::GENEVE,
        },
        ip: Some(ip(end(tunnel.source), end(tunnel.destination))),
        l4: Some(Layer4 {
            protocol: Some(Protocol::Udp(Udp {
                source_port: u32::from(tunnel.source_port),
                destination_port: u32::from(tunnel.destination_port),
                ..Udp::default()
            })),
            ..Layer4::default()
        }),
        vni: tunnel.vni,
        ..crate::flow::Tunnel::default()
    }
}
