//! Made-up flows for tests of what comes after them.

use jiff::{Timestamp, ToSpan};

/// A line as flowlog writes it, of a client port of its own; line `n` lies `n` milliseconds after `start`.
pub fn line(start: Timestamp, n: u16, verdict: &str, namespace: &str) -> String {
    let time = (start + i64::from(n).milliseconds() + 1.nanosecond()).strftime("%Y-%m-%dT%H:%M:%S.%9fZ");
    format!(
        r#"{{"flow":{{"time":"{time}","verdict":"{verdict}","IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{n},"destination_port":80}}}},"source":{{"namespace":"{namespace}"}},"destination":{{"namespace":"db"}},"Type":"L3_L4","node_name":"node-1"}},"node_name":"node-1","time":"{time}"}}"#
    )
}
