//! Made-up flows for tests of what comes after them.

use jiff::{Timestamp, ToSpan};
use serde_json::Value;

/// A line as flowlog writes it, of a client port of its own; line `n` lies `n` milliseconds after `start`.
pub fn line(start: Timestamp, n: u16, verdict: &str, namespace: &str) -> String {
    let time = (start + i64::from(n).milliseconds() + 1.nanosecond()).strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
    format!(
        r#"{{"flow":{{"time":"{time}","verdict":"{verdict}","IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{n},"destination_port":80}}}},"source":{{"namespace":"{namespace}"}},"destination":{{"namespace":"db"}},"Type":"L3_L4","node_name":"node-1"}},"node_name":"node-1","time":"{time}"}}"#
    )
}

/// A line of a pod of its own, so that nothing folds with it and no mask that keeps the pod hides which it is.
pub fn numbered(number: u64) -> String {
    let parity = if number.is_multiple_of(2) { "even" } else { "odd" };
    format!(
        r#"{{"flow":{{"time":"2026-01-01T00:00:00Z","verdict":"FORWARDED","IP":{{"source":"192.0.2.1","destination":"192.0.2.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":40000,"destination_port":80}}}},"source":{{"namespace":"shop","pod_name":"{parity}-{number}"}},"Type":"L3_L4","node_name":"node-1"}},"node_name":"node-1","time":"2026-01-01T00:00:00Z"}}"#
    )
}

/// The number of such a line; `None` of any other.
pub fn number_of(line: &Value) -> Option<u64> {
    line["flow"]["source"]["pod_name"].as_str()?.split_once('-')?.1.parse().ok()
}

/// Where a request of made-up traffic comes from, in turn; the empty one is outside the cluster.
pub const CLIENTS: [&str; 3] = ["shop", "bank", ""];

/// Flow `n` of made-up traffic: an HTTP request over one of 500 connections, with its number in its URL. No two are alike.
pub fn request(time: Timestamp, n: u64) -> String {
    let time = time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
    let connection = n % 500;
    let (client, verdict) = (client(n), request_verdict(n));
    let source = match client {
        "" => r#"{"identity":2,"labels":["reserved:world"]}"#.to_owned(),
        _ => format!(
            r#"{{"ID":{connection},"identity":{},"namespace":"{client}","labels":["k8s:app=web","k8s:io.kubernetes.pod.namespace={client}"],"pod_name":"web-{}"}}"#,
            1000 + connection % 7,
            connection % 20
        ),
    };
    format!(
        r#"{{"flow":{{"time":"{time}","verdict":"{verdict}","IP":{{"source":"10.0.{}.{}","destination":"10.1.0.7","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{},"destination_port":80,"flags":{{"PSH":true,"ACK":true}}}}}},"source":{source},"destination":{{"ID":7,"identity":777,"namespace":"db","pod_name":"orders-0"}},"Type":"L7","node_name":"lab","l7":{{"type":"REQUEST","http":{{"method":"GET","url":"http://orders.db/order/{n}","protocol":"HTTP/1.1"}}}},"event_type":{{"type":129}},"traffic_direction":"INGRESS"}},"node_name":"lab","time":"{time}"}}"#,
        connection / 250,
        connection % 250 + 1,
        30_000 + connection,
    )
}

/// Where request `n` comes from.
pub fn client(n: u64) -> &'static str {
    CLIENTS[(n % 500 % 3) as usize]
}

/// What became of request `n`: one in seven was dropped.
pub fn request_verdict(n: u64) -> &'static str {
    if n.is_multiple_of(7) { "DROPPED" } else { "FORWARDED" }
}

/// The number of a request, from its line; `None` for a line that is none, such as a gap's.
pub fn request_number(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("/order/")?;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}
