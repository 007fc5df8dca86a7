//! A Loki, a Kafka and a MinIO, the configuration that sends to all three and to a file, and what each of them holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use flowlog_sinks::spool::stored_cursors;
use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::{CLIENTS, request_number};
use flowlog_tests::loki::{Entry, entries};
use flowlog_tests::s3::client::Client;
use flowlog_tests::service::Service;
use flowlog_tests::{kafka, reader};
use jiff::Timestamp;

use flowlog_tests::s3::audit::{Archive, Audit, audit};

/// How long servers may take for everything that a test has for them.
const PATIENCE: Duration = Duration::from_secs(900);

/// The servers. A test has a place of its own in each: a tenant, a topic and a bucket of its flow log's name.
pub struct Servers {
    pub loki: Service,
    pub kafka: Service,
    pub minio: Service,
}

/// When batches are closed.
#[derive(Clone, Copy)]
pub enum Batches {
    /// As they are by default, but for objects, which would take ten minutes.
    Default,
    /// So small that there is always one on the way.
    Small,
}

/// The most records of a small batch.
pub const SMALL: u64 = 200;

impl Servers {
    /// Servers for this test alone.
    pub fn start() -> Servers {
        let rates = ["-distributor.ingestion-rate-limit-mb=500", "-distributor.ingestion-burst-size-mb=500"];
        let stream_rates = ["-ingester.per-stream-rate-limit=500MB", "-ingester.per-stream-rate-limit-burst=500MB"];
        let flags = [&["true"][..], &rates, &stream_rates].concat();
        let loki = std::thread::spawn(move || Service::start_with("loki", &flags, &[]));
        let minio = std::thread::spawn(|| Service::start("minio"));
        let kafka = Service::start("kafka");
        Servers { loki: loki.join().expect("Loki"), kafka, minio: minio.join().expect("MinIO") }
    }

    /// Servers shared with the tests that run just now.
    pub fn shared() -> Arc<Servers> {
        static SHARED: Mutex<Weak<Servers>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let servers = Arc::new(Servers::start());
            *shared = Arc::downgrade(&servers);
            servers
        })
    }

    /// A daemon, not started yet, with one flow log of this name that goes to `events.log` and to a place in each server.
    pub fn daemon(&self, name: &str, batches: Batches) -> Daemon {
        self.make_place(name);
        let daemon = Daemon::following("");
        let file = "    filePath: events.log\n    fileMaxBackups: 10000\n";
        let logs = format!("flowLogs:\n  - name: {name}\n{file}    sinks: [search, stream, audit]\n");
        daemon.configure(&(logs + &self.sinks(&daemon, name, batches)));
        daemon
    }

    /// A topic and a locked bucket of this name; a tenant needs no making.
    pub fn make_place(&self, name: &str) {
        kafka::create_topic(&self.kafka, name, 3, &[]);
        self.bucket_client().make_bucket(name, true);
    }

    /// The `sinks` of a configuration: `search`, `stream` and `audit`.
    pub fn sinks(&self, daemon: &Daemon, name: &str, batches: Batches) -> String {
        let credentials = daemon.path("credentials");
        let keys = [("aws_access_key_id", "S3_KEY"), ("aws_secret_access_key", "S3_SECRET")];
        let keys = keys.map(|(name, key)| format!("{name} = {}\n", self.minio.value(key)));
        std::fs::write(&credentials, format!("[default]\n{}", keys.concat())).expect("credentials");
        let small = match batches {
            Batches::Default => String::new(),
            Batches::Small => format!("    batch: {{maxRecords: {SMALL}, maxAge: 20ms}}\n"),
        };
        format!(
            "sinks:\n  search:\n    type: loki\n    url: http://127.0.0.1:{}\n    tenant: {name}\n    labels: {{source_ns: source.namespace, verdict: verdict}}\n{small}\
             \x20 stream:\n    type: kafka\n    brokers: [\"{}\"]\n    topic: {name}\n{small}\
             \x20 audit:\n    type: s3\n    url: s3://{name}/audit\n    endpoint: {}\n    region: us-east-1\n    pathStyle: true\n    credentialsFile: {}\n\
             \x20   retention: {{mode: GOVERNANCE, days: 1}}\n    batch: {{maxAge: 1s}}\n",
            self.loki.port(),
            self.kafka.value("KAFKA_PLAIN"),
            self.minio.value("S3_ENDPOINT"),
            credentials.display(),
        )
    }

    fn bucket_client(&self) -> Client {
        Client::new(&self.minio.value("S3_ENDPOINT"), &self.minio.value("S3_KEY"), &self.minio.value("S3_SECRET"))
    }

    /// What Loki holds of a tenant since `start`, stream by stream.
    pub fn searched(&self, tenant: &str, start: Timestamp) -> Vec<Entry> {
        let start = i64::try_from(start.as_nanosecond()).expect("a time");
        let mut all = Vec::new();
        for client in CLIENTS {
            for verdict in ["FORWARDED", "DROPPED"] {
                let query = format!("{{job=\"flowlog\", source_ns=\"{client}\", verdict=\"{verdict}\"}}");
                all.extend(entries(self.loki.port(), Some(tenant), &query, start));
            }
        }
        // What is no flow has neither label.
        all.extend(entries(self.loki.port(), Some(tenant), "{job=\"flowlog\", verdict=\"\"}", start));
        all
    }

    /// What lies in a bucket below a prefix.
    pub fn stored(&self, bucket: &str, prefix: &str) -> Archive {
        let client = self.bucket_client();
        client.keys(bucket, prefix).into_iter().map(|key| (key.clone(), client.get(bucket, &key))).collect()
    }

    /// What a bucket holds of a flow log, held against its manifests; each key has one version.
    pub fn audited(&self, bucket: &str, log: &str) -> Audit {
        let mut archive = self.stored(bucket, "audit");
        assert_eq!(self.bucket_client().versions(bucket).len(), archive.len(), "nothing is stored twice under one name");
        archive.retain(|key, _| key.contains(&format!("/log={log}/")));
        audit(&archive)
    }

    /// Fails unless Loki, Kafka and the bucket each hold these lines once, in order per stream, per key and over all objects. Line `n`
    /// of `lines` is record `n + 1`. Returns how many messages of Kafka repeat one before, with its uid.
    pub fn assert_hold(&self, name: &str, lines: &[String], start: Timestamp) -> usize {
        self.assert_searchable(name, lines, start);
        assert_same("the bucket", self.audited(name, name).lines.iter().zip(1..), lines);
        // The same by clients that share no code with ours, boto3 and DuckDB.
        assert_same("boto3 and DuckDB", reader::archive(&self.minio, &["lines", name, "audit/flows/"]).iter().zip(1..), lines);
        self.assert_streamed(name, lines)
    }

    /// Fails unless Loki holds these lines once and in order per stream.
    pub fn assert_searchable(&self, name: &str, lines: &[String], start: Timestamp) {
        let entries = self.searched(name, start);
        let sequence = |entry: &Entry| entry.metadata["flowlog_sequence"].as_str().and_then(|text| text.parse::<u64>().ok());
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut found = Vec::new();
        for entry in &entries {
            let number = sequence(entry).expect("a sequence number");
            let before = last.insert(entry.labels.to_string(), number);
            assert!(before < Some(number), "Loki: {number} stands behind {before:?} in {}", entry.labels);
            found.push((&entry.line, number));
        }
        found.sort_by_key(|(_, number)| *number);
        if let Some(twice) = found.windows(2).find(|pair| pair[0].1 == pair[1].1) {
            let both: Vec<&Entry> = entries.iter().filter(|entry| sequence(entry) == Some(twice[0].1)).collect();
            panic!("Loki has record {} twice: {both:#?}\nin the file it is {:?}", twice[0].1, lines.get(twice[0].1 as usize - 1));
        }
        assert_same("Loki", found, lines);
    }

    fn assert_streamed(&self, name: &str, lines: &[String]) -> usize {
        let messages = kafka::read(&self.kafka, name);
        let mut seen = BTreeSet::new();
        let mut last: BTreeMap<&str, (u32, u64)> = BTreeMap::new();
        for message in &messages {
            assert!(message.uid.ends_with(&format!("-{:020}", message.sequence)), "{message:?}");
            assert_eq!(Some(&message.value), lines.get(message.sequence as usize - 1), "Kafka: {message:?}");
            if !seen.insert(message.sequence) {
                continue;
            }
            let before = last.insert(&message.key, (message.partition, message.sequence)).unwrap_or((message.partition, 0));
            assert!(before.0 == message.partition && before.1 < message.sequence, "Kafka: {message:?} stands behind {before:?}");
        }
        let missing: Vec<u64> = (1..=lines.len() as u64).filter(|number| !seen.contains(number)).take(10).collect();
        assert!(missing.is_empty(), "Kafka lacks {missing:?} …");
        messages.len() - seen.len()
    }
}

/// Fails unless these are the lines, each once and in order.
fn assert_same<'l>(who: &str, found: impl IntoIterator<Item = (&'l String, u64)>, lines: &[String]) {
    let mut count = 0;
    for (line, number) in found {
        count += 1;
        assert_eq!(number, count, "{who}: the next record is {number}, not {count}");
        assert_eq!(Some(line), lines.get(count as usize - 1), "{who}: record {number}");
    }
    assert_eq!(count, lines.len() as u64, "{who} lacks the last ones");
}

/// Fails unless these lines hold each of the first `count` requests once.
pub fn assert_each_once(lines: &[String], count: u64) {
    let mut numbers: Vec<u64> = lines.iter().filter_map(|line| request_number(line)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len() as u64, count, "requests in events.log");
    assert!(numbers.iter().copied().eq(0..count), "a request is missing in events.log, and another is there twice");
}

/// Waits until these sinks have all of a flow log that has at least so many records and writes them to the file of this stem.
pub fn wait_until_delivered(daemon: &Daemon, (name, stem): (&str, &str), records: u64, sinks: &[&str]) {
    let spool = flowlog::daemon::state::log_folder(&daemon.state(), name).join("spool");
    let all_have = |number: u64| {
        let cursors = stored_cursors(&spool).expect("cursors");
        let has = |sink: &str| cursors.iter().any(|(name, stored)| name == sink && stored.cursor.sequence > number);
        has("file") && sinks.iter().all(|sink| has(sink))
    };
    daemon.wait_for(&format!("the cursors of {name}"), PATIENCE, |_| all_have(records));
    // Lines of other things that happened may stand between and behind them.
    let lines = daemon.texts_of(stem).len() as u64;
    daemon.wait_for(&format!("the last records of {name}"), PATIENCE, |_| all_have(lines));
}
