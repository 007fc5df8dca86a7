//! The rules of Hubble digest §8 as tables: a line of JSON goes in, series come out.

use std::io::Write as _;
use std::process::{Command, Stdio};

use flowlog_bpf::event::Count;

use super::*;
use crate::config::{Problems, metrics};
use crate::flow::json::{self, Options};
use crate::metrics::text::Format;

mod filters;

fn registry(specs: &str) -> Registry {
    Registry::new(&metrics::of_flags(&[specs], &mut Problems::default()))
}

fn observe(registry: &mut Registry, line: &str) {
    let line = if line.starts_with("{\"lost_events\"") { line.to_owned() } else { format!("{{\"flow\":{line}}}") };
    registry.observe(&json::decode(line.as_bytes(), Options::default()).unwrap());
}

fn page(registry: &Registry, format: Format) -> String {
    let mut page = Page::in_format(format);
    registry.render(&mut page);
    page.finish()
}

/// The samples, without comments and without flowlog's own.
fn samples(registry: &Registry) -> Vec<String> {
    page(registry, Format::Prometheus).lines().filter(|line| line.starts_with("hubble_")).map(str::to_owned).collect()
}

/// Each line by itself must give these samples, of which a histogram's are left out.
fn table(specs: &str, cases: &[(&str, &[&str])]) {
    for (line, expected) in cases {
        let mut registry = registry(specs);
        observe(&mut registry, line);
        let got: Vec<String> = samples(&registry).into_iter().filter(|sample| !sample.contains("_seconds_")).collect();
        assert_eq!(got, *expected, "{specs}\n{line}");
    }
}

const TCP: &str = r#""IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40000,"destination_port":443,"flags":{"SYN":true}}},"event_type":{"type":4,"sub_type":3}"#;

#[test]
fn flows_are_counted_by_protocol_type_and_verdict() {
    table(
        "flow",
        &[
            (
                &format!(r#"{{"verdict":"FORWARDED",{TCP}}}"#),
                &[r#"hubble_flows_processed_total{protocol="TCP",subtype="to-stack",type="Trace",verdict="FORWARDED"} 1"#],
            ),
            (
                r#"{"verdict":"FORWARDED","l4":{"UDP":{}},"event_type":{"type":4}}"#,
                &[r#"hubble_flows_processed_total{protocol="UDP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1"#],
            ),
            (
                r#"{"verdict":"DROPPED","l4":{"ICMPv6":{}},"event_type":{"type":1,"sub_type":133}}"#,
                &[r#"hubble_flows_processed_total{protocol="ICMPv6",subtype="",type="Drop",verdict="DROPPED"} 1"#],
            ),
            (
                r#"{"verdict":"FORWARDED","l4":{"SCTP":{}},"event_type":{"type":3}}"#,
                &[r#"hubble_flows_processed_total{protocol="SCTP",subtype="",type="Capture",verdict="FORWARDED"} 1"#],
            ),
            (
                r#"{"verdict":"FORWARDED","l7":{"type":"REQUEST","http":{"method":"GET"}},"event_type":{"type":129}}"#,
                &[r#"hubble_flows_processed_total{protocol="HTTP",subtype="HTTP",type="L7",verdict="FORWARDED"} 1"#],
            ),
            (
                r#"{"verdict":"FORWARDED","l7":{"type":"REQUEST","dns":{"query":"a."}},"event_type":{"type":129}}"#,
                &[r#"hubble_flows_processed_total{protocol="DNS",subtype="DNS",type="L7",verdict="FORWARDED"} 1"#],
            ),
            (
                r#"{"verdict":"TRANSLATED","event_type":{"type":7}}"#,
                &[r#"hubble_flows_processed_total{protocol="Unknown flow",subtype="7",type="Unknown",verdict="TRANSLATED"} 1"#],
            ),
            (
                r#"{"verdict":"TRACED","event_type":{"type":4,"sub_type":10}}"#,
                &[r#"hubble_flows_processed_total{protocol="Unknown L4",subtype="from-network",type="Trace",verdict="TRACED"} 1"#],
            ),
        ],
    );
}

#[test]
fn drops_are_counted_by_reason() {
    table(
        "drop",
        &[
            (
                r#"{"verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED","l4":{"TCP":{}},"event_type":{"type":1}}"#,
                &[r#"hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 1"#],
            ),
            (
                r#"{"verdict":"DROPPED","l4":{"VRRP":{}},"event_type":{"type":1}}"#,
                &[r#"hubble_drop_total{protocol="VRRP",reason="DROP_REASON_UNKNOWN"} 1"#],
            ),
            (r#"{"verdict":"FORWARDED","l4":{"TCP":{}},"event_type":{"type":4}}"#, &[]),
        ],
    );
}

#[test]
fn tcp_flags_count_where_the_packet_went_on() {
    let flow = |verdict: &str, flags: &str| {
        format!(r#"{{"verdict":"{verdict}","IP":{{"ipVersion":"IPv6"}},"l4":{{"TCP":{{"flags":{flags}}}}},"event_type":{{"type":4}}}}"#)
    };
    table(
        "tcp",
        &[
            (&flow("FORWARDED", r#"{"SYN":true}"#), &[r#"hubble_tcp_flags_total{family="IPv6",flag="SYN"} 1"#]),
            (&flow("REDIRECTED", r#"{"SYN":true,"ACK":true}"#), &[r#"hubble_tcp_flags_total{family="IPv6",flag="SYN-ACK"} 1"#]),
            (
                &flow("FORWARDED", r#"{"FIN":true,"ACK":true,"RST":true}"#),
                &[r#"hubble_tcp_flags_total{family="IPv6",flag="FIN"} 1"#, r#"hubble_tcp_flags_total{family="IPv6",flag="RST"} 1"#],
            ),
            (&flow("FORWARDED", r#"{"ACK":true}"#), &[]),
            (&flow("DROPPED", r#"{"SYN":true}"#), &[]),
        ],
    );
}

#[test]
fn icmp_and_sctp_messages_are_named() {
    table(
        "icmp",
        &[
            (r#"{"l4":{"ICMPv4":{"type":8}}}"#, &[r#"hubble_icmp_total{family="IPv4",type="EchoRequest"} 1"#]),
            (
                r#"{"l4":{"ICMPv6":{"type":1,"code":4}}}"#,
                &[r#"hubble_icmp_total{family="IPv6",type="DestinationUnreachable(PortUnreachable)"} 1"#],
            ),
            (r#"{"l4":{"UDP":{}}}"#, &[]),
        ],
    );
    table(
        "sctp",
        &[
            (
                r#"{"verdict":"FORWARDED","IP":{"ipVersion":"IPv4"},"l4":{"SCTP":{"chunk_type":"INIT_ACK"}}}"#,
                &[r#"hubble_sctp_chunk_types_total{chunk_type="INIT_ACK",family="IPv4"} 1"#],
            ),
            (r#"{"verdict":"FORWARDED","IP":{"ipVersion":"IPv4"},"l4":{"SCTP":{}}}"#, &[]),
        ],
    );
}

#[test]
fn ports_are_those_that_connections_were_opened_to() {
    table(
        "port-distribution",
        &[
            (
                &format!(r#"{{"verdict":"FORWARDED","is_reply":false,{TCP}}}"#),
                &[r#"hubble_port_distribution_total{port="443",protocol="TCP"} 1"#],
            ),
            (&format!(r#"{{"verdict":"FORWARDED","is_reply":true,{TCP}}}"#), &[]),
            (&format!(r#"{{"verdict":"FORWARDED",{TCP}}}"#), &[]),
            (&format!(r#"{{"verdict":"DROPPED","is_reply":false,{TCP}}}"#), &[]),
            (
                r#"{"verdict":"REDIRECTED","is_reply":false,"l4":{"ICMPv4":{"type":8}}}"#,
                &[r#"hubble_port_distribution_total{port="0",protocol="ICMPv4"} 1"#],
            ),
        ],
    );
}

#[test]
fn what_goes_to_the_world_is_counted_without_replies() {
    let flow =
        |verdict: &str, more: &str| format!(r#"{{"verdict":"{verdict}","destination":{{"labels":["reserved:world-ipv4"]}},{more},{TCP}}}"#);
    let forwarded = r#"hubble_flows_to_world_total{port="443",protocol="TCP",verdict="FORWARDED"} 1"#;
    let dropped = r#"hubble_flows_to_world_total{port="443",protocol="TCP",verdict="DROPPED"} 1"#;
    let (to, reply) = (flow("FORWARDED", r#""is_reply":false"#), flow("FORWARDED", r#""is_reply":true"#));
    let (denied, corrupt) =
        (flow("DROPPED", r#""drop_reason_desc":"POLICY_DENIED""#), flow("DROPPED", r#""drop_reason_desc":"INVALID_PACKET_DROPPED""#));
    let no_syn = to.replace("SYN", "ACK");
    let inside = to.replace("reserved:world-ipv4", "reserved:host");
    table(
        "flows-to-world:port",
        &[(&to, &[forwarded]), (&reply, &[]), (&denied, &[dropped]), (&corrupt, &[]), (&no_syn, &[forwarded]), (&inside, &[])],
    );
    table("flows-to-world:port;any-drop", &[(&corrupt, &[dropped])]);
    table("flows-to-world:port;syn-only", &[(&to, &[forwarded]), (&no_syn, &[])]);
    table("flows-to-world", &[(&to, &[r#"hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 1"#])]);
}

#[test]
fn policy_verdicts_say_how_they_matched() {
    let flow = |identity: u32| {
        format!(
            r#"{{"verdict":"DROPPED","source":{{"identity":{identity}}},"traffic_direction":"INGRESS","policy_match_type":2,"event_type":{{"type":5}}}}"#
        )
    };
    table(
        "policy",
        &[
            (&flow(7), &[r#"hubble_policy_verdicts_total{action="dropped",direction="ingress",match="l3-l4"} 1"#]),
            (&flow(1), &[]),
            (
                r#"{"verdict":"FORWARDED","traffic_direction":"EGRESS","l7":{"http":{}},"event_type":{"type":129}}"#,
                &[r#"hubble_policy_verdicts_total{action="forwarded",direction="egress",match="l7/http"} 1"#],
            ),
            (
                r#"{"verdict":"REDIRECTED","l7":{"dns":{}},"event_type":{"type":129}}"#,
                &[r#"hubble_policy_verdicts_total{action="redirected",direction="traffic_direction_unknown",match="l7/dns"} 1"#],
            ),
            (&format!(r#"{{"verdict":"FORWARDED",{TCP}}}"#), &[]),
        ],
    );
}

#[test]
fn dns_queries_responses_and_record_types_are_counted_apart() {
    let query = r#"{"verdict":"FORWARDED","is_reply":false,"l7":{"type":"REQUEST","dns":{"query":"a.b.","qtypes":["A"]}}}"#;
    let answer = r#"{"verdict":"FORWARDED","is_reply":true,"l7":{"type":"RESPONSE","dns":{"query":"a.b.","qtypes":["A"],"ips":["1.1.1.1","1.1.1.2"],"rrtypes":["CNAME","A"]}}}"#;
    table(
        "dns",
        &[
            (query, &[r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode=""} 1"#]),
            (&query.replace("FORWARDED", "DROPPED"), &[r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode="Policy denied"} 1"#]),
            (
                answer,
                &[
                    r#"hubble_dns_responses_total{ips_returned="2",qtypes="A",rcode="No Error"} 1"#,
                    r#"hubble_dns_response_types_total{qtypes="A",type="A"} 1"#,
                    r#"hubble_dns_response_types_total{qtypes="A",type="CNAME"} 1"#,
                ],
            ),
            (
                r#"{"is_reply":true,"l7":{"dns":{"rcode":3,"qtypes":["AAAA"]}}}"#,
                &[r#"hubble_dns_responses_total{ips_returned="0",qtypes="AAAA",rcode="Non-Existent Domain"} 1"#],
            ),
        ],
    );
    table("dns:query", &[(query, &[r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",query="a.b.",rcode=""} 1"#])]);
    let both = r#"hubble_dns_queries_total{ips_returned="0",qtypes="A,AAAA",rcode=""} 1"#;
    table("dns:ignoreAAAA", &[(&query.replace("\"A\"", "\"AAAA\""), &[]), (&query.replace("\"A\"", "\"A\",\"AAAA\""), &[both])]);
}

const REQUEST: &str = r#"{"traffic_direction":"EGRESS","source":{"pod_name":"client"},"destination":{"pod_name":"server"},"l7":{"type":"REQUEST","http":{"method":"GET","protocol":"HTTP/1.1"}}}"#;
const RESPONSE: &str = r#"{"time":"2024-01-02T03:04:05.678Z","traffic_direction":"INGRESS","source":{"namespace":"n","pod_name":"server"},"destination":{"namespace":"n","pod_name":"client"},"trace_context":{"parent":{"trace_id":"abc"}},"l7":{"type":"RESPONSE","latency_ns":"30000000","http":{"code":503,"method":"GET","protocol":"HTTP/1.1"}}}"#;

#[test]
fn http_counts_requests_and_responses_and_its_second_version_responses_under_the_requests_ends() {
    table(
        "http",
        &[
            (REQUEST, &[r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="client"} 1"#]),
            (RESPONSE, &[r#"hubble_http_responses_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1"#]),
        ],
    );
    table(
        "httpV2:sourceContext=pod;destinationContext=pod-name;labelsContext=source_pod,traffic_direction",
        &[
            (REQUEST, &[]),
            (
                RESPONSE,
                &[
                    r#"hubble_http_requests_total{destination="n/server",method="GET",protocol="HTTP/1.1",reporter="server",source="client",source_pod="client",status="503",traffic_direction="ingress"} 1"#,
                ],
            ),
        ],
    );
}

#[test]
fn a_duration_is_a_histogram_whose_exemplars_only_openmetrics_shows() {
    let mut registry = registry("httpV2:exemplars=true");
    observe(&mut registry, RESPONSE);
    let plain = page(&registry, Format::Prometheus);
    for line in [
        r#"hubble_http_request_duration_seconds_bucket{method="GET",reporter="server",le="0.025"} 0"#,
        r#"hubble_http_request_duration_seconds_bucket{method="GET",reporter="server",le="0.05"} 1"#,
        r#"hubble_http_request_duration_seconds_sum{method="GET",reporter="server"} 0.03"#,
    ] {
        assert!(plain.lines().any(|known| known == line), "{line}\n{plain}");
    }
    assert!(!plain.contains("traceID"));
    let open = page(&registry, Format::OpenMetrics);
    for line in [
        r#"# TYPE hubble_http_requests counter"#,
        r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1 # {traceID="abc"} 1 1704164645.678"#,
        r#"hubble_http_request_duration_seconds_bucket{method="GET",reporter="server",le="0.05"} 1 # {traceID="abc"} 0.03 1704164645.678"#,
        r#"hubble_http_request_duration_seconds_bucket{method="GET",reporter="server",le="1.0"} 1"#,
        "# EOF",
    ] {
        assert!(open.lines().any(|known| known == line), "{line}\n{open}");
    }
}

#[test]
fn every_context_names_the_ends_as_hubble_does() {
    let flow = r#"{"verdict":"DROPPED","traffic_direction":"EGRESS","IP":{"source":"10.0.0.1","destination":"1.1.1.1"},
        "source":{"namespace":"n","pod_name":"p-1","labels":["k8s:app=old","k8s:app.kubernetes.io/name=web"],"workloads":[{"name":"w","kind":"Deployment"}]},
        "destination":{"labels":["reserved:world","reserved:kube-apiserver"]},"destination_names":["one.one","dns.one"],"event_type":{"type":1}}"#;
    for (options, labels) in [
        ("sourceContext=identity", r#"source="k8s:app=old,k8s:app.kubernetes.io/name=web""#),
        ("sourceContext=namespace", r#"source="n""#),
        ("sourceContext=pod", r#"source="n/p-1""#),
        ("sourceContext=pod-name", r#"source="p-1""#),
        ("sourceContext=ip", r#"source="10.0.0.1""#),
        ("sourceContext=workload", r#"source="n/w""#),
        ("sourceContext=workload-name", r#"source="w""#),
        ("sourceContext=app", r#"source="old""#),
        ("sourceContext=dns|reserved-identity|pod-name", r#"source="p-1""#),
        ("sourceContext=ip;sourceEgressContext=pod-name", r#"source="p-1""#),
        ("sourceContext=ip;sourceIngressContext=pod-name", r#"source="10.0.0.1""#),
        ("destinationContext=reserved-identity", r#"destination="reserved:kube-apiserver""#),
        ("destinationContext=pod|dns", r#"destination="one.one,dns.one""#),
        ("destinationContext=ip;destinationEgressContext=dns|ip", r#"destination="one.one,dns.one""#),
        ("destinationIngressContext=ip", r#"destination="""#),
        ("labelsContext=destination_ip,source_ip", r#"destination_ip="1.1.1.1""#),
        ("labelsContext=source_ip", r#"source_ip="10.0.0.1""#),
        ("labelsContext=source_workload_kind", r#"source_workload_kind="Deployment""#),
        ("labelsContext=source_namespace", r#"source_namespace="n""#),
        ("labelsContext=destination_pod", r#"destination_pod="""#),
        ("labelsContext=traffic_direction", r#"traffic_direction="egress""#),
    ] {
        let mut registry = registry(&format!("drop:{options}"));
        observe(&mut registry, flow);
        let got = samples(&registry);
        assert!(matches!(got.as_slice(), [one] if one.contains(labels)), "{options}: {got:?}");
    }
}

#[test]
fn lost_events_are_counted_by_source_without_being_asked_for() {
    let mut registry = registry("drop");
    observe(&mut registry, r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"7"}}"#);
    observe(&mut registry, r#"{"lost_events":{"source":"HUBBLE_RING_BUFFER"}}"#);
    assert_eq!(
        samples(&registry),
        [r#"hubble_lost_events_total{source="hubble_ring_buffer"} 1"#, r#"hubble_lost_events_total{source="perf_event_ring_buffer"} 7"#]
    );
}

#[test]
fn a_line_of_the_kernel_counts_segments_packets_and_events_each_where_it_is_due() {
    let line = format!(r#"{{"flow":{{"verdict":"FORWARDED","is_reply":false,{}}}}}"#, TCP.replace(r#""SYN":true"#, ""));
    let event = json::decode(line.as_bytes(), Options::default()).unwrap();
    let sums = Sums { inputs: 3, counted: Count { packets: 100, bytes: 6400 }, syn: 5, fin: 4, ..Sums::default() };
    let mut registry = registry("tcp flow port-distribution drop");
    registry.observe_kernel(event.flow().unwrap(), &sums);
    registry.observe_kernel(event.flow().unwrap(), &sums);
    assert_eq!(
        samples(&registry),
        [
            r#"hubble_tcp_flags_total{family="IPv4",flag="FIN"} 8"#,
            r#"hubble_tcp_flags_total{family="IPv4",flag="SYN"} 10"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="to-stack",type="Trace",verdict="FORWARDED"} 6"#,
            r#"hubble_port_distribution_total{port="443",protocol="TCP"} 200"#,
        ]
    );
    let dropped = json::decode(br#"{"flow":{"verdict":"DROPPED","l4":{"UDP":{}},"event_type":{"type":1}}}"#, Options::default()).unwrap();
    let sums = Sums { inputs: 1, counted: Count { packets: 9, bytes: 900 }, ..Sums::default() };
    registry.observe_kernel(dropped.flow().unwrap(), &sums);
    assert!(samples(&registry).contains(&r#"hubble_drop_total{protocol="UDP",reason="DROP_REASON_UNKNOWN"} 9"#.to_owned()));
}

#[test]
fn many_names_fill_the_bound_and_not_the_memory() {
    let mut registry = Registry::bounded(&metrics::of_flags(&["dns:query"], &mut Problems::default()), 10);
    for n in 0..100 {
        observe(&mut registry, &format!(r#"{{"l7":{{"dns":{{"query":"{n}.example.","qtypes":["A"]}}}}}}"#));
    }
    let got = samples(&registry);
    let rest =
        r#"hubble_dns_queries_total{ips_returned="__overflow__",qtypes="__overflow__",query="__overflow__",rcode="__overflow__"} 90"#;
    assert_eq!((got.len(), got[10].as_str()), (11, rest));
    assert!(page(&registry, Format::Prometheus).contains("flowlog_metrics_overflow_total{metric=\"hubble_dns_queries_total\"} 90\n"));
}

#[test]
fn promtool_finds_nothing_to_say_about_the_page() {
    let mut registry = registry("dns:query drop tcp flow flows-to-world:port http:exemplars=true icmp port-distribution policy sctp");
    for line in [
        REQUEST,
        RESPONSE,
        r#"{"verdict":"DROPPED","l7":{"dns":{"query":"a\"b\\."}},"event_type":{"type":129}}"#,
        &format!(r#"{{"verdict":"FORWARDED","is_reply":false,{TCP}}}"#),
    ] {
        observe(&mut registry, line);
    }
    let text = page(&registry, Format::Prometheus);
    let Ok(mut promtool) =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    else {
        let test = "metrics::hubble::tests::promtool_finds_nothing_to_say_about_the_page";
        return crate::skip_line::write(test, "promtool is not installed", "tests/setup/install test");
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaints.is_empty(), "{complaints}\n{text}");
}
