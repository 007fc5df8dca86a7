//! A spool full of records, and what brings them to a sink: the driver of the daemon, or, where a test has to see each outcome and to
//! break off between two batches, the shortest loop that does the same.
//!
//! Every second record repeats the line and the time of the one before, as two flows do that a mask has made alike; only their sequence
//! numbers tell them apart.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flowlog_sinks::driver::{DriverOptions, Limits, Outcome, Running, Sink, SinkMetrics, Step, start};
use flowlog_sinks::spool::{Commit, Cursor, Options, Reader, Spool, WhenFull, Writer, boot_id};

/// The namespaces of the records, in turn; the empty one is a flow without.
pub const NAMESPACES: [&str; 3] = ["shop", "bank", ""];

/// A spool of numbered records.
pub struct Spooled {
    writer: Writer,
    start: i64,
    folder: tempfile::TempDir,
    _keeps: Reader,
}

impl Spooled {
    /// A spool of so many records, committed 1000 at a time. The first is a minute old.
    pub fn of(records: u64) -> Spooled {
        Spooled::aged(records, Duration::from_secs(60))
    }

    /// The same with another age.
    pub fn aged(records: u64, age: Duration) -> Spooled {
        let folder = tempfile::Builder::new().prefix("flowlog-spool-").tempdir().expect("a temporary folder");
        let boot = boot_id().expect("a boot id");
        let mut options = Options::new("node-1", &boot);
        options.max_bytes = 8 << 30;
        // However full this machine's disk is.
        options.min_free_percent = 0;
        let (writer, _) = Writer::open(&folder.path().join("spool"), &options).expect("a spool");
        // What has no reader goes as soon as its segment is full.
        let keeps = writer.spool().reader("keeps", WhenFull::Hold).expect("a reader").0;
        let mut spooled = Spooled { _keeps: keeps, writer, start: ago(age), folder };
        spooled.append(records);
        spooled
    }

    /// From here on records are a minute old.
    pub fn catch_up(&mut self) {
        self.start = ago(Duration::from_secs(60)) - (self.next() / 2) as i64 * 40_000;
    }

    /// Appends so many more.
    pub fn append(&mut self, records: u64) {
        for _ in 0..records {
            let sequence = self.writer.next_sequence();
            let (key, labels, line) = (key(sequence), labels(sequence), line(sequence));
            self.writer.append(self.time(sequence), key.as_bytes(), &labels, line.as_bytes()).expect("a record that fits");
            if sequence.is_multiple_of(1000) {
                self.commit();
            }
        }
        self.commit();
        // Readers see a commit once its frames are on disk.
        while self.writer.durable().next < self.writer.next_sequence() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn commit(&mut self) {
        let time = self.time(self.writer.next_sequence());
        while let Err(stalled) = self.writer.commit(Commit { time, ..Commit::default() }) {
            eprintln!("{stalled}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The time of a record, nanoseconds since 1970: 20 µs apart, two by two alike.
    pub fn time(&self, sequence: u64) -> i64 {
        self.start + (sequence / 2) as i64 * 40_000
    }

    /// A reader of this name from the beginning, or from where it was stored.
    pub fn reader(&self, sink: &str) -> Reader {
        self.spool().reader(sink, WhenFull::Hold).expect("a reader").0
    }

    /// The spool itself.
    pub fn spool(&self) -> Spool {
        self.writer.spool()
    }

    /// The uid of a record.
    pub fn uid(&self, sequence: u64) -> String {
        self.writer.id().uid(sequence)
    }

    /// The number after the last record.
    pub fn next(&self) -> u64 {
        self.writer.next_sequence()
    }

    /// A folder for whatever else the test keeps.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

/// The moment that long ago, nanoseconds since 1970.
fn ago(age: Duration) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    (now - age).as_nanos() as i64
}

/// The Kafka key of a record: of one of 50 connections.
pub fn key(sequence: u64) -> String {
    format!("6|10.0.0.{}:443|10.0.1.7:40000", sequence / 2 % 50)
}

/// The namespace of a record.
pub fn namespace(sequence: u64) -> &'static str {
    NAMESPACES[(sequence / 2 % 3) as usize]
}

/// The verdict of a record: one pair in seven was dropped.
pub fn verdict(sequence: u64) -> &'static str {
    if (sequence / 2).is_multiple_of(7) { "DROPPED" } else { "FORWARDED" }
}

/// The label blob of a record.
pub fn labels(sequence: u64) -> Vec<u8> {
    let mut blob = Vec::new();
    for (path, value) in [("source.namespace", namespace(sequence)), ("source.pod_name", "web-7d4b9"), ("verdict", verdict(sequence))] {
        blob.push(path.len() as u8);
        blob.extend(path.as_bytes());
        blob.extend((value.len() as u16).to_le_bytes());
        blob.extend(value.as_bytes());
    }
    blob
}

/// The line of a record.
pub fn line(sequence: u64) -> String {
    format!(
        r#"{{"flow":{{"verdict":"{}","IP":{{"source":"10.0.0.{}","destination":"10.0.1.7","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":443,"destination_port":40000}}}},"source":{{"namespace":"{}","pod_name":"web-7d4b9"}},"Type":"L3_L4","node_name":"node-1","Summary":"pair {}"}},"node_name":"node-1"}}"#,
        verdict(sequence),
        sequence / 2 % 50,
        namespace(sequence),
        sequence / 2
    )
}

/// Starts the driver for a sink, at its cursor.
pub fn run<S: Sink>(spooled: &Spooled, sink: &Arc<S>) -> Running {
    let options = DriverOptions { name: "sink".to_owned(), when_full: WhenFull::Hold };
    start(&spooled.spool(), sink.clone(), options).expect("a cursor")
}

/// Lets the driver deliver everything there is.
pub async fn drain<S: Sink>(spooled: &Spooled, sink: &Arc<S>) -> Arc<SinkMetrics> {
    let running = run(spooled, sink);
    let metrics = running.metrics().clone();
    let left = running.drain(Duration::from_secs(600)).await;
    assert!(left.is_none(), "{left:?} {metrics:?}");
    metrics
}

/// What came of a delivery.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Sequence numbers refused, with the reasons.
    pub rejected: Vec<(u64, String)>,
    /// Why batches had to wait.
    pub retries: Vec<String>,
    /// Where the last delivered batch ends.
    pub cursor: Cursor,
}

/// Delivers everything up to the record `until`, or so many batches; what is on the way then is dropped as a crash would.
pub async fn deliver<S: Sink>(sink: &Arc<S>, reader: &mut Reader, limits: Limits, until: u64, batches: usize) -> Delivery {
    let mut delivery = Delivery { cursor: reader.cursor(), ..Delivery::default() };
    let mut on_the_way = VecDeque::new();
    let mut done = 0;
    while done < batches {
        while on_the_way.len() < sink.in_flight() && reader.cursor().sequence < until {
            match sink.freeze(reader, &limits, None, 0).expect("a readable spool") {
                Step::Batch(batch) => {
                    let sink = sink.clone();
                    let end = reader.cursor();
                    on_the_way.push_back((end, tokio::spawn(async move { send(&*sink, &batch.frozen).await })));
                }
                // Frames become visible within 100 ms of their commit.
                Step::Skip | Step::Wait(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        let Some((end, task)) = on_the_way.pop_front() else {
            break;
        };
        let (outcome, retries) = task.await.expect("a send that ends");
        delivery.retries.extend(retries);
        match outcome {
            Outcome::Delivered { .. } => {}
            Outcome::Partial { rejected } => delivery.rejected.extend(rejected),
            other => panic!("{other:?}"),
        }
        delivery.cursor = end;
        done += 1;
    }
    for (_, task) in on_the_way {
        task.abort();
    }
    delivery
}

async fn send<S: Sink>(sink: &S, frozen: &S::Frozen) -> (Outcome, Vec<String>) {
    let mut retries = Vec::new();
    loop {
        match sink.send(frozen).await {
            Outcome::Retry { why, .. } => retries.push(why),
            outcome => return (outcome, retries),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
