//! Metrics with filters: a file of Cilium's, as `dynamic-metrics.yaml` is, beside `flowlog replay`, in the daemon's settings and before `flowlog check`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flowlog_tests::daemon::{Daemon, EVERYTHING as EVERY_FLOW};
use flowlog_tests::{http, program};

use crate::made_up::flows;
use crate::{histogram, replay, replay_with, samples};

const METRICS: &str = r#"metrics:
- name: drop
  contextOptions:
  - name: sourceContext
    values: [dns, pod]
  includeFilters:
  - protocol: [tcp]
  excludeFilters:
  - event_type: [{type: 5}]
- name: tcp
  includeFilters:
  - tcp_flags: [{SYN: true}]
  excludeFilters:
  - destination_label: ["reserved:world"]
- name: kafka
- name: dns
  excludeFilters:
  - reply: [true]
- name: httpV2
  contextOptions:
  - name: exemplars
    values: [true]
  includeFilters:
  - http_status_code: ["5+"]
"#;

const NO_FLOW_LOGS: &str = "flowLogs: []";

fn file(folder: &Path, text: &str) -> (PathBuf, String) {
    let path = folder.join("dynamic-metrics.yaml");
    std::fs::write(&path, text).unwrap();
    let name = path.to_str().unwrap().to_owned();
    (path, name)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn each_metric_counts_what_its_filters_let_through_in_a_file_and_in_the_daemon_s_settings() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = file(folder.path(), METRICS);
    let (output, page) = replay_with(NO_FLOW_LOGS, &["--metrics-config", &path], &flows());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(text(&output.stderr), "flowlog: line 15: metrics[2].name: there is no metric `kafka`; it is passed over\n");
    let page = page.unwrap();
    let durations = histogram(r#"method="GET",reporter="server""#, |bound| u64::from(bound >= 7.0), "7", 1);
    let mut expected = vec![
        r#"hubble_lost_events_total{source="perf_event_ring_buffer"} 7"#,
        r#"hubble_drop_total{protocol="TCP",reason="POLICY_DENIED",source="shop/web-1"} 1"#,
        r#"hubble_tcp_flags_total{family="IPv4",flag="SYN"} 1"#,
        r#"hubble_tcp_flags_total{family="IPv4",flag="SYN-ACK"} 1"#,
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode=""} 1"#,
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="A",rcode="Policy denied"} 1"#,
        r#"hubble_dns_queries_total{ips_returned="0",qtypes="AAAA",rcode=""} 1"#,
        r#"hubble_http_requests_total{method="GET",protocol="HTTP/1.1",reporter="server",status="503"} 1"#,
    ];
    expected.extend(durations.iter().map(String::as_str));
    assert_eq!(samples(&page), expected);
    for argument in ["--settings", "--metrics-config"] {
        let daemon = Daemon::following(EVERY_FLOW).with(&[argument, &path]).started();
        daemon.feed(&flows());
        let page = || http::get(daemon.port(), "/metrics");
        daemon.wait("the last flow on its page", |_| page().contains("hubble_lost_events_total{"));
        assert_eq!(samples(&page()), expected, "{argument}");
    }
}

#[test]
fn the_filters_of_a_metric_let_through_what_those_of_a_flow_log_do() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["dns", "drop", "tcp", "flow", "flows-to-world", "httpV2", "icmp", "port-distribution", "policy", "sctp"];
    let without_lost =
        |page: &str| samples(page).into_iter().filter(|sample| !sample.contains("lost")).map(str::to_owned).collect::<Vec<_>>();
    let mut counted = Vec::new();
    for filters in [
        "includeFilters: [{source_pod: [shop/web]}]",
        "excludeFilters: [{source_pod: [shop/web]}]",
        "includeFilters: [{verdict: [DROPPED]}, {http_method: [GET]}], excludeFilters: [{destination_port: ['443']}]",
        "includeFilters: [{protocol: [udp]}, {experimental: {cel_expression: ['_flow.is_reply == true']}}]",
        "includeFilters: [{dns_query: ['^api']}], excludeFilters: [{reply: [true]}]",
        "includeFilters: [{tcp_flags: [{SYN: true}, {RST: true}]}, {}]",
        "includeFilters: [{traffic_direction: [INGRESS]}], excludeFilters: [{http_status_code: ['503']}]",
        "excludeFilters: [{}]",
    ] {
        let flow_log = format!("flowLogs: [{{name: some, filePath: stdout, window: 0s, redact: false, {filters}}}]");
        let (output, _) = replay_with(&flow_log, &[], &flows());
        assert!(output.status.success(), "{filters}: {output:?}");
        let (_, of_what_is_left) = replay(&[&names.join(" ")], text(&output.stdout));
        let metrics: Vec<String> = names.iter().map(|name| format!("{{name: {name}, {filters}}}")).collect();
        let (_, path) = file(folder.path(), &format!("metrics: [{}]", metrics.join(", ")));
        let (output, filtered) = replay_with(NO_FLOW_LOGS, &["--metrics-config", &path], &flows());
        assert!(output.status.success(), "{filters}: {output:?}");
        let filtered = without_lost(&filtered.unwrap());
        assert_eq!(filtered, without_lost(&of_what_is_left.unwrap()), "{filters}");
        counted.push(filtered.len());
    }
    // Each list of filters lets through something else, and the last one nothing.
    assert!(counted.iter().take(counted.len() - 1).all(|count| *count > 0) && counted.last() == Some(&0), "{counted:?}");
}

#[test]
fn everything_that_is_wrong_with_metrics_is_told_at_once_and_nothing_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = file(
        folder.path(),
        "metrics:\n- name: drop\n  includeFilters:\n  - source_ip: [bad]\n  - source_podd: [a/]\n- name: drop\n- name: kafka\n",
    );
    let (output, page) = replay_with(NO_FLOW_LOGS, &["--metrics-config", &name], &flows());
    assert_eq!((output.status.code(), page), (Some(2), None), "{output:?}");
    let told = text(&output.stderr);
    let places = [
        "line 4: metrics[0].includeFilters[0].source_ip[0]: \"bad\" cannot be used",
        "line 5: metrics[0].includeFilters[1].source_podd: is not a field of FlowFilter; did you mean source_pod?",
        "line 6: metrics[1].name: metric `drop` is given twice",
        "line 7: metrics[2].name: there is no metric `kafka`; it is passed over",
    ];
    places.iter().for_each(|place| assert!(told.contains(place), "{place}\n{told}"));
    let flow_logs = folder.path().join("flowlog.yaml");
    std::fs::write(&flow_logs, "flowLogs: [{name: a, filePath: stdout}]").unwrap();
    let check = || -> Output { Command::new(program::flowlog()).args(["check", "--settings", &name]).arg(&flow_logs).output().unwrap() };
    let refused = check();
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    for (line, severity, key) in [
        ("4:17", "error", "metrics[0].includeFilters[0].source_ip[0]"),
        ("5:5", "error", "metrics[0].includeFilters[1].source_podd"),
        ("6:3", "error", "metrics[1].name"),
        ("7:3", "warning", "metrics[2].name"),
    ] {
        let place = format!("{name}:{line}: {severity}: {key}: ");
        assert!(text(&refused.stderr).contains(&place), "{place}\n{}", text(&refused.stderr));
    }
    std::fs::write(path, METRICS).unwrap();
    let taken = check();
    assert_eq!(taken.status.code(), Some(0), "{taken:?}");
    assert!(text(&taken.stderr).contains(&format!("{name}:15:3: warning: metrics[2].name: there is no metric `kafka`")), "{taken:?}");
}

#[test]
fn metrics_come_from_flags_or_from_a_file_of_metrics_but_not_from_both() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path) = file(folder.path(), METRICS);
    let (output, page) = replay_with(NO_FLOW_LOGS, &["--metrics-config", &path, "--metrics", "drop"], &flows());
    assert_eq!((output.status.code(), page), (Some(2), None), "{output:?}");
    // As upstream, a file without metrics wants none.
    let (_, path) = file(folder.path(), "metrics:\n");
    let (output, page) = replay_with(NO_FLOW_LOGS, &["--metrics-config", &path], &flows());
    assert!(output.status.success(), "{output:?}");
    assert_eq!(samples(&page.unwrap()), [r#"hubble_lost_events_total{source="perf_event_ring_buffer"} 7"#]);
}
