//! Random lines of `events.log`: flows of every kind with parts missing, odd texts and numbers nobody has named, and lines that are no flows.

use crate::random::Random;

/// Texts that printing has to take care of.
const ODD: &[&str] =
    &["é😀", "a\\tb", "a\\nb", "\\u001b[31mred\\u001b[0m", "\\r", "<&>", "..", "/x/", "a//b", "fd00::1", "\\u007f", "\\u0007"];

/// A file of random lines.
pub fn lines(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(40) {
        text.push_str(&line(random));
        text.push_str(if random.once_in(50) { "\r\n" } else { "\n" });
    }
    if random.once_in(10) {
        text.pop();
    }
    text
}

fn line(random: &mut Random) -> String {
    let time = time(random);
    match random.below(30) {
        0 => format!(
            r#"{{"lost_events":{{"source":"{}","num_events_lost":"{}"{}}},"node_name":"n1","time":"{time}"}}"#,
            random.of(&["OBSERVER_EVENTS_QUEUE", "PERF_EVENT_RING_BUFFER", "HUBBLE_RING_BUFFER"]),
            random.below(100),
            random.of(&["", r#","cpu":3"#, r#","cpu":0,"first":"2026-01-02T03:04:05Z","last":"2026-01-02T03:04:06Z""#]),
        ),
        1 => format!(
            r#"{{"node_status":{{"state_change":"{}","node_names":["n1","n2"],"message":"gone"}},"node_name":"relay","time":"{time}"}}"#,
            random.of(&["NODE_CONNECTED", "NODE_UNAVAILABLE", "NODE_GONE", "NODE_ERROR"]),
        ),
        2 => format!(
            r#"{{{},"node_name":"n1","time":"{time}"}}"#,
            random.of(&[
                r#""agent_event":{"type":"AGENT_STARTED"}"#,
                r#""agent_event":{"type":"IPCACHE_UPSERTED","ipcache_update":{"cidr":"10.0.0.1/32","identity":1001}}"#,
                r#""debug_event":{"type":"DBG_CT_VERDICT","message":"x","cpu":1,"hash":77}"#,
            ])
        ),
        3 => random
            .of(&[
                "",
                "not json",
                "{",
                "[]",
                "null",
                r#"{"flow":{"verdict":"FORWARDED"}"#,
                r#"{"flow":{"verdict":7}}"#,
                "{}",
                r#"{"flow":null}"#,
            ])
            .to_owned(),
        _ => {
            let flow = flow(random, &time);
            let envelope = random.of(&[r#","node_name":"n1""#, ""]);
            let time = if random.once_in(10) { String::new() } else { format!(r#","time":"{time}""#) };
            format!(r#"{{"flow":{{{flow}}}{envelope}{time}}}"#)
        }
    }
}

fn time(random: &mut Random) -> String {
    let fraction = random.of(&["", ".1", ".123456789", ".999999999", ".000001"]);
    format!("2026-01-{:02}T03:04:{:02}{fraction}Z", 1 + random.below(3), random.below(60))
}

fn flow(random: &mut Random, time: &str) -> String {
    let mut fields: Vec<String> = Vec::new();
    if !random.once_in(15) {
        fields.push(format!(r#""time":"{time}""#));
    }
    let mut some = |random: &mut Random, once_in_absent: usize, field: String| {
        if !random.once_in(once_in_absent) {
            fields.push(field);
        }
    };
    let verdict = random.of(&[
        "0",
        r#""FORWARDED""#,
        r#""DROPPED""#,
        r#""AUDIT""#,
        r#""ERROR""#,
        r#""REDIRECTED""#,
        r#""TRACED""#,
        r#""TRANSLATED""#,
        "42",
    ]);
    some(random, 8, format!(r#""verdict":{verdict}"#));
    let ip = ip(random);
    some(random, 8, ip);
    let l4 = layer4(random);
    some(random, 8, l4);
    for side in ["source", "destination"] {
        let endpoint = endpoint(random);
        some(random, 6, format!(r#""{side}":{endpoint}"#));
        if random.once_in(8) {
            let (name, namespace) = (random.of(&["api", "svc", "", "é"]), random.of(&["shop", "", "default"]));
            some(random, 100, format!(r#""{side}_service":{{"name":"{name}","namespace":"{namespace}"}}"#));
        }
        if random.once_in(6) {
            let names = random.of(&[r#""dns.google""#, r#""a.x.example","b:c""#, ""]);
            some(random, 100, format!(r#""{side}_names":[{names}]"#));
        }
    }
    let kind = kind(random);
    some(random, 10, kind);
    let others: [(&str, &[&str]); 25] = [
        ("node_name", &[r#""n1""#, r#""prod/n1""#, r#""""#]),
        ("is_reply", &["true", "false", "null"]),
        ("traffic_direction", &[r#""INGRESS""#, r#""EGRESS""#, "9"]),
        ("policy_match_type", &["0", "2", "5", "77"]),
        ("drop_reason_desc", &[r#""POLICY_DENIED""#, "250", r#""NOT_KNOWN_YET""#]),
        ("auth_type", &[r#""SPIRE""#, r#""TEST_ALWAYS_FAIL""#, "8"]),
        ("ip_trace_id", &[r#"{"trace_id":"77","ip_option_type":1}"#, "{}"]),
        ("ethernet", &[r#"{"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02"}"#]),
        ("interface", &[r#"{"index":2,"name":"eth0"}"#]),
        ("node_labels", &[r#"["zone=a"]"#, "[]"]),
        ("uuid", &[r#""u-1""#]),
        ("trace_context", &[r#"{"parent":{"trace_id":"abc"}}"#]),
        ("debug_capture_point", &[r#""DBG_CAPTURE_SNAT_PRE""#, "3", "0", "4", "9", "12"]),
        ("extensions", &[r#"{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"packets":3,"b":{"x":[1.5,null]}}}"#]),
        ("egress_denied_by", &[r#"[{"name":"deny","kind":"CiliumNetworkPolicy"},{"name":"nokind"},{"name":"two","kind":"K"}]"#]),
        (
            "tunnel",
            &[
                r#"{"protocol":"VXLAN","IP":{"source":"192.168.0.1","destination":"192.168.0.2"},"l4":{"UDP":{"destination_port":8472}}}"#,
                "{}",
            ],
        ),
        ("ingress_denied_by", &[r#"[{"name":"in","kind":"NetworkPolicy","labels":["a=b"]},{"kind":"onlykind"}]"#]),
        ("egress_allowed_by", &[r#"[{"name":"out","namespace":"","kind":"CiliumClusterwideNetworkPolicy"}]"#]),
        ("policy_log", &[r#"["one","two"]"#]),
        ("file", &[r#"{"name":"bpf_lxc.c","line":77}"#]),
        ("proxy_port", &["15001"]),
        ("sock_xlate_point", &[r#""SOCK_XLATE_POINT_PRE_DIRECTION_FWD""#, "4"]),
        ("aggregate", &[r#"{"ingress_flow_count":3}"#, "{}"]),
        ("trace_reason", &[r#""REPLY""#, r#""ENCRYPT_OVERLAY""#, "99"]),
        ("ingress_allowed_by", &[r#"[{"name":"allow","namespace":"shop","kind":"CiliumNetworkPolicy","revision":"3"}]"#]),
    ];
    for (name, values) in others {
        let value = random.of(values);
        if random.once_in(3) {
            fields.push(format!(r#""{name}":{value}"#));
        }
    }
    if random.once_in(30) {
        fields.push(random.of(&[r#""bogus":{"a":[1]}"#, r#""Type":"L9""#, r#""bogus2":null"#]).to_owned());
    }
    let summary = if random.once_in(4) { random.of(ODD) } else { "TCP Flags: SYN" };
    fields.push(format!(r#""Summary":"{summary}""#));
    fields.join(",")
}

fn ip(random: &mut Random) -> String {
    let source = random.of(&["10.0.0.1", "10.0.0.2", "fd00::1", "", "8.8.8.8"]);
    let destination = random.of(&["10.0.0.1", "192.168.0.9", "fd00::2", "1.1.1.1"]);
    let more =
        random.of(&["", r#","ipVersion":"IPv4""#, r#","ipVersion":"IPv6""#, r#","encrypted":true"#, r#","source_xlated":"10.0.0.1""#]);
    format!(r#""IP":{{"source":"{source}","destination":"{destination}"{more}}}"#)
}

fn layer4(random: &mut Random) -> String {
    let ports =
        format!(r#""source_port":{},"destination_port":{}"#, random.of(&["40000", "0", "53"]), random.of(&["80", "53", "0", "443"]));
    let flags = random.of(&["", r#","flags":{"SYN":true}"#, r#","flags":{"SYN":true,"ACK":true}"#, r#","flags":{}"#]);
    match random.below(8) {
        4 => r#""l4":{"ICMPv6":{"type":129,"code":0}}"#.to_owned(),
        5 => random.of(&[r#""l4":{"VRRP":{"type":1,"vrid":7}}"#, r#""l4":{"IGMP":{"type":22,"group_address":"224.0.0.1"}}"#]).to_owned(),
        0 => format!(r#""l4":{{"UDP":{{{ports}}}}}"#),
        1 => format!(r#""l4":{{"SCTP":{{{ports}}}}}"#),
        2 => r#""l4":{"ICMPv4":{"type":8}}"#.to_owned(),
        3 => r#""l4":{}"#.to_owned(),
        _ => format!(r#""l4":{{"TCP":{{{ports}{flags}}}}}"#),
    }
}

fn endpoint(random: &mut Random) -> String {
    let identity = random.of(&["1001", "2", "0", "7", "16777217", "14", "15"]);
    let namespace = random.of(&["shop", "default", "", "kube-system", "a"]);
    let pod = if random.once_in(12) { random.of(ODD) } else { random.of(&["web-1", "api-1", "", "coredns"]) };
    let labels = random.of(&["", r#""k8s:app=web""#, r#""reserved:world""#, r#""k8s:app=api","k8s:tier=x""#]);
    let more = random.of(&["", r#","cluster_name":"prod""#, r#","workloads":[{"name":"web","kind":"Deployment"}]"#]);
    format!(r#"{{"identity":{identity},"namespace":"{namespace}","labels":[{labels}],"pod_name":"{pod}"{more}}}"#)
}

fn kind(random: &mut Random) -> String {
    let drop = (random.below(256)).to_string();
    let sub = random.of(&["0", "3", "133", "2", "4", "255", "260", "-1", "11", "1", &drop]);
    let http = format!(
        r#""http":{{"code":{},"method":"{}","url":"{}","headers":[{{"key":"a","value":"b"}}]}}"#,
        random.of(&["200", "404", "0", "503"]),
        random.of(&["GET", "POST"]),
        random.of(&["http://x/", "http://x/x1?q=1", "/", "::"])
    );
    let record = match random.below(4) {
        0 => format!(r#""dns":{{"query":"a.example.","observation_source":"{}"}}"#, random.of(&["proxy", ""])),
        1 => random.of(&[r#""kafka":{"topic":"t"}"#, r#""dns":{"rcode":3,"qtypes":["A","AAAA"]},"latency_ns":"1500000""#]).to_owned(),
        2 => r#""latency_ns":"5""#.to_owned(),
        _ => http,
    };
    match random.below(8) {
        0 => format!(
            r#""Type":"L7","event_type":{{"type":129}},"l7":{{"type":"{}",{record}}}"#,
            random.of(&["REQUEST", "RESPONSE", "SAMPLE", "UNKNOWN_L7_TYPE"])
        ),
        1 => format!(r#""event_type":{{"type":5,"sub_type":{sub}}}"#),
        2 => format!(r#""event_type":{{"type":1,"sub_type":{sub}}}"#),
        3 => format!(r#""Type":"SOCK","event_type":{{"type":7,"sub_type":{sub}}}"#),
        4 => r#""event_type":{"type":3}"#.to_owned(),
        5 => format!(r#""l7":{{{record}}}"#),
        _ => format!(r#""Type":"L3_L4","event_type":{{"type":4,"sub_type":{sub}}}"#),
    }
}
