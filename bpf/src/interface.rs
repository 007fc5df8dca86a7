//! Interfaces as the caller sees them.

use crate::event::Count;

/// The kernel's own counters of an interface (rtnetlink `IFLA_STATS64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Received.
    pub received: Count,
    /// Transmitted.
    pub transmitted: Count,
}

impl LinkCounters {
    fn with(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        let count = |one: Count, other: Count| Count { packets: each(one.packets, other.packets), bytes: each(one.bytes, other.bytes) };
        Self { received: count(self.received, other.received), transmitted: count(self.transmitted, other.transmitted) }
    }

    /// Both together.
    pub(crate) fn plus(self, other: Self) -> Self {
        self.with(other, u64::wrapping_add)
    }

    /// What is more than the other; 0 where nothing is.
    pub(crate) fn less(self, other: Self) -> Self {
        self.with(other, |one, other| one.wrapping_sub(other).cast_signed().max(0).cast_unsigned())
    }

    /// The difference, which may be below zero (two's complement): [`Self::plus`] and [`Self::less`] go on from there.
    pub(crate) fn minus(self, other: Self) -> Self {
        self.with(other, u64::wrapping_sub)
    }

    /// The smaller of each.
    pub(crate) fn smaller(self, other: Self) -> Self {
        self.with(other, u64::min)
    }

    /// The greater of each.
    pub(crate) fn greater(self, other: Self) -> Self {
        self.with(other, u64::max)
    }
}

/// How the programs hang on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// tcx links.
    Tcx,
    /// clsact filters.
    Clsact,
}

/// An interface the programs are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Index, unique while it lives.
    pub ifindex: u32,
    /// Name; may change.
    pub name: String,
    /// No Ethernet header (TUN, WireGuard, raw IP).
    pub l3: bool,
    /// The host side of a pod's veth or netkit: its other end is in another network namespace.
    pub pod: bool,
    /// How.
    pub attached: Attached,
    /// When, in nanoseconds of the boot clock.
    pub attached_boot_ns: u64,
    /// What passed it before that, unobserved: its own counters less what the programs have counted, and less what was counted and declared of it in an
    /// earlier attachment.
    pub before: LinkCounters,
    /// `before` is settled, and was told by [`InterfaceChange::Compared`].
    pub compared: bool,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    /// The programs are attached now, or have been and it has become a pod's, or ceased to be.
    Attached(Interface),
    /// What went unobserved before the programs were attached is settled.
    Compared(Interface),
    /// The programs could not be attached; it is tried again at the next change.
    Refused {
        /// Index.
        ifindex: u32,
        /// Name.
        name: String,
        /// Why not, and what to do.
        why: String,
    },
    /// It has another name now.
    Renamed {
        /// Index.
        ifindex: u32,
        /// New name.
        name: String,
    },
    /// It is gone, or no longer chosen. Its rows have been reported.
    Vanished {
        /// What it was.
        interface: Interface,
        /// Its own last counters, where the kernel still told them, less what was told of it in an earlier attachment: never less than `before` and
        /// what was counted. A veth that came and went unseen tells only what it transmitted.
        last: Option<LinkCounters>,
        /// What the programs counted on it.
        counted: Box<crate::InterfaceCounters>,
        /// When, in nanoseconds of the boot clock.
        boot_ns: u64,
    },
}
