//! This host's own addresses, of every interface in this network namespace.
//!
//! IPv4 addresses are those the kernel lists as local in `/proc/net/fib_trie`, broadcast addresses not among them; IPv6 addresses those in
//! `/proc/net/if_inet6` (proc(5)). Both are readable without privilege, which netlink is not everywhere.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses, sorted.
///
/// # Errors
/// When the kernel's lists can't be read. A kernel without IPv6 has no list of it, which is no error.
pub fn addresses() -> io::Result<Vec<IpAddr>> {
    let v4 = local_v4(&std::fs::read_to_string("/proc/net/fib_trie")?);
    let v6 = match std::fs::read_to_string("/proc/net/if_inet6") {
        Ok(text) => local_v6(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let all: BTreeSet<IpAddr> = v4.into_iter().map(IpAddr::V4).chain(v6.into_iter().map(IpAddr::V6)).collect();
    Ok(all.into_iter().collect())
}

/// An address stands on a line `|-- 10.0.0.1`, what it is on the next: `/32 host LOCAL`.
fn local_v4(trie: &str) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last);
        }
    }
    found
}

/// A line begins with 32 hexadecimal digits.
fn local_v6(list: &str) -> Vec<Ipv6Addr> {
    list.lines().filter_map(|line| u128::from_str_radix(line.split_whitespace().next()?, 16).ok()).map(Ipv6Addr::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_are_told_from_networks_and_broadcasts() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\n\
                    |-- 10.0.0.0\n        /24 link UNICAST\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(trie), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(10, 0, 0, 5)]);
    }

    #[test]
    fn every_line_of_the_list_is_an_address() {
        assert_eq!(local_v6("00000000000000000000000000000001 01 80 10 80       lo\nnonsense\n"), [Ipv6Addr::LOCALHOST]);
    }

    #[test]
    fn loopback_is_among_this_hosts_addresses() {
        assert!(addresses().unwrap().contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
