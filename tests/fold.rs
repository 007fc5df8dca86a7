//! Folding real packets: a line a window for what looks alike after the mask, and no packet more or less in their sums.

use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{self, CLIENT, Lab, SERVER};
use flowlog_tests::totals::{Totals, assert_each_once};
use flowlog_tests::windows::{Seconds, fewest};
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// A mask with the whole of `l4`, ports and flags included.
const BY_SERVICE: &str = "flowLogs:
  - name: all
    filePath: events.log
    fieldMask: [time, verdict, IP, l4, is_reply, extensions]
    foldBy: service
";

/// Opens and closes `count` connections at this pace.
fn connect(count: u64, apart: Duration) {
    let begun = Instant::now();
    for number in 0..count {
        std::thread::sleep((apart * number as u32).saturating_sub(begun.elapsed()));
        let mut connection = TcpStream::connect((SERVER, 5002)).expect("a connection");
        std::io::Write::write_all(&mut connection, b"GET /healthz\r\n").expect("a write");
    }
}

#[test]
fn a_thousand_short_connections_a_second_are_a_line_a_direction_and_second() {
    if skip::lacks_root("a_thousand_short_connections_a_second_are_a_line_a_direction_and_second") {
        return;
    }
    let seconds = scale::of("service_seconds");
    let lab = Lab::new();
    lab.client.sh("sysctl -qw net.ipv4.ip_local_port_range='10000 65000' net.ipv4.tcp_tw_reuse=1");
    let before = lab.counters();
    let service = lab::connections(&lab.server, 5002);
    let clock = Seconds::begin();
    let mut daemon = Daemon::new(&lab.router, BY_SERVICE).started();
    let begun = Instant::now();
    // Two clients, each every other millisecond.
    let clients = [(); 2].map(|()| lab.client.inside(move || connect(seconds * 500, Duration::from_millis(2))));
    clients.into_iter().for_each(|client| client.join().expect("a client"));
    println!("{} connections in {:?}", seconds * 1000, begun.elapsed());
    let counted = lab.at_rest().since(before);
    assert_eq!(service.stop(), seconds * 1000);
    daemon.finish();
    let most = clock.most_windows();
    let lines = daemon.lines();
    assert_each_once(&lines);
    Totals::of(&lines).assert_account_for(counted);

    let direction = |source: &'static str, side: &'static str| -> Vec<&Value> {
        let flows = lines.iter().map(|line| &line["flow"]);
        flows.filter(|flow| flow["verdict"] == "FORWARDED" && flow["IP"]["source"] == source && flow["l4"]["TCP"][side] == 5002).collect()
    };
    for (source, server, client) in [(CLIENT, "destination_port", "source_port"), (SERVER, "source_port", "destination_port")] {
        let flows = direction(source, server);
        let sum = |count: &str| flows.iter().map(|flow| flow["extensions"]["value"][count].as_u64().unwrap_or(0)).sum::<u64>();
        println!("{source}: {} lines in at most {most} windows, {} connections, {} SYN", flows.len(), sum("connections"), sum("syn"));
        assert!(flows.iter().all(|flow| flow["l4"]["TCP"].get(client).is_none()), "{flows:?}");
        assert!(flows.len() <= most, "{} lines in {most} windows", flows.len());
        assert_eq!((sum("connections"), sum("syn"), sum("fin")), (seconds * 1000, seconds * 1000, seconds * 1000), "{source}");
    }
    assert_eq!(direction(CLIENT, "destination_port").len() + direction(SERVER, "source_port").len(), forwarded(&lines), "no other line");
}

fn forwarded(lines: &[Value]) -> usize {
    lines.iter().filter(|line| line["flow"]["verdict"] == "FORWARDED").count()
}

#[test]
fn ten_thousand_keys_at_full_rate_give_a_line_a_key_and_window_at_most() {
    if skip::lacks_root("ten_thousand_keys_at_full_rate_give_a_line_a_key_and_window_at_most") {
        return;
    }
    const PORTS: u64 = 5000;
    let packets = scale::of("fold_packets") / 2;
    let lab = Lab::new();
    let before = lab.counters();
    let clock = Seconds::begin();
    let configuration = "flowLogs:\n  - name: all\n    filePath: events.log\n    fileMaxSizeMb: 10000\n";
    let mut daemon = Daemon::new(&lab.router, configuration).with(&["--ring-bytes", "8MiB", "--report-interval", "100ms"]).started();
    let begun = Instant::now();
    // Two sockets, each to as many ports.
    let senders = [(); 2].map(|()| {
        lab.client.inside(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
            // A full queue of the sending interface refuses a packet before anybody has counted it.
            (0..packets).for_each(|number| drop(socket.send_to(&[3; 18], (SERVER, 30_000 + (number % PORTS) as u16))));
        })
    });
    senders.into_iter().for_each(|sender| sender.join().expect("a sender"));
    let took = begun.elapsed();
    let counted = lab.at_rest().since(before);
    daemon.wait("the last packet", |daemon| {
        daemon.metrics().sum("flowlog_interface_packets_total", &[r#"side="left""#, r#"term="seen""#]) == counted.sent
    });
    let events = daemon.metrics().sum("flowlog_events_total", &[]);
    daemon.finish();
    let most = clock.most_windows();
    let lines = daemon.lines();
    assert_each_once(&lines);
    Totals::of(&lines).assert_account_for(counted);
    let key = |line: &Value| {
        let flow = &line["flow"];
        format!("{} {} {} {}", flow["verdict"], flow["IP"], flow["l4"], flow["extensions"]["value"]["drop_reason"])
    };
    let fewest = fewest(&lines, key);
    println!("{counted:?} in {took:?}: {events} events, {} lines of {} keys in {fewest} to {most} windows", lines.len(), 2 * PORTS);
    assert!(fewest <= most, "lines of {fewest} windows, and there were {most} at most");
}
