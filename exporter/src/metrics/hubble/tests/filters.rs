//! Filters of metrics: which flows count, asked once of a flow of the kernel, and at each event where they look at what varies.

use std::sync::{Arc, Mutex};

use flowlog_bpf::event::{DropReport, Event as KernelEvent, FlowKey, Why};

use super::*;
use crate::identity::Identities;
use crate::metrics::hubble::kernel::{Around, KernelMetrics};
use crate::pipeline::surroundings::Surroundings;

/// The registry of a file of metrics.
fn of_file(text: &str) -> Registry {
    let read = metrics::checked(|problems| metrics::of_file(text.as_bytes(), problems));
    Registry::new(&read.unwrap_or_else(|problems| panic!("{problems}")).0)
}

/// `drop` with these lists of filters.
fn drops(include: &str, exclude: &str) -> Registry {
    of_file(&format!("metrics: [{{name: drop, includeFilters: [{include}], excludeFilters: [{exclude}]}}]"))
}

/// A dropped segment from `pod` to a port, with these flags.
fn dropped(pod: &str, port: u16, flags: &str) -> String {
    format!(
        r#"{{"verdict":"DROPPED","source":{{"namespace":"shop","pod_name":"{pod}"}},"l4":{{"TCP":{{"source_port":40000,"destination_port":{port},"flags":{{{flags}}}}}}},"event_type":{{"type":1}}}}"#
    )
}

#[test]
fn a_flow_counts_that_matches_one_of_the_included_and_none_of_the_excluded() {
    let (web, syn) = ("{source_pod: [shop/web]}", "{tcp_flags: [{SYN: true}]}");
    let (port, nobody) = ("{destination_port: ['443']}", "{source_pod: [nobody/]}");
    let both = "{source_pod: [shop/web], destination_port: ['443']}";
    for (include, exclude, counted) in [
        ("", "", true),
        (web, "", true),
        (nobody, "", false),
        (&format!("{nobody}, {web}"), "", true),
        (both, "", true),
        ("{source_pod: [shop/web], destination_port: ['80']}", "", false),
        ("{}", "", true),
        ("", web, false),
        ("", nobody, true),
        ("", "{}", false),
        (web, port, false),
        (syn, nobody, true),
        (web, syn, false),
    ] {
        let mut registry = drops(include, exclude);
        observe(&mut registry, &dropped("web-1", 443, r#""SYN":true"#));
        assert_eq!(samples(&registry).len(), usize::from(counted), "include {include}, exclude {exclude}");
    }
}

#[test]
fn each_metric_has_filters_of_its_own_and_lost_events_have_none() {
    let mut registry = of_file(
        "metrics:\n- {name: drop, includeFilters: [{destination_port: ['443']}]}\n- {name: flow, excludeFilters: [{source_pod: [shop/web]}]}\n- {name: tcp, includeFilters: [{verdict: [FORWARDED]}]}\n",
    );
    for (pod, port) in [("web-1", 443), ("web-1", 80), ("api-1", 80)] {
        observe(&mut registry, &dropped(pod, port, ""));
    }
    observe(&mut registry, r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER"}}"#);
    assert_eq!(
        samples(&registry),
        [
            r#"hubble_lost_events_total{source="hubble_ring_buffer"} 1"#,
            r#"hubble_drop_total{protocol="TCP",reason="DROP_REASON_UNKNOWN"} 1"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="",type="Drop",verdict="DROPPED"} 1"#,
        ]
    );
}

#[test]
fn only_filters_that_look_at_what_varies_are_asked_at_each_event_and_only_where_the_flow_leaves_them_open() {
    for (include, varies) in [
        ("{source_pod: [shop/web]}", false),
        ("{destination_port: ['443']}", false),
        ("{tcp_flags: [{SYN: true}]}", true),
        ("{source_pod: [shop/web], tcp_flags: [{SYN: true}]}", true),
        ("{source_pod: [nobody/], tcp_flags: [{SYN: true}]}", false),
        ("{source_pod: [shop/web]}, {tcp_flags: [{SYN: true}]}", false),
    ] {
        let line = format!("{{\"flow\":{}}}", dropped("web-1", 443, ""));
        let event = json::decode(line.as_bytes(), Options::default()).unwrap();
        assert_eq!(drops(include, "").varies(event.flow().unwrap()), varies, "{include}");
    }
}

#[test]
fn a_flow_whose_port_the_kernel_removed_counts_where_a_filter_asks_for_it_and_is_counted_as_undecided() {
    let line = format!("{{\"flow\":{}}}", dropped("web-1", 443, "").replace("40000", "0"));
    let event = json::decode(line.as_bytes(), Options::default()).unwrap();
    for (include, port_removed, counted, undecided) in [
        ("{source_port: ['40000']}", true, true, 1),
        ("{source_port: ['40000']}", false, false, 0),
        ("{destination_port: ['443']}", true, true, 0),
        ("{destination_port: ['80']}", true, false, 0),
        ("{source_port: ['40000'], destination_port: ['80']}", true, false, 0),
    ] {
        let mut registry = drops(include, "");
        assert_eq!(!registry.resolve(event.flow().unwrap(), port_removed).is_empty(), counted, "{include}");
        let page = page(&registry, Format::Prometheus);
        assert!(page.contains(&format!("\nflowlog_metrics_undecided_total {undecided}\n")), "{include}\n{page}");
    }
}

const SYN: u16 = 1 << 1;
const ACK: u16 = 1 << 4;

fn drop_report(destination_port: u16, tcp_flags: u16, packets: u64) -> KernelEvent {
    KernelEvent::Drop(DropReport {
        key: FlowKey { source_port: 40_000, destination_port, family: 4, protocol: 6, ..FlowKey::default() },
        why: Why::First,
        boot_ns: 7,
        first_ns: 5,
        last_ns: 6,
        tcp_flags,
        reason: 2,
        count: Count { packets, bytes: 60 * packets },
        after: false,
        entered: true,
        fragment: false,
        ifindex: 2,
        last: false,
    })
}

#[test]
fn the_kernel_s_events_are_filtered_flow_by_flow_and_by_their_flags_event_by_event() {
    let registry = Arc::new(Mutex::new(of_file(
        "metrics:\n- {name: drop, includeFilters: [{tcp_flags: [{SYN: true}]}]}\n- {name: flow, excludeFilters: [{destination_port: ['443']}]}\n",
    )));
    let mut kernel = KernelMetrics::new(Arc::clone(&registry));
    let (identities, around) = (Identities::new(&[], "node"), Surroundings::default());
    let around = Around { identities: &identities, around: &around, arrival: 8, clock_offset: 0 };
    // 3 and 5 segments open a connection to port 80, and 40 to port 443; the others do not.
    for (port, flags, packets) in [(80, SYN, 3), (80, ACK, 4), (80, SYN, 5), (443, ACK, 20), (443, SYN | ACK, 40)] {
        kernel.apply(&[drop_report(port, flags, packets)], around);
    }
    kernel.cut(around);
    assert_eq!(
        samples(&registry.lock().unwrap()),
        [
            r#"hubble_drop_total{protocol="TCP",reason="DROP_REASON_UNKNOWN"} 48"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="",type="Drop",verdict="DROPPED"} 12"#,
        ]
    );
}
