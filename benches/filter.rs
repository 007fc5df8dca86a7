//! Filter evaluation: directly on decoded flows, and on the cached path, where a flow's verdict is decided once and read per event.
//!
//! Prints the machine and the method, then criterion's figures; throughput is flows (or events) a second on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flowlog::filter::{Filters, FlowFilter, PerFlow};
use flowlog::flow::ExportEvent;
use flowlog::flow::json::{Options, decode};
use std::hint::black_box;

const FLOWS: usize = 1000;

/// Flows as a node sees them: a dozen services, some drops, some HTTP.
fn lines() -> Vec<String> {
    (0..FLOWS)
        .map(|n| {
            let (verdict, reason) = if n % 20 == 0 { ("DROPPED", r#","drop_reason_desc":"POLICY_DENIED""#) } else { ("FORWARDED", "") };
            let l7 = if n % 4 == 0 { r#","l7":{"type":"RESPONSE","http":{"code":200,"method":"GET","url":"http://shop/api/v1/cart?id=7"}}"# } else { "" };
            format!(
                r#"{{"flow":{{"time":"2026-01-02T03:04:05.123456789Z","uuid":"{n:032x}","verdict":"{verdict}","IP":{{"source":"10.0.{}.{}","destination":"10.1.0.{}","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{},"destination_port":{},"flags":{{"ACK":true}}}}}},"source":{{"identity":{},"namespace":"ns-{}","labels":["k8s:app=web-{}","k8s:io.kubernetes.pod.namespace=ns-{}"],"pod_name":"web-{}"}},"destination":{{"identity":2,"labels":["reserved:world"]}},"Type":"L3_L4","node_name":"prod/node-1"{l7},"event_type":{{"type":4}},"traffic_direction":"EGRESS"{reason},"is_reply":false}}}}"#,
                n % 200, n % 250, n % 250, 32768 + n, [80, 443, 53, 8080][n % 4], 1000 + n % 50, n % 12, n % 12, n % 12, n,
            )
        })
        .collect()
}

fn filters(include: &[&str], exclude: &[&str]) -> Filters {
    let read = |texts: &[&str]| texts.iter().map(|t| FlowFilter::from_json(t).expect("a filter")).collect::<Vec<_>>();
    Filters::compile(&read(include), &read(exclude)).expect("filters that build")
}

fn benches(c: &mut Criterion) {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|l| l.starts_with("model name")).unwrap_or("model name unknown");
    println!("{model}; {FLOWS} decoded flows of 750 bytes in memory, one core, criterion");
    let lines = lines();
    let events: Vec<ExportEvent<'_>> = lines.iter().map(|l| decode(l.as_bytes(), Options::default()).expect("a flow")).collect();
    let cases = [
        ("drops", filters(&[r#"{"verdict":["DROPPED"]}"#], &[])),
        (
            "namespaces",
            filters(
                &[r#"{"source_pod":["ns-3/","ns-7/web-1"]}"#, r#"{"destination_pod":["kube-system/"]}"#],
                &[r#"{"destination_port":["53"]}"#],
            ),
        ),
        ("labels", filters(&[r#"{"source_label":["app in (web-1,web-2),!canary"]}"#], &[])),
        ("networks", filters(&[r#"{"source_ip":["10.0.7.0/24","192.168.0.0/16"]}"#], &[])),
        ("http", filters(&[r#"{"http_path":["^/api/v[0-9]+/"],"http_status_code":["5+"]}"#], &[])),
        (
            "cel",
            filters(
                &[r#"{"experimental":{"cel_expression":["_flow.source.namespace == 'ns-3' && _flow.verdict == Verdict.DROPPED"]}}"#],
                &[],
            ),
        ),
    ];
    let mut group = c.benchmark_group("filter");
    group.throughput(Throughput::Elements(FLOWS as u64));
    for (name, filters) in &cases {
        group.bench_function(format!("direct/{name}"), |b| {
            b.iter(|| events.iter().filter(|event| filters.matches(black_box(event))).count());
        });
    }
    // The cached path: a verdict stands in the cache entry of each flow; an event reads it, and only what is left open is evaluated.
    let cached = [
        ("decided", filters(&[r#"{"source_pod":["nowhere/"]}"#], &[r#"{"destination_port":["53"]}"#])),
        ("flags left open", filters(&[r#"{"tcp_flags":[{"SYN":true}],"verdict":["FORWARDED"]}"#], &[])),
    ];
    for (name, filters) in &cached {
        let flows: Vec<_> = events.iter().filter_map(ExportEvent::flow).collect();
        let verdicts: Vec<PerFlow> = flows.iter().map(|flow| filters.per_flow(flow)).collect();
        group.bench_function(format!("cached/{name}"), |b| {
            b.iter(|| {
                let wanted = |(flow, verdict): (&&flowlog::flow::Flow<'_>, &PerFlow)| match *black_box(verdict) {
                    PerFlow::Decided(wanted) => wanted,
                    PerFlow::PerEvent(remaining) => filters.per_event(flow, remaining),
                };
                flows.iter().zip(&verdicts).filter(|pair| wanted(*pair)).count()
            });
        });
    }
    group.finish();
}

criterion_group!(filter, benches);
criterion_main!(filter);
