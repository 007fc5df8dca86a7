//! The human summary of a flow, in Hubble's words (digest §2.6).

use std::fmt::Write as _;

use super::{Dns, Flags, Flow, Http, L7FlowType, Layer7, Protocol, Record, icmp};

/// The order in which a summary names TCP flags, which is not the order of the schema.
const ORDER: [(&str, Flags); 9] = [
    ("SYN", Flags::SYN),
    ("ACK", Flags::ACK),
    ("RST", Flags::RST),
    ("FIN", Flags::FIN),
    ("PSH", Flags::PSH),
    ("URG", Flags::URG),
    ("ECE", Flags::ECE),
    ("CWR", Flags::CWR),
    ("NS", Flags::NS),
];

/// Appends `TCP Flags: SYN, ACK`.
pub fn write_tcp_flags(flags: Flags, out: &mut Vec<u8>) {
    out.extend_from_slice(b"TCP Flags: ");
    let mut comma: &[u8] = b"";
    for (name, flag) in ORDER {
        if flags.has(flag) {
            out.extend_from_slice(comma);
            out.extend_from_slice(name.as_bytes());
            comma = b", ";
        }
    }
}

/// The summary of a packet or request. Empty when there is nothing to say.
pub fn of(flow: &Flow<'_>) -> String {
    if let Some(text) = flow.l7.as_ref().and_then(of_layer7) {
        return text;
    }
    let version = || flow.ip.as_ref().and_then(|ip| ip.ip_version.name()).unwrap_or_default().to_owned();
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => match &tcp.flags {
            Some(flags) => {
                let mut text = Vec::new();
                write_tcp_flags(flags.set, &mut text);
                String::from_utf8(text).unwrap_or_default()
            }
            None => "TCP".to_owned(),
        },
        Some(Protocol::Udp(_)) => "UDP".to_owned(),
        Some(Protocol::Sctp(_)) => "SCTP".to_owned(),
        Some(Protocol::Icmpv4(icmp)) => format!("ICMPv4 {}", icmp::v4_name(icmp.r#type, icmp.code)),
        Some(Protocol::Icmpv6(icmp)) => format!("ICMPv6 {}", icmp::v6_name(icmp.r#type, icmp.code)),
        Some(Protocol::Vrrp(vrrp)) => format!("VRRP {}", if vrrp.r#type == 1 { "VRRPv2 Advertisement" } else { "" }),
        Some(Protocol::Igmp(igmp)) => format!("IGMP {}", igmp_name(igmp.r#type)),
        None if flow.ip.as_ref().is_some_and(|ip| ip.ip_version.0 != 0) => version(),
        None if flow.ethernet.is_some() => "Ethernet".to_owned(),
        None => String::new(),
    }
}

fn igmp_name(kind: u32) -> &'static str {
    match kind {
        0x11 => "IGMP Membership Query",
        0x12 => "IGMPv1 Membership Report",
        0x16 => "IGMPv2 Membership Report",
        0x17 => "Leave Group",
        0x22 => "IGMPv3 Membership Report",
        _ => "",
    }
}

/// The summary of a request or response, when there is a record of one.
pub fn of_layer7(l7: &Layer7<'_>) -> Option<String> {
    match l7.record.as_ref()? {
        Record::Http(http) => Some(of_http(l7.r#type, l7.latency_ns, http)),
        Record::Dns(dns) => Some(of_dns(l7.r#type, dns)),
        Record::Kafka(_) => None,
    }
}

fn of_http(kind: L7FlowType, latency_ns: u64, http: &Http<'_>) -> String {
    let Http { code, method, url, protocol, .. } = http;
    if kind == L7FlowType::RESPONSE || *code != 0 {
        format!("{protocol} {code} {}ms ({method} {url})", latency_ns / 1_000_000)
    } else {
        format!("{protocol} {method} {url}")
    }
}

fn of_dns(kind: L7FlowType, dns: &Dns<'_>) -> String {
    let types = dns.qtypes.iter().collect::<Vec<_>>().join(",");
    if kind != L7FlowType::RESPONSE {
        return format!("DNS Query {} {types}", dns.query);
    }
    let mut answer = String::new();
    if dns.rcode != 0 {
        let _ = write!(answer, "RCode: {}", dns_rcode(dns.rcode));
    } else {
        if !dns.ips.is_empty() {
            let _ = write!(answer, "\"{}\"", dns.ips.iter().collect::<Vec<_>>().join(","));
        }
        if !dns.cnames.is_empty() {
            let space = if answer.is_empty() { "" } else { " " };
            let _ = write!(answer, "{space}CNAMEs: \"{}\"", dns.cnames.iter().collect::<Vec<_>>().join(","));
        }
    }
    let source = if dns.observation_source == "proxy" { "Proxy" } else { "Query" };
    format!("DNS Answer {answer} TTL: {} ({source} {} {types})", dns.ttl, dns.query)
}

/// The name of a DNS response code (RFC 6895 §2.3), or its number.
pub fn dns_rcode(code: u32) -> String {
    const NAMES: [&str; 11] = [
        "No Error",
        "Format Error",
        "Server Failure",
        "Non-Existent Domain",
        "Not Implemented",
        "Query Refused",
        "Name Exists when it should not",
        "RR Set Exists when it should not",
        "RR Set that should exist does not",
        "Server Not Authoritative for zone",
        "Name not contained in zone",
    ];
    NAMES.get(code as usize).map_or_else(|| code.to_string(), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::{Icmp, Layer4, Tcp, Udp};

    fn of_layer4(protocol: Protocol<'_>) -> String {
        of(&Flow { l4: Some(Layer4 { protocol: Some(protocol), ..Default::default() }), ..Default::default() })
    }

    #[test]
    fn a_packet_is_summed_up_in_hubbles_words() {
        let flags = Flags::SYN.with(Flags::ACK).with(Flags::FIN).with(Flags::NS);
        assert_eq!(of_layer4(Protocol::Tcp(Tcp { flags: Some(flags.into()), ..Default::default() })), "TCP Flags: SYN, ACK, FIN, NS");
        assert_eq!(of_layer4(Protocol::Tcp(Tcp::default())), "TCP");
        assert_eq!(of_layer4(Protocol::Udp(Udp::default())), "UDP");
        assert_eq!(of_layer4(Protocol::Icmpv4(Icmp { r#type: 8, ..Default::default() })), "ICMPv4 EchoRequest");
        assert_eq!(of(&Flow::default()), "");
    }

    #[test]
    fn a_dns_answer_says_what_came_back() {
        let mut dns = Dns { query: "a.".into(), qtypes: ["A", "AAAA"].into_iter().collect(), ..Default::default() };
        dns.observation_source = "proxy".into();
        assert_eq!(of_dns(L7FlowType::REQUEST, &dns), "DNS Query a. A,AAAA");
        dns.ttl = 5;
        dns.ips = ["1.2.3.4", "::1"].into_iter().collect();
        assert_eq!(of_dns(L7FlowType::RESPONSE, &dns), "DNS Answer \"1.2.3.4,::1\" TTL: 5 (Proxy a. A,AAAA)");
        dns.cnames = ["b."].into_iter().collect();
        assert!(of_dns(L7FlowType::RESPONSE, &dns).contains("\"1.2.3.4,::1\" CNAMEs: \"b.\" TTL"));
        dns.rcode = 3;
        assert!(of_dns(L7FlowType::RESPONSE, &dns).starts_with("DNS Answer RCode: Non-Existent Domain TTL: 5"));
    }
}
