//! The way back, for tests, benches and recorded streams: an [`Event`] as the ring record the kernel would write.

use super::{Count, DropReport, Event, FlowKey, FlowReport, FoldReport, LAYOUT_VERSION, Tcp, Tunnel, TunnelKind, Why};
use super::{UnattributedReport, decode};

impl Event {
    /// Appends the record with its 8-byte ring header, as [`super::iterate`] reads it. Counts that do not fit a
    /// packed word (24 bits packets, 39 bits bytes) are cut.
    pub fn write_ring_record(&self, to: &mut Vec<u8>) {
        let start = to.len();
        to.extend_from_slice(&[0; super::RING_HEADER]);
        match self {
            Self::Flow(report) => flow(report, to),
            Self::Drop(report) => dropped(report, to),
            Self::Fold(report) => fold(report, to),
            Self::Unattributed(report) => unattributed(report, to),
        }
        let length = to.len() - start - super::RING_HEADER;
        to[start..start + 4].copy_from_slice(&(length as u32).to_ne_bytes());
        let size = start + super::RING_HEADER + 2;
        to[size..size + 2].copy_from_slice(&(length as u16).to_ne_bytes());
    }
}

fn header(to: &mut Vec<u8>, kind: u8, why: Why, bits: u8, vlan: u16, boot_ns: u64) {
    let why = match why {
        Why::First => 1,
        Why::Flag => 2,
        Why::Interval => 3,
        Why::Idle => 4,
        Why::Closed => 5,
        Why::Detach => 6,
    };
    to.extend_from_slice(&[LAYOUT_VERSION, kind, 0, 0, why, bits]);
    to.extend_from_slice(&vlan.to_ne_bytes());
    to.extend_from_slice(&boot_ns.to_ne_bytes());
}

fn key(to: &mut Vec<u8>, key: &FlowKey) {
    to.extend_from_slice(&key.source);
    to.extend_from_slice(&key.destination);
    to.extend_from_slice(&key.source_port.to_ne_bytes());
    to.extend_from_slice(&key.destination_port.to_ne_bytes());
    to.extend_from_slice(&[key.protocol, key.family, 0, 0]);
}

fn words(to: &mut Vec<u8>, words: &[u64]) {
    words.iter().for_each(|word| to.extend_from_slice(&word.to_ne_bytes()));
}

fn halves(to: &mut Vec<u8>, halves: &[u32]) {
    halves.iter().for_each(|half| to.extend_from_slice(&half.to_ne_bytes()));
}

fn tcp(to: &mut Vec<u8>, tcp: Tcp) {
    halves(to, &[tcp.syn, tcp.fin, tcp.rst, u32::from(tcp.flags)]);
}

fn pack(count: Count) -> u64 {
    ((count.packets & 0xff_ffff) << 39) | (count.bytes & ((1 << 39) - 1))
}

fn bit(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn flow(report: &FlowReport, to: &mut Vec<u8>) {
    let bits = bit(report.last, decode::BIT_LAST)
        | bit(report.l3_device, decode::BIT_L3_DEVICE)
        | bit(report.fragment, decode::BIT_FRAGMENT)
        | bit(report.vlan.is_some(), decode::BIT_VLAN)
        | bit(report.tunnel.is_some(), decode::BIT_TUNNEL);
    header(to, decode::KIND_FLOW, report.why, bits, report.vlan.unwrap_or(0), report.boot_ns);
    key(to, &report.key);
    words(to, &[report.first_ns, report.last_ns, pack(report.entered), pack(report.left_after_entering)]);
    words(to, &[pack(report.left_from_here), pack(report.other)]);
    tcp(to, report.entered_tcp);
    tcp(to, report.left_tcp);
    halves(to, &[report.entered_ifindex, report.left_ifindex]);
    to.extend_from_slice(&report.source_mac);
    to.extend_from_slice(&report.destination_mac);
    let began = report.reply.map_or(0, |reply| if reply { decode::BEGAN_ANSWERING } else { decode::BEGAN_OPENING });
    to.extend_from_slice(&[began, 0, 0, 0]);
    if let Some(outer) = &report.tunnel {
        tunnel(outer, to);
    }
}

fn tunnel(outer: &Tunnel, to: &mut Vec<u8>) {
    to.extend_from_slice(&outer.source);
    to.extend_from_slice(&outer.destination);
    to.extend_from_slice(&outer.source_port.to_ne_bytes());
    to.extend_from_slice(&outer.destination_port.to_ne_bytes());
    let kind: u32 = match outer.kind {
        TunnelKind::Vxlan => 1,
        TunnelKind::Geneve => 2,
    };
    halves(to, &[(kind << 24) | (outer.vni & 0xff_ffff)]);
}

fn dropped(report: &DropReport, to: &mut Vec<u8>) {
    let bits = bit(report.last, decode::BIT_LAST)
        | bit(report.after, decode::BIT_AFTER)
        | bit(report.entered, decode::BIT_ENTERED)
        | bit(report.fragment, decode::BIT_FRAGMENT);
    header(to, decode::KIND_DROP, report.why, bits, 0, report.boot_ns);
    key(to, &report.key);
    words(to, &[report.first_ns, report.last_ns, pack(report.count)]);
    halves(to, &[report.reason, report.ifindex]);
    words(to, &[u64::from(report.tcp_flags)]);
}

fn fold(report: &FoldReport, to: &mut Vec<u8>) {
    header(to, decode::KIND_FOLD, report.why, bit(report.last, decode::BIT_LAST), 0, report.boot_ns);
    key(to, &report.key);
    let sides = [report.entered, report.left_after_entering, report.left_from_here, report.other];
    words(to, &[report.first_ns, report.last_ns]);
    words(to, &sides.map(|side| side.packets));
    words(to, &sides.map(|side| side.bytes));
    tcp(to, report.entered_tcp);
    tcp(to, report.left_tcp);
    halves(to, &[report.entered_ifindex, report.left_ifindex]);
}

fn unattributed(report: &UnattributedReport, to: &mut Vec<u8>) {
    header(to, decode::KIND_UNATTRIBUTED, Why::Interval, 0, 0, report.boot_ns);
    let sides = [report.entered, report.left];
    words(to, &[report.first_ns, report.last_ns]);
    words(to, &sides.map(|side| side.packets));
    words(to, &sides.map(|side| side.bytes));
}
