//! How fast `flowlog observe` reads a long file, beside the real `hubble observe` on the same file in the same run.
//!
//! Method: a file of made-up flows is written by flowlog's own encoder, and read by both commands with each set of flags, output to /dev/null, the file in
//! the page cache. Megabytes a second are those of the file over the whole time of the process, start and end included; of several runs the best counts, of
//! flowlog's three, of the slower command's one. Processor seconds say how much of the machine it took. Before that, both have to print the same bytes for the
//! file's beginning. The flags: a filter that lets few flows through, and no filter with each format.
//!
//! `flowlog` is this program under another argument: the same code with the same settings as the released one.
//!
//!     cargo bench -p flowlog-benches --bench observe [-- megabytes]

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use flowlog::flow::json::{Options, decode};
use flowlog::mask::{Encoder, Mask, Redaction};
use flowlog_benches::{children_seconds, flowlog, flows, load, machine};
use flowlog_tests::service::{binaries, program};

/// About what Hubble writes of a flow: lines of some 1 000 bytes.
const PATHS: [&str; 19] = [
    "time",
    "uuid",
    "verdict",
    "IP",
    "l4",
    "l7",
    "source",
    "destination.identity",
    "destination.namespace",
    "destination.pod_name",
    "Type",
    "node_name",
    "event_type",
    "traffic_direction",
    "trace_observation_point",
    "is_reply",
    "Summary",
    "interface",
    "trace_reason",
];
const CASES: [(&str, &[&str]); 6] = [
    ("filter, few hits", &["--from-pod", "payments/postgres", "--verdict", "DROPPED", "-o", "compact"]),
    ("compact", &["-o", "compact"]),
    ("dict", &["-o", "dict"]),
    ("table", &["-o", "table"]),
    ("json", &["-o", "json"]),
    ("jsonpb", &["-o", "jsonpb"]),
];
/// Bytes on which both have to agree.
const COMPARED: u64 = 32 << 20;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("observe") {
        return flowlog();
    }
    let megabytes: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1000);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("events.log");
    let (lines, bytes) = write(&file, megabytes * 1_000_000);
    println!("{}; {lines} lines of {} bytes on average, {} MB; {}", machine(), bytes / lines, bytes / 1_000_000, load());
    let ours = std::env::current_exe().expect("this program");
    let hubble = binaries().join("hubble").exists().then(|| program("hubble"));
    if hubble.is_none() {
        println!("hubble is not built (tests/services/build hubble): flowlog alone");
    }
    let beginning = folder.path().join("beginning.log");
    copy_beginning(&file, &beginning);
    println!("{:<18} {:>14} {:>8} {:>14} {:>8} {:>7}", "", "flowlog MB/s", "CPU s", "hubble MB/s", "CPU s", "ratio");
    for (name, flags) in CASES {
        if let Some(hubble) = &hubble {
            assert!(output(&ours, &beginning, flags) == output(hubble, &beginning, flags), "{name}: the two print different bytes");
        }
        let (seconds, used) = (0..3).map(|_| time(&ours, &file, flags)).min_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or_default();
        let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
        print!("{name:<18} {:>14.0} {used:>8.2}", rate(seconds));
        match &hubble {
            None => println!(),
            Some(hubble) => {
                let (theirs, used) = time(hubble, &file, flags);
                println!(" {:>14.1} {used:>8.2} {:>7.1}", rate(theirs), theirs / seconds);
            }
        }
    }
    println!("{}", load());
    ExitCode::SUCCESS
}

/// Writes so many bytes of lines, all different; how many lines and bytes there are.
fn write(path: &Path, bytes: u64) -> (u64, u64) {
    let encoder = Encoder::compile(&Mask::parse(&PATHS).expect("good paths"), Redaction::default());
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let (mut lines, mut written, mut out) = (0, 0, Vec::new());
    for seed in 0.. {
        for line in flows::lines(10_000, seed).lines() {
            out.clear();
            encoder.encode(&decode(line.as_bytes(), Options::default()).expect("our own line"), &mut out);
            out.push(b'\n');
            file.write_all(&out).expect("room for the file");
            lines += 1;
            written += out.len() as u64;
        }
        if written >= bytes {
            break;
        }
    }
    file.flush().expect("room for the file");
    (lines, written)
}

/// Copies the first lines.
fn copy_beginning(from: &Path, to: &Path) {
    let mut text = Vec::new();
    File::open(from).expect("the file").take(COMPARED).read_to_end(&mut text).expect("the file");
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    std::fs::write(to, &text[..end]).expect("room for the file");
}

fn command(program: &PathBuf, file: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(["observe", "--input-file"]).arg(file).args(flags).stdin(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn output(program: &PathBuf, file: &Path, flags: &[&str]) -> Vec<u8> {
    let output = command(program, file, flags).output().expect("the command");
    assert!(output.status.success() && !output.stdout.is_empty(), "{program:?} {flags:?}: {}", output.status);
    output.stdout
}

/// Seconds of one run, on the clock and of processors.
fn time(program: &PathBuf, file: &Path, flags: &[&str]) -> (f64, f64) {
    let (start, used) = (Instant::now(), children_seconds());
    let status = command(program, file, flags).stdout(Stdio::null()).status().expect("the command");
    assert!(status.success(), "{program:?} {flags:?}: {status}");
    (start.elapsed().as_secs_f64(), children_seconds() - used)
}
