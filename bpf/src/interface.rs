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
    /// What passed it before that, unobserved: its own counters less what the programs have counted.
    pub before: LinkCounters,
    /// `before` is settled, and was told by [`InterfaceChange::Compared`].
    pub compared: bool,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterfaceChange {
    /// The programs are attached now.
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
        /// Its own last counters, where the kernel still told them: never less than `before` and what was counted. A
        /// veth that came and went unseen tells only what it transmitted.
        last: Option<LinkCounters>,
        /// What the programs counted on it.
        counted: Box<crate::InterfaceCounters>,
        /// When, in nanoseconds of the boot clock.
        boot_ns: u64,
    },
}
