//! Segments of a spool or intake as bytes: any bytes are walked to their end, every byte counts once, and what was written is found again.

use flowlog_sinks::spool::{LogKind, Piece, SEGMENT_HEAD, Scan, SegmentHead, SpoolId, labels, scan_bytes, split_origin, split_record};

use super::frames::Built;

/// Walks the input as it is, then as the steps of a segment.
pub fn run(input: &[u8]) {
    walk(input);
    let kind = if input.first().is_some_and(|first| first & 0x80 != 0) { LogKind::Intake } else { LogKind::Spool };
    let built = Built::new(SpoolId([7; 16]), kind, "node", input);
    walk(&built.file);
}

fn walk(file: &[u8]) {
    records(file);
    let _ = split_origin(file);
    let Ok(head) = SegmentHead::parse(file) else {
        assert!(scan_bytes(file).is_err(), "a segment without a header");
        return;
    };
    assert_eq!(SegmentHead::parse(&head.encode()), Ok(head.clone()), "a header changes when it is written again");
    let end = head.base.saturating_add((file.len() - SEGMENT_HEAD) as u64);
    let (mut scan, mut frames, mut bad) = (Scan::new(file, head.base, &head.id, head.base), [0; 4], 0);
    loop {
        let from = scan.position();
        let Some(piece) = scan.next(end).expect("a slice is read") else { break };
        match piece {
            Piece::Frame(frame, payload) => {
                assert_eq!((frame.position, payload.len()), (from, frame.length as usize));
                records(payload);
                frames[frame.kind as usize - 1] += 1;
            }
            Piece::Bad { to, .. } => {
                assert!(from < to && to <= end, "bad bytes from {from} to {to} of {end}");
                bad += to - from;
            }
        }
        assert!(scan.position() > from, "the walk stands still at {from}");
    }
    bad += end - scan.position();
    assert_eq!(scan_bytes(file), Ok((head, frames, bad)), "two walks differ");
}

fn records(payload: &[u8]) {
    let mut rest = payload;
    while let Some((record, after)) = split_record(rest) {
        assert!(after.len() < rest.len(), "a record of no bytes");
        assert!(labels(record.labels).count() <= record.labels.len() / 3, "more labels than bytes");
        rest = after;
    }
}
