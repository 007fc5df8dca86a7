//! Memory stays small while nothing can be delivered.

use std::time::Duration;

use flowlog_tests::memory::with_all_sinks_down;
use flowlog_tests::scale;

/// Most that may ever have been resident, in KiB.
const BOUND: u64 = 96 << 10;

#[test]
fn with_all_sinks_down_what_waits_lies_on_the_disk() {
    let last = with_all_sinks_down("1s", Duration::from_secs(scale::of("sinks_down_seconds")), |_, _, _| {});
    println!("{last:?} KiB");
    assert!(last.peak <= BOUND, "{last:?} KiB, at most {BOUND} wanted");
}
