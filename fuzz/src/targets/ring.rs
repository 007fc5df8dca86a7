//! Ring records: any bytes are events or refused, each within its own bytes, and an event written again reads as the same.

use flowlog_bpf::event::{RING_HEADER, iterate};

/// Reads the input as the kernel's ring.
pub fn run(input: &[u8]) {
    let (mut events, mut last) = (0, None);
    for event in iterate(input) {
        events += 1;
        match event {
            Ok(event) => {
                let mut record = Vec::new();
                event.write_ring_record(&mut record);
                let again: Vec<_> = iterate(&record).collect();
                assert_eq!(again, [Ok(event)], "an event changes when it is written again");
            }
            Err(malformed) => {
                assert!(malformed.offset < input.len(), "{malformed}: behind the end");
                assert!(last.is_none_or(|last| last < malformed.offset), "{malformed}: goes back");
                last = Some(malformed.offset);
            }
        }
    }
    assert!(events <= input.len().div_ceil(RING_HEADER), "more events than headers");
}
