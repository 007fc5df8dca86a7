//! A pod that talks to another node's through a tunnel: the pod's veth and the uplink are watched, the tunnel's device is not.

use std::net::UdpSocket;

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{self, CLIENT, Lab};
use flowlog_tests::skip;
use flowlog_tests::totals::assert_each_once;

/// The other node's pod, as seen through the tunnel.
const FAR: &str = "10.99.0.2";
const PACKETS: u64 = 40;

/// VXLAN between the router and the server, over the router's `rb`.
fn tunnel(lab: &Lab) {
    for (node, own, other, device) in [(&lab.router, "1", "2", "rb"), (&lab.server, "2", "1", "eth0")] {
        node.sh(&format!(
            "ip link add vx0 address 02:00:00:00:09:0{own} type vxlan id 4711 local 10.77.2.{own} remote 10.77.2.{other} dstport 4789 dev {device}
             ip addr add 10.99.0.{own}/24 dev vx0; ip link set vx0 up
             ip neighbour add 10.99.0.{other} lladdr 02:00:00:00:09:0{other} dev vx0 nud permanent"
        ));
    }
}

#[test]
fn what_a_pod_sends_through_a_tunnel_is_forwarded_once_and_not_traced() {
    if skip::lacks_root("what_a_pod_sends_through_a_tunnel_is_forwarded_once_and_not_traced") {
        return;
    }
    let lab = Lab::new();
    tunnel(&lab);
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let _datagrams = lab::datagrams(&lab.server, 5001);
    lab.client
        .inside(|| {
            let socket = UdpSocket::bind((CLIENT, 4001)).expect("a socket");
            for _ in 0..PACKETS {
                socket.send_to(&[1; 100], (FAR, 5001)).expect("a datagram");
            }
        })
        .join()
        .expect("the client");
    daemon.finish();
    let lines = daemon.lines();
    assert_each_once(&lines);
    let flows: Vec<_> = lines.iter().map(|line| &line["flow"]).filter(|flow| flow["IP"]["destination"] == FAR).collect();
    let packets: u64 = flows.iter().map(|flow| flow["extensions"]["value"]["packets"].as_u64().unwrap_or(0)).sum();
    assert_eq!(packets, PACKETS, "{flows:?}");
    assert!(flows.iter().all(|flow| flow["verdict"] == "FORWARDED" && flow["interface"]["name"] == "rb"), "{flows:?}");
}
