//! Flows of every family of metrics: connections, drops, names, requests, messages, verdicts of policies, losses.

pub const WEB: &str = r#"{"ID":7,"identity":1001,"namespace":"shop","labels":["k8s:app=web"],"pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"}]}"#;
pub const API: &str = r#"{"identity":1002,"namespace":"shop","labels":["k8s:app.kubernetes.io/name=api","k8s:app=other"],"pod_name":"api-1","workloads":[{"name":"api","kind":"StatefulSet"}]}"#;
const WORLD: &str = r#"{"identity":2,"labels":["reserved:world"]}"#;

/// A flow between two ends.
pub fn flow(source: &str, destination: &str, rest: &str) -> String {
    format!(
        r#"{{"flow":{{"time":"2026-01-02T03:04:05.678Z","source":{source},"destination":{destination},"IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"node_name":"n1",{rest}}},"node_name":"n1","time":"2026-01-02T03:04:05.678Z"}}"#
    )
}

fn tcp(verdict: &str, flags: &str, reply: bool) -> String {
    let ports = if reply { (80, 40000) } else { (40000, 80) };
    format!(
        r#""verdict":"{verdict}","l4":{{"TCP":{{"source_port":{},"destination_port":{},"flags":{{{flags}}}}}}},"event_type":{{"type":4}},"is_reply":{reply},"traffic_direction":"EGRESS""#,
        ports.0, ports.1
    )
}

fn dns(verdict: &str, reply: bool, record: &str) -> String {
    let kind = if reply { "RESPONSE" } else { "REQUEST" };
    format!(
        r#""verdict":"{verdict}","l4":{{"UDP":{{"destination_port":53}}}},"Type":"L7","l7":{{"type":"{kind}","dns":{{"query":"api.shop.svc.",{record}}}}},"event_type":{{"type":129}},"is_reply":{reply},"traffic_direction":"EGRESS""#
    )
}

fn http_response(code: u32, latency: &str, trace: &str) -> String {
    format!(
        r#""verdict":"FORWARDED","l4":{{"TCP":{{"source_port":80,"destination_port":40000}}}},"Type":"L7","l7":{{"type":"RESPONSE","latency_ns":"{latency}","http":{{"code":{code},"method":"GET","url":"http://api/","protocol":"HTTP/1.1"}}}},"trace_context":{{"parent":{{"trace_id":"{trace}"}}}},"event_type":{{"type":129}},"is_reply":true,"traffic_direction":"INGRESS""#
    )
}

const HTTP_REQUEST: &str = r#""verdict":"FORWARDED","l4":{"TCP":{"source_port":40000,"destination_port":80}},"Type":"L7","l7":{"type":"REQUEST","http":{"method":"GET","url":"http://api/","protocol":"HTTP/1.1"}},"event_type":{"type":129},"is_reply":false,"traffic_direction":"INGRESS""#;

/// Flows of every family.
pub fn flows() -> String {
    let lines = [
        flow(WEB, API, &tcp("FORWARDED", r#""SYN":true"#, false)),
        flow(API, WEB, &tcp("FORWARDED", r#""SYN":true,"ACK":true"#, true)),
        flow(WEB, API, &tcp("FORWARDED", r#""FIN":true,"ACK":true"#, false)),
        flow(API, WEB, &tcp("REDIRECTED", r#""RST":true"#, true)),
        flow(WEB, WORLD, &tcp("FORWARDED", r#""SYN":true"#, false)),
        flow(WEB, WORLD, &tcp("FORWARDED", r#""ACK":true"#, false)),
        flow(
            WEB,
            WORLD,
            r#""verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED","l4":{"TCP":{"destination_port":443}},"event_type":{"type":1,"sub_type":133},"traffic_direction":"EGRESS""#,
        ),
        flow(
            WEB,
            WORLD,
            r#""verdict":"DROPPED","drop_reason_desc":"STALE_OR_UNROUTABLE_IP","l4":{"UDP":{"destination_port":123}},"event_type":{"type":1,"sub_type":151},"traffic_direction":"EGRESS""#,
        ),
        flow(WEB, API, &dns("FORWARDED", false, r#""qtypes":["A"]"#)),
        flow(WEB, API, &dns("FORWARDED", false, r#""qtypes":["AAAA"]"#)),
        flow(WEB, API, &dns("DROPPED", false, r#""qtypes":["A"]"#)),
        flow(API, WEB, &dns("FORWARDED", true, r#""qtypes":["A"],"ips":["10.0.0.2","10.0.0.3"],"rrtypes":["CNAME","A"]"#)),
        flow(API, WEB, &dns("FORWARDED", true, r#""rcode":3,"qtypes":["A"]"#)),
        flow(WEB, API, HTTP_REQUEST),
        flow(API, WEB, &http_response(200, "30000000", "trace-1")),
        flow(API, WEB, &http_response(503, "7000000000", "trace-2")),
        flow(WEB, API, r#""verdict":"FORWARDED","l4":{"ICMPv4":{"type":8}},"event_type":{"type":4},"is_reply":false"#),
        flow(WEB, API, r#""verdict":"FORWARDED","l4":{"ICMPv6":{"type":1,"code":4}},"event_type":{"type":4},"is_reply":false"#),
        flow(
            WEB,
            API,
            r#""verdict":"FORWARDED","l4":{"SCTP":{"destination_port":9000,"chunk_type":"INIT"}},"event_type":{"type":4,"sub_type":3},"is_reply":false"#,
        ),
        flow(
            WEB,
            API,
            r#""verdict":"DROPPED","policy_match_type":2,"l4":{"TCP":{"destination_port":80}},"event_type":{"type":5},"traffic_direction":"INGRESS""#,
        ),
        flow(WEB, API, r#""verdict":"TRANSLATED","event_type":{"type":7,"sub_type":2},"sock_xlate_point":"SOCK_XLATE_POINT_POST_DIRECTION_FWD""#),
        r#"{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"7","cpu":1},"node_name":"n1","time":"2026-01-02T03:04:05Z"}"#.to_owned(),
    ];
    lines.map(|line| line + "\n").concat()
}
