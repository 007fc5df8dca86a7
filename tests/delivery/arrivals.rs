//! Every flow arrives once at every sink, and is found by its labels.

use std::path::Path;
use std::time::Duration;

use flowlog_tests::feed::Feed;
use flowlog_tests::flows::{client, request_number, request_verdict};
use flowlog_tests::loki::{entries, wait_for_entries};
use flowlog_tests::scale;
use flowlog_tests::service::Service;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, civil};

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
    let found = |tenant: &str| {
        let mut found: Vec<u64> =
            entries(port, Some(tenant), DROPS, since).iter().map(|entry| request_number(&entry.line).expect("a request")).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found("arrivals"), drops, "{DROPS}");
    println!("{flows} flows, {} of them drops of one namespace, once at each of four destinations", drops.len());

    wait_for_entries(port, Some("tailed"), r#"{job="flowlog"}"#, since, lines.len(), Duration::from_secs(120));
    let (tailed, apart) = (found("tailed"), least_between_rotations(&live));
    if apart >= PACE {
        assert_eq!(tailed, drops, "Promtail: {DROPS}");
        println!("Promtail has all of them");
    } else {
        // Forty megabytes in less than ten seconds are rotated away all the same; a tailer that reads slower misses files, whatever the writer does.
        assert!(tailed.iter().all(|number| drops.binary_search(number).is_ok()), "nothing but drops");
        println!("Promtail has {} of them: rotations came {apart:?} apart, and it reads slower than that", tailed.len());
    }
}

/// The default of `fileMinRotateInterval`, as far as names of backups tell it.
const PACE: Duration = Duration::from_millis(9_990);

/// The shortest time from one rotation to the next, by the names of the backups.
fn least_between_rotations(live: &Path) -> Duration {
    let times: Vec<Timestamp> = flowlog::sources::jsonl::backups(live)
        .expect("backups")
        .iter()
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").trim_start_matches("events-");
            let time = civil::DateTime::strptime("%Y-%m-%dT%H-%M-%S%.f", &name[..23]).expect("the time of a rotation");
            time.to_zoned(TimeZone::UTC).expect("a moment").timestamp()
        })
        .collect();
    let between = times.windows(2).map(|pair| Duration::try_from(pair[1].duration_since(pair[0])).expect("in order"));
    between.min().unwrap_or(Duration::MAX)
}
