//! Stories in which not everything was heard in its time, or can be told of its own tuple: what is not known is not said.

use super::*;

#[test]
fn what_a_firewall_ate_is_dropped_and_nothing_else_although_earlier_drops_were_not_heard_of() {
    let value = format!("\"bytes\":100,\"drop_reason\":\"NETFILTER_DROP\",\"interfaces\":[\"eth0\"],{LAST},\"packets\":1");
    let delivered = format!("\"bytes\":100,\"interfaces\":[\"eth0\"],{LAST},\"packets\":1");
    let (soon, here) = (2 * SWEEP, report(key(HERE, 80), 1, 0));
    let later = FlowReport { why: Why::Interval, ..here };
    for case in ["restart", "full ring"] {
        let mut lab = Lab::new(MASK);
        lab.apply(Event::Flow(here));
        lab.wait(SETTLE);
        assert_eq!(lab.lines(), [line("FORWARDED", "TO_HOST", &delivered)], "{case}");
        // Of a packet that is sent again both rows tell in a sweep, each in its own.
        match case {
            "restart" => {
                lab.restart();
                lab.apply(Event::Flow(later));
            }
            _ => lab.apply(Event::Flow(FlowReport { boot_ns: later.first_ns + 8 * SWEEP as u64, ..later })),
        }
        lab.wait(soon);
        assert_eq!(lab.lines(), Vec::<String>::new(), "{case}");
        lab.apply(dropped(key(HERE, 80), 2, 1));
        lab.wait(2 * INTERVAL);
        assert_eq!(lab.lines(), [line("DROPPED", "", &value)], "{case}");
    }
    // What begins after the start has no past, and what has been waited for has none any more.
    let mut lab = Lab::new(MASK);
    lab.restart();
    lab.apply(Event::Flow(here));
    lab.wait(SETTLE);
    assert_eq!(lab.lines().len(), 1);
    for wait in [INTERVAL, SETTLE] {
        lab.apply(Event::Flow(FlowReport { key: key(HERE, 81), ..later }));
        lab.wait(wait);
        assert_eq!(lab.lines().len(), 1);
    }
}

#[test]
fn what_the_boot_before_reported_is_decided_and_holds_up_nothing_of_this_one() {
    let mut lab = Lab::new(MASK);
    (lab.kernel, lab.now) = (KernelEvents::new(1000), SWEEP);
    lab.kernel.restore(&[], lab.now);
    // A power loss after a month: what was not committed is read again, of a clock that had come further than this one.
    lab.kernel.told_until(lab.now, lab.now);
    let old = FlowReport { boot_ns: 30 * 86_400 * SWEEP as u64, ..report(key(THERE, 80), 2, 0) };
    lab.apply(Event::Flow(old));
    lab.wait(1);
    lab.kernel.told_until(lab.now, lab.now);
    lab.apply(Event::Flow(FlowReport { boot_ns: lab.now as u64, ..report(key(HERE, 80), 3, 0) }));
    lab.wait(2 * INTERVAL);
    let lines = lab.lines();
    assert!(lines.len() == 2 && lines[0].contains("FORWARDED") && lines[1].contains("TRACED"), "{lines:?}");
    assert_eq!(lab.totals.held, 0);
}

#[test]
fn of_several_rings_what_entered_waits_from_its_own_report_on() {
    const MILLISECOND: i64 = 1_000_000;
    let mut lab = Lab::new("    fieldMask: [verdict]\n");
    lab.kernel.told_until(i64::MIN, i64::MAX);
    // One ring has been read up to here, the others not as far.
    let reported = (lab.now + 90 * MILLISECOND) as u64;
    lab.apply(Event::Flow(FlowReport { boot_ns: reported, first_ns: reported, ..report(key(HERE, 80), 1, 0) }));
    lab.wait(60 * MILLISECOND);
    lab.apply(dropped(key(HERE, 80), 1, 1));
    lab.wait(2 * INTERVAL);
    let lines = lab.lines();
    assert!(lines.len() == 1 && lines[0].contains("DROPPED"), "{lines:?}");
}

#[test]
fn where_a_drop_is_told_of_another_tuple_what_entered_is_traced_also_for_this_host() {
    let value = format!("\"bytes\":200,\"interfaces\":[\"eth0\"],{LAST},\"packets\":2");
    for restart in [false, true] {
        // A flow that found no row of its own, and the second and third part of a ping that is dropped once it is whole.
        let whole = FlowKey { source_port: 8, destination_port: 0, protocol: 1, ..key(HERE, 80) };
        let later = FlowReport { fragment: true, ..report(FlowKey { source_port: 0, ..whole }, 2, 0) };
        let first = FlowReport { fragment: true, ..report(whole, 1, 0) };
        for events in [
            vec![folded(report(FlowKey { source_port: 0, ..key(HERE, 80) }, 2, 0)), dropped(key(HERE, 80), 2, 1)],
            vec![Event::Flow(first), Event::Flow(later), dropped(whole, 2, 1)],
        ] {
            let mut lab = Lab::new("    fieldMask: [verdict, trace_observation_point, extensions]\n");
            events.into_iter().for_each(|event| lab.apply(event));
            if restart {
                lab.restart();
            }
            lab.wait(2 * INTERVAL);
            let lines = lab.lines();
            let traced = line("TRACED", "FROM_NETWORK", &value).replace("\"l4\":{\"TCP\":{\"destination_port\":80}},", "");
            assert!(lines.len() == 2 && lines.contains(&traced), "{lines:?}");
            assert!(lines.iter().any(|line| line.contains("DROPPED")), "{lines:?}");
        }
    }
}
