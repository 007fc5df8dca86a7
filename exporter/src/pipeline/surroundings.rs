//! What surrounds an event and does not come with it: names and kinds of interfaces, names of drop reasons, this node's name.
//!
//! One copy is shared by all flow logs. Whoever learns something new replaces it whole; a flow log takes the new copy before its next frame, by comparing a
//! generation number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::flow::DropReason;

/// What kind of interface this is, as far as observation points need it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The host side of a pod's veth.
    Pod,
    /// `lo`.
    Loopback,
    /// Anything else: the uplink, a tunnel, a bridge.
    #[default]
    Network,
}

/// How long the name of an interface that vanished is kept, nanoseconds: longer than the kernel keeps any row, and than windows are as a rule.
const FORGET_AFTER: i64 = 3_600_000_000_000;

/// One state of the surroundings.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Interfaces by index. One that vanished stays for a while: its last reports come after it.
    pub interfaces: HashMap<u32, (String, Side)>,
    /// Those that vanished, and when on the boot clock.
    pub vanished: HashMap<u32, i64>,
    /// The running kernel's drop reasons.
    pub drop_reasons: HashMap<u32, String>,
    /// `cluster/node`, or the bare node where the cluster is `default` or has no name (Hubble digest §2.1).
    pub node_name: String,
    /// How often the kernel reports a row that is in use.
    pub report_interval: Duration,
}

impl Default for Surroundings {
    fn default() -> Self {
        let report_interval = flowlog_bpf::Times::default().report_interval;
        let (interfaces, vanished, drop_reasons, node_name) = Default::default();
        Self { interfaces, vanished, drop_reasons, node_name, report_interval }
    }
}

impl Surroundings {
    /// Name and kind of an interface; empty and `Network` when it is not known.
    #[must_use]
    pub fn interface(&self, ifindex: u32) -> (&str, Side) {
        self.interfaces.get(&ifindex).map_or(("", Side::Network), |(name, side)| (name, *side))
    }

    /// An interface is watched from now on, boot clock. Those that vanished long ago are forgotten: on a node where pods come and go each copy would have more.
    pub fn attached(&mut self, ifindex: u32, name: &str, side: Side, now: i64) {
        self.vanished.remove(&ifindex);
        let Self { interfaces, vanished, .. } = self;
        vanished.retain(|index, since| {
            let stays = now.saturating_sub(*since) < FORGET_AFTER;
            if !stays {
                interfaces.remove(index);
            }
            stays
        });
        interfaces.insert(ifindex, (name.to_owned(), side));
    }

    /// An interface is gone.
    pub fn gone(&mut self, ifindex: u32, now: i64) {
        self.vanished.insert(ifindex, now);
    }

    /// Whether an interface that `before` knew has another name here.
    #[must_use]
    pub fn renames(&self, before: &Self) -> bool {
        before.interfaces.iter().any(|(index, known)| self.interfaces.get(index).is_some_and(|now| now != known))
    }

    /// The kernel's name of a drop reason, and Hubble's reason where one fits.
    #[must_use]
    pub fn drop_reason(&self, reason: u32) -> (&str, DropReason) {
        let name = self.drop_reasons.get(&reason).map_or("", String::as_str);
        (name, hubble_drop_reason(name))
    }
}

/// The node's name as it stands in flows.
#[must_use]
pub fn absolute_node_name(cluster: &str, node: &str) -> String {
    if cluster.is_empty() || cluster == "default" { node.to_owned() } else { format!("{cluster}/{node}") }
}

/// Hubble's reason for a kernel reason (`enum skb_drop_reason`, include/net/dropreason-core.h), where one means the same.
#[must_use]
pub fn hubble_drop_reason(kernel: &str) -> DropReason {
    match kernel {
        "NETFILTER_DROP" | "XFRM_POLICY" | "BPF_CGROUP_EGRESS" | "TC_INGRESS" | "TC_EGRESS" | "XDP" => DropReason::POLICY_DENIED,
        "IP_RPFILTER" | "IP_INVALID_SOURCE" | "IP_LOCAL_SOURCE" => DropReason::INVALID_SOURCE_IP,
        "IP_OUTNOROUTES" | "IP_INNOROUTES" => DropReason::STALE_OR_UNROUTABLE_IP,
        "IP_INVALID_DEST" | "NEIGH_FAILED" | "NEIGH_DEAD" | "NEIGH_QUEUEFULL" | "NEIGH_CREATEFAIL" => DropReason::UNKNOWN_L3_TARGET_ADDRESS,
        "UNHANDLED_PROTO" => DropReason::UNSUPPORTED_L3_PROTOCOL,
        "IP_NOPROTO" => DropReason::UNKNOWN_L4_PROTOCOL,
        "IP_CSUM" | "TCP_CSUM" | "UDP_CSUM" | "ICMP_CSUM" | "IP_INHDR" | "PKT_TOO_SMALL" | "HDR_TRUNC" => {
            DropReason::INVALID_PACKET_DROPPED
        }
        _ => DropReason::DROP_REASON_UNKNOWN,
    }
}

/// True of a drop that Hubble has no reason for: its line's Summary then begins with the kernel's.
#[must_use]
pub fn hubble_lacks(kernel: &str) -> bool {
    !kernel.is_empty() && hubble_drop_reason(kernel) == DropReason::DROP_REASON_UNKNOWN
}

/// The shared holder.
#[derive(Debug, Default)]
pub struct Shared<T> {
    value: Mutex<Arc<T>>,
    generation: AtomicU64,
}

impl<T> Shared<T> {
    /// Holds `value` as generation 1.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(Arc::new(value)), generation: AtomicU64::new(1) }
    }

    /// The present value.
    #[must_use]
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the present value; changes with each replacement.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Replaces the value.
    pub fn replace(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl<T: Clone> Shared<T> {
    /// Changes a copy of the value and replaces it.
    pub fn change(&self, change: impl FnOnce(&mut T)) {
        let mut value = T::clone(&self.get());
        change(&mut value);
        self.replace(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_with_its_cluster_unless_that_is_the_default_one() {
        assert_eq!(absolute_node_name("prod", "n1"), "prod/n1");
        assert_eq!(absolute_node_name("default", "n1"), "n1");
        assert_eq!(absolute_node_name("", "n1"), "n1");
    }

    #[test]
    fn what_a_firewall_drops_is_a_denied_policy_and_a_full_queue_is_not() {
        assert_eq!(hubble_drop_reason("NETFILTER_DROP"), DropReason::POLICY_DENIED);
        assert_eq!(hubble_drop_reason("QDISC_DROP"), DropReason::DROP_REASON_UNKNOWN);
    }

    #[test]
    fn an_interface_that_vanished_is_forgotten_after_a_while_and_one_of_its_index_is_not() {
        let mut around = Surroundings::default();
        for pod in 0..10_000 {
            let now = i64::from(pod) * FORGET_AFTER / 10;
            around.attached(pod, &format!("veth{pod}"), Side::Pod, now);
            assert_eq!(around.interface(pod.saturating_sub(9)).0, format!("veth{}", pod.saturating_sub(9)));
            around.gone(pod, now);
        }
        assert_eq!((around.interfaces.len(), around.vanished.len()), (10, 10));
        around.attached(9_999, "eth7", Side::Network, 0);
        around.attached(1, "veth1", Side::Pod, i64::MAX);
        assert_eq!((around.interface(9_999).0, around.interface(9_998).0), ("eth7", ""));
    }

    #[test]
    fn a_reader_sees_a_replacement_by_its_generation() {
        let shared = Shared::new(1);
        let before = shared.generation();
        shared.change(|value| *value += 1);
        assert_eq!((*shared.get(), shared.generation() != before), (2, true));
    }
}
