//! A real Kafka: what a topic holds after us is what the spool held, message by message, read back by Kafka's own Java client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowlog_sinks::driver::{Limits, Outcome, Sink, Step};
use flowlog_sinks::kafka::KafkaSink;
use flowlog_sinks::kafka::config::{Mechanism, Options, Sasl};
use flowlog_sinks::secret::SecretSource;
use flowlog_sinks::tls::Tls;
use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::numbered;
use flowlog_tests::kafka::{Message, create_topic, read};
use flowlog_tests::scale;
use flowlog_tests::service::Service;
use flowlog_tests::spooled::{Spooled, deliver, drain, key, line, run};
use flowlog_tests::tls::Authority;

const TOPIC: &str = "flows";

fn options(kafka: &Service) -> Options {
    Options::new(vec![kafka.value("KAFKA_PLAIN")], TOPIC)
}

fn limits() -> Limits {
    Limits { max_bytes: 4 << 20, max_records: 5000, max_age: Duration::from_millis(100) }
}

/// Fails unless each record is there, with the right key, time, headers and value, in order within each key. Returns how many repeats
/// there are; a repeat has to carry the same uid.
fn assert_holds(spooled: &Spooled, messages: &[Message]) -> usize {
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut last_of_key: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
    for message in messages {
        assert_eq!(message.uid, spooled.uid(message.sequence));
        assert_eq!(message.key, key(message.sequence));
        assert_eq!(message.value, line(message.sequence));
        assert_eq!(message.content_type, "application/json");
        assert_eq!(message.milliseconds, spooled.time(message.sequence) / 1_000_000);
        if !seen.insert(message.sequence) {
            continue;
        }
        let last = last_of_key.insert(&message.key, (message.partition, message.sequence));
        if let Some((partition, before)) = last {
            assert_eq!(partition, message.partition, "key {} is in two partitions", message.key);
            assert!(before < message.sequence, "{before} stands before {} of key {}", message.sequence, message.key);
        }
    }
    let missing: Vec<u64> = (1..spooled.next()).filter(|number| !seen.contains(number)).take(10).collect();
    assert!(missing.is_empty(), "missing: {missing:?} …");
    messages.len() - seen.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_flow_arrives_once_and_in_order_per_key() {
    let kafka = Service::start("kafka");
    create_topic(&kafka, TOPIC, 6, &[]);
    let spooled = Spooled::of(scale::of("sink_flows"));
    let sink = Arc::new(KafkaSink::new(options(&kafka)));
    assert_eq!(sink.check().await, Ok(()));
    let metrics = drain(&spooled, &sink).await;
    assert_eq!((metrics.retries.load(Relaxed), metrics.records_rejected.load(Relaxed)), (0, 0));
    assert_eq!(assert_holds(&spooled, &read(&kafka, TOPIC)), 0, "repeats");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_killed_at_any_moment_leaves_no_gap_and_the_order_of_each_key() {
    let kafka = Service::start("kafka");
    create_topic(&kafka, TOPIC, 3, &[]);
    let spooled = Spooled::of(50_000);
    for round in 0..scale::of("sink_kills") {
        let mut options = options(&kafka);
        options.limits.max_records = 300 + 331 * (round % 5);
        let running = run(&spooled, &Arc::new(KafkaSink::new(options)));
        tokio::time::sleep(Duration::from_millis(60 + 37 * (round % 7))).await;
        drop(running);
    }
    drain(&spooled, &Arc::new(KafkaSink::new(options(&kafka)))).await;
    let repeats = assert_holds(&spooled, &read(&kafka, TOPIC));
    println!("{repeats} repeats, each with the uid of the message before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_in_the_middle_and_started_again_has_no_gap_and_no_repeat() {
    let kafka = Arc::new(Service::start("kafka"));
    create_topic(&kafka, TOPIC, 3, &[]);
    let spooled = Spooled::of(scale::of("sink_flows"));
    let sink = Arc::new(KafkaSink::new(options(&kafka)));
    let mut reader = spooled.reader("kafka");
    let first = deliver(&sink, &mut reader, limits(), spooled.next() / 2, usize::MAX).await;
    assert!(first.retries.is_empty(), "{:?}", first.retries);
    kafka.kill();
    let restarter = tokio::task::spawn_blocking({
        let kafka = kafka.clone();
        move || {
            std::thread::sleep(Duration::from_secs(scale::of("outage_seconds")));
            kafka.restart();
        }
    });
    let delivery = deliver(&sink, &mut reader, limits(), spooled.next(), usize::MAX).await;
    restarter.await.expect("a restarted broker");
    assert!(delivery.rejected.is_empty(), "{:?}", delivery.rejected);
    assert!(delivery.retries.iter().any(|why| why.contains("no broker can be reached")), "{:?}", delivery.retries);
    let repeats = assert_holds(&spooled, &read(&kafka, TOPIC));
    assert_eq!((repeats, sink.producers_replaced()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_broke_off_repeats_only_what_was_not_acknowledged() {
    let kafka = Service::start("kafka");
    create_topic(&kafka, TOPIC, 3, &[]);
    let spooled = Spooled::of(20_000);
    let mut cursor = spooled.reader("kafka").cursor();
    let mut sent_again = 0;
    for round in 0..scale::of("sink_kills") {
        let sink = Arc::new(KafkaSink::new(options(&kafka)));
        let mut reader = spooled.reader("kafka");
        reader.seek(&cursor);
        let small = Limits { max_records: 400 + 77 * (round % 4), ..limits() };
        let delivery = deliver(&sink, &mut reader, small, spooled.next(), 2).await;
        sent_again += reader.cursor().sequence - delivery.cursor.sequence;
        cursor = delivery.cursor;
    }
    let sink = Arc::new(KafkaSink::new(options(&kafka)));
    let mut reader = spooled.reader("kafka");
    reader.seek(&cursor);
    deliver(&sink, &mut reader, limits(), spooled.next(), usize::MAX).await;
    let repeats = assert_holds(&spooled, &read(&kafka, TOPIC)) as u64;
    assert!(repeats <= sent_again, "{repeats} repeats, {sent_again} were on the way at a crash");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_and_scram_a_wrong_password_is_named_and_a_mended_one_is_used_without_a_restart() {
    let kafka = Service::start("kafka");
    create_topic(&kafka, TOPIC, 3, &[]);
    let spooled = Spooled::of(3000);
    let password = spooled.folder().join("password");
    std::fs::write(&password, "wrong\n").expect("a password file");
    let mut options = Options::new(vec![kafka.value("KAFKA_SASL")], TOPIC);
    options.tls = Tls { ca_file: Some(kafka.value("KAFKA_CA").into()), ..Tls::default() };
    options.sasl = Some(Sasl {
        mechanism: Mechanism::ScramSha512,
        username: kafka.value("KAFKA_USER"),
        password: SecretSource::File(password.clone()),
    });
    assert_eq!(options.problems(), []);
    let sink = Arc::new(KafkaSink::new(options));
    let unhealthy = sink.check().await.expect_err("healthy with a wrong password");
    assert!(unhealthy.0.contains("check sasl.mechanism, sasl.username and sasl.passwordFile"), "{unhealthy}");
    let mender = tokio::spawn({
        let right = kafka.value("KAFKA_PASS");
        async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            std::fs::write(&password, right).expect("a password file");
        }
    });
    let delivery = deliver(&sink, &mut spooled.reader("kafka"), limits(), spooled.next(), usize::MAX).await;
    mender.await.expect("a mended password");
    assert!(delivery.retries.iter().all(|why| !why.contains("wrong")), "{:?}", delivery.retries);
    assert_eq!(assert_holds(&spooled, &read(&kafka, TOPIC)), 0);
    assert_eq!(sink.producers_replaced(), 1);
}

/// Puts a certificate and its key in the place of others, the key first, as a rotation does that is not atomic.
fn rotate(from: (PathBuf, PathBuf), to: &(PathBuf, PathBuf)) {
    std::fs::rename(from.1, &to.1).expect("a rotated key");
    std::thread::sleep(Duration::from_millis(300));
    std::fs::rename(from.0, &to.0).expect("a rotated certificate");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_asked_for_and_a_rotated_one_is_used_without_a_restart_or_a_repeat() {
    let kafka = Service::start("kafka");
    create_topic(&kafka, TOPIC, 3, &[]);
    let mut spooled = Spooled::of(3000);
    let (ours, foreign) = (Authority::of(kafka.folder(), "ca"), Authority::new(spooled.folder(), "foreign"));
    let files = foreign.sign("node-1");
    let mut options = Options::new(vec![kafka.value("KAFKA_MUTUAL")], TOPIC);
    options.tls = Tls { ca_file: Some(ours.certificate()), ..Tls::default() };
    let unhealthy = KafkaSink::new(options.clone()).check().await.expect_err("healthy without a certificate");
    println!("{unhealthy}");
    assert!(unhealthy.0.contains("tls.certFile"), "{unhealthy}");
    (options.tls.cert_file, options.tls.key_file) = (Some(files.0.clone()), Some(files.1.clone()));
    let sink = Arc::new(KafkaSink::new(options));
    let unhealthy = sink.check().await.expect_err("healthy with a foreign certificate");
    println!("{unhealthy}");
    assert!(unhealthy.0.contains("tls.certFile"), "{unhealthy}");
    rotate(ours.sign("node-1"), &files);
    let mut reader = spooled.reader("kafka");
    let delivery = deliver(&sink, &mut reader, limits(), spooled.next(), usize::MAX).await;
    println!("before the certificate was mended was noticed: {:?}", delivery.retries);
    let replaced = sink.producers_replaced();

    // While everything works: nothing fails and nothing comes twice for it, not even while the key is there and its certificate is not.
    let rotation = tokio::task::spawn_blocking({
        let (files, next) = (files.clone(), ours.sign("node-1"));
        move || rotate(next, &files)
    });
    let small = Limits { max_records: 50, ..limits() };
    for _ in 0..10 {
        spooled.append(200);
        let delivery = deliver(&sink, &mut reader, small, spooled.next(), usize::MAX).await;
        assert!(delivery.retries.is_empty(), "{:?}", delivery.retries);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    rotation.await.expect("a rotation");
    assert_eq!(sink.producers_replaced(), replaced + 1, "one producer more, made from the new files");

    // That they are used shows with those that the broker does not take.
    rotate(foreign.sign("node-1"), &files);
    let mender = tokio::task::spawn_blocking({
        let (files, next) = (files.clone(), ours.sign("node-1"));
        move || {
            std::thread::sleep(Duration::from_secs(6));
            rotate(next, &files);
        }
    });
    spooled.append(500);
    let delivery = deliver(&sink, &mut reader, limits(), spooled.next(), usize::MAX).await;
    mender.await.expect("a rotation");
    assert!(delivery.retries.iter().any(|why| why.contains("tls.certFile")), "{:?}", delivery.retries);
    assert_eq!(assert_holds(&spooled, &read(&kafka, TOPIC)), 0, "repeats");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_did_not_sign_the_broker_is_refused() {
    let kafka = Service::start("kafka");
    let other = Service::start("kafka");
    let mut options = Options::new(vec![kafka.value("KAFKA_SASL")], TOPIC);
    options.tls = Tls { ca_file: Some(other.value("KAFKA_CA").into()), ..Tls::default() };
    let unhealthy = KafkaSink::new(options).check().await.expect_err("healthy with a foreign authority");
    assert!(unhealthy.0.contains("TLS fails") || unhealthy.0.to_lowercase().contains("certificate"), "{unhealthy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_and_its_records_arrive_once_it_is_made() {
    let kafka = Service::start("kafka");
    let spooled = Spooled::of(1000);
    let sink = KafkaSink::new(options(&kafka));
    let unhealthy = sink.check().await.expect_err("healthy without a topic");
    assert!(unhealthy.0.starts_with("topic `flows` does not exist there; create it"), "{unhealthy}");
    let mut reader = spooled.reader("kafka");
    let batch = loop {
        match sink.freeze(&mut reader, &limits(), None, 0).expect("a readable spool") {
            Step::Batch(batch) => break batch,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let Outcome::Retry { why, .. } = sink.send(&batch.frozen).await else { panic!("sent without a topic") };
    assert!(why.starts_with("topic `flows` does not exist there"), "{why}");
    create_topic(&kafka, TOPIC, 2, &[]);
    let outcome = loop {
        match sink.send(&batch.frozen).await {
            Outcome::Retry { .. } => tokio::time::sleep(Duration::from_millis(200)).await,
            outcome => break outcome,
        }
    };
    assert_eq!(outcome, Outcome::Delivered { state: None });
    deliver(&Arc::new(sink), &mut reader, limits(), spooled.next(), usize::MAX).await;
    assert_eq!(assert_holds(&spooled, &read(&kafka, TOPIC)), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_takes_only_small_batches_gets_small_ones() {
    let kafka = Service::start("kafka");
    // Below the size of our batches and above that of one record: batches have to be cut down, no record may be lost.
    create_topic(&kafka, TOPIC, 1, &["max.message.bytes=2000"]);
    let spooled = Spooled::of(300);
    let sink = Arc::new(KafkaSink::new(options(&kafka)));
    let delivery = deliver(&sink, &mut spooled.reader("kafka"), limits(), spooled.next(), usize::MAX).await;
    assert!(delivery.rejected.is_empty(), "{:?}", delivery.rejected);
    let sequences: BTreeSet<u64> = read(&kafka, TOPIC).iter().map(|message| message.sequence).collect();
    assert_eq!(sequences, (1..spooled.next()).collect());
}

#[test]
fn the_daemon_names_a_missing_topic_until_it_is_made_and_then_shows_what_librdkafka_counts() {
    let kafka = Service::start("kafka");
    let daemon = Daemon::following(&format!(
        "flowLogs:\n  - {{name: all, window: 0s, sinks: [stream]}}\n\
         sinks:\n  stream: {{type: kafka, brokers: [\"{}\"], topic: {TOPIC}}}\n",
        kafka.value("KAFKA_PLAIN")
    ))
    .started();
    let lines: String = (0..500).map(|number| numbered(number) + "\n").collect();
    std::fs::write(daemon.path("flows.jsonl"), lines).expect("an input");
    daemon.wait("the missing topic", |daemon| daemon.flowlog_status().0.contains("topic `flows` does not exist there; create it"));
    assert_eq!(daemon.metrics().sum("flowlog_sink_healthy", &[]), 0);
    create_topic(&kafka, TOPIC, 3, &[]);
    let number = |daemon: &Daemon, name: &str| daemon.metrics().sum(name, &[r#"sink="stream""#]);
    daemon.wait("librdkafka's count", |daemon| number(daemon, "flowlog_kafka_messages_sent_total") >= 500);
    daemon.wait("the driver's count", |daemon| number(daemon, "flowlog_sink_records_sent_total") == 500);
    assert_eq!((number(&daemon, "flowlog_kafka_brokers"), number(&daemon, "flowlog_kafka_brokers_up")), (1, 1));
    assert_eq!((number(&daemon, "flowlog_kafka_messages_waiting"), number(&daemon, "flowlog_kafka_producers_replaced_total")), (0, 0));
    let (status, _) = daemon.flowlog_status();
    assert!(status.contains("sink stream: healthy") && !status.contains("does not exist"), "{status}");
    assert_eq!(read(&kafka, TOPIC).len(), 500);
}
