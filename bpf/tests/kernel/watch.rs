//! Interfaces that come, go and change their names while the programs run.

use std::time::Duration;

use flowlog_bpf::event::Count;
use flowlog_bpf::{AttachMode, InterfaceChange, Options, Selection};

use crate::common::{Attached, Namespace, may_run, options, sh, skip};
use crate::lab::own;
use crate::scale;

fn changes(attached: &mut Attached) -> Vec<InterfaceChange> {
    attached.kernel().interfaces_changed().expect("the changes")
}

#[test]
fn an_interface_is_attached_when_it_appears_follows_its_name_and_is_let_go_when_it_vanishes() {
    if !may_run() {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    node.enter();
    let mut attached = Attached::start(&Options { interfaces: Selection::PodsAndUplink, ..options(&[]) });
    assert_eq!(attached.kernel().interfaces().count(), 0);
    sh(&format!("ip -n {} link add v0 type veth peer name eth0 netns {}; ip -n {0} link set v0 up", node.name, pod.name));
    let seen = changes(&mut attached);
    assert!(matches!(&seen[..], [InterfaceChange::Attached(interface)] if interface.name == "v0"), "{seen:?}");
    sh(&format!("ip -n {} link set v0 down; ip -n {0} link set v0 name renamed; ip -n {0} link set renamed up", node.name));
    let seen = changes(&mut attached);
    assert!(matches!(&seen[..], [InterfaceChange::Renamed { name, .. }] if name == "renamed"), "{seen:?}");
    assert!(changes(&mut attached).is_empty());
    sh(&format!("ip -n {} link del renamed", node.name));
    let seen = changes(&mut attached);
    assert!(matches!(&seen[..], [InterfaceChange::Vanished { last: Some(_), .. }]), "{seen:?}");
    assert_eq!(attached.counters().interfaces, []);
}

#[test]
fn an_uplink_is_the_device_of_the_default_route_and_follows_it() {
    if !may_run() {
        return;
    }
    let (node, far) = (Namespace::new("node"), Namespace::new("far"));
    node.enter();
    let mut attached = Attached::start(&Options { interfaces: Selection::PodsAndUplink, ..options(&[]) });
    // A TUN device is no pod's veth: only the route makes it an uplink.
    node.sh("ip tuntap add mode tun name t0; ip addr add 10.1.1.1/24 dev t0; ip link set t0 up");
    assert!(changes(&mut attached).is_empty());
    node.sh("ip route add default dev t0");
    let seen = changes(&mut attached);
    assert!(matches!(&seen[..], [InterfaceChange::Attached(interface)] if interface.name == "t0" && interface.l3), "{seen:?}");
    node.sh("ip route del default");
    let seen = changes(&mut attached);
    assert!(matches!(&seen[..], [InterfaceChange::Vanished { .. }]), "{seen:?}");
    drop(far);
}

fn sum(mut one: Count, other: Count) -> Count {
    one.add(other);
    one
}

#[test]
fn what_short_lived_interfaces_carried_is_counted_or_declared_to_the_packet() {
    if !may_run() {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    // Nothing must be sent between reading an interface's counters and deleting it.
    for namespace in [&node, &pod] {
        namespace.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    }
    node.enter();
    let mut attached = Attached::start(&options(&["v*"]));
    let (mut counted_packets, mut declared_packets) = (0, 0);
    for number in 0..scale::of("short_lived_veths") {
        sh(&format!(
            "ip -n {n} link add v{number} type veth peer name eth0 netns {p}
             ip netns exec {n} ethtool -K v{number} gso off tso off gro off >/dev/null
             ip -n {n} addr add 10.3.0.1/24 dev v{number}; ip -n {p} addr add 10.3.0.2/24 dev eth0
             ip -n {n} link set v{number} up; ip -n {p} link set eth0 up; ip netns exec {p} ping -qc1 10.3.0.1",
            n = node.name,
            p = pod.name
        ));
        // Every third goes before anyone looks: what the kernel still tells of it must be declared.
        let looked = number % 3 != 0;
        if looked {
            let seen = changes(&mut attached);
            assert!(seen.iter().any(|change| matches!(change, InterfaceChange::Attached(_))), "{seen:?}");
            while attached.kernel().compares_interfaces() {
                std::thread::sleep(Duration::from_millis(10));
                attached.kernel().compare_interfaces(false).expect("a look");
            }
            pod.sh("ping -qc2 -i0.01 10.3.0.1");
        }
        let own = own(&node, &format!("v{number}"));
        sh(&format!("ip -n {} link del v{number}", node.name));
        let mut gone = false;
        for change in changes(&mut attached) {
            let InterfaceChange::Vanished { interface, last: Some(last), counted, .. } = change else {
                continue;
            };
            gone = true;
            let ours = [counted.entered.seen, counted.left.seen];
            if looked {
                let before = [interface.before.received, interface.before.transmitted];
                let all = [sum(before[0], ours[0]), sum(before[1], ours[1])];
                assert_eq!(all, own, "v{number}: what is not counted was declared when it was attached");
                assert_eq!([last.received, last.transmitted], own);
                counted_packets += ours[0].packets;
                declared_packets += before[0].packets;
            } else {
                assert_eq!(ours, [Count::default(); 2]);
                assert_eq!(last.transmitted, own[1]);
                declared_packets += last.transmitted.packets;
            }
        }
        assert!(gone, "v{number} vanished");
    }
    attached.settle();
    let entered: u64 = attached.sums.entered.values().map(|count| count.packets).sum();
    println!("{counted_packets} packets counted, {declared_packets} declared, {entered} reported in flows");
    assert!(counted_packets > 0 && declared_packets > 0);
}

#[test]
fn without_any_capability_left_a_new_interface_is_attached_and_rows_are_swept() {
    if !may_run() {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    node.enter();
    let mut attached = Attached::start(&Options { interfaces: Selection::PodsAndUplink, ..options(&[]) });
    let kept = attached.kernel().features().kept_capabilities(AttachMode::Auto);
    if !kept.is_empty() {
        skip(&format!("this kernel asks to keep {kept:?}"), "make test on Linux 6.6 or later");
        return;
    }
    let all = rustix::thread::capabilities(None).expect("this thread's capabilities");
    let none = rustix::thread::CapabilitySet::empty();
    let empty = rustix::thread::CapabilitySets { effective: none, permitted: all.permitted, inheritable: none };
    rustix::thread::set_capabilities(None, empty).expect("dropped");
    sh(&format!(
        "ip -n {n} link add v0 type veth peer name eth0 netns {p}
         ip -n {n} addr add 10.5.0.1/24 dev v0; ip -n {p} addr add 10.5.0.2/24 dev eth0
         ip -n {n} link set v0 up; ip -n {p} link set eth0 up",
        n = node.name,
        p = pod.name
    ));
    let seen = changes(&mut attached);
    pod.sh("ping -qc2 -i0.2 10.5.0.1");
    attached.settle();
    sh(&format!("ip -n {} link add v1 type veth peer name eth1 netns {}", node.name, pod.name));
    let more = changes(&mut attached);
    rustix::thread::set_capabilities(None, all).expect("taken back for the tidying up");
    assert!(matches!(&seen[..], [InterfaceChange::Attached(interface)] if interface.name == "v0"), "{seen:?}");
    assert!(matches!(&more[..], [InterfaceChange::Attached(interface)] if interface.name == "v1"), "the first one stays: {more:?}");
    let echo = attached.sums.flow(|flow| flow.key.protocol == 1 && flow.key.source_port == 8);
    assert_eq!(echo.expect("the echo requests").entered.packets, 2);
}
