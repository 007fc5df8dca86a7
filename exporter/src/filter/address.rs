//! IP addresses and networks by the rules of Go's `net/netip`, which Hubble's address filters follow (`spec/hubble.md` §3.2).
//!
//! A single address is compared as text, so nothing is normalised; only networks are compared by value. An IPv4 address and its
//! IPv4-mapped IPv6 form are different addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network: `10.0.0.0/8`. Bits behind the prefix length are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    network: IpAddr,
    bits: u32,
}

impl Prefix {
    /// Parses `address/bits`.
    ///
    /// # Errors
    /// Names what is wrong: no address, a zone, no plain number of bits, or more bits than the address has.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (address, bits) = text.rsplit_once('/').ok_or_else(|| "no `/`".to_owned())?;
        if address.contains('%') {
            return Err("a network has no zone: leave out `%` and what follows".to_owned());
        }
        let network: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
        let plain = !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
        let most = if network.is_ipv4() { 32 } else { 128 };
        match bits.parse::<u32>() {
            Ok(bits) if plain && bits <= most => Ok(Self { network: masked(network, bits), bits }),
            _ => Err(format!("`{bits}` is not a prefix length from 0 to {most}")),
        }
    }

    /// Whether `address` lies in this network.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(32 - self.bits).unwrap_or(0) == 0,
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(128 - self.bits).unwrap_or(0) == 0,
            _ => false,
        }
    }

    /// Whether `other` is this network or a part of it.
    pub fn covers(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.contains(other.network)
    }
}

/// The network's first address: two spellings of one network are equal.
fn masked(network: IpAddr, bits: u32) -> IpAddr {
    match network {
        IpAddr::V4(address) => Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into(),
    }
}

/// Elements of one address filter, of which any may match.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    texts: Vec<String>,
    networks: Vec<Prefix>,
}

impl Addresses {
    /// Adds an address or, when it has a `/`, a network.
    ///
    /// # Errors
    /// Says why it is neither.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        if text.contains('/') {
            self.networks.push(Prefix::parse(text)?);
            return Ok(());
        }
        let (address, zone) = match text.split_once('%') {
            Some((address, zone)) => (address, Some(zone)),
            None => (text, None),
        };
        let valid = match (address.parse::<IpAddr>(), zone) {
            (Ok(_), None) => true,
            (Ok(IpAddr::V6(_)), Some(zone)) => !zone.is_empty(),
            _ => false,
        };
        if !valid {
            return Err("not an IP address; write `10.0.0.1`, `fd00::1` or a network `10.0.0.0/8`".to_owned());
        }
        self.texts.push(text.to_owned());
        Ok(())
    }

    /// What a person who wrote `text` should know, when no flow will have it: single addresses are compared as text.
    pub fn advice(text: &str) -> Option<String> {
        let canonical = text.parse::<Ipv6Addr>().ok()?.to_string();
        (canonical != text).then(|| format!("addresses are compared as text, and flows write this one `{canonical}`"))
    }

    /// Whether a flow's address, as the flow has it, matches. The empty address never does.
    #[inline]
    pub fn matches(&self, address: &str) -> bool {
        if address.is_empty() {
            return false;
        }
        if self.texts.iter().any(|t| t == address) {
            return true;
        }
        // An address with a zone does not parse, and lies in no network.
        !self.networks.is_empty() && address.parse().is_ok_and(|address| self.networks.iter().any(|n| n.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &str) -> Option<bool> {
        let mut addresses = Addresses::default();
        addresses.add(pattern).ok().map(|()| addresses.matches(address))
    }

    #[test]
    fn single_addresses_are_compared_as_text() {
        assert_eq!(matches("fd00:0:0::1", "fd00::1"), Some(false));
        assert_eq!(matches("fd00:0:0::1", "fd00:0:0::1"), Some(true));
        assert_eq!(matches("FD00::1", "fd00::1"), Some(false));
        assert_eq!(matches("fe80::1%eth0", "fe80::1%eth0"), Some(true));
        assert_eq!(matches("10.0.0.1", ""), Some(false));
    }

    #[test]
    fn networks_ignore_host_bits_and_keep_families_apart() {
        for (network, address, expected) in [
            ("10.0.0.77/8", "10.200.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", false),
            ("::ffff:10.0.0.0/104", "::ffff:10.0.0.1", true),
            ("::ffff:10.0.0.0/104", "10.0.0.1", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("fe80::/10", "fe80::1%eth0", false),
            ("0.0.0.0/0", "nonsense", false),
        ] {
            assert_eq!(matches(network, address), Some(expected), "{network} {address}");
        }
    }

    #[test]
    fn an_address_no_flow_writes_like_that_gets_advice() {
        assert!(Addresses::advice("FD00::1").is_some_and(|why| why.contains("`fd00::1`")));
        for fine in ["fd00::1", "10.0.0.1", "FD00::/8", "fe80::1%eth0"] {
            assert_eq!(Addresses::advice(fine), None, "{fine}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for bad in [
            "",
            "*",
            "10.0.0",
            "10.0.0.1 ",
            "010.0.0.1",
            "10.0.0.0/33",
            "10.0.0.1/",
            "10.0.0.1/08",
            "10.0.0.1/+8",
            "10.0.0.1/8/8",
            "fe80::1%eth0/64",
            "fe80::1%",
            "1.2.3.4%eth0",
            "1::2::3",
            "::/129",
        ] {
            assert_eq!(matches(bad, "10.0.0.1"), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_network_contains_exactly_what_shares_its_bits(a: u128, b: u128, bits in 0u32..=128) {
            let prefix = Prefix::parse(&format!("{}/{bits}", std::net::Ipv6Addr::from_bits(a))).unwrap();
            let shared = (0..bits).all(|i| (a >> (127 - i)) & 1 == (b >> (127 - i)) & 1);
            assert_eq!(prefix.contains(IpAddr::V6(std::net::Ipv6Addr::from_bits(b))), shared);
        }
    }
}
