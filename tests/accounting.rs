//! Guarantee 1 on real packets: what the interfaces counted is what the metrics say and what the lines alone add up to.

use std::net::{TcpStream, UdpSocket};

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{self, Lab, SERVER, Tmpfs};
use flowlog_tests::totals::{Totals, assert_each_once, assert_metrics_account_for};
use flowlog_tests::{scale, skip};

#[test]
fn lines_and_metrics_add_up_to_the_interfaces_own_counters() {
    if skip::lacks_root("lines_and_metrics_add_up_to_the_interfaces_own_counters") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let _datagrams = lab::datagrams(&lab.server, 5001);
    let service = lab::connections(&lab.server, 5002);
    lab.client
        .inside(|| {
            for port in 0..100 {
                let socket = UdpSocket::bind(("0.0.0.0", 20_000 + port)).expect("a socket");
                (0..50).for_each(|_| drop(socket.send_to(&[1; 200], (SERVER, 5001))));
                let mut connection = TcpStream::connect((SERVER, 5002)).expect("a connection");
                std::io::Write::write_all(&mut connection, &[2; 5000]).expect("a write");
            }
        })
        .join()
        .expect("the client");
    service.stop();
    // The last acknowledgements are on their way for a moment.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_metrics_account_for(&daemon, lab.counters().since(before));
    daemon.finish();
    let lines = daemon.lines();
    assert_each_once(&lines);
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}

#[test]
fn a_small_ring_a_small_table_a_small_intake_and_a_stalled_file_lose_detail_and_no_packet() {
    if skip::lacks_root("a_small_ring_a_small_table_a_small_intake_and_a_stalled_file_lose_detail_and_no_packet") {
        return;
    }
    const FLOWS: u16 = 2500;
    let packets = scale::of("accounting_packets") / 2;
    let lab = Lab::new();
    let before = lab.counters();
    let daemon = Daemon::new(
        &lab.router,
        "flowLogs:\n  - name: all\n    filePath: out/events.log\n    fileMaxSizeMb: 1000\n    spoolMaxBytes: 16GiB\n",
    );
    let mut daemon =
        daemon.with(&["--ring-bytes", "64KiB", "--flow-rows", "1024", "--intake-max-bytes", "1MiB", "--report-interval", "1s"]);
    let out = Tmpfs::mount(&daemon.path("out"), "512m");
    out.fill();
    daemon.start();
    let senders: Vec<_> = [40_000, 45_000]
        .map(|base: u16| {
            lab.client.inside(move || {
                let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
                for number in 0..packets {
                    let port = base + (number % u64::from(FLOWS)) as u16;
                    // A full queue of the sending interface refuses a packet before anybody has counted it.
                    let _ = socket.send_to(&[3; 18], (SERVER, port));
                }
            })
        })
        .into();
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    std::thread::sleep(std::time::Duration::from_secs(1));
    let counted = lab.counters().since(before);
    assert_metrics_account_for(&daemon, counted);
    assert!(daemon.metrics().sum("flowlog_sink_healthy", &[]) == 0, "the file is on a full disk");
    out.free();
    daemon.wait("the file to catch up", |daemon| daemon.metrics().sum("flowlog_sink_healthy", &[]) == 1);
    daemon.finish();
    let lines = daemon.lines_in(&daemon.path("out"), "events");
    assert_each_once(&lines);
    println!("{counted:?} in {} lines", lines.len());
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}
