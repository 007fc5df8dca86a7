//! Reading a Loki back through its query API: the independent reader of what was pushed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::http::{encode, get, get_with};

/// Whatever of the last week matches `query`, as (labels, unix ns, line), oldest first.
pub fn query(port: u16, query: &str) -> Vec<(Value, u64, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
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
            let time = value[0].as_str().and_then(|text| text.parse().ok()).expect("a time");
            entries.push((stream["stream"].clone(), time, value[1].as_str().expect("a line").to_owned()));
        }
    }
    entries.sort_by_key(|entry| entry.1);
    entries
}

/// Asks until `wanted` entries match or `patience` is over, and returns what there is then.
pub fn query_until(port: u16, text: &str, wanted: usize, patience: Duration) -> Vec<(Value, u64, String)> {
    let deadline = Instant::now() + patience;
    loop {
        let entries = query(port, text);
        if entries.len() >= wanted || Instant::now() > deadline {
            return entries;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits until `wanted` entries of a tenant match, or `patience` is over.
pub fn wait_for_entries(port: u16, tenant: Option<&str>, query: &str, start: i64, wanted: usize, patience: Duration) {
    let deadline = Instant::now() + patience;
    while entries(port, tenant, query, start).len() < wanted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// An entry with its labels and its structured metadata apart.
#[derive(Clone, Debug)]
pub struct Entry {
    pub labels: Value,
    pub metadata: Value,
    pub time: i64,
    pub line: String,
}

/// Everything that matches `query` from `start` (unix ns) on, oldest first, read in pages that end between two timestamps.
pub fn entries(port: u16, tenant: Option<&str>, query: &str, start: i64) -> Vec<Entry> {
    const PAGE: usize = 50_000;
    let mut found: Vec<Entry> = Vec::new();
    let mut from = start;
    loop {
        let path = format!(
            "/loki/api/v1/query_range?direction=forward&limit={PAGE}&start={from}&end={}&query={}",
            start + 86_400_000_000_000,
            encode(query)
        );
        let mut headers = vec!["X-Loki-Response-Encoding-Flags: categorize-labels".to_owned()];
        headers.extend(tenant.map(|tenant| format!("X-Scope-OrgID: {tenant}")));
        let reply: Value = serde_json::from_str(&get_with(port, &path, &headers)).expect("JSON");
        let mut page = Vec::new();
        for stream in reply["data"]["result"].as_array().expect("streams") {
            for value in stream["values"].as_array().expect("values") {
                page.push(Entry {
                    labels: stream["stream"].clone(),
                    metadata: value[2]["structuredMetadata"].clone(),
                    time: value[0].as_str().and_then(|text| text.parse().ok()).expect("a time"),
                    line: value[1].as_str().expect("a line").to_owned(),
                });
            }
        }
        page.sort_by_key(|entry| entry.time);
        let full = page.len() >= PAGE;
        if full {
            // Whatever shares the last timestamp may be cut off here and comes whole with the next page.
            let last = page.last().map_or(from, |entry| entry.time);
            page.retain(|entry| entry.time < last);
            from = last;
        }
        found.extend(page);
        if !full {
            return found;
        }
    }
}
