//! A real Loki: what it holds after us is what the spool held, entry by entry, read back through its own query API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowlog_sinks::driver::{Limits, Sink};
use flowlog_sinks::loki::LokiSink;
use flowlog_sinks::loki::config::{Auth, Encoding, Options};
use flowlog_sinks::loki::labels::Label;
use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows;
use flowlog_tests::http::get;
use flowlog_tests::loki::{Entry, entries};
use flowlog_tests::scale;
use flowlog_tests::service::Service;
use flowlog_tests::spooled::{NAMESPACES, Spooled, deliver, drain, line, namespace, run, verdict};
use flowlog_tests::tls::{Authority, Front};
use serde_json::Value;

fn options(loki: &Service) -> Options {
    let mut options = Options::new(format!("http://127.0.0.1:{}", loki.port()));
    options.fixed = [("job", "flowlog"), ("cluster", "lab"), ("node", "node-1"), ("log", "all")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    options.labels = [("source_ns", "source.namespace"), ("verdict", "verdict")]
        .map(|(name, path)| Label { name: name.to_owned(), path: path.to_owned() })
        .into();
    options
}

/// Without a rate limit, which a test of something else would only wait for.
fn loki() -> Service {
    loki_with(&[])
}

fn loki_with(flags: &[&str]) -> Service {
    let mut arguments = vec!["false", "-distributor.ingestion-rate-limit-mb=500", "-distributor.ingestion-burst-size-mb=500"];
    arguments.extend(["-ingester.per-stream-rate-limit=500MB", "-ingester.per-stream-rate-limit-burst=500MB"]);
    arguments.extend(flags);
    Service::start_with("loki", &arguments, &[])
}

/// Everything Loki holds of us, stream by stream as the test expects the streams to be.
fn read(loki: &Service, tenant: Option<&str>) -> Vec<Entry> {
    let mut all = Vec::new();
    for source in NAMESPACES {
        for verdict in ["FORWARDED", "DROPPED"] {
            let query = format!("{{job=\"flowlog\", source_ns=\"{source}\", verdict=\"{verdict}\"}}");
            all.extend(entries(loki.port(), tenant, &query, week_ago()));
        }
    }
    all
}

fn week_ago() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970");
    (now - Duration::from_secs(3600)).as_nanos() as i64
}

fn sequence(entry: &Entry) -> u64 {
    entry.metadata["flowlog_sequence"].as_str().and_then(|text| text.parse().ok()).expect("a sequence number")
}

/// Fails unless these records are there once each, in order within each stream, with the right labels, time, line and metadata.
fn assert_holds(spooled: &Spooled, found: &[Entry], without: &[u64]) {
    let mut by_stream: BTreeMap<String, Vec<&Entry>> = BTreeMap::new();
    for entry in found {
        by_stream.entry(entry.labels.to_string()).or_default().push(entry);
    }
    for (stream, entries) in &by_stream {
        let numbers: Vec<u64> = entries.iter().map(|entry| sequence(entry)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{stream} is out of order or doubled");
        let times: Vec<i64> = entries.iter().map(|entry| entry.time).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{stream} has a timestamp twice");
    }
    let mut numbers: Vec<u64> = found.iter().map(sequence).collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (1..spooled.next()).filter(|number| !without.contains(number)).collect();
    assert!(numbers == wanted, "{} entries, {} wanted", numbers.len(), wanted.len());
    for entry in found {
        let number = sequence(entry);
        assert_eq!(entry.line, line(number));
        assert_eq!(entry.metadata["flowlog_uid"], spooled.uid(number));
        assert_eq!(entry.metadata["source_pod_name"], "web-7d4b9");
        assert_eq!(entry.labels["verdict"], verdict(number));
        assert_eq!(entry.labels["source_ns"].as_str().unwrap_or_default(), namespace(number));
        assert!((0..=1).contains(&(entry.time - spooled.time(number))), "{number} is found at another time");
    }
}

fn limits() -> Limits {
    Limits { max_bytes: 4 << 20, max_records: 100_000, max_age: Duration::from_secs(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_arrives_once_in_order_and_is_found_by_its_labels() {
    let loki = loki();
    let spooled = Spooled::of(scale::of("sink_flows"));
    let sink = Arc::new(LokiSink::new(options(&loki)).expect("a sink"));
    assert_eq!(sink.check().await, Ok(()));
    let metrics = drain(&spooled, &sink).await;
    assert_eq!((metrics.retries.load(Relaxed), metrics.records_rejected.load(Relaxed)), (0, 0));
    assert_holds(&spooled, &read(&loki, None), &[]);
    let dropped = entries(loki.port(), None, r#"{source_ns="shop", verdict="DROPPED"}"#, week_ago());
    let mut numbers: Vec<u64> = dropped.iter().map(sequence).collect();
    numbers.sort_unstable();
    let wanted: Vec<u64> = (1..spooled.next()).filter(|n| namespace(*n) == "shop" && verdict(*n) == "DROPPED").collect();
    assert_eq!(numbers, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_arrives_like_protobuf() {
    let loki = loki();
    let spooled = Spooled::of(5000);
    let mut options = options(&loki);
    options.encoding = Encoding::Json;
    let sink = Arc::new(LokiSink::new(options).expect("a sink"));
    assert_eq!(sink.check().await, Ok(()));
    drain(&spooled, &sink).await;
    assert_holds(&spooled, &read(&loki, None), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_killed_in_the_middle_and_started_again_has_no_gap_and_no_double() {
    let loki = Arc::new(loki());
    let spooled = Spooled::of(20_000);
    let mut options = options(&loki);
    options.limits.max_records = 500;
    let sink = Arc::new(LokiSink::new(options).expect("a sink"));
    let killer = tokio::task::spawn_blocking({
        let loki = loki.clone();
        move || {
            std::thread::sleep(Duration::from_millis(150));
            loki.kill();
            std::thread::sleep(Duration::from_secs(2));
            loki.restart();
        }
    });
    let metrics = drain(&spooled, &sink).await;
    killer.await.expect("a restarted server");
    assert_eq!(metrics.records_rejected.load(Relaxed), 0);
    assert!(metrics.retries.load(Relaxed) > 0, "the server was not down while we sent");
    assert_holds(&spooled, &read(&loki, None), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_killed_at_any_moment_doubles_nothing_though_it_cuts_otherwise_afterwards() {
    let loki = loki();
    let spooled = Spooled::of(20_000);
    for round in 0..scale::of("sink_kills") {
        let mut options = options(&loki);
        options.limits.max_records = 300 + 331 * (round % 5);
        let running = run(&spooled, &Arc::new(LokiSink::new(options).expect("a sink")));
        tokio::time::sleep(Duration::from_millis(20 + 37 * (round % 7))).await;
        // Dropped as a kill would: whatever is on the way stays unanswered, and the cursor is where it was last stored.
        drop(running);
    }
    drain(&spooled, &Arc::new(LokiSink::new(options(&loki)).expect("a sink"))).await;
    assert_holds(&spooled, &read(&loki, None), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_divides_busy_streams_and_so_shows_repeats_twice_is_known_for_it() {
    for (divides, rate) in [("false", None), ("true", Some("1536KB"))] {
        let loki = loki_with(&[&format!("-shard-streams.enabled={divides}")]);
        let sink = LokiSink::new(options(&loki)).expect("a sink");
        assert_eq!((sink.check().await, sink.stream_sharding().await.as_deref()), (Ok(()), rate));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_loki_refuses_are_named_and_the_others_of_their_push_arrive() {
    let spooled = Spooled::of(2000);
    let longest = (1..spooled.next()).map(|number| line(number).len()).max().expect("lines");
    let loki = loki_with(&[&format!("-distributor.max-line-size={}", longest - 1)]);
    let sink = Arc::new(LokiSink::new(options(&loki)).expect("a sink"));
    let too_long: Vec<u64> = (1..spooled.next()).filter(|number| line(*number).len() == longest).collect();
    assert!(too_long.len() < 1000, "{} lines are too long", too_long.len());
    let delivery = deliver(&sink, &mut spooled.reader("loki"), limits(), spooled.next(), usize::MAX).await;
    let mut rejected: Vec<u64> = delivery.rejected.iter().map(|(number, _)| *number).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, too_long);
    assert!(delivery.rejected[0].1.to_lowercase().contains("max entry size"), "{:?}", delivery.rejected[0]);
    assert_holds(&spooled, &read(&loki, None), &too_long);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_too_old_land_in_the_quarantine_file_with_the_reason_and_newer_ones_arrive() {
    let loki = loki_with(&["-validation.reject-old-samples=true"]);
    let mut spooled = Spooled::aged(1000, Duration::from_secs(8 * 86_400));
    spooled.catch_up();
    spooled.append(1000);
    let metrics = drain(&spooled, &Arc::new(LokiSink::new(options(&loki)).expect("a sink"))).await;
    assert_eq!(metrics.records_rejected.load(Relaxed), 1000);
    let old: Vec<u64> = (1..=1000).collect();
    assert_holds(&spooled, &read(&loki, None), &old);
    let quarantine = std::fs::read_to_string(spooled.folder().join("spool/quarantine/sink.jsonl")).expect("the quarantine file");
    let refused: Vec<Value> = quarantine.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let uids: Vec<&str> = refused.iter().filter_map(|refused| refused["uid"].as_str()).collect();
    assert_eq!(uids, old.iter().map(|number| spooled.uid(*number)).collect::<Vec<_>>());
    for (refused, number) in refused.iter().zip(&old) {
        assert!(refused["why"].as_str().is_some_and(|why| why.contains("timestamp too old")), "{refused}");
        assert_eq!(refused["line"], line(*number));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_that_takes_only_small_requests_gets_small_ones() {
    let loki = loki_with(&["-distributor.max-recv-msg-size=20000"]);
    let spooled = Spooled::of(4000);
    let sink = Arc::new(LokiSink::new(options(&loki)).expect("a sink"));
    let delivery = deliver(&sink, &mut spooled.reader("loki"), limits(), spooled.next(), usize::MAX).await;
    assert!(delivery.rejected.is_empty(), "{:?}", delivery.rejected);
    let refusals = r#"loki_request_duration_seconds_count{method="POST",route="loki_api_v1_push",status_code="413""#;
    assert!(get(loki.port(), "/metrics").contains(refusals), "Loki never found a push too large");
    assert_holds(&spooled, &read(&loki, None), &[]);
}

#[test]
fn a_limit_of_streams_is_waited_out_in_sight_of_everybody_with_what_to_change() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let overrides = folder.path().join("overrides.yaml");
    let allow = |streams: u32| {
        std::fs::write(&overrides, format!("overrides: {{fake: {{max_global_streams_per_user: {streams}}}}}\n")).expect("limits");
    };
    allow(2);
    let loki = loki_with(&[&format!("-runtime-config.file={}", overrides.display()), "-runtime-config.reload-period=1s"]);
    let daemon = Daemon::following(&format!(
        "flowLogs:\n  - {{name: all, window: 0s, sinks: [search]}}\n\
         sinks:\n  search: {{type: loki, url: \"http://127.0.0.1:{}\", labels: {{source_ns: source.namespace}}}}\n",
        loki.port()
    ))
    .started();
    let now = jiff::Timestamp::now();
    let lines: String = (1..=600).map(|number| flows::line(now, number, "FORWARDED", &format!("team-{}", number % 6)) + "\n").collect();
    std::fs::write(daemon.path("flows.jsonl"), lines).expect("an input");
    daemon.wait("the limit", |daemon| {
        let metrics = daemon.metrics();
        metrics.sum("flowlog_loki_stream_limited_total", &[]) > 1 && metrics.sum("flowlog_sink_healthy", &[]) == 0
    });
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("flowlog_sink_lag_records", &[]), 600);
    assert_eq!((metrics.sum("flowlog_loki_active_streams", &[]), metrics.sum("flowlog_loki_rate_limited_total", &[])), (6, 0));
    let (status, _) = daemon.flowlog_status();
    let why = status.lines().find(|line| line.contains("max_global_streams_per_user")).expect("what to change");
    assert!(status.contains("sink search: FAILING") && why.contains("fewer labels"), "{status}");
    allow(100);
    daemon.wait("the rest", |daemon| daemon.metrics().sum("flowlog_sink_lag_records", &[]) == 0);
    assert!(!daemon.flowlog_status().0.contains("FAILING"), "{}", daemon.flowlog_status().0);
    assert_eq!(entries(loki.port(), None, "{job=\"flowlog\"}", week_ago()).len(), 600);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_below_one_push_is_waited_out_in_parts() {
    let loki =
        Service::start_with("loki", &["false", "-distributor.ingestion-rate-limit-mb=1", "-distributor.ingestion-burst-size-mb=0.3"], &[]);
    let spooled = Spooled::of(4000);
    let sink = Arc::new(LokiSink::new(options(&loki)).expect("a sink"));
    let delivery = deliver(&sink, &mut spooled.reader("loki"), limits(), spooled.next(), usize::MAX).await;
    assert!(delivery.rejected.is_empty(), "{:?}", delivery.rejected);
    assert!(delivery.retries.iter().any(|why| why.contains("rate limit")), "{:?}", delivery.retries);
    assert_holds(&spooled, &read(&loki, None), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loki_with_tenants_asks_for_one_and_keeps_them_apart() {
    let loki = Service::start_with("loki", &["true"], &[]);
    let spooled = Spooled::of(100);
    let mut options = options(&loki);
    let without = LokiSink::new(options.clone()).expect("a sink").check().await.expect_err("healthy without a tenant");
    assert!(without.0.contains("set tenant"), "{without}");
    options.tenant = Some("audit".to_owned());
    options.auth = Auth::Basic {
        username: "node".to_owned(),
        password: flowlog_sinks::secret::SecretSource::Given(flowlog_sinks::secret::Secret::new("x")),
    };
    let sink = Arc::new(LokiSink::new(options).expect("a sink"));
    assert_eq!(sink.check().await, Ok(()));
    deliver(&sink, &mut spooled.reader("loki"), limits(), spooled.next(), usize::MAX).await;
    assert_holds(&spooled, &read(&loki, Some("audit")), &[]);
    assert_eq!(read(&loki, Some("other")).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mutual_tls_each_side_has_to_prove_itself_and_a_rotated_certificate_needs_no_restart() {
    let loki = loki();
    let spooled = Spooled::of(1000);
    let (ours, foreign) = (Authority::new(spooled.folder(), "ours"), Authority::new(spooled.folder(), "foreign"));
    let front = Front::start(&ours.sign("loki.test"), &ours, loki.port());
    let (certificate, key) = foreign.sign("node-1");
    let mut options = options(&loki);
    options.url = format!("https://127.0.0.1:{}", front.port);
    options.tls.ca_file = Some(ours.certificate());
    let unhealthy = |options: &Options| {
        let sink = LokiSink::new(options.clone()).expect("a sink");
        async move { sink.check().await.expect_err("healthy").0 }
    };
    let why = unhealthy(&options).await;
    assert!(why.contains("certificate not valid for name"), "without serverName: {why}");
    options.tls.server_name = Some("loki.test".to_owned());
    let why = unhealthy(&options).await;
    assert!(why.to_lowercase().contains("handshake"), "without a client certificate: {why}");
    (options.tls.cert_file, options.tls.key_file) = (Some(certificate.clone()), Some(key.clone()));
    options.tls.ca_file = Some(foreign.certificate());
    let why = unhealthy(&options).await;
    assert!(why.contains("invalid peer certificate"), "a foreign authority: {why}");
    options.tls.ca_file = Some(ours.certificate());
    let sink = Arc::new(LokiSink::new(options).expect("a sink"));
    assert!(sink.check().await.is_err(), "a foreign client certificate got through");
    let (new_certificate, new_key) = ours.sign("node-1");
    std::fs::rename(new_key, key).expect("a rotated key");
    std::fs::rename(new_certificate, certificate).expect("a rotated certificate");
    assert_eq!(sink.check().await, Ok(()));
    drain(&spooled, &sink).await;
    assert_holds(&spooled, &read(&loki, None), &[]);
}
