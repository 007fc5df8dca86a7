//! A server that is gone for a while, and one that is gone for too long.

use std::time::Duration;

use flowlog_tests::daemon::{Daemon, Metrics};
use flowlog_tests::feed::Feed;
use flowlog_tests::scale;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use crate::destinations::{Batches, Servers, assert_each_once, wait_until_delivered};

#[test]
fn servers_killed_in_the_middle_of_it_and_started_again_get_everything() {
    let (servers, start) = (Servers::start(), Timestamp::now() - 1.minute());
    let mut daemon = servers.daemon("outages", Batches::Small).started();
    let mut feed = Feed::new(&daemon);
    feed.more(10_000, Duration::from_millis(10));
    for server in [&servers.loki, &servers.kafka, &servers.minio] {
        server.kill();
    }
    feed.more(10_000, Duration::from_millis(10));
    std::thread::sleep(Duration::from_secs(scale::of("outage_seconds")));
    daemon.wait("signs of illness", |daemon| {
        let metrics = daemon.metrics();
        let of = |family: &str, sink: &str| metrics.sum(family, &[&format!("sink=\"{sink}\"")]);
        ["search", "stream", "audit"].iter().all(|sink| of("flowlog_sink_healthy", sink) == 0 && of("flowlog_sink_lag_records", sink) > 0)
    });
    std::thread::scope(|scope| {
        for server in [&servers.loki, &servers.kafka, &servers.minio] {
            scope.spawn(|| server.restart());
        }
    });
    feed.more(5_000, Duration::from_millis(10));
    wait_until_delivered(&daemon, ("outages", "events"), 25_000, &["search", "stream", "audit"]);
    daemon.stop();
    let lines = daemon.texts();
    assert_each_once(&lines, feed.count());
    println!("{} messages were repeated", servers.assert_hold("outages", &lines, start));
}

/// The records that gap lines declare lost by one sink.
fn lost_by(lines: &[Value], sink: &str) -> u64 {
    let gaps = lines.iter().map(|line| &line["flow"]["extensions"]["value"]["gap"]);
    gaps.filter(|gap| gap["cause"] == "spool-full" && gap["sink"] == sink).filter_map(|gap| gap["records"].as_u64()).sum()
}

/// What must be 0 of sinks that work: lag, losses, refusals.
fn assert_untouched(metrics: &Metrics, log: &str, sink: &str) {
    let of = [format!("flow_log=\"{log}\""), format!("sink=\"{sink}\"")];
    let of = [of[0].as_str(), of[1].as_str()];
    for family in
        ["flowlog_sink_lag_records", "flowlog_sink_gaps_total", "flowlog_sink_dropped_records_total", "flowlog_sink_rejected_total"]
    {
        assert_eq!(metrics.sum(family, &of), 0, "{family} of {sink} in {log}");
    }
}

#[test]
fn a_dead_sink_whose_spool_is_at_its_bound_costs_the_others_nothing_and_its_own_loss_is_declared() {
    let (servers, start) = (Servers::start(), Timestamp::now() - 1.minute());
    servers.make_place("dead");
    let mut daemon = Daemon::following("");
    let sinks = servers.sinks(&daemon, "dead", Batches::Small);
    // Both write to the same topic; only `plenty` goes to Loki, so that a tenant holds one flow log.
    let logs = "flowLogs:\n\
        \x20 - {name: plenty, window: 0s, filePath: events.log, fileMaxBackups: 10000, spoolMaxBytes: 8MiB, sinks: [search, stream, audit]}\n\
        \x20 - {name: drops, window: 0s, filePath: drops.log, fileMaxBackups: 10000, includeFilters: [{verdict: [DROPPED]}], sinks: [stream, audit]}\n";
    daemon.configure(&format!("{logs}{sinks}"));
    daemon.start();
    let mut feed = Feed::new(&daemon);
    feed.more(2_000, Duration::from_millis(10));
    wait_until_delivered(&daemon, ("plenty", "events"), 2000, &["search", "stream", "audit"]);
    // The archive, which would rather hold its records than lose them, dies and leaves the spool full.
    servers.minio.kill();
    // What others have not read yet has the last quarter of the bound; more than that is never behind them here.
    for _ in 0..40 {
        feed.more(1000, Duration::ZERO);
        wait_until_delivered(&daemon, ("plenty", "events"), feed.count(), &["search", "stream"]);
    }
    wait_until_delivered(&daemon, ("drops", "drops"), 6000, &["stream"]);
    daemon.wait("an end of the others' lag", |daemon| {
        let metrics = daemon.metrics();
        ["search", "stream", "file"].iter().all(|sink| metrics.sum("flowlog_sink_lag_records", &[&format!("sink=\"{sink}\"")]) == 0)
    });
    let metrics = daemon.metrics();
    for (log, sink) in [("plenty", "search"), ("plenty", "stream"), ("plenty", "file"), ("drops", "stream"), ("drops", "file")] {
        assert_untouched(&metrics, log, sink);
    }
    assert!(metrics.sum("flowlog_spool_bytes", &["flow_log=\"plenty\""]) <= 8 << 20, "the bound holds");

    servers.minio.restart();
    wait_until_delivered(&daemon, ("plenty", "events"), 42_000, &["search", "stream", "audit"]);
    wait_until_delivered(&daemon, ("drops", "drops"), 6000, &["stream", "audit"]);
    let of = ["flow_log=\"plenty\"", "sink=\"audit\""];
    let metrics = daemon.metrics();
    let (dropped, gaps) = (metrics.sum("flowlog_sink_dropped_records_total", &of), metrics.sum("flowlog_sink_gaps_total", &of));
    assert!(dropped > 0 && gaps > 0, "{dropped} records in {gaps} gaps");
    // A line of its own says so wherever the flow log goes.
    daemon.wait("the declaration", |daemon| lost_by(&daemon.lines(), "audit") == dropped);
    wait_until_delivered(&daemon, ("plenty", "events"), feed.count(), &["search", "stream", "audit"]);
    daemon.stop();
    let lines = daemon.texts();
    assert_each_once(&lines, feed.count());
    servers.assert_searchable("dead", &lines, start);
    let audit = servers.audited("dead", "plenty");
    assert_eq!((audit.lost, audit.lines.len() as u64 + dropped), (dropped, lines.len() as u64), "the manifests name the loss");
    assert_eq!(servers.audited("dead", "drops").lost, 0);
    println!("{dropped} of {} records are a gap of the archive, nothing is missing elsewhere", lines.len());
}
