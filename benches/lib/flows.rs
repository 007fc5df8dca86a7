//! Seeded flows like those of a busy cluster, as the lines Hubble writes: about 1.5 kB each, in the mix of trace, verdict, DNS and HTTP
//! flows that captures show.

use std::fmt::Write as _;

/// A small generator of numbers, the same ones on every machine (Numerical Recipes' linear congruential generator).
pub struct Numbers(u64);

impl Numbers {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn pick<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len() as u64) as usize]
    }
}

const NAMESPACES: [&str; 8] = ["shop", "kube-system", "payments", "observability", "ingress-nginx", "default", "batch", "search"];
const APPS: [&str; 6] = ["frontend", "checkout-api", "cart", "recommendation", "coredns", "postgres-primary"];
const FLAGS: [(&str, &str); 5] = [
    ("\"SYN\":true", "SYN"),
    ("\"SYN\":true,\"ACK\":true", "SYN, ACK"),
    ("\"ACK\":true", "ACK"),
    ("\"PSH\":true,\"ACK\":true", "ACK, PSH"),
    ("\"FIN\":true,\"ACK\":true", "ACK, FIN"),
];

fn endpoint(numbers: &mut Numbers) -> String {
    let (namespace, app) = (numbers.pick(&NAMESPACES), numbers.pick(&APPS));
    let (hash, pod) = (numbers.below(1 << 32), numbers.below(1 << 20));
    format!(
        "{{\"ID\":{},\"identity\":{},\"cluster_name\":\"production\",\"namespace\":\"{namespace}\",\"labels\":[\
         \"k8s:app.kubernetes.io/name={app}\",\
         \"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name={namespace}\",\
         \"k8s:io.cilium.k8s.policy.serviceaccount={app}\",\
         \"k8s:io.kubernetes.pod.namespace={namespace}\"],\"pod_name\":\"{app}-{hash:08x}-{pod:05x}\",\
         \"workloads\":[{{\"name\":\"{app}\",\"kind\":\"Deployment\"}}]}}",
        1 + numbers.below(4000),
        1000 + numbers.below(60_000),
    )
}

/// One line, with its newline.
fn line(numbers: &mut Numbers, number: u64, lines: &mut String) {
    let time = format!(
        "2026-01-02T{:02}:{:02}:{:02}.{:09}Z",
        number / 3_600_000 % 24,
        number / 60_000 % 60,
        number / 1000 % 60,
        number % 1000 * 1_000_003 % 1_000_000_000
    );
    let uuid = (numbers.below(1 << 31), numbers.below(1 << 16), numbers.below(1 << 12), numbers.below(1 << 31), numbers.below(1 << 16));
    let node = format!("production/worker-{}", numbers.below(40));
    let (source_port, port) = (32768 + numbers.below(28_000), [80, 443, 8080, 5432, 53][numbers.below(5) as usize]);
    let kind = numbers.below(10);
    let verdict = if numbers.below(20) == 0 { "DROPPED" } else { "FORWARDED" };
    let (flags, names) = FLAGS[numbers.below(5) as usize];
    let (l4, l7, summary, r#type) = match kind {
        0 => (
            format!("\"UDP\":{{\"source_port\":{source_port},\"destination_port\":53}}"),
            "\"l7\":{\"type\":\"REQUEST\",\"dns\":{\"query\":\"cart.shop.svc.cluster.local.\",\"observation_source\":\"proxy\",\"qtypes\":[\"A\"]}},".to_owned(),
            "DNS Query cart.shop.svc.cluster.local. A".to_owned(),
            ("L7", 129),
        ),
        1 => (
            format!("\"TCP\":{{\"source_port\":{source_port},\"destination_port\":{port}}}"),
            format!("\"l7\":{{\"type\":\"RESPONSE\",\"latency_ns\":\"{}\",\"http\":{{\"code\":200,\"method\":\"GET\",\"url\":\"http://cart.shop/items/{number}\",\"protocol\":\"HTTP/1.1\",\"headers\":[{{\"key\":\"Content-Type\",\"value\":\"application/json\"}},{{\"key\":\"X-Request-Id\",\"value\":\"{:016x}\"}}]}}}},", 1 + numbers.below(90_000_000), numbers.below(1 << 31)),
            format!("HTTP/1.1 200 12ms (GET http://cart.shop/items/{number})"),
            ("L7", 129),
        ),
        _ => (
            format!("\"TCP\":{{\"source_port\":{source_port},\"destination_port\":{port},\"flags\":{{{flags}}}}}"),
            String::new(),
            format!("TCP Flags: {names}"),
            ("L3_L4", 4),
        ),
    };
    let (source, destination) = (endpoint(numbers), endpoint(numbers));
    let (mac, other) = (numbers.below(256), numbers.below(256));
    let address = |numbers: &mut Numbers| format!("10.{}.{}.{}", numbers.below(8), numbers.below(256), numbers.below(256));
    let (from, to) = (address(numbers), address(numbers));
    let _ = writeln!(
        lines,
        "{{\"flow\":{{\"time\":\"{time}\",\"uuid\":\"{:08x}-{:04x}-4{:03x}-8000-{:08x}{:04x}\",\
         \"emitter\":{{\"name\":\"Hubble\",\"version\":\"1.19.4\"}},\"verdict\":\"{verdict}\",\
         \"ethernet\":{{\"source\":\"02:00:00:00:00:{mac:02x}\",\"destination\":\"02:00:00:00:00:{other:02x}\"}},\
         \"IP\":{{\"source\":\"{from}\",\"destination\":\"{to}\",\"ipVersion\":\"IPv4\"}},\"l4\":{{{l4}}},\
         \"source\":{source},\"destination\":{destination},\"Type\":\"{}\",\"node_name\":\"{node}\",\
         \"node_labels\":[\"kubernetes.io/arch=amd64\",\"kubernetes.io/os=linux\"],{l7}\
         \"event_type\":{{\"type\":{}}},\"traffic_direction\":\"EGRESS\",\"trace_observation_point\":\"TO_STACK\",\
         \"trace_reason\":\"NEW\",\"is_reply\":false,\"interface\":{{\"index\":12,\"name\":\"lxc{mac:04x}\"}},\
         \"Summary\":\"{summary}\"}},\"node_name\":\"{node}\",\"time\":\"{time}\"}}",
        uuid.0, uuid.1, uuid.2, uuid.3, uuid.4, r#type.0, r#type.1,
    );
}

/// `count` distinct lines, each with its newline.
pub fn lines(count: u64, seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut lines = String::new();
    for number in 0..count {
        line(&mut numbers, number, &mut lines);
    }
    lines
}
