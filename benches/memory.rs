//! What the daemon keeps in memory while Loki, Kafka and S3 are all down and 50 000 flows a second come in; the goal is 96 MiB.
//!
//! Method: the `flowlog` program follows a file of made-up HTTP flows, one flow log with the three sinks at a port where nobody listens,
//! everything else by default. Resident memory is the kernel's (`/proc/PID/status`), read once a second; the peak is its high-water mark.
//! What waits lies in the spool, 1 GiB by default, after which the oldest records give way and are declared.
//!
//!     cargo build -p flowlog && cargo bench -p flowlog-benches --bench memory [-- seconds]

use std::time::Duration;

use flowlog_tests::memory::{FLOWS_A_SECOND, with_all_sinks_down};

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(60);
    println!("machine: {}; {FLOWS_A_SECOND} flows/s for {seconds} s", flowlog_benches::machine());
    let last = with_all_sinks_down(Duration::from_secs(seconds), |elapsed, taken, resident| {
        println!(
            "{:4} s  {taken:9} flows  resident {:6.1} MiB, of it anonymous {:6.1}, peak {:6.1}",
            elapsed.as_secs(),
            resident.now as f64 / 1024.0,
            resident.anonymous as f64 / 1024.0,
            resident.peak as f64 / 1024.0
        );
    });
    println!("peak {:.1} MiB", last.peak as f64 / 1024.0);
}
