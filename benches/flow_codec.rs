//! How many flows a second one core reads, masks and writes, beside the goals of the design's *Speed*.
//!
//! `cargo bench -p flowlog-benches --bench flow_codec [-- PART-OF-A-NAME]`. One thread; 2 000 distinct seeded lines, run over for 300 ms a round; the best
//! of five rounds in processor time, since other work on the machine can only slow a round down.

use std::time::Duration;

use flowlog::filter::{Filters, FlowFilter};
use flowlog::flow::json::{Options, decode};
use flowlog::flow::{ExportEvent, Flow};
use flowlog::mask::{Encoder, Mask, Redaction};
use flowlog::pipeline::line::{self, Kind, Prepared, Uuid};
use flowlog::pipeline::sums::Sums;
use flowlog::pipeline::surroundings::Surroundings;
use flowlog::pipeline::template::{Stands, Template};
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

/// Six namespaces in, one kind of pod out: the filters of the Hubble digest's baseline (§7.3).
fn filters() -> Filters {
    let namespaces = ["shop/", "payments/", "kube-system/", "search/", "batch/", "default/"];
    let include = FlowFilter { source_pod: namespaces.into_iter().collect(), ..FlowFilter::default() };
    let exclude = FlowFilter { destination_pod: ["/coredns"].into_iter().collect(), ..FlowFilter::default() };
    Filters::compile(&[include], &[exclude]).expect("good filters")
}

/// The line of a flow of the kernel, prepared once, and what changes in it.
fn prepared(encoder: &Encoder, flow: &Flow<'_>) -> (Prepared, Sums) {
    let template = Template::of(encoder, flow.clone(), Stands::ForPackets);
    let kind = Kind::Kernel { connections: true, drop_reason: "" };
    let mut sums = Sums { connections: 3, tcp_flags: 0x12, syn: 2, ..Sums::default() };
    (sums.counted.packets, sums.counted.bytes) = (120, 98_304);
    sums.cover(1_767_323_045_123_456_789, 1_767_323_045_923_456_789);
    (Prepared::new(&template, b"", b"", kind), sums)
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
    let filters = filters();
    let (uuid, around) = (Uuid::new([7; 16]), Surroundings::default());
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
                    && (goal == "-" || filters.matches(&event))
                {
                    encoder.encode(&event, &mut out);
                }
                bytes + out.len()
            })
        });
    }
    for (name, encoder, goal) in [("template, no mask", &whole, "1.5 M"), ("template, 9 paths", &masked, "3 M")] {
        let lines: Vec<_> = events.iter().filter_map(ExportEvent::flow).map(|flow| prepared(encoder, flow)).collect();
        measure(name, goal, lines.len(), || {
            lines.iter().fold(0, |bytes, (prepared, sums)| {
                out.clear();
                line::write(prepared, sums, &uuid, &around, &mut out);
                bytes + out.len()
            })
        });
    }
}
