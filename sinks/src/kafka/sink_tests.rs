//! Batches on their way to librdkafka's own mock brokers, which fail as they are told to.

use std::collections::BTreeMap;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Answer};

use super::*;
use crate::kafka::mock_for_tests::{Cluster, Read, TOPIC, cluster, read};
use crate::kafka::order::Ticket;
use crate::spool::{Record, SpoolId};

const START: i64 = 1_700_000_000_000_000_000;
const SPOOL: SpoolId = SpoolId([0xcd; 16]);

fn sink(cluster: &Cluster, properties: &[(&str, &str)]) -> KafkaSink {
    let mut options = Options::new(vec![cluster.bootstrap_servers()], TOPIC);
    options.properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    KafkaSink::new(options)
}

/// Ten keys take turns; the last has none.
fn key(sequence: u64) -> String {
    if sequence.is_multiple_of(10) { String::new() } else { format!("6|10.0.0.{}:80|10.0.1.1:1024", sequence % 10) }
}

fn line(sequence: u64) -> String {
    format!("{{\"n\":{sequence}}}")
}

fn batch_of(sink: &KafkaSink, sequences: std::ops::Range<u64>, line: impl Fn(u64) -> String) -> Frozen {
    let ticket: Ticket = sink.order.ticket();
    let mut frozen = Frozen::new(SPOOL, sink.notes.clone(), ticket);
    for sequence in sequences {
        let (key, line) = (key(sequence), line(sequence));
        let time = START + i64::try_from(sequence).unwrap() * 1_000_000;
        let record =
            Record { spool: SPOOL, sequence, time, nudge: 0, commit_time: time, key: key.as_bytes(), labels: b"", line: line.as_bytes() };
        frozen.add(&record);
    }
    frozen
}

/// Sends until there is an outcome that is not a retry; returns it with the reasons of the retries before it.
async fn deliver(sink: &KafkaSink, frozen: &Frozen, mut at_retry: impl FnMut(usize)) -> (Outcome, Vec<String>) {
    let mut reasons = Vec::new();
    loop {
        match sink.send(frozen).await {
            Outcome::Retry { why, .. } => reasons.push(why),
            outcome => return (outcome, reasons),
        }
        at_retry(reasons.len());
        assert!(reasons.len() < 50, "{reasons:?}");
    }
}

/// Fails unless the topic holds exactly these sequence numbers, once each, in order per key.
fn assert_holds(cluster: &Cluster, sequences: std::ops::Range<u64>) {
    let read = read(cluster);
    let mut last_of_key: BTreeMap<&str, u64> = BTreeMap::new();
    for message in read.iter().filter(|message| !message.key.is_empty()) {
        let last = last_of_key.insert(&message.key, message.sequence).unwrap_or(0);
        assert!(last < message.sequence, "{} before {} of key {}", last, message.sequence, message.key);
    }
    let mut found: Vec<u64> = read.iter().map(|message| message.sequence).collect();
    found.sort_unstable();
    assert_eq!(found, sequences.collect::<Vec<_>>());
}

const DELIVERED: Outcome = Outcome::Delivered { state: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_record_arrives_with_its_key_time_and_headers() {
    let cluster = cluster();
    let sink = sink(&cluster, &[]);
    assert_eq!(sink.check().await, Ok(()));
    let frozen = batch_of(&sink, 7..8, line);
    assert_eq!(deliver(&sink, &frozen, |_| {}).await, (DELIVERED, vec![]));
    let wanted = Read {
        sequence: 7,
        uid: "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd-00000000000000000007".to_owned(),
        key: "6|10.0.0.7:80|10.0.1.1:1024".to_owned(),
        line: "{\"n\":7}".to_owned(),
        milliseconds: Some(START / 1_000_000 + 7),
        content_type: "application/json".to_owned(),
    };
    assert_eq!(read(&cluster), [wanted]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_pauses_and_loses_and_reorders_nothing() {
    let cluster = cluster();
    let sink = sink(&cluster, &[("queue.buffering.max.messages", "50"), ("linger.ms", "1")]);
    let frozen = batch_of(&sink, 1..3001, line);
    assert_eq!(deliver(&sink, &frozen, |_| {}).await, (DELIVERED, vec![]));
    assert_holds(&cluster, 1..3001);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_batches_on_the_way_keep_the_order_of_each_key() {
    let cluster = cluster();
    let sink = Arc::new(sink(&cluster, &[("queue.buffering.max.messages", "100"), ("linger.ms", "1")]));
    let batches: Vec<Frozen> = (0..4).map(|batch| batch_of(&sink, 1 + batch * 500..1 + (batch + 1) * 500, line)).collect();
    let mut tasks = Vec::new();
    // The youngest starts first: what the order must not depend on.
    for frozen in batches.into_iter().rev() {
        let sink = sink.clone();
        tasks.push(tokio::spawn(async move { deliver(&sink, &frozen, |_| {}).await }));
    }
    for task in tasks {
        assert_eq!(task.await.unwrap(), (DELIVERED, vec![]));
    }
    assert_holds(&cluster, 1..2001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_for_a_while_costs_no_message_and_doubles_none() {
    let cluster = cluster();
    let sink = sink(&cluster, &[("reconnect.backoff.max.ms", "100")]);
    cluster.broker_down(1).unwrap();
    let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 1..201, line), |_| cluster.broker_up(1).unwrap()).await;
    assert_eq!(outcome, DELIVERED);
    assert!(reasons[0].contains("no broker can be reached"), "{reasons:?}");
    assert_holds(&cluster, 1..201);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_that_pass_are_sent_again_without_a_double() {
    for code in [
        Answer::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Answer::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Answer::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Answer::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    ] {
        let cluster = cluster();
        let sink = sink(&cluster, &[("retry.backoff.ms", "10")]);
        cluster.request_errors(RDKafkaApiKey::Produce, &[code; 4]);
        let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 1..201, line), |_| {}).await;
        assert_eq!((outcome, reasons), (DELIVERED, vec![]), "{code:?}");
        assert_holds(&cluster, 1..201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_holds_the_data_says_what_to_grant_and_goes_on_afterwards() {
    let cluster = cluster();
    let sink = sink(&cluster, &[]);
    cluster.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 3]);
    let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 1..201, line), |_| {}).await;
    assert_eq!(outcome, DELIVERED);
    assert!(reasons[0].contains("may not write to topic `flows`"), "{reasons:?}");
    assert_holds(&cluster, 1..201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_is_named_and_its_records_wait_for_it() {
    let cluster = cluster();
    let mut options = Options::new(vec![cluster.bootstrap_servers()], TOPIC);
    options.properties = [("topic.metadata.propagation.max.ms".to_owned(), "100".to_owned())].into();
    let sink = KafkaSink::new(options);
    cluster.topic_error(TOPIC, Answer::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART).unwrap();
    let Err(Health(why)) = sink.check().await else { panic!("healthy without a topic") };
    assert!(why.starts_with("topic `flows` does not exist there; create it"), "{why}");
    let mend = |_| cluster.topic_error(TOPIC, Answer::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 1..101, line), mend).await;
    assert_eq!(outcome, DELIVERED);
    assert!(reasons[0].starts_with("topic `flows` does not exist there"), "{reasons:?}");
    assert_holds(&cluster, 1..101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_too_large_is_refused_alone() {
    let cluster = cluster();
    let sink = sink(&cluster, &[("message.max.bytes", "5000")]);
    let large = |sequence| {
        if sequence == 50 { "x".repeat(9000) } else { line(sequence) }
    };
    let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 1..101, large), |_| {}).await;
    assert_eq!(reasons, [""; 0]);
    let Outcome::Partial { rejected } = outcome else { panic!("{outcome:?}") };
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].0, 50);
    assert!(rejected[0].1.contains("MessageSizeTooLarge"), "{rejected:?}");
    let mut found: Vec<u64> = read(&cluster).iter().map(|message| message.sequence).collect();
    found.sort_unstable();
    assert_eq!(found, (1..50).chain(51..101).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_a_broker_refuses_is_cut_down_until_it_is_taken() {
    let cluster = cluster();
    let sink = sink(&cluster, &[("linger.ms", "5")]);
    cluster.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 4]);
    let (outcome, _) = deliver(&sink, &batch_of(&sink, 1..201, line), |_| {}).await;
    assert_eq!(outcome, DELIVERED);
    let mut found: Vec<u64> = read(&cluster).iter().map(|message| message.sequence).collect();
    found.sort_unstable();
    assert_eq!(found, (1..201).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_producer_is_replaced_and_nothing_is_missing() {
    let cluster = cluster();
    let sink = sink(&cluster, &[]);
    assert_eq!(deliver(&sink, &batch_of(&sink, 1..101, line), |_| {}).await.0, DELIVERED);
    cluster.request_errors(RDKafkaApiKey::Produce, &[Answer::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    let (outcome, reasons) = deliver(&sink, &batch_of(&sink, 101..201, line), |_| {}).await;
    assert_eq!(outcome, DELIVERED);
    assert!(!reasons.is_empty());
    assert_eq!(sink.producers_replaced(), 1, "{reasons:?}");
    let mut uids: Vec<String> = read(&cluster).into_iter().map(|message| message.uid).collect();
    uids.sort_unstable();
    uids.dedup();
    assert_eq!(uids.len(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_that_is_given_up_and_called_again_doubles_nothing() {
    let cluster = cluster();
    let sink = sink(&cluster, &[("linger.ms", "300")]);
    let frozen = batch_of(&sink, 1..501, line);
    for _ in 0..3 {
        let given_up = tokio::time::timeout(Duration::from_millis(50), sink.send(&frozen)).await;
        assert!(given_up.is_err(), "{given_up:?}");
    }
    assert_eq!(deliver(&sink, &frozen, |_| {}).await, (DELIVERED, vec![]));
    assert_holds(&cluster, 1..501);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broker_at_all_is_a_clear_message() {
    let sink = KafkaSink::new(Options::new(vec!["127.0.0.1:1".into()], TOPIC));
    let Err(Health(why)) = sink.check().await else { panic!("healthy without a broker") };
    assert!(why.starts_with("no broker can be reached; check the sink's brokers"), "{why}");
}
