//! From ring bytes to [`Event`]s. See [`super`] for what is promised.

use super::{
    Count, DropReport, Event, FlowKey, FlowReport, FoldReport, LAYOUT_VERSION, Malformed, MalformedWhy, RING_HEADER, Tcp, Tunnel,
    TunnelKind, UnattributedReport, Why,
};

/// Set in a ring header's length while the record is still being written.
pub(crate) const BUSY: u32 = 1 << 31;
/// Set in a ring header's length when the writer gave the record up.
pub(crate) const DISCARDED: u32 = 1 << 30;

pub(super) const KIND_FLOW: u8 = 1;
pub(super) const KIND_DROP: u8 = 2;
pub(super) const KIND_FOLD: u8 = 3;
pub(super) const KIND_UNATTRIBUTED: u8 = 4;

const HEADER_SIZE: usize = 16;
const KEY_SIZE: usize = 40;
const FLOW_SIZE: usize = 160;
const TUNNEL_SIZE: usize = 40;
const TCP_SIZE: usize = 16;
const DROP_SIZE: usize = 96;
const FOLD_SIZE: usize = 176;
const UNATTRIBUTED_SIZE: usize = 64;
const _: () = assert!(HEADER_SIZE + KEY_SIZE + 6 * 8 + 2 * TCP_SIZE + 8 + 16 == FLOW_SIZE);
const _: () = assert!(HEADER_SIZE + KEY_SIZE + 3 * 8 + 8 + 8 == DROP_SIZE);
const _: () = assert!(HEADER_SIZE + KEY_SIZE + 10 * 8 + 2 * TCP_SIZE + 8 == FOLD_SIZE);
const _: () = assert!(HEADER_SIZE + 6 * 8 == UNATTRIBUTED_SIZE);

pub(super) const BIT_LAST: u8 = 1;
pub(super) const BIT_L3_DEVICE: u8 = 2;
pub(super) const BIT_FRAGMENT: u8 = 4;
pub(super) const BIT_TUNNEL: u8 = 8;
pub(super) const BIT_AFTER: u8 = 16;
pub(super) const BIT_ENTERED: u8 = 32;
pub(super) const BIT_VLAN: u8 = 64;
pub(super) const BEGAN_OPENING: u8 = 1;
pub(super) const BEGAN_ANSWERING: u8 = 2;

/// Reads raw ring bytes, the kernel's 8-byte record headers included, as [`crate::Ring::peek`] lends them and an
/// intake stores them. Discarded records are skipped. Allocates nothing.
pub fn iterate(bytes: &[u8]) -> Events<'_> {
    Events { bytes, offset: 0 }
}

/// The records of a run of ring bytes; see [`iterate`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Events<'_> {
    fn stop(&mut self, why: MalformedWhy) -> Option<Result<Event, Malformed>> {
        let offset = self.offset;
        self.offset = self.bytes.len();
        Some(Err(Malformed { offset, why }))
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.offset..)?;
            if rest.is_empty() {
                return None;
            }
            let Some((ring_header, rest)) = rest.split_first_chunk::<RING_HEADER>() else {
                return self.stop(MalformedWhy::Truncated);
            };
            let word = u32::from_ne_bytes([ring_header[0], ring_header[1], ring_header[2], ring_header[3]]);
            if word & BUSY != 0 {
                return self.stop(MalformedWhy::Unfinished);
            }
            let length = (word & !(BUSY | DISCARDED)) as usize;
            let Some(record) = rest.get(..length) else {
                return self.stop(MalformedWhy::Truncated);
            };
            let offset = self.offset;
            self.offset += RING_HEADER + length.next_multiple_of(8);
            if word & DISCARDED == 0 {
                return Some(decode(record).map_err(|why| Malformed { offset, why }));
            }
        }
    }
}

/// Reads one record without its ring header.
fn decode(record: &[u8]) -> Result<Event, MalformedWhy> {
    let mut fields = Fields { rest: record };
    let header = Header::read(&mut fields)?;
    let size = usize::from(header.size);
    let fits = size <= record.len()
        && match header.kind {
            KIND_FLOW if header.has(BIT_TUNNEL) => size == FLOW_SIZE + TUNNEL_SIZE,
            KIND_FLOW => size == FLOW_SIZE,
            KIND_DROP => size == DROP_SIZE,
            KIND_FOLD => size == FOLD_SIZE,
            KIND_UNATTRIBUTED => size == UNATTRIBUTED_SIZE,
            kind => return Err(MalformedWhy::Kind(kind)),
        };
    if !fits {
        return Err(MalformedWhy::Size(header.size));
    }
    match header.kind {
        KIND_FLOW => decode_flow(&header, &mut fields).map(Event::Flow),
        KIND_DROP => decode_drop(&header, &mut fields).map(Event::Drop),
        KIND_FOLD => decode_fold(&header, &mut fields).map(Event::Fold),
        _ => decode_unattributed(&header, &mut fields).map(Event::Unattributed),
    }
}

/// Splits a packed word: bits 0..=38 bytes, bits 39..=62 packets, bit 63 the row's dead mark.
pub(crate) fn unpack(word: u64) -> Count {
    Count { packets: (word >> 39) & 0xff_ffff, bytes: word & ((1 << 39) - 1) }
}

struct Header {
    kind: u8,
    size: u16,
    why: u8,
    bits: u8,
    vlan: u16,
    boot_ns: u64,
}

impl Header {
    fn read(fields: &mut Fields<'_>) -> Result<Self, MalformedWhy> {
        let version = fields.u8()?;
        if version != LAYOUT_VERSION {
            return Err(MalformedWhy::Version(version));
        }
        Ok(Self {
            kind: fields.u8()?,
            size: fields.u16()?,
            why: fields.u8()?,
            bits: fields.u8()?,
            vlan: fields.u16()?,
            boot_ns: fields.u64()?,
        })
    }

    fn has(&self, bit: u8) -> bool {
        self.bits & bit != 0
    }

    fn why(&self) -> Result<Why, MalformedWhy> {
        Ok(match self.why {
            1 => Why::First,
            2 => Why::Flag,
            3 => Why::Interval,
            4 => Why::Idle,
            5 => Why::Closed,
            6 => Why::Detach,
            _ => return Err(MalformedWhy::Field("why")),
        })
    }
}

/// Takes fixed-size fields off the front; running out is an error, never a panic.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedWhy> {
        let (field, rest) = self.rest.split_first_chunk::<N>().ok_or(MalformedWhy::Truncated)?;
        self.rest = rest;
        Ok(*field)
    }

    fn u8(&mut self) -> Result<u8, MalformedWhy> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> Result<u16, MalformedWhy> {
        Ok(u16::from_ne_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, MalformedWhy> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, MalformedWhy> {
        Ok(u64::from_ne_bytes(self.array()?))
    }

    fn packed(&mut self) -> Result<Count, MalformedWhy> {
        Ok(unpack(self.u64()?))
    }

    fn tcp(&mut self) -> Result<Tcp, MalformedWhy> {
        Ok(Tcp { syn: self.u32()?, fin: self.u32()?, rst: self.u32()?, flags: self.u32()? as u16 })
    }

    fn key(&mut self) -> Result<FlowKey, MalformedWhy> {
        let key = FlowKey {
            source: self.array()?,
            destination: self.array()?,
            source_port: self.u16()?,
            destination_port: self.u16()?,
            protocol: self.u8()?,
            family: self.u8()?,
        };
        self.u16()?;
        if key.family != 4 && key.family != 6 {
            return Err(MalformedWhy::Field("family"));
        }
        Ok(key)
    }

    fn tunnel(&mut self) -> Result<Tunnel, MalformedWhy> {
        let (source, destination) = (self.array()?, self.array()?);
        let (source_port, destination_port) = (self.u16()?, self.u16()?);
        let vni_and_kind = self.u32()?;
        let kind = match vni_and_kind >> 24 {
            1 => TunnelKind::Vxlan,
            2 => TunnelKind::Geneve,
            _ => return Err(MalformedWhy::Field("tunnel kind")),
        };
        Ok(Tunnel { kind, source, destination, source_port, destination_port, vni: vni_and_kind & 0xff_ffff })
    }
}

fn decode_flow(header: &Header, fields: &mut Fields<'_>) -> Result<FlowReport, MalformedWhy> {
    let key = fields.key()?;
    let (first_ns, last_ns) = (fields.u64()?, fields.u64()?);
    let (entered, left_after_entering) = (fields.packed()?, fields.packed()?);
    let (left_from_here, other) = (fields.packed()?, fields.packed()?);
    let (entered_tcp, left_tcp) = (fields.tcp()?, fields.tcp()?);
    let (entered_ifindex, left_ifindex) = (fields.u32()?, fields.u32()?);
    let (source_mac, destination_mac) = (fields.array()?, fields.array()?);
    let reply = match fields.u32()?.to_ne_bytes()[0] {
        BEGAN_OPENING => Some(false),
        BEGAN_ANSWERING => Some(true),
        _ => None,
    };
    Ok(FlowReport {
        key,
        why: header.why()?,
        boot_ns: header.boot_ns,
        first_ns,
        last_ns,
        entered,
        left_after_entering,
        left_from_here,
        other,
        entered_tcp,
        left_tcp,
        entered_ifindex,
        left_ifindex,
        source_mac,
        destination_mac,
        l3_device: header.has(BIT_L3_DEVICE),
        fragment: header.has(BIT_FRAGMENT),
        vlan: header.has(BIT_VLAN).then_some(header.vlan & 0x0fff),
        tunnel: if header.has(BIT_TUNNEL) { Some(fields.tunnel()?) } else { None },
        reply,
        last: header.has(BIT_LAST),
    })
}

fn decode_drop(header: &Header, fields: &mut Fields<'_>) -> Result<DropReport, MalformedWhy> {
    Ok(DropReport {
        key: fields.key()?,
        why: header.why()?,
        boot_ns: header.boot_ns,
        first_ns: fields.u64()?,
        last_ns: fields.u64()?,
        count: fields.packed()?,
        reason: fields.u32()?,
        ifindex: fields.u32()?,
        tcp_flags: fields.u64()? as u16,
        after: header.has(BIT_AFTER),
        entered: header.has(BIT_ENTERED),
        fragment: header.has(BIT_FRAGMENT),
        last: header.has(BIT_LAST),
    })
}

fn decode_fold(header: &Header, fields: &mut Fields<'_>) -> Result<FoldReport, MalformedWhy> {
    let key = fields.key()?;
    let (first_ns, last_ns) = (fields.u64()?, fields.u64()?);
    let mut packets = [0; 4];
    for side in &mut packets {
        *side = fields.u64()?;
    }
    let mut bytes = [0; 4];
    for side in &mut bytes {
        *side = fields.u64()?;
    }
    let count = |side: usize| Count { packets: packets[side], bytes: bytes[side] };
    let (entered_tcp, left_tcp) = (fields.tcp()?, fields.tcp()?);
    Ok(FoldReport {
        key,
        why: header.why()?,
        boot_ns: header.boot_ns,
        first_ns,
        last_ns,
        entered: count(0),
        left_after_entering: count(1),
        left_from_here: count(2),
        other: count(3),
        entered_tcp,
        left_tcp,
        entered_ifindex: fields.u32()?,
        left_ifindex: fields.u32()?,
        last: header.has(BIT_LAST),
    })
}

fn decode_unattributed(header: &Header, fields: &mut Fields<'_>) -> Result<UnattributedReport, MalformedWhy> {
    let (first_ns, last_ns) = (fields.u64()?, fields.u64()?);
    let (entered, left) = (fields.u64()?, fields.u64()?);
    Ok(UnattributedReport {
        boot_ns: header.boot_ns,
        first_ns,
        last_ns,
        entered: Count { packets: entered, bytes: fields.u64()? },
        left: Count { packets: left, bytes: fields.u64()? },
    })
}
