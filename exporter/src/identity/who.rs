//! What is known of one address, in Hubble's words.

use crate::flow::{Endpoint, Few, Service, Texts, Workload};

use super::Network;
use super::file::Known;

/// Hubble's reserved identities that can be told without a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reserved {
    /// This host.
    Host,
    /// Another node of the cluster.
    RemoteNode,
    /// Outside, IPv4.
    WorldIpv4,
    /// Outside, IPv6.
    WorldIpv6,
}

impl Reserved {
    /// Every one, with the word in a file of identities.
    pub const ALL: [(&'static str, Reserved); 4] = [
        ("host", Reserved::Host),
        ("remote-node", Reserved::RemoteNode),
        ("world-ipv4", Reserved::WorldIpv4),
        ("world-ipv6", Reserved::WorldIpv6),
    ];

    /// Cilium's number.
    pub fn number(self) -> u32 {
        match self {
            Reserved::Host => 1,
            Reserved::RemoteNode => 6,
            Reserved::WorldIpv4 => 9,
            Reserved::WorldIpv6 => 10,
        }
    }

    fn label(self) -> String {
        let name = Self::ALL.iter().find(|(_, reserved)| *reserved == self).map_or("", |(name, _)| name);
        format!("reserved:{name}")
    }
}

/// Who an address is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Who {
    identity: u32,
    cluster: String,
    namespace: String,
    pod: String,
    labels: Texts<'static>,
    workloads: Vec<(String, String)>,
    service: Option<(String, String)>,
    names: Texts<'static>,
    local: bool,
    this_host: bool,
}

impl Who {
    /// A reserved identity and nothing else.
    pub(super) fn reserved(reserved: Reserved) -> Self {
        Who { identity: reserved.number(), labels: [reserved.label()].iter().collect(), ..Who::default() }
    }

    /// This host.
    pub(super) fn host() -> Self {
        Who { local: true, this_host: true, ..Who::reserved(Reserved::Host) }
    }

    /// What a file says of an address or network, seen from a node.
    pub(super) fn of(known: &Known, network: Network, node: &str) -> Self {
        let is_workload = !known.namespace.is_empty() || !known.pod.is_empty() || !known.workloads.is_empty();
        let world = if network.address.is_ipv4() { Reserved::WorldIpv4 } else { Reserved::WorldIpv6 };
        let reserved = known.reserved.or((!is_workload && known.labels.is_empty()).then_some(world));
        let base = reserved.map(Who::reserved).unwrap_or_default();
        let mut labels: Vec<String> = base.labels.iter().map(|label| label.into_owned()).chain(known.labels.iter().cloned()).collect();
        labels.sort();
        labels.dedup();
        let here = if known.node.is_empty() { is_workload && network.is_single() } else { known.node == node };
        Who {
            identity: known.identity.unwrap_or(base.identity),
            cluster: known.cluster.clone(),
            namespace: known.namespace.clone(),
            pod: known.pod.clone(),
            labels: labels.iter().collect(),
            workloads: known.workloads.clone(),
            service: known.service.clone(),
            names: known.names.iter().collect(),
            local: here || reserved == Some(Reserved::Host),
            this_host: reserved == Some(Reserved::Host),
        }
    }

    /// The same, at an address of this host.
    pub(super) fn on_this_host(self) -> Self {
        let host = Who::host();
        let plain = self.pod.is_empty() && self.namespace.is_empty();
        Who {
            identity: if plain { host.identity } else { self.identity },
            labels: if plain { host.labels } else { self.labels },
            local: true,
            this_host: true,
            ..self
        }
    }

    /// Hubble's endpoint, without the node-local number that only Cilium has.
    pub fn endpoint(&self) -> Endpoint<'_> {
        Endpoint {
            identity: self.identity,
            cluster_name: self.cluster.as_str().into(),
            namespace: self.namespace.as_str().into(),
            labels: self.labels.clone(),
            pod_name: self.pod.as_str().into(),
            workloads: self
                .workloads
                .iter()
                .map(|(kind, name)| Workload { name: name.as_str().into(), kind: kind.as_str().into(), ..Workload::default() })
                .collect::<Few<_>>(),
            ..Endpoint::default()
        }
    }

    /// DNS names of the address.
    pub fn names(&self) -> Texts<'_> {
        self.names.clone()
    }

    /// The service whose frontend it is.
    pub fn service(&self) -> Option<Service<'_>> {
        let (namespace, name) = self.service.as_ref()?;
        Some(Service { name: name.as_str().into(), namespace: namespace.as_str().into(), ..Service::default() })
    }

    /// Whether it is on this node: the host itself, or a pod here.
    pub fn is_local(&self) -> bool {
        self.local
    }

    /// Whether it is an address of this host.
    pub fn is_this_host(&self) -> bool {
        self.this_host
    }
}
