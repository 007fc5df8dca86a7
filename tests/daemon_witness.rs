//! tcpdump as the second witness: what the lines say of first packets, and when, is what it saw on the wire.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use flowlog_tests::capture::{Capture, Frame};
use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{self, Lab, SERVER};
use flowlog_tests::skip;
use jiff::Timestamp;
use serde_json::Value;

/// How far the two may be apart: they stand at two hooks of one packet's way, and a busy machine may stop between them.
const APART: i128 = 20_000_000;

fn nanoseconds(time: &Value) -> i128 {
    time.as_str().expect("a time").parse::<Timestamp>().expect("a time").as_nanosecond()
}

/// The flows of one tuple, in the order of the file.
fn of_tuple<'l>(lines: &'l [Value], protocol: &str, frame: &Frame) -> Vec<&'l Value> {
    let same = |flow: &&Value| {
        let l4 = &flow["l4"][protocol];
        flow["IP"]["source"] == frame.address[0]
            && flow["IP"]["destination"] == frame.address[1]
            && l4["source_port"] == frame.port[0]
            && l4["destination_port"] == frame.port[1]
    };
    lines.iter().map(|line| &line["flow"]).filter(same).collect()
}

#[test]
fn the_first_packet_of_each_flow_is_the_one_that_tcpdump_saw() {
    if skip::lacks_root("the_first_packet_of_each_flow_is_the_one_that_tcpdump_saw") {
        return;
    }
    let lab = Lab::new();
    // A line per report, so that flags are those of the first packet alone.
    let mut daemon = Daemon::new(&lab.router, &format!("{EVERYTHING}    window: 0s\n")).started();
    let captures = ["ra", "rb"].map(|interface| Capture::begin(&lab.router, interface));
    let _datagrams = lab::datagrams(&lab.server, 5001);
    let _connections = lab::connections(&lab.server, 5002);
    lab.client
        .inside(|| {
            for number in 0..5 {
                let socket = UdpSocket::bind(("0.0.0.0", 4001 + number)).expect("a socket");
                socket.send_to(&[1; 100], (SERVER, 5001)).expect("a datagram");
                let mut connection = TcpStream::connect((SERVER, 5002)).expect("a connection");
                connection.write_all(&[2; 1000]).expect("a write");
                std::thread::sleep(Duration::from_millis(100));
            }
        })
        .join()
        .expect("the client");
    lab.at_rest();
    daemon.finish();
    let lines = daemon.lines();
    let [client_side, server_side] = captures.map(Capture::frames);

    let (mut flows, mut furthest) = (0, 0);
    // A line tells of its first packet as it entered, and of the interface that it left by.
    for (interface, frames) in [("rb", towards(client_side, SERVER)), ("ra", towards(server_side, lab::CLIENT))] {
        let mut seen = std::collections::HashSet::new();
        for frame in frames.iter().filter(|frame| seen.insert((frame.address.clone(), frame.port))) {
            let protocol = if frame.flags.is_empty() { "UDP" } else { "TCP" };
            let first = *of_tuple(&lines, protocol, frame).first().unwrap_or_else(|| panic!("no line of {frame:?}"));
            let apart = (nanoseconds(&first["time"]) - frame.time).abs();
            assert!(apart <= APART, "{apart} ns apart: {frame:?} {first}");
            furthest = furthest.max(apart);
            assert_eq!(first["ethernet"]["source"], frame.ethernet[0], "{frame:?} {first}");
            assert_eq!(first["ethernet"]["destination"], frame.ethernet[1], "{frame:?} {first}");
            assert_eq!(first["interface"]["name"], interface, "{first}");
            for (letter, name) in [('S', "SYN"), ('.', "ACK"), ('F', "FIN"), ('R', "RST"), ('P', "PSH")] {
                assert_eq!(first["l4"][protocol]["flags"][name] == true, frame.flags.contains(letter), "{name}: {frame:?} {first}");
            }
            flows += 1;
        }
    }
    println!("{flows} flows, their first packets {furthest} ns from tcpdump's at most");
    assert_eq!(flows, 15, "five of datagrams, and two of each connection");
}

fn towards(mut frames: Vec<Frame>, address: &str) -> Vec<Frame> {
    frames.retain(|frame| frame.address[1] == address);
    frames
}

#[test]
fn a_silent_port_and_a_service_that_resets_every_4_s_are_counted_and_dated_exactly() {
    if skip::lacks_root("a_silent_port_and_a_service_that_resets_every_4_s_are_counted_and_dated_exactly") {
        return;
    }
    const RESETS: usize = 3;
    let lab = Lab::new();
    lab.server.sh(
        "nft 'add table ip lab; add chain ip lab input { type filter hook input priority 0; }; add rule ip lab input tcp dport 5004 drop'",
    );
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let capture = Capture::begin(&lab.router, "rb");
    let address = format!("{SERVER}:5004").parse().expect("an address");
    let silent = lab.client.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(3500)));
    let listener = lab.server.inside(|| TcpListener::bind(("0.0.0.0", 5005)).expect("a listener")).join().expect("a thread");
    let resets = std::thread::spawn(move || {
        for _ in 0..RESETS {
            let (connection, _) = listener.accept().expect("a connection");
            std::thread::sleep(Duration::from_secs(4));
            // Unread bytes turn a close into a reset.
            drop(connection);
        }
    });
    lab.client
        .inside(|| {
            for _ in 0..RESETS {
                let mut connection = TcpStream::connect((SERVER, 5005)).expect("a connection");
                connection.write_all(b"x").expect("a write");
                assert_eq!(connection.read(&mut [0; 8]).expect_err("a reset").kind(), std::io::ErrorKind::ConnectionReset);
            }
        })
        .join()
        .expect("the client");
    resets.join().expect("the service");
    assert!(silent.join().expect("the client").is_err());
    lab.at_rest();
    daemon.finish();
    let (lines, frames) = (daemon.lines(), capture.frames());

    let sum =
        |flows: &[&Value], count: &str| flows.iter().map(|flow| flow["extensions"]["value"][count].as_u64().unwrap_or(0)).sum::<u64>();
    let close = |time: &Value, frame: &Frame| {
        let apart = (nanoseconds(time) - frame.time).abs();
        println!("{:?} {}: {apart} ns from tcpdump's", frame.port, frame.flags);
        assert!(apart <= APART, "{apart} ns apart: {time} {frame:?}");
    };
    let syns: Vec<&Frame> = frames.iter().filter(|frame| frame.port[1] == 5004).collect();
    let flows = of_tuple(&lines, "TCP", syns[0]);
    assert!(syns.len() >= 2 && syns.iter().all(|frame| frame.flags == "S"), "the client tried again: {syns:?}");
    assert_eq!((sum(&flows, "syn"), sum(&flows, "packets")), (syns.len() as u64, syns.len() as u64));
    close(&flows[0]["time"], syns[0]);
    close(&flows[flows.len() - 1]["extensions"]["value"]["last_time"], syns[syns.len() - 1]);

    let opened: Vec<&Frame> = frames.iter().filter(|frame| frame.port[1] == 5005 && frame.flags == "S").collect();
    let reset: Vec<&Frame> = frames.iter().filter(|frame| frame.port[0] == 5005 && frame.flags.starts_with('R')).collect();
    assert_eq!((opened.len(), reset.len()), (RESETS, RESETS), "{frames:?}");
    for (syn, rst) in opened.into_iter().zip(reset) {
        let asked = of_tuple(&lines, "TCP", syn);
        assert_eq!(sum(&asked, "syn"), 1);
        close(&asked[0]["time"], syn);
        let answered = of_tuple(&lines, "TCP", rst);
        assert_eq!((sum(&answered, "syn"), sum(&answered, "rst")), (1, 1), "{answered:?}");
        let last = answered.iter().find(|flow| flow["extensions"]["value"]["rst"] == 1).expect("a line of the reset");
        close(&last["extensions"]["value"]["last_time"], rst);
        assert!(rst.time - syn.time >= 4_000_000_000, "after 4 s");
    }
}
