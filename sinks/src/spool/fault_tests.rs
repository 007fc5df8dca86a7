//! The log on a disk that fails: full, refusing to sync; the bound; the intake.

use super::intake::{Appended, Intake, IntakeOptions, Origin};
use super::intake_reader::Raw;
use super::log::Disk;
use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

fn write(writer: &mut Writer, count: usize, bytes: usize) {
    for _ in 0..count {
        let line = format!("{:0>bytes$}", writer.next_sequence());
        writer.append(0, b"", b"", line.as_bytes()).unwrap();
    }
}

/// A reader from the oldest record on.
fn reader(writer: &Writer, sink: &str, when_full: WhenFull) -> Reader {
    writer.spool().reader(sink, when_full).unwrap().0
}

/// What a reader finds: records in order and gaps, as runs.
fn runs(reader: &mut Reader) -> Vec<(String, u64, u64)> {
    let mut runs: Vec<(String, u64, u64)> = Vec::new();
    while let Some(item) = reader.peek().unwrap() {
        let (what, first, next) = match item {
            Item::Record(record) => ("records".to_owned(), record.sequence, record.sequence + 1),
            Item::Gap(gap) => (gap.cause.clone(), gap.sequences.unwrap().0, gap.sequences.unwrap().1),
            _ => (String::new(), 0, 0),
        };
        match runs.last_mut() {
            _ if what.is_empty() => {}
            Some((last, _, end)) if *last == what && *end == first => *end = next,
            _ => runs.push((what, first, next)),
        }
        reader.advance();
    }
    runs
}

fn records(first: u64, next: u64) -> (String, u64, u64) {
    ("records".to_owned(), first, next)
}

/// Whether this time a failure is left to happen.
fn fails(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[test]
fn a_failed_sync_makes_the_frames_be_written_again_from_memory() {
    static FAIL: AtomicU32 = AtomicU32::new(0);
    static SYNCED: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());
    let disk = Disk {
        sync: |file| {
            let mut synced = SYNCED.lock().unwrap();
            let found = file.metadata()?;
            if fails(&FAIL) {
                // What a disk that loses its dirty pages leaves behind.
                file.set_len(synced.get(&found.ino()).copied().unwrap_or(0))?;
                return Err(std::io::Error::other("lost"));
            }
            synced.insert(found.ino(), found.len());
            Ok(rustix::fs::fdatasync(file)?)
        },
        ..Disk::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open_on(folder.path(), &Options::new("n", "b"), disk).unwrap();
    for round in 0..6 {
        write(&mut writer, 1000, 300);
        FAIL.store(round % 3, Ordering::SeqCst);
        writer.commit(Commit::default()).unwrap();
        writer.flush(Duration::from_secs(30)).unwrap();
    }
    assert!(writer.spool().metrics().sync_errors.load(Ordering::Relaxed) >= 3);
    assert_eq!(runs(&mut reader(&writer, "test", WhenFull::Hold)), [records(1, 6001)]);
    drop(writer);
    let (writer, found) = Writer::open(folder.path(), &Options::new("n", "b")).unwrap();
    assert_eq!((found.renewal, writer.next_sequence()), (None, 6001));
    assert_eq!(runs(&mut reader(&writer, "test", WhenFull::Hold)), [records(1, 6001)]);
}

#[test]
fn a_segment_begun_again_after_a_failure_still_says_where_the_identity_before_ended() {
    static WRITES: AtomicU32 = AtomicU32::new(0);
    static SYNCS: AtomicU32 = AtomicU32::new(0);
    let disk = Disk {
        write: |file, parts, offset| {
            if fails(&WRITES) { Err(std::io::Error::other("broken")) } else { Ok(rustix::io::pwritev(file, parts, offset)?) }
        },
        sync: |file| if fails(&SYNCS) { Err(std::io::Error::other("lost")) } else { Ok(rustix::fs::fdatasync(file)?) },
        ..Disk::default()
    };
    let folder = tempfile::tempdir().unwrap();
    for (boot, failures, before) in [("b", [0, 0], None), ("c", [1, 0], Some(101)), ("d", [0, 1], Some(101)), ("e", [1, 1], Some(101))] {
        let (mut writer, _) = Writer::open_on(folder.path(), &Options::new("n", boot), disk.clone()).unwrap();
        [&WRITES, &SYNCS].iter().zip(failures).for_each(|(left, count)| left.store(count, Ordering::SeqCst));
        write(&mut writer, 100, 10);
        writer.commit(Commit::default()).unwrap();
        writer.flush(Duration::from_secs(30)).unwrap();
        let segments = inspect::segments(folder.path()).unwrap();
        let head = segments.last().unwrap().head.clone().unwrap();
        assert_eq!((head.id, head.previous.map(|(_, next)| next)), (writer.id(), before), "{boot}");
        assert_eq!((WRITES.load(Ordering::SeqCst), SYNCS.load(Ordering::SeqCst)), (0, 0));
    }
}

#[test]
fn frames_written_again_are_read_and_synced_although_the_old_segments_cannot_be_removed_at_once() {
    static SYNCS: AtomicU32 = AtomicU32::new(0);
    static REMOVES: AtomicU32 = AtomicU32::new(0);
    let disk = Disk {
        sync: |file| if fails(&SYNCS) { Err(std::io::Error::other("lost")) } else { Ok(rustix::fs::fdatasync(file)?) },
        // Every second one fails.
        remove: |path| {
            if REMOVES.fetch_add(1, Ordering::SeqCst) % 2 == 1 { Err(std::io::Error::other("stays")) } else { std::fs::remove_file(path) }
        },
        ..Disk::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let options = IntakeOptions { max_bytes: 1 << 20, ..IntakeOptions::new("n", "b") };
    let (mut intake, _) = Intake::open_on(folder.path(), &options, disk).unwrap();
    let mut reader = intake.readers().reader("r", 0);
    let each = |from: u64, to: u64| (from..to).map(|index| (true, index * 5000, 5000)).collect::<Vec<_>>();
    // Each time over several segments, and once with the reader inside the segment that is replaced.
    for (round, syncs) in [1000, 0, 1000].into_iter().enumerate() {
        let (from, to) = (round as u64 * 60, round as u64 * 60 + 60);
        SYNCS.store(syncs, Ordering::SeqCst);
        for index in from..to {
            assert!(matches!(intake.append(&origin(index * 5000), &[7; 5000]).unwrap(), Appended::Stored { .. }));
            if index == from {
                assert_eq!(taken(&mut reader), each(from, from + 1));
            }
        }
        assert_eq!(super::flush::sync(&reader.shared).is_err(), syncs > 0);
        SYNCS.store(0, Ordering::SeqCst);
        while super::flush::sync(&reader.shared).is_err() {}
        assert_eq!(taken(&mut reader), each(from + 1, to), "{round}");
    }
    assert!(REMOVES.load(Ordering::SeqCst) > 2);
    drop((intake, reader));
    let (again, _) = Intake::open(folder.path(), &options).unwrap();
    assert_eq!(taken(&mut again.readers().reader("r", 0)), each(0, 180));
}

#[test]
fn a_full_disk_keeps_frames_in_memory_then_says_so_and_recovers_by_itself() {
    static ROOM: AtomicU32 = AtomicU32::new(0);
    let disk = Disk {
        write: |file, parts, offset| {
            if ROOM.load(Ordering::SeqCst) == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            Ok(rustix::io::pwritev(file, parts, offset)?)
        },
        ..Disk::default()
    };
    let folder = tempfile::tempdir().unwrap();
    ROOM.store(1, Ordering::SeqCst);
    let (mut writer, _) = Writer::open_on(folder.path(), &Options::new("n", "b"), disk).unwrap();
    ROOM.store(0, Ordering::SeqCst);
    write(&mut writer, 100, 100);
    writer.commit(Commit::default()).unwrap();
    assert_eq!(writer.durable().next, 1, "nothing may be shown that is not on disk");
    write(&mut writer, 2000, 10_000);
    let stalled = writer.commit(Commit::default()).unwrap_err();
    assert!(stalled.waiting > 16 << 20, "{stalled}");
    ROOM.store(1, Ordering::SeqCst);
    writer.retry().unwrap();
    writer.flush(Duration::from_secs(30)).unwrap();
    assert_eq!(runs(&mut reader(&writer, "test", WhenFull::Hold)), [records(1, 2101)]);
}

#[test]
fn at_the_bound_hold_loses_the_newest_and_drop_oldest_the_oldest() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 16 << 20, min_free_percent: 0, ..Options::new("n", "b") };
    let (mut writer, _) = Writer::open(folder.path(), &options).unwrap();
    let spool = writer.spool();
    let mut drops = reader(&writer, "drops", WhenFull::DropOldest);
    // Records of 1 KiB in commits of 128 KiB; two and a half times the bound.
    let fill = |writer: &mut Writer| {
        for _ in 0..320 {
            write(writer, 128, 1008);
            writer.commit(Commit::default()).unwrap();
            writer.flush(Duration::from_secs(30)).unwrap();
        }
    };
    fill(&mut writer);
    let found = runs(&mut drops);
    let [(cause, 1, next), (_, from, 40_961)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((cause.as_str(), next), (cause::FULL, from));
    assert!(spool.metrics().bytes.load(Ordering::Relaxed) <= 16 << 20);
    spool.forget("drops").unwrap();
    let (mut holds, _) = spool.reader("holds", WhenFull::Hold).unwrap();
    runs(&mut holds);
    spool.release("holds", &holds.cursor());
    fill(&mut writer);
    let found = runs(&mut holds);
    let [(first, _, kept), (gap, lost, again), (last, _, 81_921)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((first.as_str(), gap.as_str(), last.as_str()), ("records", cause::FULL, "records"));
    assert!(kept == lost && *again > *lost);
    let held = (kept - 40_961) * 1024;
    assert!((10 << 20..13 << 20).contains(&held), "about three quarters of the bound are the oldest: {held}");
    assert!(spool.metrics().bytes.load(Ordering::Relaxed) <= 17 << 20);
}

fn origin(position: u64) -> Origin {
    Origin { arrival: 5, ring_id: [1; 16], ring_position: position, ..Origin::default() }
}

fn intake(folder: &std::path::Path, max_bytes: u64) -> Intake {
    Intake::open(folder, &IntakeOptions { max_bytes, ..IntakeOptions::new("n", "b") }).unwrap().0
}

/// What a reader takes: for each frame its ring position and length; for each loss how many bytes of the intake.
fn taken(reader: &mut IntakeReader) -> Vec<(bool, u64, u64)> {
    let mut taken = Vec::new();
    while let Some(raw) = reader.take().unwrap() {
        taken.push(match raw {
            Raw::Frame { origin, bytes, .. } => (true, origin.ring_position, bytes.len() as u64),
            Raw::Lost { from, to } => (false, from, to - from),
        });
    }
    taken
}

#[test]
fn what_the_ring_shows_again_after_a_crash_is_not_stored_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = intake(folder.path(), 1 << 20);
    assert_eq!(first.append(&origin(0), &[1; 100]).unwrap(), Appended::Stored { position: 0, missing: 0 });
    assert_eq!(first.append(&origin(100), &[2; 50]).unwrap(), Appended::Stored { position: 188, missing: 0 });
    drop(first);
    let mut second = intake(folder.path(), 1 << 20);
    assert_eq!(second.ring_end(&[1; 16], 0), Some(150));
    // The ring was not released: the last batch comes again, with more behind it.
    assert_eq!(second.append(&origin(100), &[2; 50]).unwrap(), Appended::Already);
    assert!(matches!(second.append(&origin(100), &[3; 70]).unwrap(), Appended::Stored { missing: 0, .. }));
    assert!(matches!(second.append(&origin(200), &[3; 10]).unwrap(), Appended::Stored { missing: 30, .. }));
    let mut reader = second.readers().reader("r", 0);
    assert_eq!(taken(&mut reader), [(true, 0, 100), (true, 100, 50), (true, 150, 20), (true, 200, 10)]);
}

#[test]
fn at_its_bound_the_intake_is_full_until_the_slowest_reader_lets_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut intake = intake(folder.path(), 1 << 20);
    let (slow, mut fast) = (intake.readers().reader("slow", 0), intake.readers().reader("fast", 0));
    let (mut position, mut stored) = (0, 0);
    for _ in 0..3 {
        while let Appended::Stored { .. } = intake.append(&origin(position), &[7; 5000]).unwrap() {
            position += 5000;
        }
        stored += taken(&mut fast).len() as u64;
        fast.release(fast.position());
        assert_eq!(intake.append(&origin(position), &[7; 5000]).unwrap(), Appended::Full, "slow still holds everything");
        slow.release(fast.position());
    }
    assert_eq!(stored * 5000, position);
    assert!(position > 2 << 20, "segments are used again: {position} bytes went through");
    drop((intake, slow, fast));
    let (again, found) = Intake::open(folder.path(), &IntakeOptions::new("n", "b")).unwrap();
    assert_eq!((again.ring_end(&[1; 16], 0), found.renewal), (Some(position), Some(Renewal::New)));
}

#[test]
fn a_flipped_bit_in_the_intake_costs_its_frame_and_the_ring_positions_say_how_much_that_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut intake = intake(folder.path(), 1 << 20);
    for index in 0..10_u64 {
        intake.append(&origin(index * 1000), &[index as u8; 1000]).unwrap();
    }
    let path = folder.path().join("00000000000000000000.seg");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[SEGMENT_HEAD + 3 * 1088 + 500] ^= 4;
    std::fs::write(&path, bytes).unwrap();
    let found = taken(&mut intake.readers().reader("r", 0));
    let expected: Vec<_> = (0..10).map(|index| if index == 3 { (false, 3264, 1088) } else { (true, index * 1000, 1000) }).collect();
    assert_eq!(found, expected);
}

#[test]
fn any_bytes_are_parsed_without_a_panic() {
    use proptest::prelude::*;
    let head = SegmentHead {
        kind: LogKind::Spool,
        node: "n".to_owned(),
        id: SpoolId([1; 16]),
        base: u64::MAX - 100_000,
        number: 1,
        created: 0,
        previous: None,
    };
    assert_eq!(SegmentHead::parse(&head.encode()), Ok(head.clone()));
    proptest!(|(bytes in prop::collection::vec(any::<u8>(), 0..5000), whole in any::<bool>())| {
        let bytes = if whole { [head.encode().to_vec(), bytes].concat() } else { bytes };
        if let Ok((_, frames, bad)) = scan_bytes(&bytes) {
            prop_assert_eq!((frames, bad), ([0; 4], (bytes.len() - SEGMENT_HEAD) as u64));
        }
        parse_stored(&bytes);
        split_origin(&bytes);
    });
}
