//! Reading a Loki back through its query API: the independent reader of what was pushed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http::{encode, get};

/// Whatever of the last week matches `query`, as (labels, unix ns, line), oldest first.
pub fn query(port: u16, query: &str) -> Vec<(Value, u64, String)> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    let path = format!(
        "/loki/api/v1/query_range?direction=forward&limit=100000&start={}&end={}&query={}",
        now - 7 * 86400,
        now + 3600,
        encode(query)
    );
    let reply: Value = serde_json::from_str(&get(port, &path)).expect("JSON");
    let mut entries = Vec::new();
    for stream in reply["data"]["result"].as_array().expect("streams") {
        for value in stream["values"].as_array().expect("values") {
            let time = value[0]
                .as_str()
                .and_then(|text| text.parse().ok())
                .expect("a time");
            entries.push((
                stream["stream"].clone(),
                time,
                value[1].as_str().expect("a line").to_owned(),
            ));
        }
    }
    entries.sort_by_key(|entry| entry.1);
    entries
}

/// Asks until `wanted` entries match or `patience` is over, and returns what there is then.
pub fn query_until(
    port: u16,
    text: &str,
    wanted: usize,
    patience: Duration,
) -> Vec<(Value, u64, String)> {
    let deadline = Instant::now() + patience;
    loop {
        let entries = query(port, text);
        if entries.len() >= wanted || Instant::now() > deadline {
            return entries;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
