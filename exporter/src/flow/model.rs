//! The flow, field by field in the order it is written (Hubble digest §2.3), and what its ends are.

use super::enums::*;
use super::layer7::Layer7;
use super::layers::{Ethernet, Ip, Layer4, Tunnel};
use super::reasons::DropReason;
use super::{Any, Few, Text, Texts, Timestamp};

message! {
    /// One flow: a packet or request somebody saw, and what was known about it then.
    Flow {
        /// When the event was received.
        time: Option<Timestamp> = 1,
        /// Lower-case UUID.
        uuid: Text<'a> = 34,
        /// Who made the flow.
        emitter: Option<Emitter<'a>> = 41,
        verdict: Verdict = 2,
        /// Deprecated; the number of `drop_reason_desc`.
        drop_reason: u32 = 3,
        auth_type: AuthType = 35,
        ethernet: Option<Ethernet<'a>> = 4,
        ip: Option<Ip<'a>> = 5 "IP",
        l4: Option<Layer4<'a>> = 6,
        /// The outer header, when `ethernet`, `ip` and `l4` are those of a packet inside a tunnel.
        tunnel: Option<Box<Tunnel<'a>>> = 39,
        source: Option<Endpoint<'a>> = 8,
        destination: Option<Endpoint<'a>> = 9,
        r#type: FlowType = 10 "Type",
        /// `cluster/node`, or the node alone when the cluster is `default` or has no name.
        node_name: Text<'a> = 11,
        /// `key=value`, sorted.
        node_labels: Texts<'a> = 37,
        /// DNS names of the source, without the last dot.
        source_names: Texts<'a> = 13,
        /// DNS names of the destination, without the last dot.
        destination_names: Texts<'a> = 14,
        l7: Option<Layer7<'a>> = 15,
        /// Deprecated; `is_reply`, with unknown as false.
        reply: bool = 16,
        event_type: Option<EventType<'a>> = 19,
        source_service: Option<Service<'a>> = 20,
        destination_service: Option<Service<'a>> = 21,
        traffic_direction: TrafficDirection = 22,
        /// 0 none, 1 L3 only, 2 L3 and L4, 3 L4 only, 4 all, 5 L3 and protocol, 6 protocol only.
        policy_match_type: u32 = 23,
        trace_observation_point: TraceObservationPoint = 24,
        trace_reason: TraceReason = 36,
        /// Where in the datapath's source a packet was dropped.
        file: Option<FileInfo<'a>> = 38,
        ip_trace_id: Option<IpTraceId<'a>> = 40,
        drop_reason_desc: DropReason = 25,
        /// Absent when nobody knows.
        is_reply: Option<bool> = 26,
        debug_capture_point: DebugCapturePoint = 27,
        interface: Option<NetworkInterface<'a>> = 28,
        proxy_port: u32 = 29,
        trace_context: Option<TraceContext<'a>> = 30,
        sock_xlate_point: SocketTranslationPoint = 31,
        socket_cookie: u64 = 32,
        cgroup_id: u64 = 33,
        /// Deprecated for years and always written.
        summary: Text<'a> = 100000 "Summary",
        extensions: Option<Any<'a>> = 150000,
        egress_allowed_by: Vec<Policy<'a>> = 21001,
        ingress_allowed_by: Vec<Policy<'a>> = 21002,
        egress_denied_by: Vec<Policy<'a>> = 21004,
        ingress_denied_by: Vec<Policy<'a>> = 21005,
        /// The `log` values of the policies that matched.
        policy_log: Texts<'a> = 21006,
        /// How many flows a line of `fieldAggregate` stands for.
        aggregate: Option<Aggregate<'a>> = 21007,
    }
}

message! {
    /// What produced the flow.
    Emitter {
        name: Text<'a> = 1,
        version: Text<'a> = 2,
    }
}

message! {
    /// One end of a flow.
    Endpoint {
        /// Number of the endpoint on its node, 0 for a remote one.
        id: u32 = 1 "ID",
        /// Security identity.
        identity: u32 = 2,
        cluster_name: Text<'a> = 7,
        namespace: Text<'a> = 3,
        /// `source:key=value` or `source:key`, sorted.
        labels: Texts<'a> = 4,
        pod_name: Text<'a> = 5,
        workloads: Few<Workload<'a>> = 6,
    }
}

message! {
    /// What a pod belongs to.
    Workload {
        name: Text<'a> = 1,
        kind: Text<'a> = 2,
    }
}

message! {
    /// Cilium's number of the event: message type, and what that type makes of a sub type.
    EventType {
        /// 1 drop, 2 debug, 3 capture, 4 trace, 5 policy verdict, 7 socket trace, 129 layer 7, 130 agent.
        r#type: i32 = 1 "type",
        sub_type: i32 = 2,
    }
}

message! {
    /// A service one of whose frontends is an address of the flow.
    Service {
        name: Text<'a> = 1,
        namespace: Text<'a> = 2,
    }
}

message! {
    /// A line of the datapath's source.
    FileInfo {
        name: Text<'a> = 1,
        line: u32 = 2,
    }
}

message! {
    /// A trace id carried in an IP option.
    IpTraceId {
        trace_id: u64 = 1,
        ip_option_type: u32 = 2,
    }
}

message! {
    /// A network interface of the node.
    NetworkInterface {
        index: u32 = 1,
        name: Text<'a> = 2,
    }
}

message! {
    /// The trace a request belongs to.
    TraceContext {
        parent: Option<TraceParent<'a>> = 1,
    }
}

message! {
    /// From the W3C `traceparent` header.
    TraceParent {
        /// Hexadecimal.
        trace_id: Text<'a> = 1,
    }
}

message! {
    /// A network policy that allowed or denied the flow.
    Policy {
        name: Text<'a> = 1,
        namespace: Text<'a> = 2,
        labels: Texts<'a> = 3,
        revision: u64 = 4,
        kind: Text<'a> = 5,
    }
}

message! {
    /// Flows counted by direction (digest §6.1).
    Aggregate {
        ingress_flow_count: u32 = 1,
        egress_flow_count: u32 = 2,
        unknown_direction_flow_count: u32 = 3,
    }
}
