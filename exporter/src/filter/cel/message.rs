//! Messages as CEL sees them: a flow's own, one built in the expression, or one that is not there and reads as its default.
//!
//! A field is looked up by its proto name when an expression asks for it; nothing of a flow is converted ahead of that.

use super::extensions;
use super::schema::{self, Kind, MessageType};
use super::value::Value;
use crate::flow::{self, Flow, Text, Texts};
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(super) enum Message<'v> {
    /// Not set: every field reads as its default.
    Unset(&'static MessageType),
    /// The flow of an event that is none: as unset, but equal to no `flow.Flow{}`.
    NoFlow,
    Built(&'static MessageType, Arc<Vec<(&'static str, Value<'v>)>>),
    Flow(&'v Flow<'v>),
    Emitter(&'v flow::Emitter<'v>),
    Ethernet(&'v flow::Ethernet<'v>),
    Ip(&'v flow::Ip<'v>),
    Layer4(&'v flow::Layer4<'v>),
    Tcp(&'v flow::Tcp<'v>),
    TcpFlags(flow::Flags),
    Udp(&'v flow::Udp<'v>),
    /// With its version, 4 or 6.
    Icmp(&'v flow::Icmp<'v>, u8),
    Sctp(&'v flow::Sctp<'v>),
    Vrrp(&'v flow::Vrrp<'v>),
    Igmp(&'v flow::Igmp<'v>),
    Tunnel(&'v flow::Tunnel<'v>),
    Endpoint(&'v flow::Endpoint<'v>),
    Workload(&'v flow::Workload<'v>),
    Layer7(&'v flow::Layer7<'v>),
    Dns(&'v flow::Dns<'v>),
    Http(&'v flow::Http<'v>),
    HttpHeader(&'v flow::HttpHeader<'v>),
    Kafka(&'v flow::Kafka<'v>),
    EventType(&'v flow::EventType<'v>),
    Service(&'v flow::Service<'v>),
    FileInfo(&'v flow::FileInfo<'v>),
    IpTraceId(&'v flow::IpTraceId<'v>),
    Interface(&'v flow::NetworkInterface<'v>),
    TraceContext(&'v flow::TraceContext<'v>),
    TraceParent(&'v flow::TraceParent<'v>),
    Policy(&'v flow::Policy<'v>),
    Aggregate(&'v flow::Aggregate<'v>),
}

/// A field's value, `None` when it is a message, wrapper or oneof member that is not set; an error for a field there is none of.
type Field<'v> = Result<Option<Value<'v>>, String>;

impl<'v> Message<'v> {
    pub(super) fn message_type(&self) -> &'static MessageType {
        match self {
            Self::Unset(of) | Self::Built(of, _) => of,
            Self::NoFlow | Self::Flow(_) => &schema::FLOW,
            Self::Emitter(_) => &schema::EMITTER,
            Self::Ethernet(_) => &schema::ETHERNET,
            Self::Ip(_) => &schema::IP,
            Self::Layer4(_) => &schema::LAYER4,
            Self::Tcp(_) => &schema::TCP,
            Self::TcpFlags(_) => &schema::TCP_FLAGS,
            Self::Udp(_) => &schema::UDP,
            Self::Icmp(_, 4) => &schema::ICMPV4,
            Self::Icmp(..) => &schema::ICMPV6,
            Self::Sctp(_) => &schema::SCTP,
            Self::Vrrp(_) => &schema::VRRP,
            Self::Igmp(_) => &schema::IGMP,
            Self::Tunnel(_) => &schema::TUNNEL,
            Self::Endpoint(_) => &schema::ENDPOINT,
            Self::Workload(_) => &schema::WORKLOAD,
            Self::Layer7(_) => &schema::LAYER7,
            Self::Dns(_) => &schema::DNS,
            Self::Http(_) => &schema::HTTP,
            Self::HttpHeader(_) => &schema::HTTP_HEADER,
            Self::Kafka(_) => &schema::KAFKA,
            Self::EventType(_) => &schema::EVENT_TYPE,
            Self::Service(_) => &schema::SERVICE,
            Self::FileInfo(_) => &schema::FILE_INFO,
            Self::IpTraceId(_) => &schema::IP_TRACE_ID,
            Self::Interface(_) => &schema::INTERFACE,
            Self::TraceContext(_) => &schema::TRACE_CONTEXT,
            Self::TraceParent(_) => &schema::TRACE_PARENT,
            Self::Policy(_) => &schema::POLICY,
            Self::Aggregate(_) => &schema::AGGREGATE,
        }
    }

    /// The value of a field, its default if it is not set.
    ///
    /// # Errors
    /// When the message has no such field.
    pub(super) fn get(&self, field: &str) -> Result<Value<'v>, String> {
        let kind = self.kind(field)?;
        Ok(self.field(field)?.unwrap_or_else(|| match kind {
            Kind::Bool => Value::Bool(false),
            Kind::Int => Value::Int(0),
            Kind::Uint => Value::Uint(0),
            Kind::Text => Value::Text(Cow::Borrowed("")),
            Kind::Texts | Kind::Messages(_) => Value::list(Vec::new()),
            Kind::Timestamp => Value::Timestamp(0, 0, 0),
            Kind::BoolWrapper | Kind::Any => Value::Null,
            Kind::Message(of) => Value::Message(Message::Unset(of)),
        }))
    }

    /// Whether a field is set: a scalar or list that is not zero, a message or wrapper that is there.
    ///
    /// # Errors
    /// As [`Message::get`].
    pub(super) fn has(&self, field: &str) -> Result<bool, String> {
        let kind = self.kind(field)?;
        if let (Self::Flow(flow), Kind::Any) = (self, &kind) {
            // It may be there without anybody knowing its type.
            return Ok(flow.extensions.is_some());
        }
        Ok(match (self.field(field)?, kind) {
            (None, _) => false,
            (Some(_), Kind::Timestamp | Kind::BoolWrapper | Kind::Any | Kind::Message(_)) => true,
            (Some(Value::Bool(b)), _) => b,
            (Some(Value::Int(n)), _) => n != 0,
            (Some(Value::Uint(n)), _) => n != 0,
            (Some(Value::Text(text)), _) => !text.is_empty(),
            (Some(Value::List(elements)), _) => !elements.is_empty(),
            _ => true,
        })
    }

    /// Equal in type, in what is set and in every value.
    pub(super) fn equals(&self, other: &Self) -> bool {
        let of = self.message_type();
        of == other.message_type()
            && matches!(self, Self::NoFlow) == matches!(other, Self::NoFlow)
            && of.fields.iter().all(|(field, _)| match (self.has(field), other.has(field)) {
                (Ok(true), Ok(true)) => matches!((self.get(field), other.get(field)), (Ok(a), Ok(b)) if a.equals(&b)),
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            })
    }

    fn kind(&self, field: &str) -> Result<Kind, String> {
        self.message_type().kind(field).ok_or_else(|| no_field(self.message_type(), field))
    }

    fn field(&self, field: &str) -> Field<'v> {
        if let Self::Built(_, fields) = self {
            return Ok(fields.iter().rfind(|(name, _)| *name == field).map(|(_, value)| value.clone()));
        }
        if let Self::Flow(flow) = self {
            return flow_field(flow, field);
        }
        Ok(match (self, field) {
            (Self::Emitter(m), "name") => text(&m.name),
            (Self::Emitter(m), "version") => text(&m.version),
            (Self::Ethernet(m), "source") => text(&m.source),
            (Self::Ethernet(m), "destination") => text(&m.destination),
            (Self::Ip(m), "source") => text(&m.source),
            (Self::Ip(m), "source_xlated") => text(&m.source_xlated),
            (Self::Ip(m), "destination") => text(&m.destination),
            (Self::Ip(m), "ipVersion") => int(m.ip_version.0),
            (Self::Ip(m), "encrypted") => Some(Value::Bool(m.encrypted)),
            (Self::Layer4(m), member) => m.protocol.as_ref().and_then(|p| protocol(p, member)),
            (Self::Tcp(m), "source_port") => uint(m.source_port),
            (Self::Tcp(m), "destination_port") => uint(m.destination_port),
            (Self::Tcp(m), "flags") => m.flags.as_ref().map(|f| Value::Message(Message::TcpFlags(f.set))),
            (Self::TcpFlags(set), name) => {
                flow::Flags::FIELDS.position(name.as_bytes()).map(|bit| Value::Bool(set.has(flow::Flags(1 << bit))))
            }
            (Self::Udp(m), "source_port") => uint(m.source_port),
            (Self::Udp(m), "destination_port") => uint(m.destination_port),
            (Self::Icmp(m, _), "type") => uint(m.r#type),
            (Self::Icmp(m, _), "code") => uint(m.code),
            (Self::Sctp(m), "source_port") => uint(m.source_port),
            (Self::Sctp(m), "destination_port") => uint(m.destination_port),
            (Self::Sctp(m), "chunk_type") => int(m.chunk_type.0),
            (Self::Vrrp(m), "type") => uint(m.r#type),
            (Self::Vrrp(m), "vrid") => uint(m.vrid),
            (Self::Vrrp(m), "priority") => uint(m.priority),
            (Self::Igmp(m), "type") => uint(m.r#type),
            (Self::Igmp(m), "group_address") => text(&m.group_address),
            (Self::Tunnel(m), "protocol") => int(m.protocol.0),
            (Self::Tunnel(m), "IP") => m.ip.as_ref().map(|m| Value::Message(Message::Ip(m))),
            (Self::Tunnel(m), "l4") => m.l4.as_ref().map(|m| Value::Message(Message::Layer4(m))),
            (Self::Tunnel(m), "vni") => uint(m.vni),
            (Self::Endpoint(m), name) => endpoint_field(m, name),
            (Self::Workload(m), "name") => text(&m.name),
            (Self::Workload(m), "kind") => text(&m.kind),
            (Self::Layer7(m), name) => layer7_field(m, name),
            (Self::Dns(m), name) => dns_field(m, name),
            (Self::Http(m), name) => http_field(m, name),
            (Self::HttpHeader(m), "key") => text(&m.key),
            (Self::HttpHeader(m), "value") => text(&m.value),
            (Self::Kafka(m), "error_code") => int(m.error_code),
            (Self::Kafka(m), "api_version") => int(m.api_version),
            (Self::Kafka(m), "api_key") => text(&m.api_key),
            (Self::Kafka(m), "correlation_id") => int(m.correlation_id),
            (Self::Kafka(m), "topic") => text(&m.topic),
            (Self::EventType(m), "type") => int(m.r#type),
            (Self::EventType(m), "sub_type") => int(m.sub_type),
            (Self::Service(m), "name") => text(&m.name),
            (Self::Service(m), "namespace") => text(&m.namespace),
            (Self::FileInfo(m), "name") => text(&m.name),
            (Self::FileInfo(m), "line") => uint(m.line),
            (Self::IpTraceId(m), "trace_id") => Some(Value::Uint(m.trace_id)),
            (Self::IpTraceId(m), "ip_option_type") => uint(m.ip_option_type),
            (Self::Interface(m), "index") => uint(m.index),
            (Self::Interface(m), "name") => text(&m.name),
            (Self::TraceContext(m), "parent") => m.parent.as_ref().map(|m| Value::Message(Message::TraceParent(m))),
            (Self::TraceParent(m), "trace_id") => text(&m.trace_id),
            (Self::Policy(m), "name") => text(&m.name),
            (Self::Policy(m), "namespace") => text(&m.namespace),
            (Self::Policy(m), "labels") => texts(&m.labels),
            (Self::Policy(m), "revision") => Some(Value::Uint(m.revision)),
            (Self::Policy(m), "kind") => text(&m.kind),
            (Self::Aggregate(m), "ingress_flow_count") => uint(m.ingress_flow_count),
            (Self::Aggregate(m), "egress_flow_count") => uint(m.egress_flow_count),
            (Self::Aggregate(m), "unknown_direction_flow_count") => uint(m.unknown_direction_flow_count),
            _ => None,
        })
    }
}

pub(super) fn no_field(of: &MessageType, field: &str) -> String {
    format!("{} has no field `{field}`", of.name)
}

fn text<'v>(text: &'v Text<'_>) -> Option<Value<'v>> {
    Some(Value::Text(Cow::Borrowed(text)))
}

fn texts<'v>(texts: &'v Texts<'_>) -> Option<Value<'v>> {
    Some(Value::list(texts.iter().map(Value::Text).collect()))
}

fn int<'v>(number: i32) -> Option<Value<'v>> {
    Some(Value::Int(number.into()))
}

fn uint<'v>(number: u32) -> Option<Value<'v>> {
    Some(Value::Uint(number.into()))
}

fn messages<'v, M>(of: &'v [M], wrap: fn(&'v M) -> Message<'v>) -> Option<Value<'v>> {
    Some(Value::list(of.iter().map(|m| Value::Message(wrap(m))).collect()))
}

fn message<'v, M>(of: &'v Option<M>, wrap: fn(&'v M) -> Message<'v>) -> Option<Value<'v>> {
    of.as_ref().map(|m| Value::Message(wrap(m)))
}

fn flow_field<'v>(flow: &'v Flow<'v>, field: &str) -> Field<'v> {
    Ok(match field {
        "time" => flow.time.map(|t| Value::Timestamp(t.seconds, t.nanos, 0)),
        "uuid" => text(&flow.uuid),
        "emitter" => message(&flow.emitter, Message::Emitter),
        "verdict" => int(flow.verdict.0),
        "drop_reason" => uint(flow.drop_reason),
        "auth_type" => int(flow.auth_type.0),
        "ethernet" => message(&flow.ethernet, Message::Ethernet),
        "IP" => message(&flow.ip, Message::Ip),
        "l4" => message(&flow.l4, Message::Layer4),
        "tunnel" => flow.tunnel.as_deref().map(|m| Value::Message(Message::Tunnel(m))),
        "source" => message(&flow.source, Message::Endpoint),
        "destination" => message(&flow.destination, Message::Endpoint),
        "Type" => int(flow.r#type.0),
        "node_name" => text(&flow.node_name),
        "node_labels" => texts(&flow.node_labels),
        "source_names" => texts(&flow.source_names),
        "destination_names" => texts(&flow.destination_names),
        "l7" => message(&flow.l7, Message::Layer7),
        "reply" => Some(Value::Bool(flow.reply)),
        "event_type" => message(&flow.event_type, Message::EventType),
        "source_service" => message(&flow.source_service, Message::Service),
        "destination_service" => message(&flow.destination_service, Message::Service),
        "traffic_direction" => int(flow.traffic_direction.0),
        "policy_match_type" => uint(flow.policy_match_type),
        "trace_observation_point" => int(flow.trace_observation_point.0),
        "trace_reason" => int(flow.trace_reason.0),
        "file" => message(&flow.file, Message::FileInfo),
        "ip_trace_id" => message(&flow.ip_trace_id, Message::IpTraceId),
        "drop_reason_desc" => int(flow.drop_reason_desc.0),
        "is_reply" => flow.is_reply.map(Value::Bool),
        "debug_capture_point" => int(flow.debug_capture_point.0),
        "interface" => message(&flow.interface, Message::Interface),
        "proxy_port" => uint(flow.proxy_port),
        "trace_context" => message(&flow.trace_context, Message::TraceContext),
        "sock_xlate_point" => int(flow.sock_xlate_point.0),
        "socket_cookie" => Some(Value::Uint(flow.socket_cookie)),
        "cgroup_id" => Some(Value::Uint(flow.cgroup_id)),
        "Summary" => text(&flow.summary),
        "extensions" => flow.extensions.as_ref().map(extensions::value).transpose()?,
        "egress_allowed_by" => messages(&flow.egress_allowed_by, Message::Policy),
        "ingress_allowed_by" => messages(&flow.ingress_allowed_by, Message::Policy),
        "egress_denied_by" => messages(&flow.egress_denied_by, Message::Policy),
        "ingress_denied_by" => messages(&flow.ingress_denied_by, Message::Policy),
        "policy_log" => texts(&flow.policy_log),
        "aggregate" => message(&flow.aggregate, Message::Aggregate),
        _ => None,
    })
}

fn endpoint_field<'v>(m: &'v flow::Endpoint<'v>, field: &str) -> Option<Value<'v>> {
    match field {
        "ID" => uint(m.id),
        "identity" => uint(m.identity),
        "cluster_name" => text(&m.cluster_name),
        "namespace" => text(&m.namespace),
        "labels" => texts(&m.labels),
        "pod_name" => text(&m.pod_name),
        "workloads" => messages(&m.workloads, Message::Workload),
        _ => None,
    }
}

fn protocol<'v>(protocol: &'v flow::Protocol<'v>, member: &str) -> Option<Value<'v>> {
    let (name, message) = match protocol {
        flow::Protocol::Tcp(m) => ("TCP", Message::Tcp(m)),
        flow::Protocol::Udp(m) => ("UDP", Message::Udp(m)),
        flow::Protocol::Icmpv4(m) => ("ICMPv4", Message::Icmp(m, 4)),
        flow::Protocol::Icmpv6(m) => ("ICMPv6", Message::Icmp(m, 6)),
        flow::Protocol::Sctp(m) => ("SCTP", Message::Sctp(m)),
        flow::Protocol::Vrrp(m) => ("VRRP", Message::Vrrp(m)),
        flow::Protocol::Igmp(m) => ("IGMP", Message::Igmp(m)),
    };
    (name == member).then_some(Value::Message(message))
}

fn layer7_field<'v>(m: &'v flow::Layer7<'v>, field: &str) -> Option<Value<'v>> {
    match (field, &m.record) {
        ("type", _) => int(m.r#type.0),
        ("latency_ns", _) => Some(Value::Uint(m.latency_ns)),
        ("dns", Some(flow::Record::Dns(m))) => Some(Value::Message(Message::Dns(m))),
        ("http", Some(flow::Record::Http(m))) => Some(Value::Message(Message::Http(m))),
        ("kafka", Some(flow::Record::Kafka(m))) => Some(Value::Message(Message::Kafka(m))),
        _ => None,
    }
}

fn dns_field<'v>(m: &'v flow::Dns<'v>, field: &str) -> Option<Value<'v>> {
    match field {
        "query" => text(&m.query),
        "ips" => texts(&m.ips),
        "ttl" => uint(m.ttl),
        "cnames" => texts(&m.cnames),
        "observation_source" => text(&m.observation_source),
        "rcode" => uint(m.rcode),
        "qtypes" => texts(&m.qtypes),
        "rrtypes" => texts(&m.rrtypes),
        _ => None,
    }
}

fn http_field<'v>(m: &'v flow::Http<'v>, field: &str) -> Option<Value<'v>> {
    match field {
        "code" => uint(m.code),
        "method" => text(&m.method),
        "url" => text(&m.url),
        "protocol" => text(&m.protocol),
        "headers" => messages(&m.headers, Message::HttpHeader),
        _ => None,
    }
}
