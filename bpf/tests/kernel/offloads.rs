//! Super-packets: what one program run stands for is what the wire carries in the end.

use flowlog_bpf::event::Count;

use crate::common::{Attached, Namespace, may_run, options, sh};
use crate::lab::{Lab, OFF, at_rest, counted, own, v4};

#[test]
fn with_offloads_on_segments_and_bytes_equal_what_a_second_hop_without_them_transmits() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    let hop = Namespace::new("hop");
    let far = Namespace::new("far");
    // Without IPv6 the second hop adds nothing of its own but ARP.
    for namespace in [&hop, &far] {
        namespace.sh("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
    }
    sh(&format!(
        "ip -n {node} link add up0 type veth peer name in0 netns {hop}
         ip -n {hop} link add out0 type veth peer name eth0 netns {far}
         ip -n {node} addr add 192.0.2.1/24 dev up0; ip -n {hop} addr add 192.0.2.2/24 dev in0
         ip -n {hop} addr add 198.51.100.1/24 dev out0; ip -n {far} addr add 198.51.100.2/24 dev eth0
         ip netns exec {hop} ethtool -K out0 {OFF} >/dev/null
         ip netns exec {node} ethtool -K pod-a rx on tx on sg on tso on gso on gro on >/dev/null
         ip netns exec {a} ethtool -K eth0 rx on tx on sg on tso on gso on >/dev/null
         for n in {node} {hop}; do ip netns exec $n sysctl -qw net.ipv4.ip_forward=1; done
         ip -n {node} link set up0 up; ip -n {hop} link set in0 up; ip -n {hop} link set out0 up; ip -n {far} link set eth0 up
         ip -n {node} route add default via 192.0.2.2; ip -n {hop} route add 10.77.0.0/16 via 192.0.2.1
         ip -n {far} route add default via 198.51.100.1
         ip netns exec {a} ping -qc1 198.51.100.2",
        node = lab.node.name,
        hop = hop.name,
        far = far.name,
        a = lab.a.name
    ));
    lab.node.enter();
    let mut attached = Attached::start(&options(&["up0"]));
    let before = own(&hop, "out0")[1];
    let mut server = std::process::Command::new("ip")
        .args(["netns", "exec", &far.name, "iperf3", "-s", "-1"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("iperf3 starts");
    far.sh("for i in $(seq 100); do ss -Hltn sport = :5201 | grep -q . && exit; sleep 0.1; done; exit 1");
    lab.a.sh("timeout 60 iperf3 -c 198.51.100.2 -n 30M");
    assert!(server.wait().expect("iperf3 ends").success());
    attached.settle();
    let after = at_rest(|| own(&hop, "out0")[1]);
    let interface = counted(&mut attached, lab.index("up0"));
    let own = own(&lab.node, "up0")[1];
    assert!(own.packets < interface.left.seen.packets / 2, "super-packets went by: {own:?} of {interface:?}");
    // What is not forwarded traffic (ARP, neighbour discovery) stays on its link.
    let mut forwarded = Count::default();
    for flow in attached.sums.flows.iter().filter(|flow| flow.key.destination == v4("198.51.100.2")) {
        forwarded.add(flow.left_after_entering);
    }
    let arrived = Count { packets: after.packets - before.packets, bytes: after.bytes - before.bytes };
    assert_close(forwarded, arrived);
}

/// Equal but for a few ARP frames of 42 bytes that the second hop made itself.
fn assert_close(forwarded: Count, arrived: Count) {
    let extra = arrived.packets - forwarded.packets;
    assert!(extra <= 4, "{forwarded:?} {arrived:?}");
    assert_eq!(arrived.bytes - forwarded.bytes, extra * 42, "{forwarded:?} {arrived:?}");
}
