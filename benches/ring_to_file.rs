//! From ring bytes to a rotated file: what one flow log costs per event, with few and with many keys, and what it allocates.
//!
//! The events are ring records in memory, as the mapped ring holds them; everything behind is the daemon's own path: intake on disk, flow cache, fold,
//! encoder, spool, file. Rates are per core: events by processor seconds of the whole process. What the kernel costs is measured by `packet`.
//!
//!     cargo bench -p flowlog-benches --bench ring_to_file [-- keys...]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowlog::config;
use flowlog::daemon::network_sinks::Origin;
use flowlog::daemon::running_log::{Place, RunningLog};
use flowlog::daemon::sinks::wanted;
use flowlog::identity::Identities;
use flowlog::pipeline::commons::Commons;
use flowlog::pipeline::log::CompiledLog;
use flowlog::pipeline::surroundings::{Shared, Side, Surroundings};
use flowlog::sources::SourceKind;
use flowlog::sources::clock::ArrivalClock;
use flowlog::sources::intake::SharedIntake;
use flowlog_benches::events::report;
use flowlog_bpf::event::Event;
use flowlog_sinks::spool::{Intake, IntakeOptions, Options};

/// Events of each run.
const EVENTS: u64 = 20_000_000;
/// What the drain takes from the ring at once, at most.
const BATCH: usize = 256 << 10;

const ENTRY: &str = "
    fieldMask: [time, verdict, IP, l4, source.namespace, source.pod_name, destination.namespace, destination.pod_name, extensions]
    window: 1s
";

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    println!("machine: {}; {}", flowlog_benches::machine(), flowlog_benches::load());
    println!(
        "{EVENTS} reports of one packet each, TCP over IPv4, 9-path mask, window 1 s, one flow log with a file; intake, spool and file on disk"
    );
    let chosen: Vec<u32> = std::env::args().filter_map(|argument| argument.parse().ok()).filter(|keys| *keys > 0).collect();
    for keys in if chosen.is_empty() { vec![100, 10_000, 100_000] } else { chosen } {
        run(keys).await;
    }
}

async fn run(keys: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let ring = ring(keys);
    let (intake, _) = Intake::open(&folder.path().join("intake"), &IntakeOptions::new("node", "boot")).expect("an intake");
    let clock = Arc::new(ArrivalClock::after(0));
    let intake = SharedIntake::new(intake, Arc::clone(&clock));
    let mut log = start(folder.path(), &intake, clock).await;
    let (started, before) = (Instant::now(), flowlog_benches::processor_seconds("/proc/self/stat"));
    let (mut written, mut position) = (0, 0);
    while written < EVENTS {
        for (bytes, events) in &ring {
            while !intake.append(SourceKind::Ring, [7; 16], 0, position, bytes).expect("the disk takes it") {
                // Rarely: a thread that is woken all the time costs more than what is measured.
                std::thread::sleep(Duration::from_millis(5));
            }
            position += bytes.len() as u64;
            written += events;
        }
    }
    let totals = loop {
        let snapshot = log.published.get();
        if snapshot.totals.events >= written && snapshot.totals.open_packets == 0 {
            break snapshot.totals;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (elapsed, seconds) = (started.elapsed().as_secs_f64(), flowlog_benches::processor_seconds("/proc/self/stat") - before);
    log.stop_engine(true).await;
    log.stop_sinks(true).await;
    let lines: u64 =
        std::fs::read_dir(folder.path().join("out")).expect("the files").map(|file| count_lines(&file.expect("a file").path())).sum();
    println!(
        "{keys:>7} keys: {:>5.2} M events/s per core, {:>5.2} M events/s in {elapsed:.1} s; {:.0} lines per window, {lines} lines in files",
        written as f64 / seconds / 1e6,
        written as f64 / elapsed / 1e6,
        totals.lines as f64 / elapsed.max(1.0),
    );
    assert_eq!(totals.lines, lines, "every line stands in a file");
}

async fn start(folder: &Path, intake: &SharedIntake, clock: Arc<ArrivalClock>) -> RunningLog {
    let out = folder.join("out");
    std::fs::create_dir(&out).expect("a folder");
    let path = out.join("events.log");
    let text =
        format!("flowLogs:\n  - name: bench\n    filePath: {}\n    fileMaxSizeMb: 1000\n    fileMaxBackups: 1000{ENTRY}", path.display());
    let file = config::read(text.as_bytes(), false).expect("a valid configuration").file;
    let entry = file.flow_logs.first().expect("an entry");
    let mut around = Surroundings { node_name: "node".to_owned(), ..Surroundings::default() };
    around.interfaces.insert(2, ("eth0".to_owned(), Side::Network));
    let commons = Commons { identities: Arc::new(Shared::new(Identities::new(&[], "node"))), around: Arc::new(Shared::new(around)), clock };
    let origin = Origin { cluster: "bench".to_owned(), node: "node".to_owned(), log: String::new() };
    let options = Options { min_free_percent: 0, ..Options::new("node", "boot") };
    let place = Place { options, intake: intake.readers().clone(), commons, origin: origin.clone() };
    let compiled = Arc::new(CompiledLog::build(entry, &[]).expect("it builds"));
    let mut log = RunningLog::start(compiled, &folder.join("log"), 8 << 30, &place).expect("it starts");
    let (ready, errors) = log.build_sinks(wanted(entry, &file, &origin));
    assert!(errors.is_empty() && log.set_sinks(ready).await.is_empty(), "{errors:?}");
    log
}

/// A ring's worth of reports over so many tuples, in batches as the drain takes them, with the number of events in each.
fn ring(keys: u32) -> Vec<(Vec<u8>, u64)> {
    let mut batches = vec![(Vec::new(), 0)];
    // A stride that visits every tuple before one comes again, and no two neighbours after another.
    for number in 0..keys.max(100_000) {
        let event = Event::Flow(report(number.wrapping_mul(7919) % keys));
        let mut bytes = Vec::new();
        event.write_ring_record(&mut bytes);
        if batches.last().is_some_and(|(batch, _)| batch.len() + bytes.len() > BATCH) {
            batches.push((Vec::new(), 0));
        }
        if let Some((batch, events)) = batches.last_mut() {
            batch.extend_from_slice(&bytes);
            *events += 1;
        }
    }
    batches
}

fn count_lines(path: &Path) -> u64 {
    memchr::memchr_iter(b'\n', &std::fs::read(path).expect("a file")).count() as u64
}
