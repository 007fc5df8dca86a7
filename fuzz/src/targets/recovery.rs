//! A spool's folder with a damaged segment in it: it opens, goes on, and its readers get what was written, in order, or a gap that counts
//! what they do not get.

use std::path::Path;
use std::time::Duration;

use flowlog_sinks::spool::{Commit, Item, LogKind, Options, SpoolId, WhenFull, Writer};

use super::frames::Built;

/// Long enough for any disk.
const PATIENCE: Duration = Duration::from_secs(20);
const NEW: &[u8] = b"new";

/// Makes a segment by the input's steps, and opens it.
pub fn run(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let id = open(folder.path()).id();
    let built = Built::new(id, LogKind::Spool, "node", input);
    std::fs::write(folder.path().join(format!("{:020}.seg", 0)), &built.file).expect("a segment is written");
    let mut writer = open(folder.path());
    let (now, next) = (writer.id(), writer.next_sequence());
    writer.append(1, b"key", b"", NEW).expect("a small record");
    writer.commit(Commit::default()).expect("a commit");
    writer.flush(PATIENCE).expect("the disk takes it");
    read(&writer, &built, id, (now, next));
}

fn open(folder: &Path) -> Writer {
    let mut options = Options::new("node", "boot");
    options.min_free_percent = 0;
    Writer::open(folder, &options).expect("a folder with damage opens").0
}

/// Reads all there is. `new` is where the record stands that was written last.
fn read(writer: &Writer, built: &Built, id: SpoolId, new: (SpoolId, u64)) {
    let (mut reader, _) = writer.spool().reader("check", WhenFull::Hold).expect("a reader");
    let mut place = (reader.cursor().spool, reader.cursor().sequence);
    let (mut items, mut found) = (0, false);
    while let Some(item) = reader.peek().expect("the disk is read") {
        match item {
            Item::Record(record) => {
                assert!(built.wild || (record.spool, record.sequence) == place, "out of order: {record:?}, expected {place:?}");
                if (record.spool, record.sequence) == new {
                    assert_eq!(record.line, NEW);
                    found = true;
                } else if !built.wild {
                    assert_eq!(record.spool, id, "a record of nobody");
                    assert_eq!(Some(record.line), built.lines.get(record.sequence as usize - 1).map(Vec::as_slice), "a record changed");
                }
                place = (record.spool, record.sequence.saturating_add(1));
            }
            Item::Gap(gap) => {
                let (first, next) = gap.sequences.expect("a gap of a reader has its numbers");
                assert_eq!((first, gap.records), (place.1, Some(next - first)));
                place.1 = next;
            }
            Item::Renewed { id, .. } => place = (id, reader_begins(built, new, id)),
            Item::Commit(_) => {}
        }
        items += 1;
        assert!(items < 10_000, "reading does not end");
        reader.advance();
    }
    assert!(built.wild || found, "what was written behind the damage is not read");
}

/// Where an identity's numbers begin: at 1, but for what a wild frame says.
fn reader_begins(built: &Built, new: (SpoolId, u64), id: SpoolId) -> u64 {
    if built.wild && new.0 == id { new.1 } else { 1 }
}
