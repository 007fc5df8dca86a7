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
