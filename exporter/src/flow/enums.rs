//! The enums of a flow (Hubble digest §2.5), each a number that may have a name.
//!
//! Promises: every name and number of the schema, and that a number without a name survives, because newer agents send
//! numbers this build has not heard of. That is why these are numbers with constants and not Rust enums.

/// Declares an open enum: a number, its named constants, and the way between name and number.
/// `CONSTANT = number,` or, where the name is not spelled like a constant, `CONSTANT = number as "name",`.
macro_rules! open_enum {
    ($(#[$about:meta])* $name:ident { $($constant:ident = $number:literal $(as $text:literal)?,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub i32);

        impl $name {
            $(
                #[doc = concat!("Number ", stringify!($number), ".")]
                pub const $constant: Self = Self($number);
            )*

            /// Every name with its number, in the order of the schema.
            pub const ALL: &'static [(&'static str, Self)] =
                &[$((open_enum!(@name $constant $($text)?), Self($number)),)*];

            /// The schema's name of this number, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(open_enum!(@name $constant $($text)?)),)*
                    _ => None,
                }
            }

            /// The number of a name, which is case-sensitive.
            pub fn from_name(name: &str) -> Option<Self> {
                const SLOTS: usize = ($name::ALL.len() * 4).next_power_of_two();
                static NAMES: $crate::flow::fields::Names<SLOTS> = {
                    let mut names = $crate::flow::fields::Names::new();
                    let mut at = 0;
                    while at < $name::ALL.len() {
                        names.insert($name::ALL[at].0, $name::ALL[at].1.0, at as u8);
                        at += 1;
                    }
                    names
                };
                let text_at = |at: u8| Self::ALL.get(usize::from(at)).map_or("", |known| known.0);
                NAMES.find(name.as_bytes(), text_at).map(|name| Self(name.number))
            }
        }

        impl $crate::flow::value::IntoStatic for $name {
            type Static = $name;

            fn into_static(self) -> $name {
                self
            }
        }

        impl<'a> $crate::flow::json::ReadJson<'a> for $name {
            #[inline]
            fn read_json(&mut self, reader: &mut $crate::flow::json::Reader<'a>) -> $crate::flow::json::Result<()> {
                self.0 = reader.enum_number(|name| Self::from_name(name).map(|known| known.0))?;
                Ok(())
            }
        }

        impl $crate::flow::json::WriteJson for $name {
            #[inline]
            fn is_unset(&self) -> bool {
                self.0 == 0
            }

            #[inline]
            fn write_json(&self, out: &mut $crate::flow::json::Out<'_>) {
                match self.name() {
                    Some(name) => {
                        out.raw(b"\"");
                        out.raw(name.as_bytes());
                        out.raw(b"\"");
                    }
                    None => out.integer(self.0),
                }
            }
        }

        impl<'a> $crate::flow::wire::Wire<'a> for $name {
            fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
                self.0.write_wire(number, out);
            }

            fn read_wire(&mut self, field: $crate::flow::wire::Field<'a>) -> std::result::Result<(), $crate::flow::wire::Error> {
                self.0.read_wire(field)
            }

            fn varint(&self) -> Option<u64> {
                self.0.varint()
            }
        }

        impl std::fmt::Display for $name {
            /// The name, or the bare number where there is none.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }
    };
    (@name $constant:ident) => { stringify!($constant) };
    (@name $constant:ident $text:literal) => { $text };
}

open_enum! {
    /// What became of the packet.
    Verdict {
        VERDICT_UNKNOWN = 0, FORWARDED = 1, DROPPED = 2, ERROR = 3, AUDIT = 4, REDIRECTED = 5, TRACED = 6, TRANSLATED = 7,
    }
}

open_enum! {
    /// Which parser made the flow.
    FlowType { UNKNOWN_TYPE = 0, L3_L4 = 1, L7 = 2, SOCK = 3, }
}

open_enum! {
    /// How a policy asked for authentication.
    AuthType { DISABLED = 0, SPIRE = 1, TEST_ALWAYS_FAIL = 2, }
}

open_enum! {
    /// Where on its way a packet was seen. `event_type.sub_type` holds the datapath's own number, which differs for
    /// `TO_ENDPOINT` (0 there).
    TraceObservationPoint {
        UNKNOWN_POINT = 0, TO_PROXY = 1, TO_HOST = 2, TO_STACK = 3, TO_OVERLAY = 4, FROM_ENDPOINT = 5, FROM_PROXY = 6,
        FROM_HOST = 7, FROM_STACK = 8, FROM_OVERLAY = 9, FROM_NETWORK = 10, TO_NETWORK = 11, FROM_CRYPTO = 12,
        TO_CRYPTO = 13, TO_ENDPOINT = 101,
    }
}

open_enum! {
    /// What connection tracking said.
    TraceReason {
        TRACE_REASON_UNKNOWN = 0, NEW = 1, ESTABLISHED = 2, REPLY = 3, RELATED = 4, REOPENED = 5, SRV6_ENCAP = 6,
        SRV6_DECAP = 7, ENCRYPT_OVERLAY = 8,
    }
}

open_enum! {
    /// Seen from the endpoint whose policy applied.
    TrafficDirection { TRAFFIC_DIRECTION_UNKNOWN = 0, INGRESS = 1, EGRESS = 2, }
}

open_enum! {
    /// Version of the IP header.
    IpVersion { IP_NOT_USED = 0, IPV4 = 1 as "IPv4", IPV6 = 2 as "IPv6", }
}

open_enum! {
    /// Kind of a layer 7 record.
    L7FlowType { UNKNOWN_L7_TYPE = 0, REQUEST = 1, RESPONSE = 2, SAMPLE = 3, }
}

open_enum! {
    /// First chunk of an SCTP packet.
    SctpChunkType {
        UNSUPPORTED = 0, INIT = 1, INIT_ACK = 2, SHUTDOWN = 3, SHUTDOWN_ACK = 4, SHUTDOWN_COMPLETE = 5, ABORT = 6,
    }
}

open_enum! {
    /// Encapsulation of a tunnel.
    TunnelProtocol { UNKNOWN = 0, VXLAN = 1, GENEVE = 2, }
}

open_enum! {
    /// Where the socket load balancer was seen.
    SocketTranslationPoint {
        SOCK_XLATE_POINT_UNKNOWN = 0, SOCK_XLATE_POINT_PRE_DIRECTION_FWD = 1, SOCK_XLATE_POINT_POST_DIRECTION_FWD = 2,
        SOCK_XLATE_POINT_PRE_DIRECTION_REV = 3, SOCK_XLATE_POINT_POST_DIRECTION_REV = 4,
    }
}

open_enum! {
    /// Where a debug capture was taken.
    DebugCapturePoint {
        DBG_CAPTURE_POINT_UNKNOWN = 0, DBG_CAPTURE_DELIVERY = 4, DBG_CAPTURE_FROM_LB = 5, DBG_CAPTURE_AFTER_V46 = 6,
        DBG_CAPTURE_AFTER_V64 = 7, DBG_CAPTURE_PROXY_PRE = 8, DBG_CAPTURE_PROXY_POST = 9, DBG_CAPTURE_SNAT_PRE = 10,
        DBG_CAPTURE_SNAT_POST = 11,
    }
}

open_enum! {
    /// Which buffer overflowed.
    LostEventSource {
        UNKNOWN_LOST_EVENT_SOURCE = 0, PERF_EVENT_RING_BUFFER = 1, OBSERVER_EVENTS_QUEUE = 2, HUBBLE_RING_BUFFER = 3,
    }
}

open_enum! {
    /// What an agent reports about itself. The agent's internal notification numbers differ from these.
    AgentEventType {
        AGENT_EVENT_UNKNOWN = 0, AGENT_STARTED = 2, POLICY_UPDATED = 3, POLICY_DELETED = 4,
        ENDPOINT_REGENERATE_SUCCESS = 5, ENDPOINT_REGENERATE_FAILURE = 6, ENDPOINT_CREATED = 7, ENDPOINT_DELETED = 8,
        IPCACHE_UPSERTED = 9, IPCACHE_DELETED = 10, SERVICE_UPSERTED = 11, SERVICE_DELETED = 12,
    }
}

open_enum! {
    /// State of a node as a relay sees it.
    NodeState {
        UNKNOWN_NODE_STATE = 0, NODE_CONNECTED = 1, NODE_UNAVAILABLE = 2, NODE_GONE = 3, NODE_ERROR = 4,
    }
}
