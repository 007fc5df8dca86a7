//! Guarantee 1 for interfaces that live a moment: what they carried is counted or declared unobserved, to the byte.

use std::collections::BTreeMap;
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{Namespace, sh};
use flowlog_tests::totals::assert_each_once;
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// Packets and bytes.
type Count = (u64, u64);

/// A veth pair between the node and a pod, with traffic from its first moment on; says what the node's end counted before it was deleted. Every third is
/// born under a name that is not watched, so that its first packets are nobody's; every third is gone before anybody may have looked.
fn live_and_die(node: &Namespace, pod: &Namespace, number: u64) -> Carried {
    let (name, net) = (format!("v{number}"), format!("10.{}.{}", 100 + number / 250, number % 250));
    let born = if number % 3 == 1 { format!("x{number}") } else { name.clone() };
    // Neighbours are known, so that nothing but IPv4 passes. A device may refuse packets in its first moment; then nobody counts them.
    // No deadline (`-w`): with one, ping sends more than it was told until it has as many answers, and goes while the last answer is still to come.
    sh(&format!(
        "ip -n {node} link add {born} address 02:00:00:00:01:01 type veth peer name eth0 address 02:00:00:00:01:02 netns {pod}
         ip -n {node} -batch - <<END
address add {net}.1/24 dev {born}
link set {born} addrgenmode none up
neighbour add {net}.2 lladdr 02:00:00:00:01:02 dev {born} nud permanent
END
         ip -n {pod} -batch - <<END
address add {net}.2/24 dev eth0
link set eth0 addrgenmode none up
neighbour add {net}.1 lladdr 02:00:00:00:01:01 dev eth0 nud permanent
END
         nsenter --net=/run/netns/{pod} ping -q -c 2 -i 0.01 -W 2 {net}.1 || true",
        node = node.name(),
        pod = pod.name(),
    ));
    if born != name {
        sh(&format!(
            "ip -n {node} link set {born} down; ip -n {node} link set {born} name {name}; ip -n {node} link set {name} up
             ip -n {node} neighbour replace {net}.2 lladdr 02:00:00:00:01:02 dev {name} nud permanent",
            node = node.name(),
        ));
    }
    if !number.is_multiple_of(3) {
        std::thread::sleep(Duration::from_millis(30));
        pod.sh(&format!("ping -q -c 3 -i 0.01 -W 2 -s {} {net}.1 || true", 100 + number % 1000));
    }
    let counted = node.counters(&name);
    sh(&format!("ip -n {} link del {name}", node.name()));
    let count = (counted.received + counted.sent, counted.received_bytes + counted.sent_bytes);
    Carried { count, refused: counted.refused }
}

/// What a device says of itself.
struct Carried {
    count: Count,
    /// Packets that the hook saw, if there was one yet, and the device did not take: the other end was not up.
    refused: u64,
}

impl Carried {
    fn is(&self, found: Count) -> bool {
        let more = found.0.wrapping_sub(self.count.0);
        more <= self.refused && found.1 == self.count.1 + more * SMALL_PING
    }
}

/// Bytes of a ping of 56 bytes with its headers, which is what is sent while devices come up.
const SMALL_PING: u64 = 56 + 8 + 20 + 14;

/// Packets and bytes of a line's extensions, or of the gap in them.
fn count(value: &Value) -> Count {
    let number = |name: &str| value[name].as_u64().unwrap_or(0);
    (number("packets"), number("bytes"))
}

#[test]
fn what_short_lived_veths_carried_is_counted_or_declared_to_the_byte() {
    if skip::lacks_root("what_short_lived_veths_carried_is_counted_or_declared_to_the_byte") {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    let configuration = "flowLogs:\n  - name: all\n    filePath: events.log\n    fileMaxSizeMb: 1000\n";
    let mut daemon = Daemon::new(&node, configuration).with(&["--interface", "v*"]).started();
    let veths = scale::of("short_lived_veths");
    let expected: BTreeMap<u64, Carried> = (0..veths).map(|number| (number, live_and_die(&node, &pod, number))).collect();
    daemon.finish();
    let lines = daemon.lines();
    assert_each_once(&lines);

    let (mut found, mut observed, mut declared) = (BTreeMap::<u64, Count>::new(), 0, 0);
    for flow in lines.iter().map(|line| &line["flow"]).filter(|flow| flow["IP"]["source"] != "127.0.0.1") {
        let value = &flow["extensions"]["value"];
        let (number, (packets, bytes)) = match value.get("gap") {
            Some(gap) => {
                declared += count(gap).0;
                (gap["interface"].as_str().and_then(|name| name.strip_prefix('v')?.parse().ok()), count(gap))
            }
            None => {
                observed += count(value).0;
                (number_of(flow["IP"]["source"].as_str().unwrap_or_default()), count(value))
            }
        };
        let sum = found.entry(number.unwrap_or_else(|| panic!("of no veth: {flow}"))).or_default();
        *sum = (sum.0 + packets, sum.1 + bytes);
    }
    let refused: u64 = expected.values().map(|carried| carried.refused).sum();
    println!("{veths} veths: {observed} packets in flows, {declared} declared unobserved; {refused} refused by a device");
    let wrong: Vec<_> = expected.iter().filter(|(number, carried)| !found.get(number).is_some_and(|found| carried.is(*found))).collect();
    let wrong: Vec<String> = wrong
        .into_iter()
        .map(|(number, carried)| {
            format!("v{number} carried {:?} and refused {}, found {:?}", carried.count, carried.refused, found.get(number))
        })
        .collect();
    assert!(wrong.is_empty(), "packets and bytes of {} veths: {wrong:?}", wrong.len());
    assert_eq!(found.len(), expected.len());
    assert!(observed > 0 && declared > 0, "some were seen, and some traffic was too early");
}

/// Which veth an address belongs to.
fn number_of(address: &str) -> Option<u64> {
    let mut parts = address.split('.').skip(1).map(str::parse::<u64>);
    let (high, low) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Some(high.checked_sub(100)? * 250 + low)
}
