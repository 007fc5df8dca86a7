//! Round trips, hostile bytes and what is stepped over.

use proptest::prelude::*;

use super::decode::iterate;
use super::*;

prop_compose! {
    fn keys()(source: [u8; 16], destination: [u8; 16], source_port: u16, destination_port: u16, protocol: u8, six: bool) -> FlowKey {
        FlowKey { source, destination, source_port, destination_port, protocol, family: if six { 6 } else { 4 } }
    }
}

prop_compose! {
    fn packed()(packets in 0..1_u64 << 24, bytes in 0..1_u64 << 39) -> Count {
        Count { packets, bytes }
    }
}

prop_compose! {
    fn tcps()(syn: u32, fin: u32, rst: u32, flags: u16) -> Tcp {
        Tcp { syn, fin, rst, flags }
    }
}

prop_compose! {
    fn counts()(packets: u64, bytes: u64) -> Count {
        Count { packets, bytes }
    }
}

fn whys() -> impl Strategy<Value = Why> {
    proptest::sample::select(vec![Why::First, Why::Flag, Why::Interval, Why::Idle, Why::Closed, Why::Detach])
}

prop_compose! {
    fn tunnels()(vxlan: bool, source: [u8; 16], destination: [u8; 16], ports: (u16, u16), vni in 0..1_u32 << 24) -> Tunnel {
        let kind = if vxlan { TunnelKind::Vxlan } else { TunnelKind::Geneve };
        Tunnel { kind, source, destination, source_port: ports.0, destination_port: ports.1, vni }
    }
}

prop_compose! {
    fn flows()(
        key in keys(), why in whys(), times: (u64, u64, u64), sides in [packed(), packed(), packed(), packed()],
        tcps in [tcps(), tcps()], ifindexes: (u32, u32), macs: ([u8; 6], [u8; 6]), bits: (bool, bool, bool),
        vlan in proptest::option::of(0..4096_u16), tunnel in proptest::option::of(tunnels()), reply: Option<bool>,
    ) -> Event {
        Event::Flow(FlowReport {
            key, why, boot_ns: times.0, first_ns: times.1, last_ns: times.2,
            entered: sides[0], left_after_entering: sides[1], left_from_here: sides[2], other: sides[3],
            entered_tcp: tcps[0], left_tcp: tcps[1],
            entered_ifindex: ifindexes.0, left_ifindex: ifindexes.1,
            source_mac: macs.0, destination_mac: macs.1,
            l3_device: bits.0, fragment: bits.1, vlan, tunnel, reply, last: bits.2,
        })
    }
}

prop_compose! {
    fn drops()(
        key in keys(), why in whys(), times: (u64, u64, u64), count in packed(), reason: u32, ifindex: u32,
        tcp_flags: u16, bits: (bool, bool, bool, bool),
    ) -> Event {
        Event::Drop(DropReport {
            key, why, boot_ns: times.0, first_ns: times.1, last_ns: times.2, count, reason, ifindex, tcp_flags,
            after: bits.0, entered: bits.1, fragment: bits.2, last: bits.3,
        })
    }
}

prop_compose! {
    fn folds()(
        key in keys(), why in whys(), times: (u64, u64, u64), sides in [counts(), counts(), counts(), counts()],
        tcps in [tcps(), tcps()], ifindexes: (u32, u32), last: bool,
    ) -> Event {
        Event::Fold(FoldReport {
            key, why, boot_ns: times.0, first_ns: times.1, last_ns: times.2,
            entered: sides[0], left_after_entering: sides[1], left_from_here: sides[2], other: sides[3],
            entered_tcp: tcps[0], left_tcp: tcps[1],
            entered_ifindex: ifindexes.0, left_ifindex: ifindexes.1, last,
        })
    }
}

prop_compose! {
    fn unattributed()(times: (u64, u64, u64), sides in [counts(), counts()]) -> Event {
        Event::Unattributed(UnattributedReport {
            boot_ns: times.0, first_ns: times.1, last_ns: times.2, entered: sides[0], left: sides[1],
        })
    }
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![flows(), drops(), folds(), unattributed()]
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(events in proptest::collection::vec(events(), 0..20)) {
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.write_ring_record(&mut bytes));
        let read: Result<Vec<_>, _> = iterate(&bytes).collect();
        prop_assert_eq!(read, Ok(events));
    }

    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert!(iterate(&bytes).count() <= bytes.len() / 8 + 1);
    }

    #[test]
    fn a_flipped_byte_spoils_its_own_record_and_only_through_its_length_what_follows(
        events in proptest::collection::vec(events(), 1..8), at: prop::sample::Index, flip in 1..=255_u8,
    ) {
        let mut bytes = Vec::new();
        let starts: Vec<usize> = events.iter().map(|event| { let at = bytes.len(); event.write_ring_record(&mut bytes); at }).collect();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let hit = starts.partition_point(|start| *start <= at) - 1;
        let read: Vec<_> = iterate(&bytes).collect();
        let whole: Vec<_> = events.iter().cloned().map(Ok).collect();
        prop_assert!(read.len() >= hit);
        prop_assert_eq!(&read[..hit], &whole[..hit], "what stands before it reads as written");
        // The first eight bytes of a record are the kernel's: its length, and whether it was given up.
        if at - starts[hit] >= 8 {
            prop_assert_eq!(&read[hit + 1..], &whole[hit + 1..], "what follows an intact length reads as written");
        }
    }
}

fn one(bytes: &[u8]) -> MalformedWhy {
    iterate(bytes).find_map(Result::err).expect("a malformed record").why
}

fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    let count = Count { packets: 1, bytes: 60 };
    let report = UnattributedReport { boot_ns: 1, first_ns: 1, last_ns: 1, entered: count, left: count };
    Event::Unattributed(report).write_ring_record(&mut bytes);
    bytes
}

#[test]
fn a_record_of_another_version_is_stepped_over_and_named() {
    let mut bytes = sample();
    bytes[RING_HEADER] = 9;
    bytes.extend(sample());
    let read: Vec<_> = iterate(&bytes).collect();
    assert_eq!(read[0], Err(Malformed { offset: 0, why: MalformedWhy::Version(9) }));
    assert!(matches!(read[1], Ok(Event::Unattributed(_))));
    assert_eq!(read.len(), 2);
}

#[test]
fn an_unknown_kind_and_a_wrong_size_are_named() {
    let mut bytes = sample();
    bytes[RING_HEADER + 1] = 77;
    assert_eq!(one(&bytes), MalformedWhy::Kind(77));
    let mut bytes = sample();
    bytes[RING_HEADER + 2] = 63;
    assert_eq!(one(&bytes), MalformedWhy::Size(63));
}

#[test]
fn discarded_records_are_skipped_and_busy_ones_end_the_run() {
    let mut bytes = sample();
    bytes[3] |= 0x40;
    assert_eq!(iterate(&bytes).count(), 0);
    bytes[3] |= 0x80;
    assert_eq!(one(&bytes), MalformedWhy::Unfinished);
}

#[test]
fn a_cut_record_is_truncated() {
    let bytes = sample();
    assert_eq!(one(&bytes[..bytes.len() - 1]), MalformedWhy::Truncated);
    assert_eq!(one(&bytes[..5]), MalformedWhy::Truncated);
}
