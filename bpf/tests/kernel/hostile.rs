//! Hostile packets: random and mutated frames through the program, each compared field by field with a reading of the
//! same bytes through the etherparse crate, which shares no code with ours. A frame that one can read the other must.
//!
//! The generator is seeded (FLOWLOG_SEED), so a failure repeats; it prints the frame.

use std::time::Duration;

use etherparse::{
    Ethernet2HeaderSlice, IpAuthHeaderSlice, Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice,
    SingleVlanHeaderSlice, TcpHeaderSlice, UdpHeaderSlice,
};
use flowlog_bpf::event::{Count, FlowKey, FlowReport, Tunnel, TunnelKind};
use flowlog_bpf::probe::{Probe, Segmentation, Way};
use flowlog_bpf::{Options, Times};

use crate::common::{Attached, Namespace, may_run, options};
use crate::scale;

/// What a flow's report must say of the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Expected {
    key: FlowKey,
    destination_mac: [u8; 6],
    source_mac: [u8; 6],
    vlan: Option<u16>,
    fragment: bool,
    flags: u16,
    tunnel: Option<Tunnel>,
}

/// Where the next layer starts and what it is.
struct Layer<'a> {
    ether_type: u16,
    bytes: &'a [u8],
}

fn ethernet<'a>(frame: &'a [u8], to: &mut Expected) -> Option<Layer<'a>> {
    let header = Ethernet2HeaderSlice::from_slice(frame.get(..14)?).ok()?;
    (to.destination_mac, to.source_mac) = (header.destination(), header.source());
    let mut layer = Layer { ether_type: header.ether_type().0, bytes: &frame[14..] };
    let is_vlan = |ether_type| matches!(ether_type, 0x8100 | 0x88a8);
    if is_vlan(layer.ether_type) {
        let tag = SingleVlanHeaderSlice::from_slice(layer.bytes.get(..4)?).ok()?;
        to.vlan = to.vlan.or(Some(tag.vlan_identifier().value()));
        layer = Layer { ether_type: tag.ether_type().0, bytes: &layer.bytes[4..] };
        if is_vlan(layer.ether_type) {
            return None;
        }
    }
    Some(layer)
}

/// The rest of an IP packet: protocol, its bytes, and whether it is a later fragment.
struct Payload<'a> {
    protocol: u8,
    bytes: &'a [u8],
    later: bool,
}

fn ipv4<'a>(bytes: &'a [u8], to: &mut Expected) -> Option<Payload<'a>> {
    let header = Ipv4HeaderSlice::from_slice(bytes).ok()?;
    let total = usize::from(header.total_len());
    if total != 0 && total < header.slice().len() {
        return None;
    }
    let end = if total == 0 { bytes.len() } else { total.min(bytes.len()) };
    to.key.family = 4;
    to.key.source = header.source_addr().to_ipv6_mapped().octets();
    to.key.destination = header.destination_addr().to_ipv6_mapped().octets();
    let later = header.fragments_offset().value() != 0;
    to.fragment = later || header.more_fragments();
    Some(Payload { protocol: header.protocol().0, bytes: bytes.get(header.slice().len()..end)?, later })
}

fn ipv6<'a>(bytes: &'a [u8], to: &mut Expected) -> Option<Payload<'a>> {
    let header = Ipv6HeaderSlice::from_slice(bytes.get(..40)?).ok()?;
    let length = usize::from(header.payload_length());
    let end = if length == 0 { bytes.len() } else { (40 + length).min(bytes.len()) };
    to.key.family = 6;
    (to.key.source, to.key.destination) = (header.source(), header.destination());
    let mut payload = Payload { protocol: header.next_header().0, bytes: bytes.get(40..end)?, later: false };
    for _ in 0..=8 {
        if payload.later {
            return Some(payload);
        }
        let (next, length) = match payload.protocol {
            44 => {
                let fragment = Ipv6FragmentHeaderSlice::from_slice(payload.bytes).ok()?;
                payload.later = fragment.fragment_offset().value() != 0;
                to.fragment |= payload.later || fragment.more_fragments();
                (fragment.next_header().0, 8)
            }
            51 if payload.bytes.get(1) == Some(&0) => (payload.bytes[0], 8),
            51 => {
                let header = IpAuthHeaderSlice::from_slice(payload.bytes).ok()?;
                (header.next_header().0, header.slice().len())
            }
            0 | 43 | 60 | 135 | 139 | 140 => {
                let header = Ipv6RawExtHeaderSlice::from_slice(payload.bytes).ok()?;
                (header.next_header().0, header.slice().len())
            }
            _ => return Some(payload),
        };
        payload = Payload { protocol: next, bytes: payload.bytes.get(length..)?, later: payload.later };
    }
    None
}

fn transport(payload: &Payload<'_>, to: &mut Expected) -> Option<()> {
    to.key.protocol = payload.protocol;
    let least = match payload.protocol {
        6 => 20,
        132 => 12,
        17 | 1 | 58 => 8,
        _ => 0,
    };
    if least == 0 || payload.later {
        return Some(());
    }
    if payload.bytes.len() < least {
        return to.fragment.then_some(());
    }
    match payload.protocol {
        6 => {
            // Options may be cut off; the fixed part is what counts.
            let mut fixed: [u8; 20] = payload.bytes[..20].try_into().ok()?;
            if fixed[12] >> 4 < 5 {
                return None;
            }
            fixed[12] = 0x50 | fixed[12] & 15;
            let tcp = TcpHeaderSlice::from_slice(&fixed).ok()?;
            (to.key.source_port, to.key.destination_port) = (tcp.source_port(), tcp.destination_port());
            let flags = [tcp.fin(), tcp.syn(), tcp.rst(), tcp.psh(), tcp.ack(), tcp.urg(), tcp.ece(), tcp.cwr(), tcp.ns()];
            to.flags = flags.iter().enumerate().map(|(bit, set)| u16::from(*set) << bit).sum();
        }
        1 | 58 => {
            (to.key.source_port, to.key.destination_port) = (payload.bytes[0].into(), payload.bytes[1].into());
        }
        _ => {
            let ports = UdpHeaderSlice::from_slice(payload.bytes).ok()?;
            (to.key.source_port, to.key.destination_port) = (ports.source_port(), ports.destination_port());
        }
    }
    Some(())
}

fn ip<'a>(layer: &Layer<'a>, to: &mut Expected) -> Option<Payload<'a>> {
    let payload = match layer.ether_type {
        0x0800 => ipv4(layer.bytes, to)?,
        0x86dd => ipv6(layer.bytes, to)?,
        _ => return None,
    };
    transport(&payload, to)?;
    Some(payload)
}

fn inner(payload: &Payload<'_>, outer: &Expected) -> Option<Expected> {
    let header = payload.bytes.get(8..16)?;
    let vni = u32::from_be_bytes([0, header[4], header[5], header[6]]);
    let (kind, layer) = match outer.key.destination_port {
        4789 | 8472 if header[0] & 8 != 0 => (TunnelKind::Vxlan, Layer { ether_type: 0x6558, bytes: &payload.bytes[16..] }),
        6081 if header[0] >> 6 == 0 && header[1] & 0x80 == 0 => {
            let options = usize::from(header[0] & 0x3f) * 4;
            let ether_type = u16::from_be_bytes([header[2], header[3]]);
            (TunnelKind::Geneve, Layer { ether_type, bytes: payload.bytes.get(16 + options..)? })
        }
        _ => return None,
    };
    let mut found =
        Expected { vlan: outer.vlan, destination_mac: outer.destination_mac, source_mac: outer.source_mac, ..Expected::default() };
    let layer = if layer.ether_type == 0x6558 { ethernet(layer.bytes, &mut found)? } else { layer };
    ip(&layer, &mut found)?;
    let FlowKey { source, destination, source_port, destination_port, .. } = outer.key;
    found.tunnel = Some(Tunnel { kind, source, destination, source_port, destination_port, vni });
    Some(found)
}

/// The independent reading.
fn expected(frame: &[u8]) -> Option<Expected> {
    let mut outer = Expected::default();
    let layer = ethernet(frame, &mut outer)?;
    let payload = ip(&layer, &mut outer)?;
    if outer.key.protocol == 17 && !outer.fragment {
        // What follows a length field that ends early still belongs to the frame.
        let start = payload.bytes.as_ptr() as usize - frame.as_ptr() as usize;
        let whole = Payload { protocol: 17, bytes: &frame[start..], later: false };
        return inner(&whole, &outer).or(Some(outer));
    }
    Some(outer)
}

/// A seeded generator: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

fn make_transport(random: &mut Random, protocol: u8, depth: u32) -> Vec<u8> {
    let mut bytes = random.bytes(20);
    match protocol {
        6 => bytes[12] = (random.of(&[5, 5, 5, 6, 15, 4]) << 4) | (random.next() as u8 & 1),
        17 if depth == 0 && random.below(2) == 0 => {
            let port: u16 = random.of(&[4789, 8472, 6081]);
            bytes[2..4].copy_from_slice(&port.to_be_bytes());
            bytes.truncate(8);
            let mut tunnel = random.bytes(8);
            tunnel[0] = if port == 6081 { random.of(&[0, 1, 2, 63]) } else { 8 };
            tunnel[1] &= random.of(&[0x7f, 0xff]);
            let ether_type: u16 = random.of(&[0x6558, 0x6558, 0x0800, 0x86dd]);
            tunnel[2..4].copy_from_slice(&ether_type.to_be_bytes());
            bytes.extend(&tunnel);
            if port == 6081 {
                bytes.extend(random.bytes(usize::from(tunnel[0] & 0x3f) * 4));
            }
            let inner = make_frame(random, 1);
            let skip = if port == 6081 && ether_type != 0x6558 { 14 } else { 0 };
            bytes.extend(inner.get(skip..).unwrap_or_default());
        }
        _ => {}
    }
    bytes
}

fn make_ipv4(random: &mut Random, depth: u32) -> Vec<u8> {
    let options = random.of(&[0, 0, 0, 1, 5, 10]) * 4;
    let protocol = random.of(&[6, 17, 17, 1, 132, 47, 58, 51, 0]);
    let payload = make_transport(random, protocol, depth);
    let mut header = random.bytes(20 + options);
    header[0] = 0x40 | (5 + options / 4) as u8;
    let length = (header.len() + payload.len()) as u16;
    header[2..4].copy_from_slice(&length.to_be_bytes());
    let fragment: u16 = random.of(&[0, 0, 0, 0x4000, 0x2000, 0x2010, 0x0007]);
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    header[9] = protocol;
    header.extend(payload);
    header
}

fn make_ipv6(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut header = random.bytes(40);
    header[0] = 0x60 | (header[0] & 15);
    let chain: Vec<u8> = (0..random.of(&[0, 0, 1, 2, 5, 8, 9])).map(|_| random.of(&[0, 43, 44, 51, 60, 135, 139, 140])).collect();
    let protocol = random.of(&[6, 17, 17, 58, 132, 59, 50]);
    let mut payload = Vec::new();
    for (at, kind) in chain.iter().enumerate() {
        let mut extension = random.bytes(8);
        extension[0] = chain.get(at + 1).copied().unwrap_or(protocol);
        extension[1] = random.of(&[0, 0, 1]);
        let more = match kind {
            44 => {
                let fragment: u16 = random.of(&[0, 0, 1, 8, 0x100]);
                extension[2..4].copy_from_slice(&fragment.to_be_bytes());
                0
            }
            51 => usize::from(extension[1]) * 4,
            _ => usize::from(extension[1]) * 8,
        };
        payload.extend(extension);
        payload.extend(random.bytes(more));
    }
    payload.extend(make_transport(random, protocol, depth));
    header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    header[6] = chain.first().copied().unwrap_or(protocol);
    header.extend(payload);
    header
}

fn make_frame(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut frame = random.bytes(12);
    for _ in 0..random.of(&[0, 0, 0, 1, 1, 2]) {
        frame.extend(random.of(&[[0x81, 0], [0x88, 0xa8]]));
        frame.extend(random.bytes(2));
    }
    let (ether_type, packet) = match random.below(8) {
        0 => ([8, 6], random.bytes(28)),
        1..4 => ([0x86, 0xdd], make_ipv6(random, depth)),
        _ => ([8, 0], make_ipv4(random, depth)),
    };
    frame.extend(ether_type);
    frame.extend(packet);
    if random.below(4) == 0 {
        let padding = random.below(40);
        frame.extend(random.bytes(padding));
    }
    frame
}

fn mutate(random: &mut Random, frame: &mut Vec<u8>) {
    match random.below(6) {
        0 => {
            let kept = random.below(frame.len());
            frame.truncate(kept);
        }
        1 | 2 => {
            for _ in 0..=random.below(4) {
                let at = random.below(frame.len());
                frame[at] = random.next() as u8;
            }
        }
        3 if random.below(4) == 0 => {
            let length = random.below(200);
            *frame = random.bytes(length);
        }
        _ => {}
    }
    // The kernel's test run takes no less.
    frame.resize(frame.len().clamp(16, 1500), 0);
}

fn of_report(report: &FlowReport) -> Expected {
    Expected {
        key: report.key,
        destination_mac: report.destination_mac,
        source_mac: report.source_mac,
        vlan: report.vlan,
        fragment: report.fragment,
        flags: report.entered_tcp.flags,
        tunnel: report.tunnel,
    }
}

fn seed() -> u64 {
    std::env::var("FLOWLOG_SEED").ok().and_then(|seed| seed.parse().ok()).filter(|seed| *seed > 0).unwrap_or(0x0f10_3106)
}

#[test]
fn every_frame_is_read_as_an_independent_parser_reads_it() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("hostile");
    namespace.enter();
    // Rows are freed by the next sweep, so that every frame is a new flow and reported at once.
    let at_once = Times { idle: Duration::ZERO, tcp_idle: Duration::ZERO, tcp_closed: Duration::ZERO, ..Times::default() };
    let mut attached = Attached::start(&Options { rows: 64, fold_rows: 16, times: at_once, ..options(&["lo"]) });
    let probe = Probe::of(attached.kernel()).expect("a probe");
    let mut random = Random(seed());
    let frames = scale::of("hostile_frames");
    let (mut run, mut readable, mut tunnels) = (0_u64, 0_u64, 0_u64);
    for number in 0..frames {
        let mut frame = make_frame(&mut random, 0);
        mutate(&mut random, &mut frame);
        // The kernel's test run refuses frames that end inside the IP header; behind a tag it takes them.
        if too_short(&frame) {
            continue;
        }
        probe.run(Way::In, &frame, 1, Segmentation::default()).expect("a test run");
        run += 1;
        attached.sums.flows.clear();
        attached.drain();
        let reports = std::mem::take(&mut attached.sums.flows);
        let read = reports.iter().find(|report| report.entered.packets > 0);
        assert_eq!(read.map(of_report), expected(&frame), "frame {number}: {}", hex(&frame));
        if let Some(report) = read {
            assert_eq!(report.entered, Count { packets: 1, bytes: frame.len() as u64 });
            readable += 1;
            tunnels += u64::from(report.tunnel.is_some());
            attached.kernel().sweep().expect("a sweep");
        }
    }
    let counters = attached.counters();
    let side = counters.interfaces[0].entered;
    assert_eq!(side.seen.packets, run);
    assert_eq!(side.unparsed.packets, run - readable);
    println!("{frames} frames: {readable} flows ({tunnels} in tunnels), unparsed {:?}", side.unparsed_by);
    assert!(readable > frames / 3 && tunnels > frames / 50 && side.unparsed_by.iter().all(|count| *count > 0));
}

fn too_short(frame: &[u8]) -> bool {
    match frame[12..14] {
        [8, 0] => frame.len() < 34,
        [0x86, 0xdd] => frame.len() < 54,
        _ => false,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
