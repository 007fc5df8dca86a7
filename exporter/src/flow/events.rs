//! The envelope of a line, and the events that are not flows (Hubble digest §2.1, §2.4).

use super::enums::*;
use super::json::Out;
use super::model::{Endpoint, Flow};
use super::reasons::DebugEventType;
use super::{Text, Texts, Timestamp};

message! {
    /// One line: an event, the node it was seen on and when.
    ExportEvent {
        node_name: Text<'a> = 1000,
        time: Option<Timestamp> = 1001,
        [
            /// What happened.
            event: Event {
                Flow(Box<Flow<'a>>) = 1 "flow",
                /// Only on a relay's stream.
                NodeStatus(Box<NodeStatusEvent<'a>>) = 2 "node_status",
                LostEvents(Box<LostEvent<'a>>) = 3 "lost_events",
                AgentEvent(Box<AgentEvent<'a>>) = 4 "agent_event",
                DebugEvent(Box<DebugEvent<'a>>) = 5 "debug_event",
            }
        ]
    }
}

impl<'a> ExportEvent<'a> {
    /// The flow, when the event is one.
    pub fn flow(&self) -> Option<&Flow<'a>> {
        match &self.event {
            Some(Event::Flow(flow)) => Some(flow),
            _ => None,
        }
    }
}

impl Event<'_> {
    /// Appends the event as the member that it is of the envelope.
    pub fn write_member(&self, out: &mut Out<'_>) {
        match self {
            Self::Flow(flow) => out.member(",\"flow\":", flow, None),
            Self::NodeStatus(status) => out.member(",\"node_status\":", status, None),
            Self::LostEvents(lost) => out.member(",\"lost_events\":", lost, None),
            Self::AgentEvent(agent) => out.member(",\"agent_event\":", agent, None),
            Self::DebugEvent(debug) => out.member(",\"debug_event\":", debug, None),
        }
    }
}

message! {
    /// A relay's word on its nodes.
    NodeStatusEvent {
        state_change: NodeState = 1,
        node_names: Texts<'a> = 2,
        message: Text<'a> = 3,
    }
}

message! {
    /// Events that nobody will see.
    LostEvent {
        source: LostEventSource = 1,
        num_events_lost: u64 = 2,
        /// 0 is written for events-queue losses; absent for ring-buffer losses.
        cpu: Option<i32> = 3,
        first: Option<Timestamp> = 4,
        last: Option<Timestamp> = 5,
    }
}

message! {
    /// The agent about itself.
    AgentEvent {
        r#type: AgentEventType = 1 "type",
        [
            /// What it says.
            notification: Notification {
                Unknown(AgentEventUnknown<'a>) = 100 "unknown",
                AgentStart(TimeNotification<'a>) = 101 "agent_start",
                PolicyUpdate(PolicyUpdate<'a>) = 102 "policy_update",
                EndpointRegenerate(EndpointRegenerate<'a>) = 103 "endpoint_regenerate",
                EndpointUpdate(EndpointUpdate<'a>) = 104 "endpoint_update",
                IpcacheUpdate(IpcacheNotification<'a>) = 105 "ipcache_update",
                /// Deprecated.
                ServiceUpsert(ServiceUpsert<'a>) = 106 "service_upsert",
                /// Deprecated.
                ServiceDelete(ServiceDelete<'a>) = 107 "service_delete",
            }
        ]
    }
}

message! {
    /// A notification that has no message of its own.
    AgentEventUnknown {
        r#type: Text<'a> = 1 "type",
        notification: Text<'a> = 2,
    }
}

message! {
    /// When the agent started.
    TimeNotification {
        time: Option<Timestamp> = 1,
    }
}

message! {
    /// Policies changed.
    PolicyUpdate {
        labels: Texts<'a> = 1,
        revision: u64 = 2,
        rule_count: i64 = 3,
    }
}

message! {
    /// An endpoint's program was built again.
    EndpointRegenerate {
        id: u64 = 1,
        labels: Texts<'a> = 2,
        error: Text<'a> = 3,
    }
}

message! {
    /// An endpoint came or went.
    EndpointUpdate {
        id: u64 = 1,
        labels: Texts<'a> = 2,
        error: Text<'a> = 3,
        pod_name: Text<'a> = 4,
        namespace: Text<'a> = 5,
    }
}

message! {
    /// An address got or lost an identity.
    IpcacheNotification {
        cidr: Text<'a> = 1,
        identity: u32 = 2,
        old_identity: Option<u32> = 3,
        host_ip: Text<'a> = 4,
        old_host_ip: Text<'a> = 5,
        encrypt_key: u32 = 6,
        namespace: Text<'a> = 7,
        pod_name: Text<'a> = 8,
    }
}

message! {
    /// A service came or changed.
    ServiceUpsert {
        id: u32 = 1,
        frontend_address: Option<ServiceAddress<'a>> = 2,
        backend_addresses: Vec<ServiceAddress<'a>> = 3,
        r#type: Text<'a> = 4 "type",
        traffic_policy: Text<'a> = 5,
        name: Text<'a> = 6,
        namespace: Text<'a> = 7,
        ext_traffic_policy: Text<'a> = 8,
        int_traffic_policy: Text<'a> = 9,
    }
}

message! {
    /// An address of a service.
    ServiceAddress {
        ip: Text<'a> = 1,
        port: u32 = 2,
    }
}

message! {
    /// A service went.
    ServiceDelete {
        id: u32 = 1,
    }
}

message! {
    /// A debug event of the datapath.
    DebugEvent {
        r#type: DebugEventType = 1 "type",
        source: Option<Endpoint<'a>> = 2,
        hash: Option<u32> = 3,
        arg1: Option<u32> = 4,
        arg2: Option<u32> = 5,
        arg3: Option<u32> = 6,
        message: Text<'a> = 7,
        cpu: Option<i32> = 8,
    }
}
