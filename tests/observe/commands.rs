//! Random command lines: filters with values that fit the made-up flows, some that fit nothing, some that are refused; formats; numbers and times.

use crate::random::Random;

const PODS: &[&str] = &["web", "shop/web-1", "shop/", "/", "api-1", "kube-system/coredns", "a/b/c", ""];
const NAMESPACES: &[&str] = &["shop", "default", "kube-system", "", "no*"];
const ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.0/8", "fd00::/8", "8.8.8.8", "10.0.0.1/33", "x", ""];
const NAMES: &[&str] = &["dns.google", "*.google", "*", "a.*.example", ".", "", " DNS.Google. ", "a_b", "b:c", "*x*"];
const LABELS: &[&str] = &[
    "app=web",
    "k8s:app=web",
    "!app",
    "app in (web, api)",
    "reserved:world",
    "app notin (web)",
    "a b",
    "",
    "k8s:app",
    "app,tier=x",
    "any:app",
    "app==web",
    "tier in ()",
    "app>1",
];
const PORTS: &[&str] = &["80", "53", "40000", "0", "http", "65536"];
const IDENTITIES: &[&str] = &["world", "host", "1001", "0x3e9", "unknown", "kube-apiserver", "-1", "1_001", "4294967296", "0"];
const CLUSTERS: &[&str] = &["prod", "*", "p*", ""];
const WORKLOADS: &[&str] = &["web", "Deployment/web", "Deployment/", "/web", "", "deployment/web", "a/b/c"];

/// Flags with the values they take.
const FLAGS: &[(&str, &[&str])] = &[
    ("pod", PODS),
    ("service", PODS),
    ("namespace", NAMESPACES),
    ("ip", ADDRESSES),
    ("fqdn", NAMES),
    ("label", LABELS),
    ("port", PORTS),
    ("identity", IDENTITIES),
    ("cluster", CLUSTERS),
    ("workload", WORKLOADS),
];

/// Flags without sides.
const PLAIN: &[(&str, &[&str])] = &[
    ("snat-ip", ADDRESSES),
    (
        "type",
        &[
            "trace",
            "trace:to-stack",
            "trace:3",
            "drop",
            "drop:133",
            "l7",
            "4:to-stack",
            "4",
            "capture",
            "trace:from-network",
            "drop:x",
            "l7:1",
            "256",
            "policy-verdict",
            "trace-sock:2",
            "agent:message",
            "x",
            "",
            "debug",
        ],
    ),
    ("verdict", &["FORWARDED", "DROPPED", "AUDIT", "VERDICT_UNKNOWN", "dropped", "TRANSLATED", "REDIRECTED"]),
    ("drop-reason-desc", &["POLICY_DENIED", "DROP_REASON_UNKNOWN", "", "policy_denied"]),
    ("tcp-flags", &["syn", "syn,ack", "ACK", "", "x", "fin", "rst,"]),
    ("ip-version", &["v4", "none", "6", "what"]),
    ("protocol", &["tcp", "UDP", "http", "dns", "icmp", "icmpv6", "kafka", "nope", "sctp"]),
    ("traffic-direction", &["ingress", "EGRESS", "unknown", ""]),
    ("interface", &["eth0", ""]),
    ("node-name", &["n1", "prod/n1", "prod/*", "n*", "*/n1", "/", "", "prod/", "/n1", "a/b/c", "N1"]),
    ("node-label", &["zone=a", "!zone", "zone"]),
    ("trace-id", &["abc", ""]),
    ("ip-trace-id", &["77", "0", "x", "+1"]),
    ("uuid", &["u-1", ""]),
    ("http-status", &["200", "4+", "5++", "x", "600", "20"]),
    ("http-method", &["GET", "get", "post", ""]),
    ("http-path", &["/x.*", "(", "", "^/$"]),
    ("http-url", &["http://.*", "x", "["]),
    ("http-header", &["a:b", "Accept:*/*", "nocolon"]),
    (
        "cel-expression",
        &[
            "_flow.verdict == Verdict.FORWARDED",
            "true",
            "false",
            "_flow.source.identity > 1000u",
            "_flow.is_reply.value",
            "1",
            "_flow.l4.TCP.destination_port == 80u",
            "has(_flow.l7)",
            "has(_flow.tunnel) || _flow.ip_trace_id.trace_id > 0u",
            "_flow.source.labels.exists(l, l.startsWith('k8s:'))",
            "size(_flow.egress_denied_by) > 1",
            "_flow.l7.http.code / 0u == 1u",
            "_flow.nothing",
        ],
    ),
    ("allowlist", RAW),
    ("denylist", RAW),
];

const RAW: &[&str] = &[
    r#"{"verdict":["FORWARDED"]}"#,
    r#"{"source_pod":["shop/"],"destination_port":["80"]} {"reply":[true]}"#,
    "{}",
    r#"{"source_identity":[1001,0]}"#,
    r#"{"bogus":1}"#,
    "[]",
    "",
    r#"{"event_type":[{"type":0}]}"#,
    r#"{"source_ip":["10.0.0.0/8"],"not_known":[1]}"#,
    r#"{"source_label":["k8s:app in (web)"],"reply":[false]}{"destination_fqdn":["*.google"]}"#,
    r#"{"http_status_code":["5+"],"event_type":[{"type":4}]}"#,
    r#"{"experimental":{"cel_expression":["_flow.verdict == Verdict.DROPPED"]}}"#,
    r#"{"drop_reason_desc":["POLICY_DENIED"],"traffic_direction":["EGRESS"],"ip_version":["IPv4"]}"#,
];

const SWITCHES: &[&str] = &[
    "-4",
    "-6",
    "-A",
    "--from-all-namespaces",
    "--to-all-namespaces",
    "--reply",
    "--not-reply",
    "--encrypted",
    "--unencrypted",
    // Whatever is said of them, they are on.
    "--reply=false",
    "--not-reply=x",
    "--encrypted=true",
    "--ipv4=v6",
    "--all-namespaces=",
];

const TIMES: &[&str] = &[
    "2026-01-02T03:04:05.5Z",
    "2026-01-02",
    "2026-01-02T03Z",
    "1h",
    "2026-01-02T03:04+00:00",
    "Fri, 02 Jan 2026 03:04:05 +0000",
    "0s",
    "x",
    "-876000h",
    "5",
    "Jan  2 15:04:05.000",
    "2026-01-02T03:04-07:00",
    "2026-01-02+00:00",
    "2026-01-02T3:04:05Z",
    "2026-01-02T03:04:05,5Z",
    "Fri, 2 Jan 2026 03:04:05 +0000",
    "1.5h",
    "1d",
    "",
];

/// Variables that both commands read.
const ENVIRONMENT: &[(&str, &[&str])] = &[
    ("HUBBLE_COMPAT", &["legacy-json-output", "other,Legacy-JSON-Output", "nonsense", ""]),
    ("HUBBLE_ALLOWLIST", RAW),
    ("HUBBLE_DENYLIST", RAW),
    ("NO_COLOR", &["1", ""]),
];

/// A random environment.
pub fn environment(random: &mut Random) -> Vec<(&'static str, &'static str)> {
    if !random.once_in(5) {
        return Vec::new();
    }
    let (name, values) = ENVIRONMENT[random.below(ENVIRONMENT.len())];
    vec![(name, random.of(values))]
}

/// A random command line.
pub fn line(random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for _ in 0..random.below(5) {
        if random.once_in(5) {
            words.push(random.of(&["--not", "--not", "--not=false"]).to_owned());
        }
        filter(random, &mut words);
    }
    if random.once_in(100) {
        words.push("--not".to_owned());
    }
    format(random, &mut words);
    selection(random, &mut words);
    words
}

fn filter(random: &mut Random, words: &mut Vec<String>) {
    match random.below(9) {
        0 => words.push(random.of(SWITCHES).to_owned()),
        1..4 => {
            let (flag, values) = PLAIN[random.below(PLAIN.len())];
            words.extend([format!("--{flag}"), random.of(values).to_owned()]);
        }
        4 => {
            let (flag, values) = [("-n", NAMESPACES), ("-l", LABELS), ("-t", &["drop", "trace", "l7"][..])][random.below(3)];
            words.extend([flag.to_owned(), random.of(values).to_owned()]);
        }
        _ => {
            let (flag, values) = FLAGS[random.below(FLAGS.len())];
            let side = random.of(&["", "", "from-", "to-"]);
            words.extend([format!("--{side}{flag}"), random.of(values).to_owned()]);
        }
    }
}

fn format(random: &mut Random, words: &mut Vec<String>) {
    if !random.once_in(3) {
        let formats = ["compact", "dict", "table", "tab", "json", "jsonpb", "JSON", "compact", "dict", "table", "json", "yaml"];
        words.extend(["-o".to_owned(), random.of(&formats).to_owned()]);
    }
    for switch in [
        "--print-node-name",
        "--print-policy-names",
        "--numeric",
        "--numeric=F",
        "--print-node-name=false",
        "--ip-translation=false",
        "--use-default-field-masks=0",
        "-s",
        "-D",
    ] {
        if random.once_in(8) {
            words.push(switch.to_owned());
        }
    }
    if random.once_in(5) {
        let formats = [
            "StampMilli",
            "RFC3339",
            "rfc3339milli",
            "RFC3339Micro",
            "RFC3339Nano",
            "RFC1123Z",
            "YearMonthDay",
            "YearMonthDayHour",
            "YearMonthDayHourMinute",
            "x",
        ];
        words.extend(["--time-format".to_owned(), random.of(&formats).to_owned()]);
    }
    if random.once_in(6) {
        words.extend(["--color".to_owned(), random.of(&["always", "never", "auto", "ALWAYS", "x"]).to_owned()]);
    }
    if random.once_in(20) {
        let masks = ["verdict,source", "source.podName", "x", "", "l4.TCP", "l7,Summary", "verdict,", "time,IP.source"];
        words.extend(["--field-mask".to_owned(), random.of(&masks).to_owned()]);
    }
    if random.once_in(20) {
        words.push("--print-raw-filters".to_owned());
    }
}

fn selection(random: &mut Random, words: &mut Vec<String>) {
    if random.once_in(5) {
        let flag = random.of(&["--first", "--last", "--last"]);
        words.extend([flag.to_owned(), random.of(&["1", "3", "0", "1000", "1000001", "-1", "18446744073709551615"]).to_owned()]);
    }
    if random.once_in(20) {
        words.push("--all".to_owned());
    }
    for flag in ["--since", "--until"] {
        if random.once_in(10) {
            words.extend([flag.to_owned(), random.of(TIMES).to_owned()]);
        }
    }
}
