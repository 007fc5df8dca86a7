//! Hubble's metrics as a dashboard sees them: flows go through the program, and the exposition that comes out is compared whole.

mod filters;
mod made_up;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flowlog_tests::daemon::{Daemon, EVERYTHING as EVERY_FLOW};
use flowlog_tests::tls::Authority;
use flowlog_tests::{http, program, skip};
use serde_json::Value;

use crate::made_up::{API, WEB, flow, flows};

/// Names of everything, each with its options.
const EVERYTHING: &str = "dns:query drop tcp flow flows-to-world:any-drop;port httpV2:exemplars=true icmp port-distribution policy sctp";

/// The exposition that `flowlog replay` leaves behind.
fn exposition(specs: &[&str], input: &str) -> String {
    let (output, text) = replay(specs, input);
    assert!(output.status.success() && output.stdout.is_empty(), "{specs:?}: {output:?}");
    text.unwrap()
}

/// What `flowlog replay` says of these flows, and the exposition, if it leaves one behind.
fn replay(specs: &[&str], input: &str) -> (Output, Option<String>) {
    // What a flow log's filters leave out is counted all the same.
    let nothing = "flowLogs: [{name: none, filePath: stdout, includeFilters: [{uuid: [nobody]}]}]";
    replay_with(nothing, &specs.iter().flat_map(|spec| ["--metrics", spec]).collect::<Vec<_>>(), input)
}

/// The same with another configuration and further arguments.
fn replay_with(flow_logs: &str, arguments: &[&str], input: &str) -> (Output, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (config, file) = (folder.path().join("flowlog.yaml"), folder.path().join("metrics.prom"));
    std::fs::write(&config, flow_logs).unwrap();
    let mut command = Command::new(program::flowlog());
    command.args(["replay", "--config"]).arg(&config).arg("--metrics-file").arg(&file).args(arguments).arg("-");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A program that refuses its metrics does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    (child.wait_with_output().unwrap(), std::fs::read_to_string(file).ok())
}

/// Samples of Hubble's flow metrics: no comments, none of flowlog's own, none about exporters, which only a daemon has.
fn samples(exposition: &str) -> Vec<&str> {
    exposition.lines().filter(|line| line.starts_with("hubble_") && !line.starts_with("hubble_dynamic_exporter")).collect()
}

/// Each family by itself gives these samples of the same flows, and nothing else but lost events.
#[track_caller]
fn counts(spec: &str, expected: &[&str]) {
    let text = exposition(&[spec], &flows());
    let all: Vec<&str> =
        std::iter::once(r#"hubble_lost_events_total{source="perf_event_ring_buffer"} 7"#).chain(expected.iter().copied()).collect();
    assert_eq!(samples(&text), all, "{spec}");
}

#[test]
fn upstreams_answers_hold_for_unnamed_numbers_and_odd_specifications() {
    let cases = include_str!("../data/more-vectors.jsonl").lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let cases: Vec<Value> = cases.filter(|case| case["kind"] == "metrics").collect();
    assert!(cases.len() >= 16);
    for case in cases {
        let texts = |key: &str| case[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        let input: String = case["events"].as_array().unwrap().iter().map(|event| format!("{event}\n")).collect();
        let (output, text) = replay(&texts("specs"), &input);
        assert_eq!(output.status.code(), Some(if case["error"] == true { 2 } else { 0 }), "{case}: {output:?}");
        let mut counted = text.as_deref().map(samples).unwrap_or_default();
        counted.sort_unstable();
        assert_eq!(counted, texts("samples"), "{case}");
    }
}

#[test]
fn every_family_counts_the_same_flows_its_own_way() {
    counts(
        "drop",
        &[
            r#"hubble_drop_total{protocol="DNS",reason="DROP_REASON_UNKNOWN"} 1"#,
            r#"hubble_drop_total{protocol="TCP",reason="DROP_REASON_UNKNOWN"} 1"#,
            r#"hubble_drop_total{protocol="TCP",reason="POLICY_DENIED"} 1"#,
            r#"hubble_drop_total{protocol="UDP",reason="STALE_OR_UNROUTABLE_IP"} 1"#,
        ],
    );
    counts(
        "tcp",
        &[
            r#"hubble_tcp_flags_total{family="IPv4",flag="FIN"} 1"#,
            r#"hubble_tcp_flags_total{family="IPv4",flag="RST"} 1"#,
            r#"hubble_tcp_flags_total{family="IPv4",flag="SYN"} 2"#,
            r#"hubble_tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1"#,
        ],
    );
    counts(
        "icmp",
        &[
            r#"hubble_icmp_total{family="IPv4",type="EchoRequest"} 1"#,
            r#"hubble_icmp_total{family="IPv6",type="DestinationUnreachable(PortUnreachable)"} 1"#,
        ],
    );
    counts("sctp", &[r#"hubble_sctp_chunk_types_total{chunk_type="INIT",family="IPv4"} 1"#]);
    counts(
        "port-distribution",
        &[
            r#"hubble_port_distribution_total{port="0",protocol="ICMPv4"} 1"#,
            r#"hubble_port_distribution_total{port="0",protocol="ICMPv6"} 1"#,
            r#"hubble_port_distribution_total{port="53",protocol="UDP"} 2"#,
            r#"hubble_port_distribution_total{port="80",protocol="TCP"} 5"#,
            r#"hubble_port_distribution_total{port="9000",protocol="SCTP"} 1"#,
        ],
    );
    counts(
        "policy",
        &[
            r#"hubble_policy_verdicts_total{action="dropped",direction="egress",match="l7/dns"} 1"#,
            r#"hubble_policy_verdicts_total{action="dropped",direction="ingress",match="l3-l4"} 1"#,
            r#"hubble_policy_verdicts_total{action="forwarded",direction="egress",match="l7/dns"} 4"#,
            r#"hubble_policy_verdicts_total{action="forwarded",direction="ingress",match="l7/http"} 3"#,
        ],
    );
}

#[test]
fn flows_are_counted_by_protocol_type_subtype_and_verdict() {
    counts(
        "flow",
        &[
            r#"hubble_flows_processed_total{protocol="DNS",subtype="DNS",type="L7",verdict="DROPPED"} 1"#,
            r#"hubble_flows_processed_total{protocol="DNS",subtype="DNS",type="L7",verdict="FORWARDED"} 4"#,
            r#"hubble_flows_processed_total{protocol="HTTP",subtype="HTTP",type="L7",verdict="FORWARDED"} 3"#,
            r#"hubble_flows_processed_total{protocol="ICMPv4",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1"#,
            r#"hubble_flows_processed_total{protocol="ICMPv6",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 1"#,
            r#"hubble_flows_processed_total{protocol="SCTP",subtype="to-stack",type="Trace",verdict="FORWARDED"} 1"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="",type="Drop",verdict="DROPPED"} 1"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="",type="PolicyVerdict",verdict="DROPPED"} 1"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="to-endpoint",type="Trace",verdict="FORWARDED"} 5"#,
            r#"hubble_flows_processed_total{protocol="TCP",subtype="to-endpoint",type="Trace",verdict="REDIRECTED"} 1"#,
            r#"hubble_flows_processed_total{protocol="UDP",subtype="",type="Drop",verdict="DROPPED"} 1"#,
            r#"hubble_flows_processed_total{protocol="Unknown flow",subtype="7",type="Unknown",verdict="TRANSLATED"} 1"#,
        ],
    );
}

#[test]
fn what_goes_to_the_world_obeys_each_of_its_options() {
    let forwarded = r#"hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 2"#;
    counts("flows-to-world", &[r#"hubble_flows_to_world_total{protocol="TCP",verdict="DROPPED"} 1"#, forwarded]);
    counts(
        "flows-to-world:any-drop;port",
        &[
            r#"hubble_flows_to_world_total{port="123",protocol="UDP",verdict="DROPPED"} 1"#,
            r#"hubble_flows_to_world_total{port="443",protocol="TCP",verdict="DROPPED"} 1"#,
            r#"hubble_flows_to_world_total{port="80",protocol="TCP",verdict="FORWARDED"} 2"#,
        ],
    );
    counts("flows-to-world:syn-only", &[r#"hubble_flows_to_world_total{protocol="TCP",verdict="FORWARDED"} 1"#]);
}

#[test]
fn names_are_counted_by_what_was_asked_and_answered() {
    let responses = [
        r#"hubble_dns_responses_total{ips_returned="0",qtypes="A",rcode="Non-Existent Domain"} 1"#,
        r#"hubble_dns_responses_total{ips_returned="2",qtypes="A",rcode="No Error"} 1"#,
        r#"hubble_dns_response_types_total{qtypes="A",type="A"} 1"#,
        r#"hubble_dns_response_types_total{qtypes="A",type="CNAME"} 1"#,
    ];
    let queries = [
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode=""} 1"#,
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode="Policy denied"} 1"#,
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="AAAA",rcode=""} 1"#,
    ];
    counts("dns", &[&queries[..], &responses].concat());
    counts("dns:ignoreAAAA", &[&queries[..2], &responses].concat());
    let named = |sample: &str| match sample.split_once(",rcode") {
        Some((before, after)) => format!(r#"{before},query="api.shop.svc.",rcode{after}"#),
        None => sample.replace(r#"",type="#, r#"",query="api.shop.svc.",type="#),
    };
    let all = [&queries[..], &responses].concat();
    let all: Vec<String> = all.into_iter().map(named).collect();
    counts("dns:query", &all.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A histogram of one series: `within` of `count` durations took no longer than each bound of Prometheus' client.
fn histogram(labels: &str, within: impl Fn(f64) -> u64, sum: &str, count: u64) -> Vec<String> {
    let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let name = "hubble_http_request_duration_seconds";
    let mut samples: Vec<String> =
        bounds.iter().map(|bound| format!(r#"{name}_bucket{{{labels},le="{bound}"}} {}"#, within(*bound))).collect();
    samples.push(format!(r#"{name}_bucket{{{labels},le="+Inf"}} {count}"#));
    samples.extend([format!("{name}_sum{{{labels}}} {sum}"), format!("{name}_count{{{labels}}} {count}")]);
    samples
}

#[test]
fn requests_and_their_durations_are_counted_in_both_versions() {
    let within = |bound: f64| u64::from(bound >= 0.03) + u64::from(bound >= 7.0);
    let durations = histogram(r#"method="GET",reporter="server""#, within, "7.03", 2);
    let durations: Vec<&str> = durations.iter().map(String::as_str).collect();
    let requests = [r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server"} 1"#];
    let responses = [
        r#"hubble_http_responses_total{method="GET",protocol="HTTP/1.1",reporter="server",status="200"} 1"#,
        r#"hubble_http_responses_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1"#,
    ];
    counts("http", &[&requests[..], &durations, &responses].concat());
    let requests = [
        r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server",status="200"} 1"#,
        r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1"#,
    ];
    counts("httpV2", &[&requests[..], &durations].concat());
}

#[test]
fn every_context_option_names_the_ends_as_upstream_does() {
    let dropped = flow(
        WEB,
        API,
        r#""verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED","l4":{"TCP":{}},"event_type":{"type":1},"traffic_direction":"EGRESS","destination_names":["api.example","b.example"]"#,
    ) + "\n";
    let labels = |options: &str| {
        let text = exposition(&[&format!("drop:{options}")], &dropped);
        let [sample] = samples(&text)[..] else { panic!("{options}: {text}") };
        let inner = sample.strip_prefix("hubble_drop_total{").and_then(|rest| rest.strip_suffix("} 1")).expect("one drop");
        let own = [r#"protocol="TCP""#, r#"reason="POLICY_DENIED""#];
        inner.split(',').filter(|label| !own.contains(label)).collect::<Vec<_>>().join(",")
    };
    for (options, expected) in [
        (
            "sourceContext=identity;destinationContext=identity",
            r#"destination="k8s:app.kubernetes.io/name=api,k8s:app=other",source="k8s:app=web""#,
        ),
        ("sourceContext=namespace;destinationContext=ip", r#"destination="10.0.0.2",source="shop""#),
        ("sourceContext=pod;destinationContext=pod-name", r#"destination="api-1",source="shop/web-1""#),
        ("destinationContext=dns|ip", r#"destination="api.example,b.example""#),
        ("sourceContext=dns|ip", r#"source="10.0.0.1""#),
        ("sourceContext=reserved-identity|app;destinationContext=app", r#"destination="api",source="web""#),
        ("sourceContext=workload;destinationContext=workload-name", r#"destination="api",source="shop/web""#),
        ("sourceContext=ip;sourceEgressContext=pod;sourceIngressContext=namespace", r#"source="shop/web-1""#),
        ("destinationContext=ip;destinationIngressContext=pod", r#"destination="10.0.0.2""#),
        ("destinationEgressContext=workload-name", r#"destination="api""#),
        (
            "labelsContext=source_ip,source_pod,source_namespace,source_workload,source_workload_kind,source_app,traffic_direction",
            r#"source_app="web",source_ip="10.0.0.1",source_namespace="shop",source_pod="web-1",source_workload="web",source_workload_kind="Deployment",traffic_direction="egress""#,
        ),
        (
            "labelsContext=destination_ip,destination_pod,destination_namespace,destination_workload,destination_workload_kind,destination_app",
            r#"destination_app="api",destination_ip="10.0.0.2",destination_namespace="shop",destination_pod="api-1",destination_workload="api",destination_workload_kind="StatefulSet""#,
        ),
    ] {
        assert_eq!(labels(options), expected, "{options}");
    }
}

#[test]
fn a_response_counts_under_the_ends_of_its_request() {
    let text = exposition(&["httpV2:sourceContext=pod;destinationContext=pod"], &flows());
    let requests: Vec<&str> = samples(&text).into_iter().filter(|sample| sample.contains("requests_total")).collect();
    assert_eq!(
        requests,
        ["200", "503"].map(|status| format!(
            r#"hubble_http_requests_total{{destination="shop/api-1",method="GET",protocol="HTTP/1.1",reporter="server",source="shop/web-1",status="{status}"}} 1"#
        ))
    );
}

/// Fails on anything that `promtool check metrics` says; false when it is not installed.
fn promtool_is_content(page: &str) -> bool {
    let Ok(mut promtool) =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    else {
        return false;
    };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && complaints.is_empty(), "{complaints}\n{page}");
    true
}

#[test]
fn promtool_finds_nothing_to_say_about_the_file_and_the_whole_page_of_the_daemon() {
    let text = exposition(&[EVERYTHING], &flows());
    let default = exposition(&[], &flows());
    assert!(default.contains("hubble_http_requests_total") && !default.contains("hubble_policy"), "{default}");
    let daemon = Daemon::following(EVERY_FLOW).with(&["--metrics", EVERYTHING]).started();
    daemon.feed(&flows());
    let page = || http::get(daemon.port(), "/metrics");
    let counted = r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1"#;
    daemon.wait("the flows on its page", |_| page().contains(counted));
    // What goes through the daemon counts as what is replayed does.
    assert_eq!(samples(&page()), samples(&text));
    if !(promtool_is_content(&text) && promtool_is_content(&default) && promtool_is_content(&page())) {
        skip::skip(
            "promtool_finds_nothing_to_say_about_the_file_and_the_whole_page_of_the_daemon",
            "promtool is not installed",
            "tests/setup/install test",
        );
    }
}

#[test]
fn exemplars_stand_where_openmetrics_is_asked_for_and_nowhere_else() {
    let daemon = Daemon::following(EVERY_FLOW).with(&["--metrics", "httpV2:exemplars=true"]).started();
    daemon.feed(&flows());
    let accept = ["Accept: application/openmetrics-text; version=1.0.0".to_owned()];
    let page = || http::get_with(daemon.port(), "/metrics", &accept);
    daemon.wait("the flows on its page", |_| page().contains("status=\"503\"} 1"));
    let page = page();
    let trace = |id: &str, value: &str| format!(r#" # {{traceID="{id}"}} {value} 1767323045.678"#);
    let request =
        |status: &str| format!(r#"hubble_http_requests_total{{method="GET",protocol="HTTP/1.1",reporter="server",status="{status}"}} 1"#);
    let bucket = |bound: &str, count: u64| {
        format!(r#"hubble_http_request_duration_seconds_bucket{{method="GET",reporter="server",le="{bound}"}} {count}"#)
    };
    for line in [
        request("200") + &trace("trace-1", "1"),
        request("503") + &trace("trace-2", "1"),
        bucket("0.05", 1) + &trace("trace-1", "0.03"),
        bucket("10.0", 2) + &trace("trace-2", "7"),
        bucket("0.025", 0),
        "# TYPE hubble_http_requests counter".to_owned(),
    ] {
        assert!(page.lines().any(|known| known == line), "{line}\n{page}");
    }
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert!(!http::get(daemon.port(), "/metrics").contains("traceID"));
}

#[test]
fn mutual_tls_lets_in_only_clients_of_its_authority() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new(folder.path(), "ours"), Authority::new(folder.path(), "other"));
    let (certificate, key) = ours.sign("metrics.test");
    let (ours_client, other_client) = (ours.sign("scraper"), other.sign("scraper"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let files = [path(&certificate), path(&key), path(&ours.certificate())];
    let arguments = ["--listen-cert-file", &files[0], "--listen-key-file", &files[1], "--listen-client-ca-file", &files[2]];
    let mut daemon = Daemon::following(EVERY_FLOW).with(&arguments);
    // Readiness is behind TLS too.
    daemon.spawn();
    daemon.wait("its port", |daemon| daemon.path("state/daemon.json").exists());
    let get = |client: Option<&(PathBuf, PathBuf)>| {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--cacert"]).arg(ours.certificate());
        command.arg("--resolve").arg(format!("metrics.test:{}:127.0.0.1", daemon.port()));
        if let Some((certificate, key)) = client {
            command.arg("--cert").arg(certificate).arg("--key").arg(key);
        }
        command.arg(format!("https://metrics.test:{}/metrics", daemon.port())).output().expect("curl")
    };
    let page = get(Some(&ours_client));
    assert!(page.status.success() && String::from_utf8_lossy(&page.stdout).contains("\nhubble_"), "{page:?}");
    for stranger in [None, Some(&other_client)] {
        let refused = get(stranger);
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{refused:?}");
    }
    // Plain HTTP finds nobody, and `flowlog status` says how to ask.
    let plain = Command::new("curl")
        .args(["--silent", "--max-time", "20"])
        .arg(format!("http://127.0.0.1:{}/metrics", daemon.port()))
        .output()
        .unwrap();
    assert!(!String::from_utf8_lossy(&plain.stdout).contains("hubble_"), "{plain:?}");
    let status = Command::new(program::flowlog()).args(["status", "--state-dir"]).arg(daemon.path("state")).output().unwrap();
    assert!(String::from_utf8_lossy(&status.stderr).contains("to TLS clients only: curl --cacert"), "{status:?}");
    // A new certificate of the same files is shown without a restart.
    let before = std::fs::read(&certificate).unwrap();
    ours.sign("metrics.test");
    assert_ne!(std::fs::read(&certificate).unwrap(), before);
    assert!(get(Some(&ours_client)).status.success());
}
