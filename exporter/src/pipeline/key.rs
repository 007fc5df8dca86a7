//! The key of a record: what records of one connection have in common, as text. Kafka partitions by it.
//!
//! `proto|address:port|address:port` of the masked flow, the smaller endpoint first, so that both directions of a connection have one key; what the mask
//! removed is left empty, and an IPv6 address stands in brackets before its port. Where the mask leaves no address at all the key is the SHA-256 of
//! the fold key in hexadecimal: lines that fold together stay together. The format lies in topics and archives: it does not change.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use crate::flow::{Flow, Protocol};
use crate::mask::Mask;

/// One end: its address, empty where the mask removed it, and its port.
type End<'f> = (&'f str, Option<u16>);

/// The masked 5-tuple as texts; empty where the mask removed a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tuple<'f> {
    /// `tcp`, `udp`, `sctp`, `icmpv4`, `icmpv6`, `vrrp` or `igmp`.
    protocol: &'static str,
    source: End<'f>,
    destination: End<'f>,
}

/// What a mask leaves of a tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    source: bool,
    destination: bool,
    /// The member of the oneof, its source port, its destination port: in the order of [`PORTED`].
    ported: [(bool, bool, bool); 3],
    /// The members without ports: in the order of [`PORTLESS`].
    portless: [bool; 4],
}

const PORTED: [&str; 3] = ["TCP", "UDP", "SCTP"];
const PORTLESS: [&str; 4] = ["ICMPv4", "ICMPv6", "VRRP", "IGMP"];

impl Kept {
    /// Of this mask.
    #[must_use]
    pub fn by(mask: &Mask) -> Self {
        let member = |name: &str| mask.touches(&format!("l4.{name}"));
        let field = |name: &str, field: &str| mask.touches(&format!("l4.{name}.{field}"));
        Self {
            source: mask.touches("IP.source"),
            destination: mask.touches("IP.destination"),
            ported: PORTED.map(|name| (member(name), field(name, "source_port"), field(name, "destination_port"))),
            portless: PORTLESS.map(member),
        }
    }
}

/// The key of a flow of which `kept` leaves an address; of any other it is [`of_fold_key`].
#[must_use]
pub fn of_addresses(flow: &Flow<'_>, kept: &Kept) -> Option<String> {
    text(&tuple(flow, kept))
}

/// The key where the mask leaves no address.
#[must_use]
pub fn of_fold_key(fold_key: &[u8]) -> String {
    Sha256::digest(fold_key).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What `kept` leaves of a flow's tuple.
fn tuple<'f>(flow: &'f Flow<'_>, kept: &Kept) -> Tuple<'f> {
    let mut tuple = whole_tuple(flow);
    let (member, source, destination) = match tuple.protocol {
        "tcp" => kept.ported[0],
        "udp" => kept.ported[1],
        "sctp" => kept.ported[2],
        "icmpv4" => (kept.portless[0], false, false),
        "icmpv6" => (kept.portless[1], false, false),
        "vrrp" => (kept.portless[2], false, false),
        "igmp" => (kept.portless[3], false, false),
        _ => (false, false, false),
    };
    if !member {
        tuple.protocol = "";
    }
    if !kept.source {
        tuple.source.0 = "";
    }
    if !kept.destination {
        tuple.destination.0 = "";
    }
    tuple.source.1 = tuple.source.1.filter(|_| source);
    tuple.destination.1 = tuple.destination.1.filter(|_| destination);
    tuple
}

/// The ports of a flow, source and destination; 0 where it has none.
#[must_use]
pub fn ports(flow: &Flow<'_>) -> (u32, u32) {
    match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(tcp)) => (tcp.source_port, tcp.destination_port),
        Some(Protocol::Udp(udp)) => (udp.source_port, udp.destination_port),
        Some(Protocol::Sctp(sctp)) => (sctp.source_port, sctp.destination_port),
        _ => (0, 0),
    }
}

fn whole_tuple<'f>(flow: &'f Flow<'_>) -> Tuple<'f> {
    let protocol = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
        Some(Protocol::Tcp(_)) => "tcp",
        Some(Protocol::Udp(_)) => "udp",
        Some(Protocol::Sctp(_)) => "sctp",
        Some(Protocol::Icmpv4(_)) => "icmpv4",
        Some(Protocol::Icmpv6(_)) => "icmpv6",
        Some(Protocol::Vrrp(_)) => "vrrp",
        Some(Protocol::Igmp(_)) => "igmp",
        None => "",
    };
    let (source_port, destination_port) = ports(flow);
    let port = |port: u32| u16::try_from(port).ok().filter(|port| *port != 0);
    let (source, destination) = flow.ip.as_ref().map_or(("", ""), |ip| (&*ip.source, &*ip.destination));
    Tuple { protocol, source: (source, port(source_port)), destination: (destination, port(destination_port)) }
}

/// The key's text; `None` without any address.
fn text(tuple: &Tuple<'_>) -> Option<String> {
    let (mut first, mut second) = (tuple.source, tuple.destination);
    if first.0.is_empty() && second.0.is_empty() {
        return None;
    }
    if order(second) < order(first) {
        std::mem::swap(&mut first, &mut second);
    }
    let mut text = String::with_capacity(tuple.protocol.len() + first.0.len() + second.0.len() + 20);
    text.push_str(tuple.protocol);
    for end in [first, second] {
        text.push('|');
        push(&mut text, end);
    }
    Some(text)
}

/// Numeric order of addresses, IPv4 before IPv6, what is no address after both; then of ports.
fn order(end: End<'_>) -> (u8, Option<IpAddr>, &str, Option<u16>) {
    match end.0.parse::<IpAddr>() {
        Ok(address) => (0, Some(address), "", end.1),
        Err(_) => (1, None, end.0, end.1),
    }
}

fn push(text: &mut String, (address, port): End<'_>) {
    let (open, close) = if address.contains(':') { ("[", "]:") } else { ("", ":") };
    text.push_str(open);
    text.push_str(address);
    text.push_str(close);
    if let Some(port) = port {
        text.push_str(&port.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(protocol: &'static str, source: (&str, u16), destination: (&str, u16)) -> String {
        fn side((address, port): (&str, u16)) -> End<'_> {
            (address, (port != 0).then_some(port))
        }
        text(&Tuple { protocol, source: side(source), destination: side(destination) }).unwrap_or_else(|| of_fold_key(b"fold"))
    }

    #[test]
    fn both_directions_of_a_connection_have_one_key() {
        for (tuple, expected) in [
            (("tcp", ("10.0.0.2", 80), ("10.0.0.1", 40000)), "tcp|10.0.0.1:40000|10.0.0.2:80"),
            (("udp", ("10.0.0.10", 53), ("10.0.0.9", 53)), "udp|10.0.0.9:53|10.0.0.10:53"),
            (("tcp", ("10.0.0.1", 80), ("10.0.0.1", 79)), "tcp|10.0.0.1:79|10.0.0.1:80"),
            (("tcp", ("fd00::2", 80), ("fd00::1", 9)), "tcp|[fd00::1]:9|[fd00::2]:80"),
            (("icmpv4", ("10.0.0.1", 0), ("10.0.0.2", 0)), "icmpv4|10.0.0.1:|10.0.0.2:"),
            (("", ("", 0), ("10.0.0.2", 0)), "|10.0.0.2:|:"),
        ] {
            let (protocol, source, destination) = tuple;
            assert_eq!(key(protocol, source, destination), expected);
            assert_eq!(key(protocol, destination, source), expected);
        }
    }

    #[test]
    fn without_any_address_the_key_is_the_hash_of_the_fold_key() {
        assert_eq!(key("tcp", ("", 80), ("", 81)), "255541b1d8c6185596fd889e8dd40fa2ad60d7178b9c52adb1f4bb88ffe9503b");
    }
}
