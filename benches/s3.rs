//! How fast records go from the spool into a locked bucket of MinIO on loopback, and what they take there.
//!
//! Prints MB of JSONL per second (before compression), the processor time of this process alone, and stored bytes per
//! line and per flow, for three shapes of lines. Method: the records are committed to a spool first; then the sink reads,
//! packs, uploads and asks back, one object at a time, as under the driver. MinIO runs on the same machine, so its own
//! work (erasure hashing, writing, syncing) is in the wall time and not in the processor time.
//!
//! `LINES` (default 400 000) sets the number of lines; `FLOWS` names a file of JSONL to repeat as a fourth shape.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use flowlog_sinks::driver::{Outcome, Sink, Step};
use flowlog_sinks::s3::retention::{Mode, Period, Retention};
use flowlog_sinks::s3::{Options, Origin, S3Sink};
use flowlog_sinks::spool::{self, Commit, WhenFull, Writer};
use flowlog_tests::s3::client::Client;
use flowlog_tests::service::{Service, binaries};
use flowlog_tests::skip::skip;

const NOON: i64 = 1_795_262_400_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Lines with the time of each, and how many flows they stand for.
struct Shape {
    name: String,
    lines: Vec<(i64, String)>,
    flows: u64,
}

fn main() {
    if !binaries().join("minio").exists() {
        skip("main", "minio is not built", "tests/services/build minio");
        return;
    }
    let count = std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(400_000);
    let server = Service::start("minio");
    println!("{}", flowlog_benches::machine());
    println!(
        "{:<34} {:>9} {:>8} {:>9} {:>9} {:>9} {:>8} {:>10} {:>10}",
        "shape", "lines", "MB", "MB/s", "MB/s core", "stored MB", "objects", "B/line", "B/flow"
    );
    for shape in shapes(count) {
        measure(&server, &shape);
    }
}

fn shapes(count: usize) -> Vec<Shape> {
    let mut shapes = vec![unfolded(count, false), unfolded(count, true), folded(count)];
    if let Ok(path) = std::env::var("FLOWS") {
        let text = std::fs::read_to_string(&path).expect("the file FLOWS names");
        let lines: Vec<&str> = text.lines().collect();
        let line = |at: usize| (NOON + at as i64 * 500_000, lines[at % lines.len()].to_owned());
        shapes.push(Shape {
            name: format!("{} real lines, repeated", lines.len()),
            lines: (0..count).map(line).collect(),
            flows: count as u64,
        });
    }
    shapes
}

/// xorshift64, for the same lines every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// 40 services with 5 pods each; each service calls four others, the first ones most.
fn pods(random: &mut Random) -> (u64, u64, u64, u64) {
    let service = random.below(40).min(random.below(40));
    let other = (service * 7 + 1 + random.below(4)) % 40;
    (service, random.below(5), other, random.below(5))
}

fn pod(service: u64, pod: u64) -> String {
    let hash = (service * 31 + pod * 17 + 5).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{{\"namespace\":\"team-{}\",\"pod_name\":\"service-{service}-{:08x}-{:05x}\"}}", service % 8, hash >> 36, hash & 0xf_ffff)
}

fn time_text(time: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time)).expect("a time").to_string()
}

/// Hubble's line for each event under the 9-path mask of the examples, with its addresses and more where `whole`.
fn unfolded(count: usize, whole: bool) -> Shape {
    let mut random = Random(0x1234_5678_9abc_def1);
    let line = |at: usize| {
        let time = NOON + at as i64 * 500_000 + random.below(400_000) as i64;
        let (service, a, other, b) = pods(&mut random);
        let port = 32_768 + random.below(28_000);
        let (packets, flags) = (
            1 + random.below(30),
            ["\"SYN\":true", "\"ACK\":true", "\"ACK\":true,\"PSH\":true", "\"FIN\":true,\"ACK\":true"][random.below(4) as usize],
        );
        let bytes = packets * (60 + random.below(900));
        let more = if whole {
            format!(
                "\"uuid\":\"0a0b0c0d-0e0f-8a0b-8000-{at:012x}\",\"IP\":{{\"source\":\"10.1.{service}.{a}\",\"destination\":\"10.1.{other}.{b}\",\"ipVersion\":\"IPv4\"}},\"ethernet\":{{\"source\":\"0a:58:0a:01:{service:02x}:{a:02x}\",\"destination\":\"0a:58:0a:01:{other:02x}:{b:02x}\"}},\"Type\":\"L3_L4\",\"node_name\":\"node-1\",\"is_reply\":false,\"traffic_direction\":\"EGRESS\",\"Summary\":\"TCP Flags\","
            )
        } else {
            String::new()
        };
        let text = format!(
            "{{\"flow\":{{\"time\":\"{}\",\"verdict\":\"FORWARDED\",{more}\"l4\":{{\"TCP\":{{\"source_port\":{port},\"destination_port\":{},\"flags\":{{{flags}}}}}}},\"source\":{},\"destination\":{},\"extensions\":{{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{{\"bytes\":{bytes},\"packets\":{packets}}}}}}}}}",
            time_text(time),
            8000 + other,
            pod(service, a),
            pod(other, b)
        );
        (time, text)
    };
    let name = if whole { "unfolded, all fields" } else { "unfolded, 9-path mask" };
    Shape { name: name.to_owned(), lines: (0..count).map(line).collect(), flows: count as u64 }
}

/// Who talks to whom.
type Ends = (u64, u64, u64, u64);
/// First and last time, packets, bytes, flows.
type Folded = (i64, i64, u64, u64, u64);

/// The same traffic at 20 000 flows a second, folded by service in windows of a second, under the same mask.
fn folded(count: usize) -> Shape {
    let mut random = Random(0x1234_5678_9abc_def1);
    let (mut lines, mut flows, mut second) = (Vec::new(), 0, 0);
    while lines.len() < count / 4 {
        let mut window: BTreeMap<Ends, Folded> = BTreeMap::new();
        for at in 0..20_000 {
            let time = NOON + second * SECOND + at * 50_000 + random.below(50_000) as i64;
            let packets = 1 + random.below(30);
            let bytes = packets * (60 + random.below(900));
            let sums = window.entry(pods(&mut random)).or_insert((time, time, 0, 0, 0));
            *sums = (sums.0, time, sums.2 + packets, sums.3 + bytes, sums.4 + 1);
        }
        flows += 20_000;
        second += 1;
        for ((service, a, other, b), (first, last, packets, bytes, connections)) in window {
            let text = format!(
                "{{\"flow\":{{\"time\":\"{}\",\"verdict\":\"FORWARDED\",\"l4\":{{\"TCP\":{{\"destination_port\":{},\"flags\":{{\"SYN\":true,\"ACK\":true,\"PSH\":true,\"FIN\":true}}}}}},\"source\":{},\"destination\":{},\"extensions\":{{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{{\"bytes\":{bytes},\"connections\":{connections},\"last_time\":\"{}\",\"packets\":{packets}}}}}}}}}",
                time_text(first),
                8000 + other,
                pod(service, a),
                pod(other, b),
                time_text(last)
            );
            lines.push((first, text));
        }
    }
    Shape { name: "folded by service, 9-path mask".to_owned(), lines, flows }
}

fn measure(server: &Service, shape: &Shape) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sink = sink(server, shape, folder.path());
    let writer = spooled(shape, folder.path());
    let spool = writer.spool();
    let (mut reader, _) = spool.reader("bench", WhenFull::Hold).expect("a reader");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let inside = runtime.enter();
    sink.resume(&mut reader, None).expect("a sink");
    drop(inside);
    let (started, processor) = (Instant::now(), processor_seconds());
    let (mut stored, mut objects) = (0, 0);
    // Eleven minutes later: what is left is due.
    while let Step::Batch(batch) = sink.freeze(&mut reader, &sink.limits(), None, NOON + 660 * SECOND).expect("a batch") {
        if batch.records > 0 {
            stored += batch.bytes;
            objects += 1;
        }
        let outcome = runtime.block_on(sink.send(&batch.frozen));
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    }
    let (seconds, processor) = (started.elapsed().as_secs_f64(), processor_seconds() - processor);
    let megabytes = shape.lines.iter().map(|(_, line)| line.len() as u64 + 1).sum::<u64>() as f64 / 1e6;
    println!(
        "{:<34} {:>9} {:>8.0} {:>9.0} {:>9.0} {:>9.1} {:>8} {:>10.1} {:>10.1}",
        shape.name,
        shape.lines.len(),
        megabytes,
        megabytes / seconds,
        megabytes / processor,
        stored as f64 / 1e6,
        objects,
        stored as f64 / shape.lines.len() as f64,
        stored as f64 / shape.flows as f64
    );
}

/// A sink into a locked bucket of its own.
fn sink(server: &Service, shape: &Shape, folder: &Path) -> S3Sink {
    let (endpoint, id, secret) = (server.value("S3_ENDPOINT"), server.value("S3_KEY"), server.value("S3_SECRET"));
    let bucket = format!("bench-{}", shape.name.bytes().map(u64::from).sum::<u64>());
    Client::new(&endpoint, &id, &secret).make_bucket(&bucket, true);
    let credentials = folder.join("credentials");
    std::fs::write(&credentials, format!("aws_access_key_id={id}\naws_secret_access_key={secret}\n")).expect("credentials");
    let options = Options {
        endpoint: Some(endpoint),
        credentials_file: Some(credentials),
        retention: Some(Retention { mode: Mode::Governance, period: Period::Days(1) }),
        ..Options::new(format!("s3://{bucket}"))
    };
    let origin = Origin { cluster: "c".into(), log: "l".into(), node: "n".into(), daemon: "bench".into() };
    S3Sink::new(options, origin, folder.join("staging"), NOON).expect("a sink")
}

/// A spool that holds all lines, committed and on disk.
fn spooled(shape: &Shape, folder: &Path) -> Writer {
    let options = spool::Options { max_bytes: 8 << 30, ..spool::Options::new("n", "boot") };
    let (mut writer, _) = Writer::open(&folder.join("spool"), &options).expect("a spool");
    for lines in shape.lines.chunks(10_000) {
        for (time, line) in lines {
            writer.append(*time, b"", b"", line.as_bytes()).expect("a record");
        }
        writer.commit(Commit { time: NOON, ..Commit::default() }).expect("a commit");
    }
    while writer.durable().next < writer.next_sequence() {
        std::thread::sleep(Duration::from_millis(10));
    }
    writer
}

/// Processor time of this process so far, all threads, user and system.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("/proc");
    let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().expect("a number")).sum();
    ticks / 100.0
}
