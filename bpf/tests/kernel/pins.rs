//! What outlives a daemon and what does not: pins are taken over, programs replaced in place, other sizes drained and
//! removed, nothing left behind by `detach`.

use std::path::Path;

use flowlog_bpf::event::Count;
use flowlog_bpf::probe::{Probe, Segmentation, Way};
use flowlog_bpf::{AttachMode, InterfaceChange, Kernel, Options, Times};

use crate::common::{Attached, Namespace, Sums, drain, may_run, options, udp_frame};

fn send(kernel: &Kernel, packets: u32) {
    let probe = Probe::of(kernel).expect("a probe");
    probe.run(Way::In, &udp_frame(0x0a00_0001, 99, 100), packets, Segmentation::default()).expect("a test run");
}

/// Without detaching: what a killed daemon leaves.
fn abandon(mut attached: Attached) -> Sums {
    drop(attached.kernel.take());
    std::mem::take(&mut attached.sums)
}

#[test]
fn a_second_start_takes_over_rows_rings_and_counters_of_the_first() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("adopt");
    namespace.enter();
    let options = options(&["lo"]);
    let mut first = Attached::start(&options);
    let instance = first.kernel().instance();
    send(first.kernel(), 1000);
    abandon(first);
    // Links are pinned: traffic is counted while nobody is there.
    namespace.sh("ping -qc3 -i0.2 127.0.0.1");
    let started = Kernel::start(&options).expect("it starts again");
    assert!(started.adopted && started.retired.is_empty() && started.changes.is_empty(), "{:?}", started.changes);
    let mut kernel = started.kernel;
    assert_eq!(kernel.instance(), instance);
    let rings = kernel.take_rings();
    let mut second = Attached { kernel: Some(kernel), rings, sums: Sums::default() };
    send(second.kernel(), 10);
    second.settle();
    let counters = second.counters();
    second.sums.assert_accounts_for(&counters);
    let flow = second.sums.flow(|flow| flow.key.source_port == 99).expect("the flow of both");
    assert_eq!(flow.entered.packets, 1010);
    let echo = second.sums.flow(|flow| flow.key.protocol == 1 && flow.key.source_port == 8).expect("the echo requests");
    assert_eq!(echo.left_from_here.packets, 3);
}

#[test]
fn other_times_are_other_programs_put_in_place_without_losing_a_row() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("replace");
    namespace.enter();
    let options = options(&["lo"]);
    let mut first = Attached::start(&options);
    send(first.kernel(), 5);
    abandon(first);
    let times = Times { report_interval: std::time::Duration::from_secs(1), ..Times::default() };
    let mut second = Attached::start(&Options { times, ..options });
    send(second.kernel(), 6);
    second.settle();
    let counters = second.counters();
    second.sums.assert_accounts_for(&counters);
    assert_eq!(second.sums.flow(|flow| flow.key.source_port == 99).expect("the flow").entered.packets, 11);
}

#[test]
fn other_sizes_retire_the_old_maps_which_are_flushed_drained_and_removed() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("retire");
    namespace.enter();
    let options = options(&["lo"]);
    let mut first = Attached::start(&options);
    send(first.kernel(), 77);
    abandon(first);
    let started = Kernel::start(&Options { rows: 256, ..options.clone() }).expect("it starts with other sizes");
    assert!(!started.adopted);
    let mut new = Attached { kernel: Some(started.kernel), rings: Vec::new(), sums: Sums::default() };
    let mut old = started.retired.into_iter().next().expect("the old maps");
    let mut rings = old.take_rings();
    let mut sums = Sums::default();
    let swept = old.flush().expect("a flush");
    assert_eq!((swept.refused, swept.freed > 0), (0, true));
    rings.iter_mut().for_each(|ring| drain(ring, &mut sums));
    assert_eq!(sums.flow(|flow| flow.key.source_port == 99).expect("the flow").entered.packets, 77);
    assert_eq!(folders(&options.pins), 2);
    old.remove().expect("removed");
    assert_eq!(folders(&options.pins), 1);
    send(new.kernel(), 3);
    assert_eq!(new.counters().interfaces[0].entered.seen, Count { packets: 3, bytes: 300 }, "the old programs count no more");
}

fn folders(pins: &Path) -> usize {
    std::fs::read_dir(pins).map_or(0, Iterator::count)
}

#[test]
fn detaching_reports_what_was_counted_and_leaves_nothing_behind() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("detach");
    namespace.enter();
    for attach in [AttachMode::Tcx, AttachMode::Clsact] {
        let options = Options { attach, ..options(&["lo"]) };
        let mut attached = Attached::start(&options);
        namespace.sh("ping -qc2 -i0.2 127.0.0.1");
        let kernel = attached.kernel.take().expect("a kernel side");
        let mut rest = kernel.detach().expect("detached");
        assert_eq!(rest.flush().expect("a flush").refused, 0);
        attached.drain();
        rest.remove().expect("removed");
        let echo = attached.sums.flow(|flow| flow.key.protocol == 1 && flow.key.source_port == 8).expect("the flow");
        assert_eq!(echo.left_from_here.packets, 2);
        assert!(!options.pins.exists(), "{attach:?}");
        assert_eq!(namespace.sh("tc qdisc show dev lo | grep -c clsact || true").trim(), "0");
        assert_eq!(namespace.sh("bpftool -j net show dev lo 2>/dev/null | grep -c flowlog || true").trim(), "0");
    }
}

#[test]
fn clsact_filters_are_taken_over_too() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("clsact");
    namespace.enter();
    let options = Options { attach: AttachMode::Clsact, ..options(&["lo"]) };
    abandon(Attached::start(&options));
    namespace.sh("ping -qc2 -i0.2 127.0.0.1");
    let mut second = Attached::start(&options);
    second.settle();
    let counters = second.counters();
    second.sums.assert_accounts_for(&counters);
    assert_eq!(counters.interfaces[0].left.seen.packets, 4);
    assert_eq!(namespace.sh("tc filter show dev lo ingress | grep -c 'bpf.*flowlog'").trim(), "1");
}

#[test]
fn an_interface_that_vanished_while_nobody_was_there_is_named_at_the_next_start_and_its_rows_reported() {
    if !may_run() {
        return;
    }
    let (node, pod) = (Namespace::new("node"), Namespace::new("pod"));
    node.enter();
    node.sh(&format!(
        "ip link add gone type veth peer name eth0 netns {0}; ip addr add 10.4.0.1/24 dev gone; ip link set gone up
         ip -n {0} addr add 10.4.0.2/24 dev eth0; ip -n {0} link set eth0 up",
        pod.name
    ));
    let options = options(&["gone"]);
    abandon(Attached::start(&options));
    pod.sh("ping -qc3 -i0.2 10.4.0.1");
    node.sh("ip link del gone");
    let started = Kernel::start(&options).expect("it starts again");
    assert!(
        matches!(&started.changes[..], [InterfaceChange::Vanished { interface, counted, .. }]
            if interface.name == "gone" && counted.entered.seen.packets >= 3),
        "{:?}",
        started.changes
    );
    let mut kernel = started.kernel;
    let rings = kernel.take_rings();
    let mut second = Attached { kernel: Some(kernel), rings, sums: Sums::default() };
    // Reported at once: no sweep, no flush.
    second.drain();
    let echo = second.sums.flow(|flow| flow.key.protocol == 1 && flow.key.source_port == 8).expect("the echo requests");
    assert_eq!(echo.entered.packets, 3);
    assert_eq!(second.kernel().interfaces().count(), 0);
}
