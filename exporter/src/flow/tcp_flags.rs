//! TCP flags as a set of bits, numbered like the fields of Hubble's TCPFlags message.

use super::Unknown;
use super::fields::{Below, FieldInfo, Fields};
use super::value::IntoStatic;

const fn flag(name: &'static str, key: &'static str, number: u32) -> FieldInfo {
    FieldInfo { name, key, number, below: Below::Nothing }
}

/// A set of TCP flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u16);

impl Flags {
    /// Sender is done.
    pub const FIN: Self = Self(1);
    /// Opens a connection.
    pub const SYN: Self = Self(1 << 1);
    /// Aborts a connection.
    pub const RST: Self = Self(1 << 2);
    /// Push.
    pub const PSH: Self = Self(1 << 3);
    /// Acknowledges.
    pub const ACK: Self = Self(1 << 4);
    /// Urgent pointer counts.
    pub const URG: Self = Self(1 << 5);
    /// Congestion was seen.
    pub const ECE: Self = Self(1 << 6);
    /// Congestion window was reduced.
    pub const CWR: Self = Self(1 << 7);
    /// Nonce sum, bit 8 of the header's flags.
    pub const NS: Self = Self(1 << 8);

    /// In the order they are written in JSON; the bit is the position, the protobuf number one more.
    pub(crate) const FIELDS: Fields = Fields::new(
        "flow.TCPFlags",
        &[
            flag("FIN", "\"FIN\":", 1),
            flag("SYN", "\"SYN\":", 2),
            flag("RST", "\"RST\":", 3),
            flag("PSH", "\"PSH\":", 4),
            flag("ACK", "\"ACK\":", 5),
            flag("URG", "\"URG\":", 6),
            flag("ECE", "\"ECE\":", 7),
            flag("CWR", "\"CWR\":", 8),
            flag("NS", "\"NS\":", 9),
        ],
    );

    /// Whether all of `flags` are set.
    pub const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both sets together.
    pub const fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// From the flags of a TCP header, where bits 0 to 7 are FIN to CWR and bit 8 is NS: the same numbering.
    pub const fn from_header(bits: u16) -> Self {
        Self(bits & 0x1ff)
    }
}

/// The `flags` of a TCP flow.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TcpFlags<'a> {
    /// Which are set.
    pub set: Flags,
    /// Fields this build does not know, kept for passing on.
    pub unknown: Unknown<'a>,
}

impl From<Flags> for TcpFlags<'_> {
    fn from(set: Flags) -> Self {
        Self { set, unknown: Unknown::default() }
    }
}

impl IntoStatic for TcpFlags<'_> {
    type Static = TcpFlags<'static>;

    fn into_static(self) -> TcpFlags<'static> {
        TcpFlags { set: self.set, unknown: self.unknown.into_static() }
    }
}
