//! What the kernel programs write into the ring, and how it is read: the layouts of `programs/report.h`.
//!
//! Promises: decoding never panics, never allocates, never reads past its input, and steps over what it can't read
//! (an unknown version or kind, a wrong size) by the length the kernel gave, reporting it as [`Malformed`].
//! It does not say what an event means (verdict, direction, names): that is the exporter's.
//! Every record carries a layout version, so bytes kept in an intake on disk can be read by a later release. A
//! release reads its own version and the one before; version 1 is the first.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::fmt;

pub(crate) use decode::{BUSY, DISCARDED, unpack};
pub use decode::{Events, iterate};

/// The layout this release writes and reads. Raised with every change of `programs/report.h`.
pub const LAYOUT_VERSION: u8 = 1;

/// Bytes the kernel puts before every ring record: `u32` length with two flag bits, `u32` page offset.
pub const RING_HEADER: usize = 8;

/// One record out of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What a flow's row counted since its last report.
    Flow(FlowReport),
    /// Packets of a flow that the kernel dropped for one reason, since the last report.
    Drop(DropReport),
    /// Packets of flows that found no row of their own, summed without the ephemeral port.
    Fold(FoldReport),
    /// Packets that were counted and nothing more: neither a row nor a fold row had room.
    Unattributed(UnattributedReport),
}

/// Packets and bytes as on the wire: GSO super-packets are counted as the segments they become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes from the link-layer header on (a removed VLAN tag included).
    pub bytes: u64,
}

/// What one side of a flow saw of TCP in a delta. Zeros for other protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Segments with SYN.
    pub syn: u32,
    /// Segments with FIN.
    pub fin: u32,
    /// Segments with RST.
    pub rst: u32,
    /// Flags OR-ed: bits as in byte 13 of the header, NS as bit 8.
    pub flags: u16,
}

/// The 5-tuple of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Source address; IPv4 as `::ffff:a.b.c.d`.
    pub source: [u8; 16],
    /// Destination address; IPv4 as `::ffff:a.b.c.d`.
    pub destination: [u8; 16],
    /// TCP, UDP or SCTP port; the type of an ICMP message; 0 for other protocols and later fragments.
    pub source_port: u16,
    /// TCP, UDP or SCTP port; the code of an ICMP message; 0 for other protocols and later fragments.
    pub destination_port: u16,
    /// IP protocol number; for IPv6 the last header's.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
}

/// Why the kernel reported a row now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The first packet of one side of the row.
    First,
    /// A TCP SYN, FIN or RST not yet seen on that side.
    Flag,
    /// The report interval passed, a counter was half full, or an interface went away.
    Interval,
    /// No packet for the idle time.
    Idle,
    /// Idle after FIN or RST.
    Closed,
    /// The programs are being taken away.
    Detach,
}

/// Which encapsulation the flow was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelKind {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
}

/// The outer header of an encapsulated flow's first packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Encapsulation.
    pub kind: TunnelKind,
    /// Outer source address, IPv4 mapped.
    pub source: [u8; 16],
    /// Outer destination address, IPv4 mapped.
    pub destination: [u8; 16],
    /// Outer UDP source port.
    pub source_port: u16,
    /// Outer UDP destination port.
    pub destination_port: u16,
    /// Virtual network identifier, 24 bits.
    pub vni: u32,
}

/// A flow's delta: counts since the report before. Times are nanoseconds of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowReport {
    /// Whose.
    pub key: FlowKey,
    /// Why now.
    pub why: Why,
    /// When it was reported.
    pub boot_ns: u64,
    /// First packet this delta covers.
    pub first_ns: u64,
    /// Last packet this delta covers.
    pub last_ns: u64,
    /// Seen at ingress of `entered_ifindex`.
    pub entered: Count,
    /// Seen at egress of `left_ifindex`, having come in through an interface.
    pub left_after_entering: Count,
    /// Seen at egress of `left_ifindex`, made on this host.
    pub left_from_here: Count,
    /// Sightings at further interfaces.
    pub other: Count,
    /// TCP as seen at ingress of `entered_ifindex`.
    pub entered_tcp: Tcp,
    /// TCP as seen at egress of `left_ifindex`.
    pub left_tcp: Tcp,
    /// Interface that counts `entered`; 0 if none did.
    pub entered_ifindex: u32,
    /// Interface that counts what left; 0 if none did.
    pub left_ifindex: u32,
    /// Of the first packet; zeros on an L3 device.
    pub source_mac: [u8; 6],
    /// Of the first packet; zeros on an L3 device.
    pub destination_mac: [u8; 6],
    /// First seen on an interface without Ethernet header.
    pub l3_device: bool,
    /// Fragments were seen.
    pub fragment: bool,
    /// VLAN id of the first packet (12 bits).
    pub vlan: Option<u16>,
    /// The outer header, when the flow was found inside a tunnel.
    pub tunnel: Option<Tunnel>,
    /// Whether the packet that began the row answered: a SYN with ACK, or, without TCP, one whose reverse tuple had opened.
    /// `None`: a connection that had been opened before, or ICMP, whose types say it.
    pub reply: Option<bool>,
    /// The row was freed with this report.
    pub last: bool,
}

/// Packets of one tuple dropped for one reason. Times are nanoseconds of the boot clock.
///
/// A packet for this host may be dropped after it was delivered (`NO_SOCKET`, a full socket buffer): it entered as well.
/// The kernel also says `NO_SOCKET` of an echo reply that a raw socket has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropReport {
    /// Whose.
    pub key: FlowKey,
    /// Why now.
    pub why: Why,
    /// When it was reported.
    pub boot_ns: u64,
    /// First drop this delta covers.
    pub first_ns: u64,
    /// Last drop this delta covers.
    pub last_ns: u64,
    /// OR of the TCP flags of what this delta covers.
    pub tcp_flags: u16,
    /// Number of the running kernel's `enum skb_drop_reason`; see `Reasons`.
    pub reason: u32,
    /// How much.
    pub count: Count,
    /// Behind the egress hook (queue, device), in another network namespace, or a clone: not between the two hooks.
    pub after: bool,
    /// The packet had come in through an interface (else it was made on this host).
    pub entered: bool,
    /// A fragment.
    pub fragment: bool,
    /// Device of the first dropped packet; 0 if it had none.
    pub ifindex: u32,
    /// The row was freed with this report.
    pub last: bool,
}

/// What was counted without a row of its own. Times are nanoseconds of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoldReport {
    /// The tuple with its ephemeral port set to 0.
    pub key: FlowKey,
    /// Why now.
    pub why: Why,
    /// When it was reported.
    pub boot_ns: u64,
    /// First packet this delta covers.
    pub first_ns: u64,
    /// Last packet this delta covers.
    pub last_ns: u64,
    /// Seen at ingress of `entered_ifindex`.
    pub entered: Count,
    /// Seen at egress, having come in through an interface.
    pub left_after_entering: Count,
    /// Seen at egress, made on this host.
    pub left_from_here: Count,
    /// Sightings at further interfaces.
    pub other: Count,
    /// TCP as seen at ingress of `entered_ifindex`.
    pub entered_tcp: Tcp,
    /// TCP as seen at egress of `left_ifindex`.
    pub left_tcp: Tcp,
    /// Interface that counts `entered`; 0 if none did.
    pub entered_ifindex: u32,
    /// Interface that counts what left; 0 if none did.
    pub left_ifindex: u32,
    /// The row was freed with this report.
    pub last: bool,
}

/// Packets that found no row at all. Times are nanoseconds of the boot clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnattributedReport {
    /// When it was reported.
    pub boot_ns: u64,
    /// First packet this delta covers.
    pub first_ns: u64,
    /// Last packet this delta covers.
    pub last_ns: u64,
    /// At ingress.
    pub entered: Count,
    /// At egress.
    pub left: Count,
}

/// A record that could not be read. It was stepped over; the next one is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where its ring header starts in the bytes given to [`iterate`].
    pub offset: usize,
    /// What is wrong with it.
    pub why: MalformedWhy,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedWhy {
    /// The bytes end inside the record; nothing after it can be read.
    Truncated,
    /// The record was not complete yet when it was copied; nothing after it can be read.
    Unfinished,
    /// A layout version this release does not read.
    Version(u8),
    /// A kind this release does not know.
    Kind(u8),
    /// The size does not fit its kind.
    Size(u16),
    /// A field holds a value outside its enumeration.
    Field(&'static str),
}

impl Event {
    /// When it was reported, in nanoseconds of the boot clock.
    #[must_use]
    pub fn boot_ns(&self) -> u64 {
        match self {
            Self::Flow(report) => report.boot_ns,
            Self::Drop(report) => report.boot_ns,
            Self::Fold(report) => report.boot_ns,
            Self::Unattributed(report) => report.boot_ns,
        }
    }

    /// The tuple it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&FlowKey> {
        match self {
            Self::Flow(report) => Some(&report.key),
            Self::Drop(report) => Some(&report.key),
            Self::Fold(report) => Some(&report.key),
            Self::Unattributed(_) => None,
        }
    }
}

impl FlowKey {
    /// The tuple of the other direction; that of an ICMP message has a type of its own instead.
    #[must_use]
    pub fn reversed(&self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            ..*self
        }
    }
}

impl Count {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Count) {
        self.packets = self.packets.wrapping_add(other.packets);
        self.bytes = self.bytes.wrapping_add(other.bytes);
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "ring record at byte {}: ", self.offset)?;
        match self.why {
            MalformedWhy::Truncated => write!(to, "cut short"),
            MalformedWhy::Unfinished => write!(to, "not finished by the kernel"),
            MalformedWhy::Version(version) => {
                write!(to, "layout version {version}, this release reads version {LAYOUT_VERSION}; use the release that wrote it")
            }
            MalformedWhy::Kind(kind) => write!(to, "unknown kind {kind}"),
            MalformedWhy::Size(size) => write!(to, "size {size} does not fit its kind"),
            MalformedWhy::Field(name) => write!(to, "field {name} out of range"),
        }
    }
}

impl std::error::Error for Malformed {}
