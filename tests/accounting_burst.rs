//! Guarantee 1 while more connections begin than there are rows for.
//!
//! The frames leave by an `ifb` device, which throws them away: what another machine would do with them shall not take this one's time.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{Counters, Lab};
use flowlog_tests::totals::{Totals, assert_each_once, assert_metrics_account_for};
use flowlog_tests::{scale, skip};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

/// A SYN as it stands behind the Ethernet header; the kernel fills in the header's checksum, and nobody looks at its own.
fn syn(number: u64, destination: Ipv4Addr) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[..10].copy_from_slice(&[0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6]);
    // A connection is a new pair of source address and port.
    let (host, port) = (number / 50_000, 10_000 + (number % 50_000) as u16);
    let source = u32::from(Ipv4Addr::new(10, 77, 1, 0)) + 3 + (host % 200) as u32;
    packet[12..16].copy_from_slice(&source.to_be_bytes());
    packet[16..20].copy_from_slice(&destination.octets());
    packet[20..22].copy_from_slice(&port.to_be_bytes());
    packet[22..24].copy_from_slice(&(5000 + (host / 200) as u16).to_be_bytes());
    packet[24..28].copy_from_slice(&(number as u32).to_be_bytes());
    packet[32..34].copy_from_slice(&[0x50, 0x02]);
    packet
}

/// Sends the SYNs of connections `first`, `first + 2`, … at this pace for a while; says how many were taken.
fn send_syns(first: u64, rate: u64, duration: Duration) -> u64 {
    let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW)).expect("a raw socket");
    let destination = Ipv4Addr::new(10, 88, 0, 9);
    let begun = Instant::now();
    let (mut number, mut taken) = (0, 0);
    while begun.elapsed() < duration {
        let due = (begun.elapsed().as_micros() as u64 * rate / 1_000_000).min(number + 1000);
        if due == number {
            std::thread::sleep(Duration::from_micros(100));
        }
        while number < due {
            let packet = syn(first + 2 * number, destination);
            taken += u64::from(sendto(&raw, &packet, SendFlags::empty(), &SocketAddrV4::new(destination, 0)).is_ok());
            number += 1;
        }
    }
    taken
}

/// What the device was sent. An `ifb` calls that received.
fn thrown_away(lab: &Lab) -> Counters {
    let Counters { received, received_bytes, .. } = lab.router.counters("d0");
    Counters { sent: received, sent_bytes: received_bytes, ..Counters::default() }
}

#[test]
fn two_hundred_thousand_new_connections_a_second_leave_no_packet_unaccounted() {
    if skip::lacks_root("two_hundred_thousand_new_connections_a_second_leave_no_packet_unaccounted") {
        return;
    }
    const RATE: u64 = 200_000;
    let duration = Duration::from_secs(scale::of("connection_burst_seconds"));
    let lab = Lab::new();
    // Without a queue, whose overflow would lie between our hook and the device's own count.
    lab.router.sh("ip link add d0 type ifb; ip address add 10.88.0.1/24 dev d0; ip link set d0 up; tc qdisc replace dev d0 root noqueue");
    let before = thrown_away(&lab);
    let configuration = "flowLogs:\n  - name: all\n    filePath: events.log\n    fileMaxSizeMb: 10000\n";
    let mut daemon = Daemon::new(&lab.router, configuration).with(&["--interface", "d0"]).started();
    let begun = Instant::now();
    let senders = [0, 1].map(|first| lab.router.inside(move || send_syns(first, RATE / 2, duration)));
    let sent: u64 = senders.into_iter().map(|sender| sender.join().expect("a sender")).sum();
    let took = begun.elapsed();
    let counted = thrown_away(&lab).since(before);
    assert_metrics_account_for(&daemon, counted);
    let metrics = daemon.metrics();
    println!(
        "{sent} SYN frames of as many connections through raw sockets in {took:?}: {:.0}/s; {} rows made, {} packets folded for want of a row, ring full {} times",
        sent as f64 / took.as_secs_f64(),
        metrics.sum("flowlog_rows_made_total", &[]),
        metrics.sum("flowlog_interface_packets_total", &[r#"term="folded""#]),
        metrics.sum("flowlog_ring_full_total", &[])
    );
    daemon.finish();
    let lines = daemon.lines();
    assert_each_once(&lines);
    let totals = Totals::of(&lines);
    println!("{counted:?} in {} lines", lines.len());
    assert_eq!(counted.sent, sent, "the device took every one");
    assert_eq!((totals.forwarded, totals.forwarded_bytes), (counted.sent, counted.sent_bytes), "{totals:?}");
    let nothing_else = Totals { forwarded: totals.forwarded, forwarded_bytes: totals.forwarded_bytes, ..Totals::default() };
    assert_eq!(totals, nothing_else);
}
