//! Real packets through the daemon's whole path: what a router forwards, drops and is told stands in `events.log` as it happened.

use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{self, CLIENT, Lab, SERVER};
use flowlog_tests::program::run;
use flowlog_tests::skip;
use serde_json::{Value, json};

/// The lines between two addresses, one way.
fn between<'l>(lines: &'l [Value], source: &str, destination: &str) -> Vec<&'l Value> {
    let flows = lines.iter().map(|line| &line["flow"]);
    flows.filter(|flow| flow["IP"]["source"] == source && flow["IP"]["destination"] == destination).collect()
}

/// The sum of one count of their extensions.
fn sum(flows: &[&Value], count: &str) -> u64 {
    flows.iter().map(|flow| flow["extensions"]["value"][count].as_u64().unwrap_or(0)).sum()
}

/// Those with a port on either side.
fn on_port<'l>(flows: &[&'l Value], protocol: &str, side: &str, port: u16) -> Vec<&'l Value> {
    flows.iter().copied().filter(|flow| flow["l4"][protocol][side] == port).collect()
}

#[test]
fn forwarded_datagrams_connections_and_pings_stand_in_the_log_as_they_passed() {
    if skip::lacks_root("forwarded_datagrams_connections_and_pings_stand_in_the_log_as_they_passed") {
        return;
    }
    let lab = Lab::new().with_ipv6();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let _datagrams = lab::datagrams(&lab.server, 5001);
    let _connections = lab::connections(&lab.server, 5002);
    lab.client
        .inside(|| {
            let socket = UdpSocket::bind((CLIENT, 4001)).expect("a socket");
            for _ in 0..7 {
                socket.send_to(&[1; 100], (SERVER, 5001)).expect("a datagram");
            }
            let mut connection = TcpStream::connect((SERVER, 5002)).expect("a connection");
            connection.write_all(&[2; 10_000]).expect("a write");
        })
        .join()
        .expect("the client");
    lab.client.sh(&format!("ping -q -c 3 -i 0.2 {SERVER}; ping -q -c 4 -i 0.2 fd77:2::2"));
    daemon.finish();
    let lines = daemon.lines();

    let there = between(&lines, CLIENT, SERVER);
    let datagrams = on_port(&there, "UDP", "destination_port", 5001);
    assert_eq!((sum(&datagrams, "packets"), sum(&datagrams, "bytes")), (7, 7 * (100 + 8 + 20 + 14)));
    let flow = datagrams[0];
    assert_eq!(flow["verdict"], "FORWARDED");
    assert_eq!(flow["trace_observation_point"], "TO_ENDPOINT", "{flow}");
    assert_eq!(flow["interface"]["name"], "rb");
    assert_eq!(flow["l4"]["UDP"]["source_port"], 4001);
    assert_eq!(flow["Type"], "L3_L4");
    assert_eq!(flow["node_name"], "lab");
    assert_eq!(flow["is_reply"], false);
    assert_eq!(flow["IP"]["ipVersion"], "IPv4");
    assert_eq!(flow["emitter"]["name"], "flowlog");
    assert_eq!(flow["event_type"], json!({"type": 4}));
    assert_eq!(flow["extensions"]["value"]["interfaces"], json!(["ra", "rb"]));

    let connection = on_port(&there, "TCP", "destination_port", 5002);
    assert_eq!((sum(&connection, "syn"), sum(&connection, "fin"), sum(&connection, "rst")), (1, 1, 0));
    assert!(sum(&connection, "bytes") > 10_000 && connection[0]["is_reply"] == false, "{connection:?}");
    let mut answers = on_port(&between(&lines, SERVER, CLIENT), "TCP", "source_port", 5002);
    // What the client's socket throws away when it closes is a line of its own, behind the router.
    answers.retain(|flow| flow["verdict"] == "FORWARDED");
    assert_eq!((sum(&answers, "syn"), sum(&answers, "fin")), (1, 1));
    assert!(answers[0]["is_reply"] == true && answers.iter().all(|flow| flow["interface"]["name"] == "ra"), "{answers:?}");

    let pings: Vec<&Value> = there.iter().copied().filter(|flow| flow["l4"]["ICMPv4"]["type"] == 8).collect();
    assert_eq!((sum(&pings, "packets"), &pings[0]["is_reply"]), (3, &json!(false)));
    let answers: Vec<&Value> = between(&lines, SERVER, CLIENT).into_iter().filter(|flow| flow["l4"].get("ICMPv4").is_some()).collect();
    assert_eq!((sum(&answers, "packets"), &answers[0]["is_reply"]), (3, &json!(true)));

    let pings: Vec<&Value> = between(&lines, "fd77:1::2", "fd77:2::2");
    assert_eq!((sum(&pings, "packets"), &pings[0]["IP"]["ipVersion"]), (4, &json!("IPv6")));
    assert_eq!(pings[0]["l4"]["ICMPv6"]["type"], 128);
}

#[test]
fn what_nft_drops_is_denied_for_a_reason_and_never_forwarded() {
    if skip::lacks_root("what_nft_drops_is_denied_for_a_reason_and_never_forwarded") {
        return;
    }
    let lab = Lab::new();
    lab.router.sh("nft 'add table ip lab; add chain ip lab forward { type filter hook forward priority 0; }; add rule ip lab forward tcp dport 5003 drop'");
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let address = format!("{SERVER}:5003").parse().expect("an address");
    let refused = lab.client.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(2500))).join().expect("the client");
    assert!(refused.is_err());
    let dropped = lab.client.counters("eth0");
    daemon.finish();
    let lines = daemon.lines();

    let flows = on_port(&between(&lines, CLIENT, SERVER), "TCP", "destination_port", 5003);
    assert_eq!(sum(&flows, "packets"), dropped.sent, "every SYN once: {lines:?}");
    for flow in flows {
        assert_eq!(flow["verdict"], "DROPPED", "{flow}");
        assert_eq!(flow["drop_reason_desc"], "POLICY_DENIED");
        assert_eq!(flow["extensions"]["value"]["drop_reason"], "NETFILTER_DROP");
        assert!(flow.get("trace_observation_point").is_none(), "{flow}");
    }
    let observed = |verdict: &str| {
        let file = daemon.path("events.log");
        run(&["observe", "--input-file", file.to_str().expect("a path"), "--to-port", "5003", "--verdict", verdict, "-o", "jsonpb"]).stdout
    };
    assert_eq!(String::from_utf8_lossy(&observed("FORWARDED")), "");
    assert!(!observed("DROPPED").is_empty());
}

#[test]
fn connects_to_a_silent_port_and_resets_of_a_service_are_counted_exactly() {
    if skip::lacks_root("connects_to_a_silent_port_and_resets_of_a_service_are_counted_exactly") {
        return;
    }
    let lab = Lab::new();
    // A port that answers nothing, as behind a firewall of the server's own.
    lab.server.sh(
        "nft 'add table ip lab; add chain ip lab input { type filter hook input priority 0; }; add rule ip lab input tcp dport 5004 drop'",
    );
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let before = lab.client.counters("eth0");
    let address = format!("{SERVER}:5004").parse().expect("an address");
    let silent = lab.client.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(3500))).join().expect("the client");
    assert!(silent.is_err());
    let syns = lab.client.counters("eth0").since(before).sent;

    let listener = lab.server.inside(|| TcpListener::bind(("0.0.0.0", 5005)).expect("a listener")).join().expect("a thread");
    let resets = std::thread::spawn(move || {
        for _ in 0..3 {
            let (connection, _) = listener.accept().expect("a connection");
            // Unread bytes turn a close into a reset.
            std::thread::sleep(Duration::from_millis(200));
            drop(connection);
        }
    });
    for _ in 0..3 {
        let reset = lab.client.inside(|| {
            let mut connection = TcpStream::connect((SERVER, 5005)).expect("a connection");
            connection.write_all(b"x").expect("a write");
            std::io::Read::read(&mut connection, &mut [0; 8]).expect_err("a reset").kind()
        });
        assert_eq!(reset.join().expect("the client"), std::io::ErrorKind::ConnectionReset);
    }
    resets.join().expect("the service");
    daemon.finish();
    let lines = daemon.lines();

    let silent = on_port(&between(&lines, CLIENT, SERVER), "TCP", "destination_port", 5004);
    assert!(syns >= 2, "the client tried again");
    assert_eq!((sum(&silent, "syn"), sum(&silent, "packets")), (syns, syns));
    assert!(on_port(&between(&lines, SERVER, CLIENT), "TCP", "source_port", 5004).is_empty());
    let answers = on_port(&between(&lines, SERVER, CLIENT), "TCP", "source_port", 5005);
    assert_eq!((sum(&answers, "syn"), sum(&answers, "rst")), (3, 3));
}
