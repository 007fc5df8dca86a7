//! What the kernel counts beside the rows, as the accounting of guarantee 1 needs it. All cumulative since the pins
//! were made, never reset.

use std::collections::BTreeMap;

use crate::LinkCounters;
use crate::event::Count;

/// One reading of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per interface; one that vanished keeps its line until the caller has seen it in an
    /// [`crate::InterfaceChange::Vanished`].
    pub interfaces: Vec<InterfaceCounters>,
    /// Records written into the rings.
    pub ring_records: u64,
    /// Reports that found the ring full; their counts stayed in the rows.
    pub ring_full: u64,
    /// Flow rows made.
    pub rows_made: u64,
    /// Flow rows freed. In use: made − freed.
    pub rows_freed: u64,
    /// Flow rows there is room for.
    pub rows_capacity: u64,
    /// Fold rows made.
    pub fold_rows_made: u64,
    /// Fold rows freed.
    pub fold_rows_freed: u64,
    /// Times a side of a row changed its interface.
    pub owners_moved: u64,
    /// Packets whose row's counter was half full and could not be reported; they went to a fold row.
    pub half_full: u64,
    /// Packets that met a row being freed; they went to a fold row.
    pub met_dead_row: u64,
    /// Packets seen on an interface that has no counters (between two attachments).
    pub unknown_interface: u64,
    /// Dropped packets counted in drop rows.
    pub drops_counted: Count,
    /// Dropped packets that found no drop row.
    pub drops_unattributed: Count,
    /// Dropped packets without a readable IP header.
    pub drops_unparsed: u64,
    /// Packets freed without a reason (`NOT_SPECIFIED`): not taken for drops.
    pub drops_unspecified: u64,
    /// Segments freed by a socket that needed them no more: they had arrived.
    pub drops_spent: u64,
}

/// Packets of one interface: `seen = unparsed + rows + other + folded + unattributed`, each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceCounters {
    /// Interface index.
    pub ifindex: u32,
    /// At ingress.
    pub entered: SideCounters,
    /// At egress.
    pub left: SideCounters,
}

impl InterfaceCounters {
    /// What the programs were run for, beside the interface's own counters.
    pub(crate) fn seen(&self) -> LinkCounters {
        LinkCounters { received: self.entered.seen, transmitted: self.left.seen }
    }
}

/// One direction of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideCounters {
    /// Everything the program was run for.
    pub seen: Count,
    /// Not IP, or not readable: see [`Unparsed`].
    pub unparsed: Count,
    /// Of these, by reason, packets only.
    pub unparsed_by: [u64; Unparsed::ALL.len()],
    /// Counted in a row whose side belongs to another interface.
    pub other: Count,
    /// Counted in a fold row.
    pub folded: Count,
    /// Counted in no row at all.
    pub unattributed: Count,
}

impl SideCounters {
    /// What must have been, or still is to be, reported by rows whose side belongs to this interface.
    pub fn in_rows(&self) -> Count {
        let rest = |seen: u64, others: [u64; 4]| others.iter().fold(seen, |left, other| left.wrapping_sub(*other));
        let others = [self.unparsed, self.other, self.folded, self.unattributed];
        Count {
            packets: rest(self.seen.packets, others.map(|count| count.packets)),
            bytes: rest(self.seen.bytes, others.map(|count| count.bytes)),
        }
    }
}

/// Why a packet has no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsed {
    /// Neither IPv4 nor IPv6 (ARP, LLDP, MPLS …).
    NotIp,
    /// The frame ends inside a header.
    Truncated,
    /// The version or header length contradicts the protocol.
    BadHeader,
    /// More IPv6 extension headers than are walked.
    ExtensionHeaders,
    /// More than one VLAN tag inside the frame.
    VlanDepth,
}

impl Unparsed {
    /// Every reason, in the order the kernel counts them.
    pub const ALL: [Self; 5] = [Self::NotIp, Self::Truncated, Self::BadHeader, Self::ExtensionHeaders, Self::VlanDepth];

    /// The word for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotIp => "not_ip",
            Self::Truncated => "truncated",
            Self::BadHeader => "bad_header",
            Self::ExtensionHeaders => "extension_headers",
            Self::VlanDepth => "vlan_depth",
        }
    }
}

/// What the kernel has counted and not reported yet: guarantee 1's "rows unreported".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unreported {
    /// In flow rows, by the interface that counts what entered.
    pub entered: BTreeMap<u32, Count>,
    /// In flow rows, by the interface that counts what left.
    pub left: BTreeMap<u32, Count>,
    /// In flow rows, sightings at further interfaces.
    pub other: Count,
    /// In fold rows.
    pub folded: Count,
    /// In no row.
    pub unattributed: Count,
    /// In drop rows.
    pub dropped: Count,
}
