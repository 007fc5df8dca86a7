//! What lies in frames and small files beside records: cursors, commits, notes, the sums of unfinished windows, rows whose fate is open.
//! Any bytes are read or refused; what is read and written again reads as the same. The first byte says which.

use flowlog::pipeline::flows::FlowTable;
use flowlog::pipeline::line::{self, Uuid};
use flowlog::pipeline::{note::Note, open_rows, partial, surroundings::Surroundings};
use flowlog_sinks::spool::{Commit, Stored, parse_stored};

/// Reads the input as what its first byte says.
pub fn run(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    match which % 6 {
        0 => cursor(bytes),
        1 => cursor(&with_sum(bytes)),
        2 => {
            if let Some(note) = Note::decode(bytes) {
                assert_eq!(Note::decode(&note.encode()), Some(note), "a note changes when it is written again");
            }
        }
        3 => sums(bytes),
        4 => rows(bytes),
        _ => {
            if let Ok(commit) = serde_json::from_slice::<Commit>(bytes) {
                let again = serde_json::to_vec(&commit).expect("a commit is JSON");
                let again: Commit = serde_json::from_slice(&again).expect("a commit reads back");
                assert_eq!((again.first, again.next, again.gaps), (commit.first, commit.next, commit.gaps));
            }
        }
    }
}

/// JSON as it stands in a cursor file.
fn with_sum(json: &[u8]) -> Vec<u8> {
    [json, format!("\n{:08x}\n", crc32c::crc32c(json)).as_bytes()].concat()
}

fn cursor(file: &[u8]) {
    if let Some(stored) = parse_stored(file) {
        let again = with_sum(&serde_json::to_vec(&stored).expect("a cursor is JSON"));
        let cursor = |stored: &Stored| (stored.cursor, stored.cuts.iter().map(|cut| cut.end).collect::<Vec<_>>());
        assert_eq!(parse_stored(&again).as_ref().map(cursor), Some(cursor(&stored)), "a cursor changes when it is written again");
    }
}

fn sums(run: &[u8]) {
    let (mut at, mut entries, mut again) = (0, Vec::new(), Vec::new());
    while let Ok(Some(entry)) = partial::get(run, &mut at) {
        partial::put(&mut again, &entry.prepared, &entry.sums, entry.single.as_deref());
        entries.push(entry);
    }
    let mut at = 0;
    for entry in &entries {
        assert_eq!(partial::get(&again, &mut at).as_ref(), Ok(&Some(entry.clone())), "an entry changes when it is written again");
    }
    assert_eq!(partial::get(&again, &mut at), Ok(None));
    let mut merge = partial::Merge::new(0, 1);
    let _ = merge.absorb(0, run);
    let _ = merge.absorb(1, run);
    let merged = merge.finish();
    for entry in &merged {
        line::write(&entry.prepared, &entry.sums, &Uuid::new([1; 16]), &Surroundings::default(), &mut Vec::new());
    }
    let ordered = merged.windows(2).all(|pair| pair[0].prepared.fold_key() < pair[1].prepared.fold_key());
    assert!(ordered && merged.len() <= entries.len(), "merging doubles lines");
}

fn rows(bytes: &[u8]) {
    let mut flows = FlowTable::new(100);
    let _ = open_rows::restore(bytes, 5, &mut flows);
    let written = open_rows::encode(&flows);
    let mut again = FlowTable::new(100);
    assert!(open_rows::restore(&written, 5, &mut again), "rows that were written are refused");
    assert_eq!(open_rows::encode(&again), written, "rows change when they are written again");
}
