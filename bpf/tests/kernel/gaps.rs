//! What an attachment leaves open: one that ended is made again, and only what passed in between is declared.

use std::time::Duration;

use flowlog_bpf::event::Count;
use flowlog_bpf::{Interface, InterfaceChange, Kernel, LinkCounters, Options, Selection};

use crate::common::{Attached, Namespace, Sums, may_run, options, sh};
use crate::lab::{at_rest, own};

/// A node with a pod at its veth `v0`, without IPv6, so that nothing passes but what is sent.
fn node_and_pod() -> (Namespace, Namespace) {
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    for namespace in [&node, &pod] {
        namespace.sh("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    }
    plug(&node, &pod, "");
    node.enter();
    (node, pod)
}

/// Makes the veth between them; neighbours are known.
fn plug(node: &Namespace, pod: &Namespace, index: &str) {
    sh(&format!(
        "ip -n {n} link add v0 {index} address 02:00:00:00:01:01 type veth peer name eth0 address 02:00:00:00:01:02 netns {p}
         ip -n {n} addr add 10.6.0.1/24 dev v0; ip -n {p} addr add 10.6.0.2/24 dev eth0
         ip -n {n} link set v0 up; ip -n {p} link set eth0 up
         ip -n {n} neighbour add 10.6.0.2 lladdr 02:00:00:00:01:02 dev v0 nud permanent
         ip -n {p} neighbour add 10.6.0.1 lladdr 02:00:00:00:01:01 dev eth0 nud permanent",
        n = node.name,
        p = pod.name
    ));
}

fn ping(pod: &Namespace, times: u32) {
    pod.sh(&format!("ping -qc{times} -i0.01 10.6.0.1"));
}

/// Starts again on what was left, and gives what changed.
fn again(options: &Options) -> (Attached, Vec<InterfaceChange>) {
    let started = Kernel::start(options).expect("it starts again");
    started.retired.into_iter().for_each(|mut old| {
        old.flush().expect("a flush");
        old.remove().expect("removed");
    });
    let mut kernel = started.kernel;
    let rings = kernel.take_rings();
    (Attached { kernel: Some(kernel), rings, sums: Sums::default() }, started.changes)
}

/// Compares until it is settled what went unobserved on the one interface there is.
fn compared(attached: &mut Attached) -> Interface {
    let mut changes = Vec::new();
    while attached.kernel().compares_interfaces() {
        std::thread::sleep(Duration::from_millis(10));
        changes.extend(attached.kernel().compare_interfaces(false).expect("a look"));
    }
    match changes.pop() {
        Some(InterfaceChange::Compared(interface)) => interface,
        other => panic!("{other:?}"),
    }
}

fn packets(received: u64, transmitted: u64) -> LinkCounters {
    let count = |packets: u64| Count { packets, bytes: packets * 98 };
    LinkCounters { received: count(received), transmitted: count(transmitted) }
}

fn seen(attached: &mut Attached) -> LinkCounters {
    let counters = attached.counters();
    LinkCounters { received: counters.interfaces[0].entered.seen, transmitted: counters.interfaces[0].left.seen }
}

/// The one folder of an instance.
fn instance(options: &Options) -> String {
    let mut folders = std::fs::read_dir(&options.pins).expect("pins");
    folders.next().expect("an instance").expect("a folder").path().display().to_string()
}

/// An interface's key, as `bpftool` takes it.
fn key_of(ifindex: u32) -> String {
    ifindex.to_ne_bytes().map(|byte| byte.to_string()).join(" ")
}

#[test]
fn an_interface_left_half_attached_is_attached_at_the_next_start() {
    if !may_run() {
        return;
    }
    // Killed between the two links, and before or after it was noted how it is attached.
    for noted in [false, true] {
        let (node, pod) = node_and_pod();
        let options = options(&["v0"]);
        let mut first = Attached::start(&options);
        let ifindex = first.kernel().interfaces().next().expect("v0").ifindex;
        drop(first.kernel.take());
        let folder = instance(&options);
        std::fs::remove_file(format!("{folder}/link_{ifindex}_egress")).expect("a pin");
        if !noted {
            sh(&format!("bpftool map delete pinned {folder}/marks key {}", key_of(ifindex)));
        }
        ping(&pod, 2);
        let (mut second, changes) = again(&options);
        assert!(matches!(changes.last(), Some(InterfaceChange::Attached(interface)) if interface.name == "v0"), "{noted}: {changes:?}");
        compared(&mut second);
        ping(&pod, 3);
        let interface = second.kernel().interfaces().next().expect("v0").clone();
        let told = if noted { told(&changes[0]) } else { LinkCounters::default() };
        let all = [told, interface.before, seen(&mut second)].into_iter().fold([Count::default(); 2], |[mut one, mut two], more| {
            one.add(more.received);
            two.add(more.transmitted);
            [one, two]
        });
        assert_eq!(all, own(&node, "v0"), "{noted}: each packet is counted or declared once");
        assert_eq!(all[0].packets, 5);
        second.settle();
        let counters = second.counters();
        if !noted {
            second.sums.assert_accounts_for(&counters);
        }
    }
}

/// What an interface that left was told to have carried.
fn told(change: &InterfaceChange) -> LinkCounters {
    match change {
        InterfaceChange::Vanished { last: Some(last), .. } => *last,
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_device_with_the_index_of_one_that_went_is_attached_too() {
    if !may_run() {
        return;
    }
    let (node, pod) = node_and_pod();
    node.sh("ip link del v0");
    plug(&node, &pod, "index 4711");
    let mut attached = Attached::start(&options(&["v0"]));
    ping(&pod, 3);
    compared(&mut attached);
    node.sh("ip link del v0");
    plug(&node, &pod, "index 4711");
    ping(&pod, 1);
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert!(
        matches!(&changes[..], [InterfaceChange::Vanished { counted, last: Some(last), .. }, InterfaceChange::Attached(_)]
            if counted.entered.seen == packets(3, 0).received && last.transmitted == packets(0, 3).transmitted),
        "{changes:?}"
    );
    assert_eq!(compared(&mut attached).before, packets(1, 1));
    ping(&pod, 2);
    assert_eq!(seen(&mut attached), packets(2, 2));
}

#[test]
fn a_veth_whose_other_end_moves_into_a_pod_becomes_a_pods() {
    if !may_run() {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    node.enter();
    node.sh("ip link add v0 type veth peer name w0");
    let mut attached = Attached::start(&options(&["v0"]));
    assert!(attached.kernel().interfaces().all(|interface| !interface.pod));
    node.sh(&format!("ip link set w0 netns {}", pod.name));
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert!(matches!(&changes[..], [InterfaceChange::Attached(interface)] if interface.pod), "{changes:?}");
    assert!(attached.kernel().interfaces_changed().expect("the changes").is_empty());
}

#[test]
fn other_maps_declare_only_what_passed_between_the_old_ones_and_them() {
    if !may_run() {
        return;
    }
    let (node, pod) = node_and_pod();
    let options = options(&["v0"]);
    ping(&pod, 2);
    let mut first = Attached::start(&options);
    assert_eq!(compared(&mut first).before, packets(2, 2));
    ping(&pod, 3);
    drop(first.kernel.take());
    ping(&pod, 4);
    let (mut second, _) = again(&Options { rows: 256, ..options.clone() });
    assert_eq!(compared(&mut second).before, packets(0, 0), "everything was declared or counted");
    ping(&pod, 1);
    assert_eq!(seen(&mut second), packets(1, 1));
    // And so once more, and when it goes.
    drop(second.kernel.take());
    let (mut third, _) = again(&options);
    assert_eq!(compared(&mut third).before, packets(0, 0));
    node.sh("ip link del v0");
    let changes = third.kernel().interfaces_changed().expect("the changes");
    assert!(matches!(&changes[..], [InterfaceChange::Vanished { last: Some(last), .. }] if *last == packets(0, 0)), "{changes:?}");
}

/// Makes what is pinned as if its marks had this size; `said` in its description, as later releases do.
fn resize_marks(folder: &str, ifindex: u32, size: usize, said: bool) {
    let read = |map: &str, key: &str| -> Vec<String> {
        let text = sh(&format!("bpftool map lookup pinned {folder}/{map} key {key}"));
        text.split("value:").nth(1).expect("a value").split_whitespace().map(str::to_owned).collect()
    };
    let key = key_of(ifindex);
    let mut mark = read("marks", &key);
    mark.resize(size, "00".to_owned());
    let mut meta = read("meta", "0 0 0 0");
    let told = if said { size as u32 } else { 0 };
    meta.splice(28..32, told.to_ne_bytes().map(|byte| format!("{byte:02x}")));
    sh(&format!(
        "rm {folder}/marks; bpftool map create {folder}/marks type hash key 4 value {size} entries 4096 name marks
         bpftool map update pinned {folder}/marks key {key} value hex {}
         bpftool map update pinned {folder}/meta key 0 0 0 0 value hex {}",
        mark.join(" "),
        meta.join(" ")
    ));
}

#[test]
fn maps_whose_marks_are_of_another_release_are_retired_and_their_marks_understood() {
    if !may_run() {
        return;
    }
    for (size, said) in [(64, false), (4096, true)] {
        let (_node, pod) = node_and_pod();
        let options = options(&["v0"]);
        ping(&pod, 2);
        let mut first = Attached::start(&options);
        assert_eq!(compared(&mut first).before, packets(2, 2));
        ping(&pod, 3);
        let (before, ifindex) = (first.kernel().instance(), first.kernel().interfaces().next().expect("v0").ifindex);
        drop(first.kernel.take());
        resize_marks(&instance(&options), ifindex, size, said);
        let (mut second, _) = again(&options);
        assert_ne!(second.kernel().instance(), before, "{size}");
        assert_eq!(compared(&mut second).before, packets(0, 0), "{size}");
        ping(&pod, 1);
        assert_eq!(seen(&mut second), packets(1, 1), "{size}");
    }
}

/// Lets super-packets pass both ways, and waits until the last one did.
fn transfer(node: &Namespace, pod: &Namespace) {
    for reverse in ["", "-R"] {
        let server = std::process::Command::new("ip")
            .args(["netns", "exec", &node.name, "iperf3", "-s", "-1"])
            .stdout(std::process::Stdio::null())
            .spawn();
        node.sh("for i in $(seq 100); do ss -Hltn sport = :5201 | grep -q . && exit; sleep 0.1; done; exit 1");
        pod.sh(&format!("timeout 60 iperf3 -c 10.6.0.1 -n 20M {reverse}"));
        assert!(server.and_then(|mut server| server.wait()).expect("iperf3 ends").success());
    }
    at_rest(|| own(node, "v0"));
}

/// The programs counted what the device did not: a super-packet is one packet to it.
fn assert_super_packets(node: &Namespace, attached: &mut Attached) {
    let ([received, transmitted], seen) = (own(node, "v0"), seen(attached));
    assert!(
        seen.received.packets > 2 * received.packets && seen.transmitted.packets > 2 * transmitted.packets,
        "{seen:?} {received:?} {transmitted:?}"
    );
}

#[test]
fn after_super_packets_an_attachment_made_again_declares_only_what_passed_without_it() {
    if !may_run() {
        return;
    }
    let (node, pod) = node_and_pod();
    let options = options(&["v0"]);
    let mut attached = Attached::start(&options);
    assert_eq!(compared(&mut attached).before, packets(0, 0));
    transfer(&node, &pod);
    assert_super_packets(&node, &mut attached);
    node.sh("ip link set v0 name w0");
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert!(matches!(&changes[..], [InterfaceChange::Vanished { .. }]), "{changes:?}");
    ping(&pod, 5);
    node.sh("ip link set w0 name v0");
    attached.kernel().interfaces_changed().expect("the changes");
    assert_eq!(compared(&mut attached).before, packets(5, 5));
    // Taken off by somebody, it is still known to be the same device.
    transfer(&node, &pod);
    let ifindex = attached.kernel().interfaces().next().expect("v0").ifindex;
    sh(&format!("bpftool link detach pinned {}/link_{ifindex}_ingress", instance(&options)));
    node.sh("ip link set v0 alias touched");
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert!(matches!(&changes[..], [InterfaceChange::Vanished { last: Some(_), .. }, InterfaceChange::Attached(_)]), "{changes:?}");
    assert_eq!(compared(&mut attached).before, packets(0, 0));
}

#[test]
fn after_super_packets_other_maps_declare_only_what_passed_without_them() {
    if !may_run() {
        return;
    }
    let (node, pod) = node_and_pod();
    let options = options(&["v0"]);
    let mut first = Attached::start(&options);
    assert_eq!(compared(&mut first).before, packets(0, 0));
    transfer(&node, &pod);
    assert_super_packets(&node, &mut first);
    drop(first.kernel.take());
    // The old maps are left where they are, and the interface is let go.
    drop(
        Kernel::start(&Options { rows: 256, ..Options { interfaces: Selection::Named(Vec::new()), ..options.clone() } })
            .expect("it starts"),
    );
    ping(&pod, 5);
    // Other maps know what was told by the first, and so do these when they are taken over again.
    for rows in [256, options.rows] {
        let started = Kernel::start(&Options { rows, ..options.clone() }).expect("it starts again");
        let mut attached = Attached { kernel: Some(started.kernel), rings: Vec::new(), sums: Sums::default() };
        let expected = if rows == 256 { packets(5, 5) } else { packets(0, 0) };
        assert_eq!(compared(&mut attached).before, expected, "{rows} rows");
        transfer(&node, &pod);
        drop(attached.kernel.take());
    }
    again(&options);
}

#[test]
fn an_uplink_whose_route_comes_back_declares_only_what_passed_without_it() {
    if !may_run() {
        return;
    }
    let node = Namespace::new("node");
    node.enter();
    // Both ends here, so that only the route makes it an uplink; nobody answers.
    node.sh(
        "sysctl -qw net.ipv6.conf.default.disable_ipv6=1; ip link add up0 type veth peer name w0; ip link set w0 up; ip link set up0 up
         ip addr add 10.6.0.1/24 dev up0; ip neighbour add 10.6.0.2 lladdr 02:00:00:00:01:02 dev up0 nud permanent",
    );
    let send = |times: u32| node.sh(&format!("ping -qc{times} -i0.01 -W0.1 10.6.0.2 || true"));
    let route = |what: &str| node.sh(&format!("ip route {what} default via 10.6.0.2"));
    let options = Options { interfaces: Selection::PodsAndUplink, ..options(&[]) };
    route("add");
    send(1);
    let mut attached = Attached::start(&options);
    assert_eq!(compared(&mut attached).before, packets(0, 1));
    send(2);
    route("del");
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert_eq!(told(&changes[0]), packets(0, 3));
    send(3);
    // What was told is not forgotten by a restart.
    drop(attached.kernel.take());
    let (mut attached, changes) = again(&options);
    assert_eq!(changes, []);
    send(4);
    route("add");
    attached.kernel().interfaces_changed().expect("the changes");
    assert_eq!(compared(&mut attached).before, packets(0, 7));
    send(5);
    assert_eq!(seen(&mut attached), packets(0, 5));
    node.sh("ip link del up0");
    let changes = attached.kernel().interfaces_changed().expect("the changes");
    assert!(matches!(&changes[..], [InterfaceChange::Vanished { .. }]) && told(&changes[0]) == packets(0, 12), "{changes:?}");
}

#[test]
fn drops_that_could_not_be_seen_at_one_start_are_seen_from_the_next() {
    if !may_run() {
        return;
    }
    let (_node, _pod) = node_and_pod();
    let options = options(&["v0"]);
    let mut first = Attached::start(&options);
    assert!(first.kernel().sees_drops(), "this test needs Linux 5.17 or later with BTF");
    drop(first.kernel.take());
    // What is pinned where the drop programs were refused.
    for pin in ["link_drop", "flowlog_drop", "flowlog_drop_sweep"] {
        std::fs::remove_file(format!("{}/{pin}", instance(&options))).expect("a pin");
    }
    let (mut second, changes) = again(&options);
    assert!(second.kernel().sees_drops());
    assert_eq!(changes, [], "the interface stays attached");
}
