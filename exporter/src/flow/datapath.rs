//! What the datapath's numbers are called: event types, trace points, drop reasons, policy matches (`spec/hubble.md` §8.1, §9.5).
//!
//! Printed columns and labels of metrics use the same words, metrics in lower case.

/// `event_type.type` of drops.
pub const DROP: i32 = 1;
/// Of debug captures.
pub const CAPTURE: i32 = 3;
/// Of traces.
pub const TRACE: i32 = 4;
/// Of policy verdicts.
pub const POLICY_VERDICT: i32 = 5;
/// Of socket traces.
pub const TRACE_SOCK: i32 = 7;
/// Of requests that a proxy saw.
pub const LAYER7: i32 = 129;
/// Of agent events.
pub const AGENT: i32 = 130;

/// The number of a type of `--type`.
pub fn message_type(name: &str) -> Option<i32> {
    Some(match name {
        "drop" => DROP,
        "debug" => 2,
        "capture" => CAPTURE,
        "trace" => TRACE,
        "policy-verdict" => POLICY_VERDICT,
        "trace-sock" => TRACE_SOCK,
        "l7" => LAYER7,
        "agent" => AGENT,
        _ => return None,
    })
}

const TRACE_POINTS: [&str; 14] = [
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

/// The name of a trace point.
pub fn trace_point(number: u8) -> Option<&'static str> {
    TRACE_POINTS.get(usize::from(number)).copied()
}

/// The number of a trace point.
pub fn trace_point_number(name: &str) -> Option<i32> {
    position(&TRACE_POINTS, name)
}

/// The number of an agent event, in the agent's own counting.
pub fn agent_event_number(name: &str) -> Option<i32> {
    const EVENTS: [&str; 11] = [
        "unspecified",
        "message",
        "agent-started",
        "endpoint-regenerate-success",
        "endpoint-regenerate-failure",
        "policy-updated",
        "policy-deleted",
        "endpoint-created",
        "endpoint-deleted",
        "ipcache-upserted",
        "ipcache-deleted",
    ];
    position(&EVENTS, name)
}

fn position(names: &[&str], name: &str) -> Option<i32> {
    let at = names.iter().position(|known| *known == name)?;
    i32::try_from(at).ok()
}

/// How much of a policy's rule decided.
pub fn policy_match(number: u32) -> &'static str {
    match number {
        0 => "none",
        1 => "L3-Only",
        2 => "L3-L4",
        3 => "L4-Only",
        4 => "all",
        5 => "L3-Proto",
        6 => "Proto-Only",
        _ => "unknown",
    }
}

/// Texts of the codes below 16.
const FIRST_DROPS: [&str; 16] = [
    "Success",
    "",
    "Invalid packet",
    "Interface",
    "Interface Decrypted",
    "LB, sock cgroup: No backend slot entry found",
    "LB, sock cgroup: No backend entry found",
    "LB, sock cgroup: Reverse entry update failed",
    "LB, sock cgroup: Reverse entry stale",
    "Fragmented packet",
    "Fragmented packet entry update failed",
    "Missed tail call to custom program",
    "Interface Decrypting",
    "Interface Encrypting",
    "LB: sock cgroup: Reverse entry delete succeeded",
    "MTU error message",
];

/// The text of a drop's code, if it has one.
pub fn drop_reason(code: u8) -> Option<&'static str> {
    let text = match code.checked_sub(130) {
        Some(above) => DROPS.get(usize::from(above)),
        None => FIRST_DROPS.get(usize::from(code)),
    };
    text.copied().filter(|text| !text.is_empty())
}

/// Texts of the codes from 130 on.
const DROPS: [&str; 78] = [
    "Invalid source mac",
    "Invalid destination mac",
    "Invalid source ip",
    "Policy denied",
    "Invalid packet",
    "CT: Truncated or invalid header",
    "Fragmentation needed",
    "CT: Unknown L4 protocol",
    "CT: Can't create entry from packet",
    "Unsupported L3 protocol",
    "Missed tail call",
    "Error writing to packet",
    "Unknown L4 protocol",
    "Unknown ICMPv4 code",
    "Unknown ICMPv4 type",
    "Unknown ICMPv6 code",
    "Unknown ICMPv6 type",
    "Error retrieving tunnel key",
    "Error retrieving tunnel options",
    "Invalid Geneve option",
    "Unknown L3 target address",
    "Stale or unroutable IP",
    "No matching local container found",
    "Error while correcting L3 checksum",
    "Error while correcting L4 checksum",
    "CT: Map insertion failed",
    "Invalid IPv6 extension header",
    "IP fragmentation not supported",
    "Service backend not found",
    "",
    "No tunnel/encapsulation endpoint (datapath BUG!)",
    "NAT 46/64 not enabled",
    "Reached EDT rate-limiting drop horizon",
    "Unknown connection tracking state",
    "Local host is unreachable",
    "No configuration available to perform policy decision",
    "Unsupported L2 protocol",
    "No mapping for NAT masquerade",
    "Unsupported protocol for NAT masquerade",
    "FIB lookup failed",
    "Encapsulation traffic is prohibited",
    "Invalid identity",
    "Unknown sender",
    "NAT not needed",
    "Is a ClusterIP",
    "First logical datagram fragment not found",
    "Forbidden ICMPv6 message",
    "Denied by LB src range check",
    "Socket lookup failed",
    "Socket assign failed",
    "Proxy redirection not supported for protocol",
    "Policy denied by denylist",
    "VLAN traffic disallowed by VLAN filter",
    "Incorrect VNI from VTEP",
    "Failed to update or lookup TC buffer",
    "No SID was found for the IP address",
    "SRv6 state was removed during tail call",
    "L3 translation from IPv4 to IPv6 failed (NAT46)",
    "L3 translation from IPv6 to IPv4 failed (NAT64)",
    "Authentication required",
    "No conntrack map found",
    "No nat map found",
    "Invalid ClusterID",
    "Unsupported packet protocol for DSR encapsulation",
    "No egress gateway found",
    "Traffic is unencrypted",
    "TTL exceeded",
    "No node ID found",
    "Rate limited",
    "IGMP handled",
    "IGMP subscribed",
    "Multicast handled",
    "Host datapath not ready",
    "Endpoint policy program not available",
    "No Egress IP configured",
    "Punt to proxy",
    "No device",
    "First logical datagram fragment not found from world",
];
