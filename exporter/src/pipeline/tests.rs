//! Stories of kernel events: what lines come of them, and that the accounting holds whatever comes.

use std::net::Ipv4Addr;
use std::sync::Arc;

use flowlog_bpf::event::{Count, DropReport, Event, FlowKey, FlowReport, FoldReport, Tcp, UnattributedReport, Why};
use proptest::prelude::*;

use super::fate::{SETTLE, SWEEP};
use super::fold::FoldTable;
use super::kernel_events::{Context, KernelEvents};
use super::line::{self, Uuid};
use super::log::CompiledLog;
use super::surroundings::{Side, Surroundings};
use super::totals::Totals;
use crate::config;
use crate::identity::{Identities, Source};

mod unheard;

/// An entry, compiled; `rest` is YAML below the entry.
pub(super) fn log(rest: &str) -> Arc<CompiledLog> {
    let text = format!("flowLogs:\n  - name: story\n    filePath: /tmp/events.log\n{rest}");
    let file = config::read(text.as_bytes(), false).unwrap_or_else(|problems| panic!("{problems}")).file;
    Arc::new(CompiledLog::build(&file.flow_logs[0], &[]).unwrap())
}

pub(super) fn identities() -> Identities {
    Identities::new(&[Source::Host(vec![Ipv4Addr::new(10, 0, 0, 1).into()])], "node")
}

pub(super) fn surroundings() -> Surroundings {
    let interfaces = [(1, "lo", Side::Loopback), (2, "eth0", Side::Network), (3, "veth0", Side::Pod)];
    let reasons = [(2, "NETFILTER_DROP"), (3, "NO_SOCKET"), (4, "QDISC_DROP"), (5, "TCP_ZEROWINDOW")];
    Surroundings {
        interfaces: interfaces.into_iter().map(|(index, name, side)| (index, (name.to_owned(), side))).collect(),
        drop_reasons: reasons.into_iter().map(|(number, name)| (number, name.to_owned())).collect(),
        node_name: "node".to_owned(),
        ..Surroundings::default()
    }
}

/// As long as any row waits.
const INTERVAL: i64 = 10_000_000_000;

const MASK: &str = "    fieldMask: [verdict, l4.TCP.destination_port, trace_observation_point, extensions]\n";

struct Lab {
    kernel: KernelEvents,
    fold: FoldTable,
    totals: Totals,
    log: Arc<CompiledLog>,
    identities: Identities,
    around: Surroundings,
    now: i64,
}

impl Lab {
    fn new(entry: &str) -> Self {
        Self::with_rows(entry, 1000)
    }

    fn with_rows(entry: &str, rows: usize) -> Self {
        let (kernel, fold) = (KernelEvents::new(rows), FoldTable::new(1000));
        let mut lab =
            Self { kernel, fold, totals: Totals::default(), log: log(entry), identities: identities(), around: surroundings(), now: 0 };
        // Past the caution after a start.
        lab.wait(1);
        lab.wait(2 * INTERVAL);
        lab
    }

    fn context(&mut self) -> (&mut KernelEvents, Context<'_>) {
        let Self { kernel, fold, totals, log, identities, around, now } = self;
        (kernel, Context { log: &**log, identities, around, fold, totals, arrival: *now, clock_offset: 0 })
    }

    fn apply(&mut self, event: Event) {
        let (kernel, mut cx) = self.context();
        kernel.apply(&[event], &mut cx);
    }

    fn wait(&mut self, nanoseconds: i64) {
        self.now += nanoseconds;
        let now = self.now;
        let (kernel, mut cx) = self.context();
        kernel.hear(now);
        kernel.settle(&mut cx);
    }

    /// A crash: another process goes on from what the last commit stored.
    fn restart(&mut self) {
        let stored = self.kernel.open_rows();
        self.kernel = KernelEvents::new(1000);
        self.kernel.restore(&stored, self.now);
    }

    fn violations(&mut self) -> Vec<String> {
        (self.totals.open_inputs, self.totals.open_packets) = self.fold.volume();
        self.totals.violations()
    }

    /// The lines of the window, less what encloses them.
    fn lines(&mut self) -> Vec<String> {
        assert_eq!(self.violations(), Vec::<String>::new());
        let mut lines = Vec::new();
        let Self { fold, totals, around, .. } = self;
        fold.drain(|group| {
            totals.lines_inputs += group.sums.inputs;
            totals.lines_volume.add(group.sums.counted);
            let mut line = Vec::new();
            line::write(group.prepared, group.sums, &Uuid::new([0; 16]), around, &mut line);
            lines.push(String::from_utf8(line).unwrap());
        });
        lines.sort();
        lines
    }
}

pub(super) fn key(destination: [u8; 4], port: u16) -> FlowKey {
    let address = |bytes: [u8; 4]| Ipv4Addr::from(bytes).to_ipv6_mapped().octets();
    FlowKey {
        source: address([10, 0, 0, 9]),
        destination: address(destination),
        source_port: 40000,
        destination_port: port,
        protocol: 6,
        family: 4,
    }
}

pub(super) const HERE: [u8; 4] = [10, 0, 0, 1];
pub(super) const THERE: [u8; 4] = [10, 9, 9, 9];

fn packets(packets: u64) -> Count {
    Count { packets, bytes: packets * 100 }
}

pub(super) fn report(key: FlowKey, entered: u64, left: u64) -> FlowReport {
    FlowReport {
        key,
        why: Why::First,
        boot_ns: 7,
        first_ns: 5,
        last_ns: 6,
        entered: packets(entered),
        left_after_entering: packets(left),
        left_from_here: Count::default(),
        other: Count::default(),
        entered_tcp: Tcp::default(),
        left_tcp: Tcp::default(),
        entered_ifindex: if entered > 0 { 2 } else { 0 },
        left_ifindex: if left > 0 { 3 } else { 0 },
        source_mac: [0; 6],
        destination_mac: [0; 6],
        l3_device: true,
        fragment: false,
        vlan: None,
        tunnel: None,
        reply: None,
        last: false,
    }
}

fn dropped(key: FlowKey, reason: u32, count: u64) -> Event {
    let count = packets(count);
    Event::Drop(DropReport {
        key,
        why: Why::First,
        boot_ns: 7,
        first_ns: 5,
        last_ns: 6,
        reason,
        count,
        tcp_flags: 2,
        after: false,
        entered: true,
        fragment: false,
        ifindex: 2,
        last: false,
    })
}

fn line(verdict: &str, point: &str, value: &str) -> String {
    let point = if point.is_empty() { String::new() } else { format!(",\"trace_observation_point\":\"{point}\"") };
    format!(
        "{{\"flow\":{{\"verdict\":\"{verdict}\",\"l4\":{{\"TCP\":{{\"destination_port\":80}}}}{point},\
         \"extensions\":{{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{{{value}}}}}}}}}"
    )
}

const LAST: &str = "\"last_time\":\"1970-01-01T00:00:00.000000006Z\"";

#[test]
fn what_was_forwarded_is_counted_by_what_left_and_says_nothing_of_an_equal_entry() {
    let mut lab = Lab::new(MASK);
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 0)));
    lab.apply(Event::Flow(report(key(THERE, 80), 9, 10)));
    lab.wait(2 * INTERVAL);
    let value = format!("\"bytes\":1000,\"interfaces\":[\"eth0\",\"veth0\"],{LAST},\"packets\":10");
    assert_eq!(lab.lines(), [line("FORWARDED", "TO_ENDPOINT", &value)]);
}

#[test]
fn what_entered_for_this_host_is_forwarded_to_it_also_over_a_restart() {
    for restart in [false, true] {
        let mut lab = Lab::new(MASK);
        lab.apply(Event::Flow(report(key(HERE, 80), 3, 0)));
        if restart {
            lab.restart();
        }
        // What became of it while the daemon was away may be told late.
        lab.wait(if restart { INTERVAL } else { SETTLE });
        let value = format!("\"bytes\":300,\"interfaces\":[\"eth0\"],{LAST},\"packets\":3");
        assert_eq!(lab.lines(), [line("FORWARDED", "TO_HOST", &value)], "{restart}");
    }
}

#[test]
fn what_a_firewall_ate_and_nobody_repeated_is_dropped_and_nothing_else() {
    let mut lab = Lab::new(MASK);
    lab.apply(Event::Flow(report(key(HERE, 80), 1, 0)));
    lab.apply(dropped(key(HERE, 80), 2, 1));
    lab.wait(3 * INTERVAL);
    let value = format!("\"bytes\":100,\"drop_reason\":\"NETFILTER_DROP\",\"interfaces\":[\"eth0\"],{LAST},\"packets\":1");
    assert_eq!(lab.lines(), [line("DROPPED", "", &value)]);
}

#[test]
fn two_reasons_that_hubble_has_no_name_for_are_two_lines() {
    let mut lab = Lab::new(MASK);
    lab.apply(dropped(key(THERE, 80), 4, 1));
    lab.apply(dropped(key(THERE, 80), 5, 2));
    let lines = lab.lines();
    assert!(lines[0].contains("\"drop_reason\":\"QDISC_DROP\"") && lines[0].contains("\"packets\":1"), "{lines:?}");
    assert!(lines[1].contains("\"drop_reason\":\"TCP_ZEROWINDOW\"") && lines[1].contains("\"packets\":2"), "{lines:?}");
    // Where the line does not say the reason, nobody could tell two lines apart.
    let mut lab = Lab::new("    fieldMask: [verdict]\n");
    lab.apply(dropped(key(THERE, 80), 4, 1));
    lab.apply(dropped(key(THERE, 80), 5, 2));
    assert_eq!(lab.lines(), ["{\"flow\":{\"verdict\":\"DROPPED\"}}"]);
    // The summary names what Hubble has no number for.
    let mut lab = Lab::new("    fieldMask: [event_type, Summary]\n");
    lab.apply(dropped(key(THERE, 80), 4, 1));
    assert_eq!(lab.lines(), ["{\"flow\":{\"event_type\":{\"type\":1,\"sub_type\":255},\"Summary\":\"QDISC_DROP; TCP Flags: SYN\"}}"]);
}

#[test]
fn however_late_the_report_is_read_that_a_packet_left_it_was_forwarded_and_nothing_else() {
    let mut lab = Lab::new(MASK);
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 1)));
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 0)));
    // The disk stands still: time passes, and nothing more of the ring is read.
    lab.now += 100 * INTERVAL;
    let (kernel, mut cx) = lab.context();
    kernel.settle(&mut cx);
    lab.apply(Event::Flow(report(key(THERE, 80), 0, 1)));
    lab.wait(2 * INTERVAL);
    let value = format!("\"bytes\":200,\"interfaces\":[\"eth0\",\"veth0\"],{LAST},\"packets\":2");
    assert_eq!(lab.lines(), [line("FORWARDED", "TO_ENDPOINT", &value)]);
}

#[test]
fn what_was_translated_is_traced_after_a_sweep() {
    let mut lab = Lab::new(MASK);
    lab.apply(Event::Flow(report(key(THERE, 80), 2, 0)));
    lab.wait(SWEEP - 1);
    assert_eq!(lab.lines(), Vec::<String>::new());
    lab.wait(1);
    let value = format!("\"bytes\":200,\"interfaces\":[\"eth0\"],{LAST},\"packets\":2");
    assert_eq!(lab.lines(), [line("TRACED", "FROM_NETWORK", &value)]);
}

#[test]
fn what_left_while_the_daemon_was_away_is_not_traced_after_its_start() {
    let mut lab = Lab::new(MASK);
    lab.apply(Event::Flow(report(key(THERE, 80), 2, 0)));
    lab.now += 100 * INTERVAL;
    lab.restart();
    lab.wait(SWEEP);
    lab.apply(Event::Flow(report(key(THERE, 80), 0, 2)));
    lab.wait(2 * INTERVAL);
    assert!(lab.lines().iter().all(|line| line.contains("FORWARDED")));
}

#[test]
fn both_hooks_of_the_loopback_see_a_packet_that_is_counted_once() {
    let mut lab = Lab::new(MASK);
    let through_lo = FlowReport {
        entered_ifindex: 1,
        left_ifindex: 1,
        left_after_entering: Count::default(),
        left_from_here: packets(4),
        ..report(key(HERE, 80), 4, 0)
    };
    lab.apply(Event::Flow(through_lo));
    lab.wait(2 * INTERVAL);
    let value = format!("\"bytes\":400,\"interfaces\":[\"lo\"],{LAST},\"packets\":4");
    assert_eq!(lab.lines(), [line("FORWARDED", "TO_HOST", &value)]);
}

#[test]
fn traffic_without_a_flow_has_its_own_line_even_where_a_flow_has_nothing_but_counts() {
    let mut lab = Lab::new("    fieldMask: [extensions]\n");
    lab.apply(Event::Unattributed(UnattributedReport { boot_ns: 7, first_ns: 5, last_ns: 6, entered: packets(1), left: packets(2) }));
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 1)));
    let lines = lab.lines();
    let unattributed = "{\"flow\":{\"extensions\":{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{\"bytes\":300,\"packets\":3,\"unattributed\":true}}}}";
    assert!(lines.len() == 2 && lines.iter().any(|line| line == unattributed), "{lines:?}");
}

#[test]
fn a_filter_by_port_keeps_and_counts_rows_whose_port_the_kernel_removed() {
    let mut lab = Lab::new(&format!("{MASK}    includeFilters: [{{source_port: [\"40001\"]}}]\n"));
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 1)));
    assert_eq!((lab.lines().len(), lab.totals.undecided), (0, 0));
    lab.apply(folded(report(FlowKey { source_port: 0, ..key(THERE, 80) }, 1, 1)));
    assert_eq!((lab.lines().len(), lab.totals.undecided), (1, 1));
}

/// As a fold row tells it.
fn folded(report: FlowReport) -> Event {
    let FlowReport { key, why, boot_ns, first_ns, last_ns, entered, left_after_entering, left_from_here, other, .. } = report;
    Event::Fold(FoldReport {
        key,
        why,
        boot_ns,
        first_ns,
        last_ns,
        entered,
        left_after_entering,
        left_from_here,
        other,
        entered_tcp: Tcp::default(),
        left_tcp: Tcp::default(),
        entered_ifindex: report.entered_ifindex,
        left_ifindex: report.left_ifindex,
        last: report.last,
    })
}

#[test]
fn a_connection_is_counted_where_it_begins_and_not_again_after_a_restart() {
    let mut lab = Lab::new(&format!("{MASK}    foldBy: service\n"));
    lab.apply(Event::Flow(report(key(THERE, 80), 1, 1)));
    assert!(lab.lines()[0].contains("\"connections\":1,"));
    lab.restart();
    lab.apply(Event::Flow(FlowReport { why: Why::Interval, ..report(key(THERE, 80), 1, 1) }));
    assert!(lab.lines()[0].contains("\"connections\":0,"));
}

fn any_event() -> impl Strategy<Value = Event> {
    let count = prop_oneof![Just(0), 1u64..50, Just(u64::MAX), Just(u64::MAX / 2 + 1)];
    (0u8..4, 0u16..40, any::<bool>(), count.clone(), count, any::<bool>(), 2u32..6, any::<bool>()).prop_map(
        |(kind, port, here, a, b, last, reason, after)| {
            let key = key(if here { HERE } else { THERE }, port);
            let big = |packets: u64| Count { packets, bytes: packets };
            let flow = FlowReport { entered: big(a), left_after_entering: big(b), last, ..report(key, 1, u64::from(after)) };
            match kind {
                0 | 1 => Event::Flow(flow),
                2 => Event::Drop(DropReport {
                    key,
                    why: Why::First,
                    boot_ns: u64::MAX,
                    first_ns: 0,
                    last_ns: u64::MAX,
                    reason,
                    count: big(a),
                    tcp_flags: 2,
                    after,
                    entered: last,
                    fragment: false,
                    ifindex: 2,
                    last,
                }),
                _ => Event::Unattributed(UnattributedReport { boot_ns: 0, first_ns: u64::MAX, last_ns: 0, entered: big(a), left: big(b) }),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_accounting_holds_whatever_the_kernel_reports(steps in proptest::collection::vec((any_event(), 0i64..3), 1..120), filtered: bool) {
        // Few rows, so that they have to make room for each other.
        let filter = if filtered { "    excludeFilters: [{destination_port: [\"1\", \"2\", \"3\"]}]\n" } else { "" };
        let mut lab = Lab::with_rows(&format!("{MASK}{filter}"), 16);
        for (event, wait) in steps {
            lab.apply(event);
            if wait > 0 {
                lab.wait(wait * SWEEP);
                prop_assert_eq!(lab.violations(), Vec::<String>::new());
                lab.lines();
            }
            prop_assert!(lab.kernel.rows() <= 16);
        }
        lab.wait(10 * INTERVAL);
        lab.wait(10 * INTERVAL);
        prop_assert_eq!(lab.violations(), Vec::<String>::new());
        prop_assert_eq!(lab.totals.held, 0);
    }
}
