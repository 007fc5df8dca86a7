//! Protocol names and ports (`spec/hubble.md` §3.2).

use crate::flow::{Flow, Protocol, Record};

/// A set of protocols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Protocols(u16);

const TCP: u16 = 1;
const UDP: u16 = 1 << 1;
const ICMPV4: u16 = 1 << 2;
const ICMPV6: u16 = 1 << 3;
const SCTP: u16 = 1 << 4;
const VRRP: u16 = 1 << 5;
const IGMP: u16 = 1 << 6;
const DNS: u16 = 1 << 7;
const HTTP: u16 = 1 << 8;

impl Protocols {
    /// Adds a protocol by its name, in any case.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn add(&mut self, name: &str) -> Result<(), String> {
        let lowered: String = name.chars().filter_map(|c| c.to_lowercase().next()).collect();
        self.0 |= match lowered.as_str() {
            "tcp" => TCP,
            "udp" => UDP,
            "icmp" => ICMPV4 | ICMPV6,
            "icmpv4" => ICMPV4,
            "icmpv6" => ICMPV6,
            "sctp" => SCTP,
            "vrrp" => VRRP,
            "igmp" => IGMP,
            "dns" => DNS,
            "http" => HTTP,
            _ => return Err("not a protocol; there are icmp, icmpv4, icmpv6, tcp, udp, sctp, vrrp, igmp, dns and http".to_owned()),
        };
        Ok(())
    }

    /// Whether any of them is one of layer 7, which every event of a flow may have another of.
    pub fn look_at_layer7(self) -> bool {
        self.0 & (DNS | HTTP) != 0
    }

    /// Whether the flow is of one of them.
    #[inline]
    pub fn matches(self, flow: &Flow<'_>) -> bool {
        let layer4 = match flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref()) {
            None => 0,
            Some(Protocol::Tcp(_)) => TCP,
            Some(Protocol::Udp(_)) => UDP,
            Some(Protocol::Icmpv4(_)) => ICMPV4,
            Some(Protocol::Icmpv6(_)) => ICMPV6,
            Some(Protocol::Sctp(_)) => SCTP,
            Some(Protocol::Vrrp(_)) => VRRP,
            Some(Protocol::Igmp(_)) => IGMP,
        };
        let layer7 = match flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
            Some(Record::Dns(_)) => DNS,
            Some(Record::Http(_)) => HTTP,
            _ => 0,
        };
        self.0 & (layer4 | layer7) != 0
    }
}

/// Reads a port: decimal digits, leading zeros allowed.
///
/// # Errors
/// When it is none from 0 to 65535.
pub fn port(text: &str) -> Result<u16, String> {
    let wrong = "not a port from 0 to 65535; ranges and names are not known, so list every port";
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong.to_owned());
    }
    text.parse().map_err(|_| wrong.to_owned())
}

/// Source and destination port of a flow that has ports, cut to 16 bits.
#[inline]
pub fn ports(flow: &Flow<'_>) -> Option<(u16, u16)> {
    let (source, destination) = match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => (tcp.source_port, tcp.destination_port),
        Protocol::Udp(udp) => (udp.source_port, udp.destination_port),
        Protocol::Sctp(sctp) => (sctp.source_port, sctp.destination_port),
        _ => return None,
    };
    Some((source as u16, destination as u16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_plain_decimal_numbers() {
        for (text, expected) in
            [("80", Some(80)), ("080", Some(80)), ("0", Some(0)), ("65535", Some(65535)), ("00000000000000000080", Some(80))]
        {
            assert_eq!(port(text).ok(), expected, "{text}");
        }
        for bad in ["65536", "-1", "", "http", "+80", " 80", "80-90", "0x50", "8_0"] {
            assert!(port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_of_more_than_16_bits_is_cut() {
        let udp = crate::flow::Udp { source_port: 1, destination_port: 65616, ..Default::default() };
        let l4 = crate::flow::Layer4 { protocol: Some(Protocol::Udp(udp)), ..Default::default() };
        assert_eq!(ports(&Flow { l4: Some(l4), ..Flow::default() }), Some((1, 80)));
    }

    #[test]
    fn protocol_names_are_known_in_any_case() {
        let mut protocols = Protocols::default();
        assert!(protocols.add("ICMPv6").is_ok());
        assert!(!protocols.look_at_layer7());
        assert!(protocols.add("Dns").is_ok());
        assert!(protocols.look_at_layer7());
        for bad in ["kafka", "", "foo", "6"] {
            assert!(protocols.add(bad).is_err(), "{bad}");
        }
    }
}
