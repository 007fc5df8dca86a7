//! Events that filters and expressions are held against.

use std::sync::OnceLock;

use flowlog::flow::ExportEvent;
use flowlog::flow::json::{Options, decode};

const LINES: &str = r#"{"flow":{"time":"2026-01-02T03:04:05.120Z","uuid":"0b2a6a26-1111-4222-8333-944444444444","verdict":"DROPPED","drop_reason":133,"IP":{"source":"10.0.0.1","source_xlated":"192.0.2.1","destination":"10.0.0.2","ipVersion":"IPv4","encrypted":true},"l4":{"TCP":{"source_port":40000,"destination_port":80,"flags":{"SYN":true,"ACK":true}}},"source":{"ID":12,"identity":1001,"cluster_name":"prod","namespace":"default","labels":["k8s:app=web","k8s:x=7","cidr:10.0.0.0/8"],"pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"}]},"destination":{"identity":2,"labels":["reserved:world"],"pod_name":"api-1"},"Type":"L7","node_name":"prod/n1","node_labels":["a=b"],"source_names":["a.example"],"destination_names":["b.example","www.example.com"],"l7":{"type":"RESPONSE","latency_ns":"1500","http":{"code":503,"method":"GET","url":"http://u:p@x/?a=1\u0026b=\u003c2\u003e","protocol":"HTTP/1.1","headers":[{"key":"K","value":"V"}]}},"event_type":{"type":129,"sub_type":133},"source_service":{"name":"s","namespace":"d"},"traffic_direction":"INGRESS","drop_reason_desc":"POLICY_DENIED","is_reply":true,"interface":{"index":2,"name":"eth0"},"trace_context":{"parent":{"trace_id":"0af7651916cd43dd8448eb211c80319c"}},"socket_cookie":"9","Summary":"TCP Flags: SYN","extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"packets":3,"a":{"b":"c"},"l":[1,true,null]}}},"node_name":"prod/n1","time":"2026-01-02T03:04:05.120Z"}
{"flow":{"verdict":"FORWARDED","IP":{"source":"fd00::1","destination":"fd00::2","ipVersion":"IPv6"},"l4":{"UDP":{"source_port":5353,"destination_port":53}},"l7":{"type":"REQUEST","dns":{"query":"www.example.com.","ips":["1.2.3.4"],"ttl":30,"rcode":3,"qtypes":["A"],"rrtypes":["A"]}},"event_type":{"type":4,"sub_type":3},"traffic_direction":"EGRESS","is_reply":false}}
{"flow":{}}
{"lost_events":{"source":"OBSERVER_EVENTS_QUEUE","num_events_lost":"3","cpu":0}}"#;

/// A dropped HTTP response with nearly everything in it, a DNS request, an empty flow, lost events.
pub fn events() -> &'static [ExportEvent<'static>] {
    static EVENTS: OnceLock<Vec<ExportEvent<'static>>> = OnceLock::new();
    EVENTS.get_or_init(|| LINES.lines().map(|line| decode(line.as_bytes(), Options::default()).expect("an event")).collect())
}
