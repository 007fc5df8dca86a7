//! Real tools in network namespaces: pods behind veths, a node that forwards between them, a second node behind VXLAN,
//! firewalls, fragments, raw frames, a TUN device. What is reported is what went by, and per interface it adds up to
//! the interface's own counters.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::common::{Attached, Namespace, may_run, options, sh};
use flowlog_bpf::event::{Count, DropReport, FlowKey, FlowReport, TunnelKind};
use flowlog_bpf::{InterfaceCounters, Options, Selection, Times};

/// Two pods and the node between them, forwarding; offloads off on every veth.
pub struct Lab {
    pub node: Namespace,
    pub a: Namespace,
    pub b: Namespace,
}

pub const OFF: &str = "rx off tx off sg off tso off gso off gro off";

impl Lab {
    pub fn new() -> Self {
        let lab = Self { node: Namespace::new("node"), a: Namespace::new("a"), b: Namespace::new("b") };
        for (pod, name, net) in [(&lab.a, "pod-a", 1), (&lab.b, "pod-b", 2)] {
            let (node, pod) = (&lab.node.name, &pod.name);
            sh(&format!(
                "ip -n {node} link add {name} type veth peer name eth0 netns {pod}
                 ip -n {node} addr add 10.77.{net}.1/24 dev {name}; ip -n {node} addr add fd77:{net}::1/64 dev {name}
                 ip -n {pod} addr add 10.77.{net}.2/24 dev eth0; ip -n {pod} addr add fd77:{net}::2/64 dev eth0
                 ip netns exec {node} ethtool -K {name} {OFF} >/dev/null; ip netns exec {pod} ethtool -K eth0 {OFF} >/dev/null
                 ip -n {node} link set {name} up; ip -n {pod} link set eth0 up
                 ip -n {pod} route add default via 10.77.{net}.1; ip -n {pod} route add default via fd77:{net}::1"
            ));
        }
        lab.node.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        // Neighbours are known before anything is counted.
        lab.a.sh("ping -qc1 10.77.2.2 && ping -qc1 fd77:2::2");
        lab
    }

    pub fn index(&self, name: &str) -> u32 {
        index(&self.node, name)
    }
}

fn index(namespace: &Namespace, name: &str) -> u32 {
    let text = namespace.sh(&format!("cat /sys/class/net/{name}/ifindex"));
    text.trim().parse().expect("an interface index")
}

pub fn v4(address: &str) -> [u8; 16] {
    let address: Ipv4Addr = address.parse().expect("an address");
    address.to_ipv6_mapped().octets()
}

pub fn between<'a>(source: &'a str, destination: &'a str, protocol: u8) -> impl Fn(&FlowReport) -> bool + 'a {
    move |flow| flow.key.protocol == protocol && flow.key.source == v4(source) && flow.key.destination == v4(destination)
}

/// An interface's own counters: received and transmitted.
pub fn own(namespace: &Namespace, name: &str) -> [Count; 2] {
    let read = |what: &str| -> u64 {
        let text = namespace.sh(&format!("cat /sys/class/net/{name}/statistics/{what}"));
        text.trim().parse().expect("a number")
    };
    [Count { packets: read("rx_packets"), bytes: read("rx_bytes") }, Count { packets: read("tx_packets"), bytes: read("tx_bytes") }]
}

/// Counters once nothing adds to them any more: they are not read in one moment.
pub fn at_rest<T: PartialEq>(read: impl Fn() -> T) -> T {
    loop {
        let before = read();
        std::thread::sleep(std::time::Duration::from_millis(300));
        if read() == before {
            return before;
        }
    }
}

pub fn counted(attached: &mut Attached, ifindex: u32) -> InterfaceCounters {
    let counters = attached.counters();
    *counters.interfaces.iter().find(|interface| interface.ifindex == ifindex).expect("it is watched")
}

/// What the programs counted and what went unobserved before them add up to the interface's own counters.
fn assert_equals_own_counters(attached: &mut Attached, namespace: &Namespace, name: &str) {
    let interface = attached.kernel().interfaces().find(|interface| interface.name == name).expect("watched").clone();
    // Neighbour discovery may send at any moment: read ours between two equal readings of theirs.
    for _ in 0..100 {
        let before = own(namespace, name);
        let counted = counted(attached, interface.ifindex);
        if own(namespace, name) != before {
            continue;
        }
        let mut sums = [counted.entered.seen, counted.left.seen];
        sums[0].add(interface.before.received);
        sums[1].add(interface.before.transmitted);
        assert_eq!(sums, before, "{name}: {counted:?}");
        return;
    }
    panic!("{name} never rests");
}

const SERVE: &str = "import socket,sys
s=socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); s.bind(('::',8080)); s.listen(9)
print('ready',flush=True)
c,_=s.accept()
n=0
while True:
    d=c.recv(65536)
    if not d: break
    n+=len(d)
c.sendall(b'done'); c.close()";

const CONNECT: &str = "import socket,sys
s=socket.create_connection((sys.argv[1],8080)); s.sendall(b'x'*int(sys.argv[2])); s.shutdown(socket.SHUT_WR)
while s.recv(100): pass
s.close()";

/// One TCP connection from pod a to pod b that carries `bytes`.
fn connect(lab: &Lab, address: &str, bytes: usize) {
    let server = std::process::Command::new("ip")
        .args(["netns", "exec", &lab.b.name, "python3", "-c", SERVE])
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut server = server.expect("python3 starts");
    let mut ready = [0; 5];
    std::io::Read::read_exact(server.stdout.as_mut().expect("piped"), &mut ready).expect("the server is ready");
    lab.a.sh(&format!("python3 -c \"{CONNECT}\" {address} {bytes}"));
    assert!(server.wait().expect("the server ends").success());
}

#[test]
fn a_forwarded_connection_enters_at_one_veth_and_leaves_at_the_other_with_equal_counts() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    let mut attached = Attached::start(&Options { interfaces: Selection::PodsAndUplink, ..options(&[]) });
    let names: Vec<_> = attached.kernel().interfaces().map(|interface| interface.name.clone()).collect();
    assert_eq!(names, ["pod-a", "pod-b"], "veths with their other end in a pod are chosen by kind");
    connect(&lab, "10.77.2.2", 100_000);
    connect(&lab, "fd77:2::2", 100_000);
    attached.settle();
    let flow = attached.sums.flow(|flow| between("10.77.1.2", "10.77.2.2", 6)(flow)).expect("the IPv4 connection");
    assert_eq!(flow.entered, flow.left_after_entering);
    assert_eq!(flow.left_from_here, Count::default());
    assert_eq!((flow.entered_ifindex, flow.left_ifindex), (lab.index("pod-a"), lab.index("pod-b")));
    assert_eq!((flow.entered_tcp.syn, flow.entered_tcp.fin, flow.entered_tcp.rst), (1, 1, 0));
    assert_eq!(flow.entered_tcp, flow.left_tcp);
    assert!(flow.entered.bytes > 100_000);
    let six = attached.sums.flow(|flow| flow.key.family == 6 && flow.key.protocol == 6 && flow.key.destination_port == 8080);
    assert_eq!(six.expect("the IPv6 connection").entered_tcp.syn, 1);
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
    for name in ["pod-a", "pod-b"] {
        assert_equals_own_counters(&mut attached, &lab.node, name);
    }
}

#[test]
fn what_a_firewall_eats_never_leaves_and_is_named_with_its_reason() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    lab.node.sh("nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f tcp dport 8080 drop'");
    let mut attached = Attached::start(&options(&["pod-*"]));
    assert!(attached.kernel().sees_drops(), "the drop program did not load; this test needs Linux 5.17 or later with BTF");
    lab.a.sh("timeout 2 nc -z -w 2 10.77.2.2 8080 || true");
    attached.settle();
    let flow = attached.sums.flow(|flow| between("10.77.1.2", "10.77.2.2", 6)(flow)).expect("the denied connection");
    assert!(flow.entered.packets >= 2, "SYN and its repetitions: {flow:?}");
    assert_eq!(flow.left_after_entering, Count::default());
    assert_eq!(u64::from(flow.entered_tcp.syn), flow.entered.packets);
    let drops: Vec<_> = attached.sums.drops.iter().filter(|drop| drop.key == flow.key).copied().collect();
    let mut sum = Count::default();
    drops.iter().for_each(|drop| sum.add(drop.count));
    assert_eq!(sum, flow.entered, "each entered packet is dropped once, with all its bytes");
    assert!(drops.iter().all(|drop| drop.entered && !drop.after && drop.reason == drops[0].reason));
    let kernel = attached.kernel();
    assert_eq!(kernel.reasons().name(drops[0].reason), Some("NETFILTER_DROP"));
}

const DATAGRAMS: &str = "import socket,sys
for port in range(int(sys.argv[1]),int(sys.argv[2])):
    s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('10.77.1.2',port)); s.sendto(b'x',('10.77.2.2',9)); s.close()";

#[test]
fn drop_rows_that_fell_silent_make_room_for_other_flows() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    lab.node.sh("nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; add rule ip t f udp dport 9 drop'");
    let times = Times { report_interval: Duration::from_millis(100), idle: Duration::from_secs(3600), ..Times::default() };
    let mut attached = Attached::start(&Options { times, drop_rows: 16, ..options(&["pod-a"]) });
    let ours = |drop: &&DropReport| drop.key.destination_port == 9;
    for round in 1..=3 {
        lab.a.sh(&format!("python3 -c \"{DATAGRAMS}\" {} {}", 4000 + round * 12, 4012 + round * 12));
        let deadline = Instant::now() + Duration::from_secs(20);
        while attached.sums.drops.iter().filter(ours).filter(|drop| drop.last).count() < round * 12 {
            assert!(Instant::now() < deadline, "the rows of round {round} stay");
            attached.kernel().sweep().expect("a sweep");
            attached.drain();
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let dropped: u64 = attached.sums.drops.iter().filter(ours).map(|drop| drop.count.packets).sum();
    assert_eq!((dropped, attached.counters().drops_unattributed), (36, Count::default()));
}

#[test]
fn fragments_count_as_packets_and_the_later_ones_have_no_ports() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    let mut attached = Attached::start(&options(&["pod-a"]));
    lab.a.sh("ping -qc3 -i0.2 -s 4000 10.77.1.1; ping -qc2 -i0.2 -s 4000 fd77:1::1");
    attached.settle();
    for (protocol, request, sent) in [(1, 8, 3), (58, 128, 2)] {
        let ours = |flow: &FlowReport| flow.key.protocol == protocol && flow.entered.packets > 0 && flow.fragment;
        let first = attached.sums.flow(|flow| ours(flow) && flow.key.source_port == request).expect("first fragments");
        let later = attached.sums.flow(|flow| ours(flow) && flow.key.source_port == 0).expect("later fragments");
        assert_eq!((first.entered.packets, later.entered.packets), (sent, 2 * sent));
    }
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
    assert_equals_own_counters(&mut attached, &lab.node, "pod-a");
}

#[test]
fn a_side_moves_to_the_interface_that_still_sees_the_flow_when_its_owner_falls_silent() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    // A second way for the node to reach pod b.
    sh(&format!(
        "ip -n {node} link add pod-c type veth peer name eth1 netns {b}
         ip -n {node} addr add 10.77.3.1/24 dev pod-c; ip -n {b} addr add 10.77.3.2/24 dev eth1
         ip -n {node} link set pod-c up; ip -n {b} link set eth1 up
         ip netns exec {b} sysctl -qw net.ipv4.conf.all.rp_filter=0; ip netns exec {node} ping -qc1 10.77.3.2",
        node = lab.node.name,
        b = lab.b.name
    ));
    let times = Times { report_interval: Duration::from_millis(300), ..Times::default() };
    let mut attached = Attached::start(&Options { times, ..options(&["pod-*"]) });
    let send = |packets: u32| {
        lab.a.sh(&format!("echo 10.77.2.2 | xargs -n1 sh -c 'for i in $(seq {packets}); do echo x | nc -u -p 4000 -q0 $0 9; done'"))
    };
    send(3);
    lab.node.sh("ip route add 10.77.2.2/32 via 10.77.3.2");
    std::thread::sleep(Duration::from_millis(400));
    send(4);
    attached.settle();
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
    assert_eq!(counters.owners_moved, 1, "{counters:?}");
    let on = |name: &str| {
        let ifindex = lab.index(name);
        let ours = |flow: &FlowReport| between("10.77.1.2", "10.77.2.2", 17)(flow) && flow.left_ifindex == ifindex;
        attached.sums.flow(ours).map_or(0, |flow| flow.left_after_entering.packets)
    };
    assert_eq!((on("pod-b"), on("pod-c")), (3, 4));
}

const RAW: &str = "import socket,sys
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind((sys.argv[1],0))
for h in sys.argv[2:]: s.send(bytes.fromhex(h))";

/// Ethernet, IPv4 and a payload of one of the protocols that this kernel has no driver for.
fn raw_frames() -> [String; 4] {
    let ethernet = "02aa0000000102aa00000002";
    let ip = |protocol: u8, payload: usize| format!("4500{:04x}0001000040{protocol:02x}0000c6336401c6336402", 20 + payload);
    let sctp = format!("{ethernet}0800{}1f9001bb000000000000000001000014{}", ip(132, 32), "00".repeat(16));
    let udp = |port: u16, payload: usize| format!("9c40{port:04x}{:04x}0000", 8 + payload);
    let inner = format!("{ethernet}0800{}04d2162e0008000000", ip(17, 9));
    // Geneve: one option of 4 bytes, network 99.
    let geneve = format!("0201655800006300{}", "0101010100000000");
    let payload = geneve.len() / 2 + inner.len() / 2;
    let encapsulated = format!("{ethernet}0800{}{}{geneve}{inner}", ip(17, 8 + payload), udp(6081, payload));
    let tagged = format!("{ethernet}8100002a0800{}{}", ip(17, 8), udp(1000, 0));
    let two_tags = format!("{ethernet}88a80007810000080800{}{}", ip(17, 8), udp(2000, 0));
    [sctp, encapsulated, tagged, two_tags]
}

#[test]
fn raw_frames_of_sctp_geneve_and_vlans_are_the_flows_they_carry() {
    if !may_run() {
        return;
    }
    let lab = Lab::new();
    lab.node.enter();
    let mut attached = Attached::start(&options(&["pod-a"]));
    lab.a.sh(&format!("python3 -c \"{RAW}\" eth0 {}", raw_frames().join(" ")));
    attached.settle();
    let find = |attached: &Attached, source_port: u16, destination_port: u16| {
        let fits = |key: &FlowKey| key.source_port == source_port && key.destination_port == destination_port;
        attached.sums.flow(|flow| fits(&flow.key)).unwrap_or_else(|| panic!("flow {source_port} to {destination_port}"))
    };
    let sctp = find(&attached, 8080, 443);
    assert_eq!((sctp.key.protocol, sctp.entered), (132, Count { packets: 1, bytes: 66 }));
    assert_eq!(sctp.source_mac, [2, 0xaa, 0, 0, 0, 2]);
    let inner = find(&attached, 1234, 5678);
    let tunnel = inner.tunnel.expect("inside Geneve");
    assert_eq!((tunnel.kind, tunnel.vni, tunnel.source_port), (TunnelKind::Geneve, 99, 40000));
    let tagged = find(&attached, 40000, 1000);
    assert_eq!((tagged.vlan, tagged.entered.bytes), (Some(42), 46));
    let two_tags = find(&attached, 40000, 2000);
    assert_eq!((two_tags.vlan, two_tags.entered.bytes), (Some(7), 50), "the outer tag; both count");
    let counters = attached.counters();
    attached.sums.assert_accounts_for(&counters);
    assert_equals_own_counters(&mut attached, &lab.node, "pod-a");
}

const TUN: &str = "import fcntl,os,struct,sys,time
f=os.open('/dev/net/tun',os.O_RDWR); fcntl.ioctl(f,0x400454ca,struct.pack('16sH',b'tun0',0x1001))
os.system('ip addr add 10.55.0.1/24 dev tun0; ip link set tun0 up')
print('ready',flush=True); sys.stdin.readline()
for h in sys.argv[1:]: os.write(f,bytes.fromhex(h))
print('sent',flush=True); sys.stdin.readline()";

#[test]
fn a_device_without_ethernet_header_is_read_from_its_ip_header_on() {
    if !may_run() {
        return;
    }
    use std::io::{Read, Write};
    let namespace = Namespace::new("tun");
    namespace.enter();
    let udp = "4500001c00010000401100000a3700020a370001270f2710000800 00".replace(' ', "");
    let mut python = std::process::Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3", "-c", TUN, &udp, &udp])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let (mut to, mut from) = (python.stdin.take().expect("piped"), python.stdout.take().expect("piped"));
    from.read_exact(&mut [0; 6]).expect("the device is up");
    let mut attached = Attached::start(&options(&["tun0"]));
    assert!(attached.kernel().interfaces().all(|interface| interface.l3));
    to.write_all(b"\n").expect("go");
    from.read_exact(&mut [0; 5]).expect("sent");
    attached.settle();
    let flow = attached.sums.flow(|flow| flow.key.source_port == 9999).expect("the datagrams");
    assert_eq!((flow.key.destination_port, flow.key.protocol), (10000, 17));
    assert_eq!(flow.entered, Count { packets: 2, bytes: 56 });
    assert!(flow.l3_device && flow.source_mac == [0; 6]);
    assert_equals_own_counters(&mut attached, &namespace, "tun0");
    to.write_all(b"\n").expect("done");
    assert!(python.wait().expect("python3 ends").success());
}
