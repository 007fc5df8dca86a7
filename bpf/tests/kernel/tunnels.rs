//! A second node behind VXLAN: what is inside is the flow, whichever of the devices on the way are watched.

use flowlog_bpf::Options;
use flowlog_bpf::event::{Count, TunnelKind};
use flowlog_bpf::probe::{Probe, Segmentation, Way};

use crate::common::{Attached, Namespace, may_run, options, sh, udp_frame};
use crate::lab::{Lab, between, v4};

/// Puts a node with the address 10.99.0.2 behind the tunnel `vx0` of the lab's, over its uplink `up0`.
fn behind_vxlan(lab: &Lab) -> Namespace {
    let far = Namespace::new("far");
    sh(&format!(
        "ip -n {node} link add up0 type veth peer name up0 netns {far}
         ip -n {node} addr add 192.0.2.1/24 dev up0; ip -n {far} addr add 192.0.2.2/24 dev up0
         ip -n {node} link set up0 up; ip -n {far} link set up0 up
         ip -n {node} link add vx0 type vxlan id 4711 remote 192.0.2.2 local 192.0.2.1 dstport 4789 dev up0
         ip -n {far} link add vx0 type vxlan id 4711 remote 192.0.2.1 local 192.0.2.2 dstport 4789 dev up0
         ip -n {node} addr add 10.99.0.1/24 dev vx0; ip -n {far} addr add 10.99.0.2/24 dev vx0
         ip -n {node} link set vx0 up; ip -n {far} link set vx0 up
         ip -n {far} route add 10.77.0.0/16 via 10.99.0.1",
        node = lab.node.name,
        far = far.name
    ));
    lab.a.sh("ping -qc1 10.99.0.2");
    far
}

#[test]
fn a_flow_inside_vxlan_counts_once_in_its_own_row_with_the_outer_header_beside_it() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    let _far = behind_vxlan(&lab);
    lab.node.enter();
    let mut attached = Attached::start(&options(&["pod-a", "up0", "vx0"]));
    lab.a.sh("ping -qc5 -i0.2 10.99.0.2");
    attached.settle();
    let request = attached.sums.flow(|flow| between("10.77.1.2", "10.99.0.2", 1)(flow)).expect("the echo requests");
    assert_eq!((request.entered.packets, request.left_after_entering.packets), (5, 5));
    assert_eq!(request.left_ifindex, lab.index("vx0"), "the first interface on the way out counts");
    assert_eq!(request.other.packets, 5, "the uplink saw the same packets, encapsulated");
    let reply = attached.sums.flow(|flow| between("10.99.0.2", "10.77.1.2", 1)(flow)).expect("the echo replies");
    assert_eq!(reply.entered_ifindex, lab.index("up0"));
    let tunnel = reply.tunnel.expect("it was first seen inside the tunnel");
    assert_eq!((tunnel.kind, tunnel.vni, tunnel.destination_port), (TunnelKind::Vxlan, 4711, 4789));
    assert_eq!((tunnel.source, tunnel.destination), (v4("192.0.2.2"), v4("192.0.2.1")));
    assert_eq!(reply.entered.bytes, 5 * (98 + 50), "bytes of the outer frame");
    assert_eq!((reply.left_after_entering.packets, reply.left_ifindex), (5, lab.index("pod-a")));
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
}

#[test]
fn what_a_pod_sends_into_a_tunnel_went_through_though_the_tunnels_device_is_not_watched() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    let _far = behind_vxlan(&lab);
    lab.node.enter();
    let mut attached = Attached::start(&options(&["pod-a", "up0"]));
    lab.a.sh("ping -qc5 -i0.2 10.99.0.2");
    lab.node.sh("ping -qc3 -i0.2 10.99.0.2");
    attached.settle();
    let request = attached.sums.flow(|flow| between("10.77.1.2", "10.99.0.2", 1)(flow)).expect("the pod's echo requests");
    assert_eq!((request.entered.packets, request.entered_ifindex), (5, lab.index("pod-a")));
    assert_eq!((request.left_after_entering.packets, request.left_ifindex), (5, lab.index("up0")));
    assert_eq!((request.left_from_here, request.other), (Count::default(), Count::default()));
    let own = attached.sums.flow(|flow| between("10.99.0.1", "10.99.0.2", 1)(flow)).expect("the node's echo requests");
    assert_eq!((own.left_from_here.packets, own.left_ifindex), (3, lab.index("up0")));
    assert_eq!((own.entered, own.left_after_entering), (Count::default(), Count::default()));
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
}

#[test]
fn a_folded_flow_goes_through_a_tunnel_like_one_with_a_row() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    let _far = behind_vxlan(&lab);
    lab.node.enter();
    let mut attached = Attached::start(&Options { rows: 64, ..options(&["pod-a", "up0", "lo"]) });
    let probe = Probe::of(attached.kernel()).expect("a probe");
    for port in 1000..1200 {
        probe.run(Way::In, &udp_frame(0x0a00_0001, port, 60), 1, Segmentation::default()).expect("a test run");
    }
    lab.a.sh("ping -qc5 -i0.2 10.99.0.2");
    attached.settle();
    let request = attached.sums.folds.iter().filter(|fold| fold.key.protocol == 1 && fold.key.source == v4("10.77.1.2"));
    let (mut entered, mut left, mut here) = (0, 0, 0);
    for fold in request {
        entered += fold.entered.packets;
        left += fold.left_after_entering.packets;
        here += fold.left_from_here.packets;
    }
    assert_eq!((entered, left, here), (5, 5, 0));
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
}
