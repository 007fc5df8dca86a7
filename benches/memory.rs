//! What the daemon keeps in memory while Loki, Kafka and S3 are all down and 50 000 flows a second come in; the goal is 96 MiB.
//!
//! Method: the `flowlog` program follows a file of made-up HTTP flows, one flow log with the three sinks at a port where nobody listens,
//! everything else by default, once without a window and once with one of a second, in which no two flows fold. Resident memory is the kernel's
//! (`/proc/PID/status`), read once a second; the peak is its high-water mark. What waits lies in the spool, 1 GiB by default, after which the oldest records
//! give way and are declared.
//!
//!     cargo build -p flowlog && cargo bench -p flowlog-benches --bench memory [-- seconds]

use std::time::Duration;

use flowlog_tests::memory::{FLOWS_A_SECOND, Resident, with_all_sinks_down};

fn main() {
    let seconds = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(60);
    for window in ["0s", "1s"] {
        println!("machine: {}; {FLOWS_A_SECOND} flows/s for {seconds} s, window {window}", flowlog_benches::machine());
        let last = with_all_sinks_down(window, Duration::from_secs(seconds), say);
        println!("window {window}: peak {:.1} MiB", mebibytes(last.peak));
    }
}

fn say(elapsed: Duration, taken: u64, resident: Resident) {
    let Resident { now, anonymous, peak } = resident;
    println!(
        "{:4} s  {taken:9} flows  resident {:6.1} MiB, of it anonymous {:6.1}, peak {:6.1}",
        elapsed.as_secs(),
        mebibytes(now),
        mebibytes(anonymous),
        mebibytes(peak)
    );
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
