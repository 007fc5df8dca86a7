//! Who an address is: a file of addresses and networks, this host's own addresses, and Hubble's reserved identities for the rest.
//!
//! Every address has an answer, found by an exact look-up and then by network, longest prefix first. The table never changes; new knowledge
//! makes a new table with a higher generation, so that whoever cached an answer can tell by one number whether it still holds.
//! Kubernetes will be one more [`Source`].

mod file;
mod who;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

pub use file::{File, read};
pub use who::{Reserved, Who};

/// Where knowledge about addresses comes from. Of several, the later one in the list given to [`Identities::new`] counts more.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file of addresses and networks.
    File(File),
    /// This host's own addresses.
    Host(Vec<IpAddr>),
}

/// A network, or a single address where the prefix has full length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    /// The first address of the network; IPv4-mapped addresses stand as IPv4.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub prefix: u8,
}

impl Network {
    /// Reads `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`; bits behind the prefix are cleared.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) if !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix.parse::<u8>().ok()?))
            }
            Some(_) => return None,
        };
        let address: IpAddr = address.parse().ok()?;
        let prefix = prefix.unwrap_or(width(address));
        (prefix <= width(address)).then(|| Network { address, prefix }.normal())
    }

    /// True if it is one address.
    pub fn is_single(self) -> bool {
        self.prefix == width(self.address)
    }

    fn normal(self) -> Self {
        match (self.address.to_canonical(), self.address) {
            // ::ffff:10.0.0.0/104 is 10.0.0.0/8.
            (IpAddr::V4(v4), IpAddr::V6(_)) if self.prefix >= 96 => {
                Network { address: masked(IpAddr::V4(v4), self.prefix - 96), prefix: self.prefix - 96 }
            }
            _ => Network { address: masked(self.address, self.prefix), prefix: self.prefix },
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

/// Every table made in this process has a generation of its own.
static GENERATION: AtomicU64 = AtomicU64::new(1);

/// Answers who an address is.
#[derive(Debug)]
pub struct Identities {
    generation: u64,
    single: HashMap<IpAddr, Who>,
    networks: HashMap<Network, Who>,
    /// Prefix lengths in use, longest first.
    v4_prefixes: Vec<u8>,
    v6_prefixes: Vec<u8>,
    loopback: Who,
    world_v4: Who,
    world_v6: Who,
}

impl Identities {
    /// Builds the table. `node` is this node's name: what the file puts on it, or on no node, is local.
    pub fn new(sources: &[Source], node: &str) -> Self {
        let mut identities = Identities {
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
            single: HashMap::new(),
            networks: HashMap::new(),
            v4_prefixes: Vec::new(),
            v6_prefixes: Vec::new(),
            loopback: Who::host(),
            world_v4: Who::reserved(Reserved::WorldIpv4),
            world_v6: Who::reserved(Reserved::WorldIpv6),
        };
        for source in sources {
            match source {
                Source::File(file) => {
                    file.entries.iter().for_each(|(network, known)| identities.insert(*network, Who::of(known, *network, node)))
                }
                Source::Host(addresses) => addresses.iter().for_each(|address| identities.insert_own(*address)),
            }
        }
        let lengths = |v4: bool| {
            let mut lengths: Vec<u8> =
                identities.networks.keys().filter(|network| network.address.is_ipv4() == v4).map(|network| network.prefix).collect();
            lengths.sort_unstable_by(|a, b| b.cmp(a));
            lengths.dedup();
            lengths
        };
        (identities.v4_prefixes, identities.v6_prefixes) = (lengths(true), lengths(false));
        identities
    }

    fn insert(&mut self, network: Network, who: Who) {
        if network.is_single() {
            self.single.insert(network.address, who);
        } else {
            self.networks.insert(network, who);
        }
    }

    /// An address of this host keeps what the file says of it.
    fn insert_own(&mut self, address: IpAddr) {
        let address = address.to_canonical();
        match self.single.remove(&address) {
            Some(who) => self.single.insert(address, who.on_this_host()),
            None => self.single.insert(address, Who::host()),
        };
    }

    /// Who an address is.
    pub fn of(&self, address: IpAddr) -> &Who {
        let address = address.to_canonical();
        if let Some(who) = self.single.get(&address) {
            return who;
        }
        let prefixes = if address.is_ipv4() { &self.v4_prefixes } else { &self.v6_prefixes };
        let network = |prefix: &u8| self.networks.get(&Network { address: masked(address, *prefix), prefix: *prefix });
        if let Some(who) = prefixes.iter().find_map(network) {
            return who;
        }
        match address {
            _ if address.is_loopback() => &self.loopback,
            IpAddr::V4(_) => &self.world_v4,
            IpAddr::V6(_) => &self.world_v6,
        }
    }

    /// Higher than that of every table made before.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests;
