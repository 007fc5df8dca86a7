//! Beside others on the clsact hooks: nobody's filter is replaced, hidden or taken away.

use flowlog_bpf::{AttachMode, InterfaceChange, Kernel, Options};

use crate::common::{Attached, Namespace, Sums, may_run, options};

fn clsact(interfaces: &[&str]) -> Options {
    Options { attach: AttachMode::Clsact, ..options(interfaces) }
}

/// Filters of both hooks, as `tc` lists them.
fn filters(namespace: &Namespace) -> String {
    namespace.sh("tc filter show dev lo ingress; tc filter show dev lo egress")
}

/// What a legacy datapath has: the first priority's first handle. It drops, so that what becomes of a packet says whether it was asked.
const FOREIGN: &str = "tc filter add dev lo ingress pref 1 handle 1 bpf da bytecode '1,6 0 0 2,'";

/// Sends three echo requests; whether they were answered.
fn ping(namespace: &Namespace) -> bool {
    namespace.sh("ping -qc3 -i0.01 -W1 127.0.0.1 >/dev/null && echo answered || echo lost").trim() == "answered"
}

fn detach(mut attached: Attached) {
    let rest = attached.kernel.take().map(Kernel::detach).expect("a kernel side").expect("detached");
    rest.remove().expect("removed");
}

#[test]
fn anothers_filter_of_the_same_priority_stays_and_both_see_the_packets() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("foreign");
    namespace.enter();
    namespace.sh(&format!("tc qdisc add dev lo clsact; {FOREIGN}"));
    let before = filters(&namespace);
    let mut attached = Attached::start(&clsact(&["lo"]));
    assert!(filters(&namespace).contains("handle 0x1 "), "{}", filters(&namespace));
    assert!(!ping(&namespace), "the other filter drops");
    let counters = attached.counters();
    assert_eq!((counters.interfaces[0].left.seen.packets, counters.interfaces[0].entered.seen.packets), (3, 3));
    // The other one is made anew, as an agent does when it restarts: ours stays as well.
    namespace.sh(&FOREIGN.replace(" add ", " replace "));
    assert!(!ping(&namespace));
    assert_eq!(attached.counters().interfaces[0].entered.seen.packets, 6);
    detach(attached);
    assert_eq!(filters(&namespace), before);
    assert!(!ping(&namespace), "the other filter still drops");
}

#[test]
fn a_clsact_that_was_ours_stays_while_another_has_a_filter_on_it() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("later");
    namespace.enter();
    let attached = Attached::start(&clsact(&["lo"]));
    namespace.sh(FOREIGN);
    detach(attached);
    let left = filters(&namespace);
    assert!(left.contains("handle 0x1 ") && !left.contains("flowlog"), "{left}");
    assert!(!ping(&namespace));
}

#[test]
fn two_daemons_on_one_interface_have_filters_of_their_own() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("two");
    namespace.enter();
    let (mut one, mut other) = (Attached::start(&clsact(&["lo"])), Attached::start(&clsact(&["lo"])));
    assert!(ping(&namespace));
    assert_eq!([&mut one, &mut other].map(|attached| attached.counters().interfaces[0].entered.seen.packets), [6, 6]);
    detach(one);
    assert!(ping(&namespace));
    assert_eq!(other.counters().interfaces[0].entered.seen.packets, 12);
}

#[test]
fn a_filter_that_somebody_took_away_while_nobody_looked_is_hung_up_again() {
    if !may_run() {
        return;
    }
    let namespace = Namespace::new("taken");
    namespace.enter();
    let options = clsact(&["lo"]);
    drop(Attached::start(&options).kernel.take());
    namespace.sh("tc filter del dev lo egress");
    let started = Kernel::start(&options).expect("it starts again");
    assert!(matches!(started.changes[..], [InterfaceChange::Vanished { .. }, InterfaceChange::Attached(_)]), "{:?}", started.changes);
    let mut second = Attached { kernel: Some(started.kernel), rings: Vec::new(), sums: Sums::default() };
    assert!(ping(&namespace));
    let counters = second.counters();
    assert_eq!((counters.interfaces[0].left.seen.packets, counters.interfaces[0].entered.seen.packets), (6, 6));
    detach(second);
    assert_eq!(namespace.sh("tc qdisc show dev lo | grep -c clsact || true").trim(), "0");
}
