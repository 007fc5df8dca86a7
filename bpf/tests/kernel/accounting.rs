//! Guarantees 1 and 2 in the kernel alone: threads race the sweep over a small map and a small ring, and every packet
//! is in exactly one place.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{Attached, Namespace, Sums, may_run, options, udp_frame};
use crate::scale;
use flowlog_bpf::event::Count;
use flowlog_bpf::probe::{Probe, Segmentation, Way};
use flowlog_bpf::{Options, Times};

const ONE: Segmentation = Segmentation { size: 0, segments: 0 };

/// So short that rows are reported, freed and made again all the time.
fn hasty() -> Times {
    Times {
        report_interval: Duration::from_millis(5),
        idle: Duration::from_millis(2),
        tcp_idle: Duration::from_millis(2),
        tcp_closed: Duration::from_millis(1),
    }
}

/// Two threads send `packets` between them over `flows` flows while a third sweeps and this one drains. Returns what
/// was sent.
fn race(attached: &mut Attached, packets: u64, flows: u32) -> Count {
    let probe = Probe::of(attached.kernel()).expect("a probe");
    let (sent, bytes, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let mut kernel = attached.kernel.take().expect("a kernel side");
    std::thread::scope(|scope| {
        let senders: Vec<_> = [Way::In, Way::Out]
            .into_iter()
            .map(|way| {
                let (probe, sent, bytes) = (&probe, &sent, &bytes);
                scope.spawn(move || {
                    for round in 0.. {
                        let flow = round % flows;
                        let frame = udp_frame(0x0a00_0000 + flow / 1000, 1000 + (flow % 1000) as u16, 60 + flow as usize % 900);
                        let times = 1 + round % 64;
                        if sent.fetch_add(times.into(), Ordering::Relaxed) >= packets {
                            sent.fetch_sub(times.into(), Ordering::Relaxed);
                            break;
                        }
                        bytes.fetch_add(u64::from(times) * frame.len() as u64, Ordering::Relaxed);
                        probe.run(way, &frame, times, ONE).expect("a test run");
                    }
                })
            })
            .collect();
        let sweeper = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                kernel.sweep().expect("a sweep");
            }
        });
        while !senders.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            attached.rings.iter_mut().for_each(|ring| crate::common::drain(ring, &mut attached.sums));
        }
        done.store(true, Ordering::Relaxed);
        sweeper.join().expect("the sweeper");
    });
    attached.kernel = Some(kernel);
    Count { packets: sent.into_inner(), bytes: bytes.into_inner() }
}

fn seen(counters: &flowlog_bpf::Counters) -> Count {
    let mut sum = Count::default();
    for interface in &counters.interfaces {
        sum.add(interface.entered.seen);
        sum.add(interface.left.seen);
    }
    sum
}

#[test]
fn every_packet_of_racing_threads_is_in_exactly_one_place_while_rows_come_and_go() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("race");
    namespace.enter();
    let options = Options { rows: 1024, ring_bytes: Some(64 << 10), fold_rows: 64, times: hasty(), ..options(&["lo"]) };
    let mut attached = Attached::start(&options);
    attached.sums.forget = true;
    let packets = scale::of("kernel_packets");
    let sent = race(&mut attached, packets, 7000);
    attached.settle();
    let counters = attached.counters();
    assert_eq!(seen(&counters), sent);
    attached.sums.assert_accounts_for(&counters);
    let left = attached.kernel().unreported().expect("unreported");
    assert_eq!((left.other, left.folded, left.unattributed), Default::default());
    assert!(left.entered.is_empty() && left.left.is_empty());
    let Sums { records, folded, unattributed, .. } = attached.sums;
    println!(
        "{} packets: 0 unaccounted; {records} records, {} rows made, {} freed, {} folded, {} unattributed, ring full {} times, \
         {} met a dead row",
        sent.packets,
        counters.rows_made,
        counters.rows_freed,
        folded.packets,
        unattributed.packets,
        counters.ring_full,
        counters.met_dead_row
    );
    assert!(counters.rows_freed > 0 && counters.ring_full > 0, "the race was one: {counters:?}");
}

#[test]
fn a_ring_that_nobody_reads_loses_no_traffic() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("stall");
    namespace.enter();
    let options = Options { rows: 64, ring_bytes: Some(4096), fold_rows: 16, ..options(&["lo"]) };
    let mut attached = Attached::start(&options);
    let rings = std::mem::take(&mut attached.rings);
    let probe = Probe::of(attached.kernel()).expect("a probe");
    // One flow that half fills its counter, and many that find no room.
    let large = udp_frame(0x0a01_0101, 7, 60);
    probe.run(Way::In, &large, 1, ONE).expect("a test run");
    let mut packets = 1;
    for flow in 0..500_u32 {
        let frame = udp_frame(0x0a02_0000 + flow * 7, 2000 + flow as u16, 60);
        probe.run(Way::In, &frame, 3, ONE).expect("a test run");
        packets += 3;
    }
    for _ in 0..9 {
        probe.run(Way::In, &large, 1 << 20, ONE).expect("a test run");
        packets += 1 << 20;
    }
    assert!(attached.counters().ring_full > 0);
    attached.rings = rings;
    attached.settle();
    let counters = attached.counters();
    assert_eq!(seen(&counters).packets, packets);
    attached.sums.assert_accounts_for(&counters);
    assert!(counters.half_full > 0, "nine million packets of one flow half fill its counter: {counters:?}");
    assert!(attached.sums.unattributed.packets > 0 && attached.sums.folded.packets > 0);
}

#[test]
fn super_packets_count_as_the_segments_they_become() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("gso");
    namespace.enter();
    let mut attached = Attached::start(&options(&["lo"]));
    let probe = Probe::of(attached.kernel()).expect("a probe");
    // 42 bytes of headers, 2 000 of payload in segments of 500: with and without the count that virtio leaves out.
    let frame = udp_frame(0x0a00_0001, 1, 2042);
    for segments in [4, 0] {
        probe.run(Way::Out, &frame, 1, Segmentation { size: 500, segments }).expect("a test run");
    }
    attached.settle();
    let flow = attached.sums.flow(|flow| flow.key.protocol == 17).expect("the flow");
    assert_eq!(flow.left_from_here, Count { packets: 8, bytes: 2 * (2042 + 3 * 42) });
}

#[test]
fn several_slices_and_rings_account_like_one_of_each() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("slices");
    namespace.enter();
    let options = Options { rows: 30_000, ring_bytes: Some(1 << 20), rings: Some(2), ..options(&["lo"]) };
    let mut attached = Attached::start(&options);
    assert_eq!(attached.rings.len(), 2);
    assert_eq!(attached.kernel().sweep_period(), Duration::from_millis(250), "four slices, each once a second");
    let sent = race(&mut attached, scale::of("kernel_packets"), 20_000);
    attached.settle();
    let counters = attached.counters();
    assert_eq!(seen(&counters), sent);
    attached.sums.assert_accounts_for(&counters);
    // A flow that both threads send has a row once, whichever slice and ring it is in.
    let mut keys: Vec<_> = attached.sums.flows.iter().map(|flow| flow.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len() as u64, counters.rows_made);
}
