//! How many flows a second one core reads, masks and writes, beside the goals of the design's *Speed*.
//!
//! `cargo bench -p flowlog-benches --bench flow_codec [-- PART-OF-A-NAME]`. One thread; 2 000 distinct seeded lines, run over for 300 ms a round; the best
//! of five rounds in processor time, since other work on the machine can only slow a round down.

use std::time::Duration;

use flowlog::flow::json::{Options, decode};
use flowlog::flow::{ExportEvent, Flow};
use flowlog::mask::{Encoder, Mask, Redaction};
use flowlog_benches::{flows, machine};

const PATHS: [&str; 9] =
    ["time", "node_name", "verdict", "IP", "l4", "source.namespace", "source.pod_name", "destination.namespace", "destination.pod_name"];

/// Processor time this process has used, so that other work on the machine does not count.
fn processor_time() -> Duration {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

/// Runs `pass` over all lines again and again; prints the best rate of five rounds.
fn measure(name: &str, goal: &str, flows: usize, mut pass: impl FnMut() -> usize) {
    if std::env::args().skip(1).any(|only| !only.starts_with('-') && !name.contains(&only)) {
        return;
    }
    let mut best = Duration::MAX;
    let mut bytes = 0;
    for _ in 0..5 {
        let (start, mut passes) = (processor_time(), 0);
        while processor_time() - start < Duration::from_millis(300) {
            bytes = pass();
            passes += 1;
        }
        best = best.min((processor_time() - start) / passes);
    }
    let per_flow = best.as_secs_f64() / flows as f64;
    println!(
        "{name:<36} {:>10.0} flows/s/core  {:>6.0} ns/flow  {:>5.0} bytes out  goal {goal}",
        1.0 / per_flow,
        per_flow * 1e9,
        bytes as f64 / flows as f64
    );
}

fn wanted(flow: &Flow<'_>) -> bool {
    let namespace = flow.source.as_ref().map_or("", |source| &source.namespace);
    let pod = flow.destination.as_ref().map_or("", |destination| &destination.pod_name);
    matches!(namespace, "shop" | "payments" | "kube-system" | "search" | "batch" | "default") && !pod.starts_with("coredns")
}

fn main() {
    let text = flows::lines(2_000, 7);
    let lines: Vec<&[u8]> = text.lines().map(str::as_bytes).collect();
    println!("{}; {} lines of {} bytes on average", machine(), lines.len(), text.len() / lines.len());
    let options = Options::default();
    // Few enough to stay in the cache: whoever encodes a flow has just read or built it.
    let events: Vec<ExportEvent<'_>> = lines.iter().take(64).map(|line| decode(line, options).expect("our own line")).collect();
    let whole = Encoder::compile(&Mask::everything(), Redaction::default());
    let masked = Encoder::compile(&Mask::parse(&PATHS).expect("good paths"), Redaction::default());
    let mut out = Vec::new();

    measure("decode", "-", lines.len(), || lines.iter().filter(|line| decode(line, options).is_ok()).count());
    for (name, encoder, goal) in [("encode, no mask", &whole, "1.5 M"), ("encode, 9 paths", &masked, "-")] {
        measure(name, goal, events.len(), || {
            events.iter().fold(0, |bytes, event| {
                out.clear();
                encoder.encode(event, &mut out);
                bytes + out.len()
            })
        });
    }
    for (name, encoder, goal) in [("JSON to JSON, no mask", &whole, "-"), ("JSON to JSON, filter, 9 paths", &masked, "600 k")] {
        measure(name, goal, lines.len(), || {
            lines.iter().fold(0, |bytes, line| {
                out.clear();
                if let Ok(event) = decode(line, options)
                    && (goal == "-" || event.flow().is_some_and(wanted))
                {
                    encoder.encode(&event, &mut out);
                }
                bytes + out.len()
            })
        });
    }
}
