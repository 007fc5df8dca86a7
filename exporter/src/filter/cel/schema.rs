//! The messages and enums a CEL expression can name: those of `flow.Flow` and what it is made of (`spec/hubble.md` §2.3–2.5).
//!
//! A name is looked up as upstream does in the container `flow`: `Verdict.DROPPED` is `flow.Verdict.DROPPED`. Messages that no flow contains
//! (`flow.LostEvent`, `flow.FlowFilter` …) can't be built here, which upstream allows and nobody has a use for.

use super::types::Type;
use crate::flow;

/// A message type. Two are the same when their names are.
#[derive(Debug)]
pub(crate) struct MessageType {
    /// The full name, `flow.Endpoint`.
    pub(crate) name: &'static str,
    /// Proto names and kinds.
    pub(crate) fields: &'static [(&'static str, Kind)],
    /// Names of the members of its oneof.
    pub(crate) oneof: &'static [&'static str],
}

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Bool,
    /// `int32`, `int64` and every enum.
    Int,
    Uint,
    Text,
    Texts,
    Timestamp,
    BoolWrapper,
    Any,
    Message(&'static MessageType),
    Messages(&'static MessageType),
}

use Kind::{Any, Bool, BoolWrapper, Int, Message, Messages, Text, Texts, Timestamp, Uint};

pub(crate) static FLOW: MessageType = message(
    "flow.Flow",
    &[
        ("time", Timestamp),
        ("uuid", Text),
        ("emitter", Message(&EMITTER)),
        ("verdict", Int),
        ("drop_reason", Uint),
        ("auth_type", Int),
        ("ethernet", Message(&ETHERNET)),
        ("IP", Message(&IP)),
        ("l4", Message(&LAYER4)),
        ("tunnel", Message(&TUNNEL)),
        ("source", Message(&ENDPOINT)),
        ("destination", Message(&ENDPOINT)),
        ("Type", Int),
        ("node_name", Text),
        ("node_labels", Texts),
        ("source_names", Texts),
        ("destination_names", Texts),
        ("l7", Message(&LAYER7)),
        ("reply", Bool),
        ("event_type", Message(&EVENT_TYPE)),
        ("source_service", Message(&SERVICE)),
        ("destination_service", Message(&SERVICE)),
        ("traffic_direction", Int),
        ("policy_match_type", Uint),
        ("trace_observation_point", Int),
        ("trace_reason", Int),
        ("file", Message(&FILE_INFO)),
        ("ip_trace_id", Message(&IP_TRACE_ID)),
        ("drop_reason_desc", Int),
        ("is_reply", BoolWrapper),
        ("debug_capture_point", Int),
        ("interface", Message(&INTERFACE)),
        ("proxy_port", Uint),
        ("trace_context", Message(&TRACE_CONTEXT)),
        ("sock_xlate_point", Int),
        ("socket_cookie", Uint),
        ("cgroup_id", Uint),
        ("Summary", Text),
        ("extensions", Any),
        ("egress_allowed_by", Messages(&POLICY)),
        ("ingress_allowed_by", Messages(&POLICY)),
        ("egress_denied_by", Messages(&POLICY)),
        ("ingress_denied_by", Messages(&POLICY)),
        ("policy_log", Texts),
        ("aggregate", Message(&AGGREGATE)),
    ],
);

pub(crate) static EMITTER: MessageType = message("flow.Emitter", &[("name", Text), ("version", Text)]);
pub(crate) static ETHERNET: MessageType = message("flow.Ethernet", &[("source", Text), ("destination", Text)]);
pub(crate) static IP: MessageType =
    message("flow.IP", &[("source", Text), ("source_xlated", Text), ("destination", Text), ("ipVersion", Int), ("encrypted", Bool)]);
pub(crate) static LAYER4: MessageType = MessageType {
    name: "flow.Layer4",
    fields: &[
        ("TCP", Message(&TCP)),
        ("UDP", Message(&UDP)),
        ("ICMPv4", Message(&ICMPV4)),
        ("ICMPv6", Message(&ICMPV6)),
        ("SCTP", Message(&SCTP)),
        ("VRRP", Message(&VRRP)),
        ("IGMP", Message(&IGMP)),
    ],
    oneof: &["TCP", "UDP", "ICMPv4", "ICMPv6", "SCTP", "VRRP", "IGMP"],
};
pub(crate) static TCP: MessageType =
    message("flow.TCP", &[("source_port", Uint), ("destination_port", Uint), ("flags", Message(&TCP_FLAGS))]);
pub(crate) static UDP: MessageType = message("flow.UDP", &[("source_port", Uint), ("destination_port", Uint)]);
pub(crate) static ICMPV4: MessageType = message("flow.ICMPv4", &[("type", Uint), ("code", Uint)]);
pub(crate) static ICMPV6: MessageType = message("flow.ICMPv6", &[("type", Uint), ("code", Uint)]);
pub(crate) static SCTP: MessageType = message("flow.SCTP", &[("source_port", Uint), ("destination_port", Uint), ("chunk_type", Int)]);
pub(crate) static VRRP: MessageType = message("flow.VRRP", &[("type", Uint), ("vrid", Uint), ("priority", Uint)]);
pub(crate) static IGMP: MessageType = message("flow.IGMP", &[("type", Uint), ("group_address", Text)]);
pub(crate) static TCP_FLAGS: MessageType = message(
    "flow.TCPFlags",
    &[("FIN", Bool), ("SYN", Bool), ("RST", Bool), ("PSH", Bool), ("ACK", Bool), ("URG", Bool), ("ECE", Bool), ("CWR", Bool), ("NS", Bool)],
);
pub(crate) static TUNNEL: MessageType =
    message("flow.Tunnel", &[("protocol", Int), ("IP", Message(&IP)), ("l4", Message(&LAYER4)), ("vni", Uint)]);
pub(crate) static ENDPOINT: MessageType = message(
    "flow.Endpoint",
    &[
        ("ID", Uint),
        ("identity", Uint),
        ("cluster_name", Text),
        ("namespace", Text),
        ("labels", Texts),
        ("pod_name", Text),
        ("workloads", Messages(&WORKLOAD)),
    ],
);
pub(crate) static WORKLOAD: MessageType = message("flow.Workload", &[("name", Text), ("kind", Text)]);
pub(crate) static LAYER7: MessageType = MessageType {
    name: "flow.Layer7",
    fields: &[("type", Int), ("latency_ns", Uint), ("dns", Message(&DNS)), ("http", Message(&HTTP)), ("kafka", Message(&KAFKA))],
    oneof: &["dns", "http", "kafka"],
};
pub(crate) static DNS: MessageType = message(
    "flow.DNS",
    &[
        ("query", Text),
        ("ips", Texts),
        ("ttl", Uint),
        ("cnames", Texts),
        ("observation_source", Text),
        ("rcode", Uint),
        ("qtypes", Texts),
        ("rrtypes", Texts),
    ],
);
pub(crate) static HTTP: MessageType =
    message("flow.HTTP", &[("code", Uint), ("method", Text), ("url", Text), ("protocol", Text), ("headers", Messages(&HTTP_HEADER))]);
pub(crate) static HTTP_HEADER: MessageType = message("flow.HTTPHeader", &[("key", Text), ("value", Text)]);
pub(crate) static KAFKA: MessageType =
    message("flow.Kafka", &[("error_code", Int), ("api_version", Int), ("api_key", Text), ("correlation_id", Int), ("topic", Text)]);
pub(crate) static EVENT_TYPE: MessageType = message("flow.CiliumEventType", &[("type", Int), ("sub_type", Int)]);
pub(crate) static SERVICE: MessageType = message("flow.Service", &[("name", Text), ("namespace", Text)]);
pub(crate) static FILE_INFO: MessageType = message("flow.FileInfo", &[("name", Text), ("line", Uint)]);
pub(crate) static IP_TRACE_ID: MessageType = message("flow.IPTraceID", &[("trace_id", Uint), ("ip_option_type", Uint)]);
pub(crate) static INTERFACE: MessageType = message("flow.NetworkInterface", &[("index", Uint), ("name", Text)]);
pub(crate) static TRACE_CONTEXT: MessageType = message("flow.TraceContext", &[("parent", Message(&TRACE_PARENT))]);
pub(crate) static TRACE_PARENT: MessageType = message("flow.TraceParent", &[("trace_id", Text)]);
pub(crate) static POLICY: MessageType =
    message("flow.Policy", &[("name", Text), ("namespace", Text), ("labels", Texts), ("revision", Uint), ("kind", Text)]);
pub(crate) static AGGREGATE: MessageType =
    message("flow.Aggregate", &[("ingress_flow_count", Uint), ("egress_flow_count", Uint), ("unknown_direction_flow_count", Uint)]);

static MESSAGES: &[&MessageType] = &[
    &FLOW,
    &EMITTER,
    &ETHERNET,
    &IP,
    &LAYER4,
    &TCP,
    &UDP,
    &ICMPV4,
    &ICMPV6,
    &SCTP,
    &VRRP,
    &IGMP,
    &TCP_FLAGS,
    &TUNNEL,
    &ENDPOINT,
    &WORKLOAD,
    &LAYER7,
    &DNS,
    &HTTP,
    &HTTP_HEADER,
    &KAFKA,
    &EVENT_TYPE,
    &SERVICE,
    &FILE_INFO,
    &IP_TRACE_ID,
    &INTERFACE,
    &TRACE_CONTEXT,
    &TRACE_PARENT,
    &POLICY,
    &AGGREGATE,
];

const fn message(name: &'static str, fields: &'static [(&'static str, Kind)]) -> MessageType {
    MessageType { name, fields, oneof: &[] }
}

impl PartialEq for MessageType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Kind {
    pub(super) fn type_of(self) -> Type {
        match self {
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Uint => Type::Uint,
            Self::Text => Type::Text,
            Self::Texts => Type::list(Type::Text),
            Self::Timestamp => Type::Timestamp,
            Self::BoolWrapper => Type::BoolWrapper,
            Self::Any => Type::Any,
            Self::Message(message) => Type::Message(message),
            Self::Messages(message) => Type::list(Type::Message(message)),
        }
    }
}

impl MessageType {
    pub(super) fn kind(&self, field: &str) -> Option<Kind> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, kind)| *kind)
    }
}

/// The message type of a full name.
pub(super) fn message_named(name: &str) -> Option<&'static MessageType> {
    MESSAGES.iter().find(|message| message.name == name).copied()
}

/// The number of an enum constant's full name, `flow.Verdict.DROPPED`.
pub(super) fn enum_constant(name: &str) -> Option<i64> {
    let (of, constant) = name.strip_prefix("flow.")?.rsplit_once('.')?;
    let number = match of {
        "Verdict" => flow::Verdict::from_name(constant)?.0,
        "FlowType" => flow::FlowType::from_name(constant)?.0,
        "AuthType" => flow::AuthType::from_name(constant)?.0,
        "TraceObservationPoint" => flow::TraceObservationPoint::from_name(constant)?.0,
        "TraceReason" => flow::TraceReason::from_name(constant)?.0,
        "TrafficDirection" => flow::TrafficDirection::from_name(constant)?.0,
        "IPVersion" => flow::IpVersion::from_name(constant)?.0,
        "L7FlowType" => flow::L7FlowType::from_name(constant)?.0,
        "SCTPChunkType" => flow::SctpChunkType::from_name(constant)?.0,
        "Tunnel.Protocol" => flow::TunnelProtocol::from_name(constant)?.0,
        "SocketTranslationPoint" => flow::SocketTranslationPoint::from_name(constant)?.0,
        "DebugCapturePoint" => flow::DebugCapturePoint::from_name(constant)?.0,
        "LostEventSource" => flow::LostEventSource::from_name(constant)?.0,
        "AgentEventType" => flow::AgentEventType::from_name(constant)?.0,
        "DropReason" => flow::DropReason::from_name(constant)?.0,
        "DebugEventType" => flow::DebugEventType::from_name(constant)?.0,
        _ => return None,
    };
    Some(i64::from(number))
}
