//! How many records a second reach a real Loki and a real Kafka on loopback, and what that costs this process.
//!
//! Method: a spool of records is filled first; then the driver of the daemon delivers all of it, and the time from its start until the last
//! answer counts. Megabytes are those of the lines, before compression. "Per core" divides by the processor time of this process alone,
//! spool reading included; server and bench share the machine, so the records a second are a lower bound of either. Before that, freezing
//! alone (reading, sorting, encoding; no sending) shows what of it is flowlog's own, and for Kafka a bare librdkafka, given the same messages from memory by
//! a loop that does nothing else, what of it no sink could save.
//!
//!     cargo bench -p flowlog-benches --bench streams [-- records] [loki|kafka]

use std::sync::Arc;
use std::time::{Duration, Instant};

use flowlog_sinks::driver::{Sink, Step};
use flowlog_sinks::kafka::{self, KafkaSink};
use flowlog_sinks::loki::labels::Label;
use flowlog_sinks::loki::{self, LokiSink};
use flowlog_tests::kafka::create_topic;
use flowlog_tests::service::Service;
use flowlog_tests::spooled::{Spooled, drain, line};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let records = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(300_000);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {cores} cores, {}; {records} records of about {} bytes", processor(), line(1).len());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let lines: usize = (1..=records).map(|sequence| line(sequence).len()).sum();
        let wanted = |name: &str| {
            std::env::args().all(|argument| argument != "loki" && argument != "kafka") || std::env::args().any(|argument| argument == name)
        };
        if wanted("loki") {
            bench_loki(records, lines).await;
        }
        if wanted("kafka") {
            bench_kafka(records, lines).await;
        }
    });
}

async fn bench_loki(records: u64, lines: usize) {
    let flags = [
        "false",
        "-distributor.ingestion-rate-limit-mb=5000",
        "-distributor.ingestion-burst-size-mb=5000",
        "-ingester.per-stream-rate-limit=5GB",
        "-ingester.per-stream-rate-limit-burst=5GB",
    ];
    for encoding in [loki::config::Encoding::Protobuf, loki::config::Encoding::Json] {
        let server = Service::start_with("loki", &flags, &[]);
        let mut options = loki::Options::new(format!("http://127.0.0.1:{}", server.port()));
        options.fixed = vec![("job".to_owned(), "flowlog".to_owned())];
        options.labels = vec![
            Label { name: "source_ns".to_owned(), path: "source.namespace".to_owned() },
            Label { name: "verdict".to_owned(), path: "verdict".to_owned() },
        ];
        options.encoding = encoding;
        let sink = Arc::new(LokiSink::new(options).expect("a sink"));
        measure(&format!("loki {encoding:?}"), &sink, records, lines).await;
    }
}

async fn bench_kafka(records: u64, lines: usize) {
    for compression in [kafka::config::Compression::Zstd, kafka::config::Compression::Lz4, kafka::config::Compression::No] {
        let server = Service::start("kafka");
        create_topic(&server, "flows", 6, &[]);
        let mut options = kafka::Options::new(vec![server.value("KAFKA_PLAIN")], "flows");
        options.compression = compression;
        // The first records make the broker compile its code.
        bare_librdkafka(&options, records.min(200_000));
        measure(&format!("kafka {compression:?}"), &Arc::new(KafkaSink::new(options.clone())), records, lines).await;
        let (wall, cpu) = bare_librdkafka(&options, records);
        say(&format!("kafka {compression:?}, no flowlog"), records, lines, wall, cpu);
    }
}

/// The messages of the sink, headers included, from memory to the broker's acknowledgement: how long that takes, and how much of a processor.
fn bare_librdkafka(options: &kafka::Options, records: u64) -> (Duration, Duration) {
    let producer: ThreadedProducer<DefaultProducerContext> = options.client_config().expect("settings").create().expect("a producer");
    let uid = format!("{}-{:020}", "0".repeat(32), 0);
    let messages: Vec<String> = (1..=records).map(line).collect();
    let (wall, cpu) = (Instant::now(), cpu());
    for (message, sequence) in messages.iter().zip(1_u64..) {
        let (key, number) = (&message[..40], sequence.to_string());
        let headers = [("flowlog-uid", uid.as_str()), ("flowlog-sequence", &number), ("content-type", "application/json")];
        let headers = headers.into_iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let mut record = BaseRecord::to(&options.topic).key(key).payload(message).timestamp(1_700_000_000_000).headers(headers);
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            std::thread::sleep(Duration::from_millis(5));
            record = back;
        }
    }
    producer.flush(Duration::from_secs(600)).expect("all acknowledged");
    (wall.elapsed(), cpu_since(cpu))
}

async fn measure<S: Sink>(name: &str, sink: &Arc<S>, records: u64, lines: usize) {
    let spooled = &Spooled::of(records);
    let (wall, cpu) = (Instant::now(), cpu());
    freeze_all(spooled, sink);
    say(&format!("{name}, freeze only"), records, lines, wall.elapsed(), cpu_since(cpu));
    let (wall, cpu) = (Instant::now(), self::cpu());
    let metrics = drain(spooled, sink).await;
    say(name, records, lines, wall.elapsed(), cpu_since(cpu));
    assert_eq!(metrics.records_sent.load(std::sync::atomic::Ordering::Relaxed), records);
}

fn freeze_all<S: Sink>(spooled: &Spooled, sink: &Arc<S>) {
    let mut reader = spooled.reader("freeze");
    while reader.cursor().sequence < spooled.next() {
        let step = sink.freeze(&mut reader, &sink.limits(), None, 0).expect("a readable spool");
        assert!(matches!(step, Step::Batch(_)), "the spool ends early");
    }
}

fn say(name: &str, records: u64, lines: usize, wall: Duration, cpu: Duration) {
    let (seconds, cores) = (wall.as_secs_f64(), cpu.as_secs_f64());
    let megabytes = lines as f64 / 1e6;
    println!(
        "{name:28} {:9.0} records/s {:7.1} MB/s; per core {:9.0} records/s {:7.1} MB/s ({cores:.2} s of processor in {seconds:.2} s)",
        records as f64 / seconds,
        megabytes / seconds,
        records as f64 / cores,
        megabytes / cores
    );
}

/// Processor time of this process so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn cpu_since(before: Duration) -> Duration {
    cpu().saturating_sub(before)
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown processor".to_owned(), |(_, name)| name.to_owned())
}
