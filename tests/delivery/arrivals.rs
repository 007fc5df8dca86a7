//! Every flow arrives once at every sink, and is found by its labels.

use std::time::Duration;

use flowlog_tests::feed::Feed;
use flowlog_tests::flows::{client, request_number, request_verdict};
use flowlog_tests::loki::{entries, wait_for_entries};
use flowlog_tests::scale;
use flowlog_tests::service::Service;
use jiff::{Timestamp, ToSpan};

use crate::destinations::{Batches, Servers, assert_each_once, wait_until_delivered};

/// What an operator asks for: the drops of one namespace.
const DROPS: &str = r#"{source_ns="shop", verdict="DROPPED"}"#;

#[test]
fn every_flow_is_in_the_file_in_loki_in_kafka_and_in_the_bucket_once_and_in_order() {
    let (servers, flows, start) = (Servers::shared(), scale::of("sink_flows"), Timestamp::now() - 1.minute());
    let mut daemon = servers.daemon("arrivals", Batches::Default).started();
    let mut feed = Feed::new(&daemon);
    feed.more(1, Duration::ZERO);
    daemon.wait("events.log", |daemon| !daemon.texts().is_empty());
    // Beside our own sink, the tailer of our example follows the file; it never saw what is no longer under the live name when it starts.
    let (port, live) = (servers.loki.port(), daemon.path("events.log"));
    let promtail = Service::start_with("promtail", &[&port.to_string(), live.to_str().expect("text"), "tailed"], &[]);
    promtail.wait_for_log("tail routine: started");
    feed.more(flows - 1, Duration::ZERO);
    wait_until_delivered(&daemon, ("arrivals", "events"), flows, &["search", "stream", "audit"]);
    daemon.stop();

    let lines = daemon.texts();
    assert_each_once(&lines, flows);
    assert_eq!(servers.assert_hold("arrivals", &lines, start), 0, "repeats in Kafka");

    let drops: Vec<u64> = (0..flows).filter(|n| client(*n) == "shop" && request_verdict(*n) == "DROPPED").collect();
    let since = i64::try_from(start.as_nanosecond()).expect("a time");
    wait_for_entries(port, Some("tailed"), r#"{job="flowlog"}"#, since, lines.len(), Duration::from_secs(120));
    for tenant in ["arrivals", "tailed"] {
        let found = entries(port, Some(tenant), DROPS, since);
        let mut found: Vec<u64> = found.iter().map(|entry| request_number(&entry.line).expect("a request")).collect();
        found.sort_unstable();
        assert_eq!(found, drops, "{tenant}: {DROPS}");
    }
    println!("{flows} flows, {} of them drops of one namespace, once at each of four destinations and behind Promtail", drops.len());
}
