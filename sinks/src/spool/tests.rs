//! The spool as its users see it: written, committed, killed, damaged, read back.

use super::*;
use std::path::Path;
use std::time::Duration;

fn options() -> Options {
    Options::new("node-a", "boot-1")
}

fn open(folder: &Path) -> (Writer, Found) {
    Writer::open(folder, &options()).unwrap()
}

fn write(writer: &mut Writer, count: u64) {
    for _ in 0..count {
        let line = format!("line {}", writer.next_sequence());
        writer.append(1000, b"key", b"\x01a\x01\x00x", line.as_bytes()).unwrap();
    }
}

fn commit(writer: &mut Writer) {
    let position = writer.next_sequence() * 10;
    writer.commit(Commit { intake_position: position, time: 5, ..Commit::default() }).unwrap();
}

fn settle(writer: &Writer) {
    writer.flush(Duration::from_secs(30)).unwrap();
}

/// Everything a reader gives, as text; sequence numbers of records joined to runs.
fn read(reader: &mut Reader) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut run: Option<(u64, u64)> = None;
    loop {
        let text = match reader.peek().unwrap() {
            Some(Item::Record(record)) => {
                assert_eq!(record.line, format!("line {}", record.sequence).as_bytes());
                assert_eq!((record.key, record.labels), (&b"key"[..], &b"\x01a\x01\x00x"[..]));
                match &mut run {
                    Some((_, last)) => {
                        assert_eq!(*last + 1, record.sequence);
                        *last = record.sequence;
                    }
                    None => run = Some((record.sequence, record.sequence)),
                }
                None
            }
            Some(Item::Commit(commit)) => Some(format!("commit {}..{}", commit.first, commit.next)),
            Some(Item::Gap(gap)) => Some(format!("{} {:?}", gap.cause, gap.sequences.unwrap())),
            Some(Item::Renewed { .. }) => Some("renewed".to_owned()),
            None => Some(String::new()),
        };
        if let Some(text) = text {
            if let Some((first, last)) = run.take() {
                items.push(format!("{first}-{last}"));
            }
            if text.is_empty() {
                return items;
            }
            items.push(text);
        }
        reader.advance();
    }
}

fn read_all(writer: &Writer) -> Vec<String> {
    read(&mut writer.spool().reader("test", WhenFull::DropOldest).unwrap().0)
}

#[test]
fn records_become_visible_with_their_commit_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, found) = open(folder.path());
    assert_eq!(found.renewal, Some(Renewal::New));
    write(&mut writer, 3);
    settle(&writer);
    assert!(read_all(&writer).is_empty());
    commit(&mut writer);
    commit(&mut writer);
    settle(&writer);
    assert_eq!(read_all(&writer), ["1-3", "commit 1..4", "commit 4..4"]);
}

#[test]
fn records_that_share_a_time_are_told_apart_alike_wherever_reading_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(folder.path());
    for times in [[7, 7, 8, 7], [7, 9, 9, 7]] {
        for time in times {
            writer.append(time, b"", b"", b"line").unwrap();
        }
        commit(&mut writer);
    }
    settle(&writer);
    for skipped in 0..8 {
        let (mut reader, _) = writer.spool().reader("test", WhenFull::Hold).unwrap();
        let mut nudges = Vec::new();
        while let Some(item) = reader.peek().unwrap() {
            if let Item::Record(record) = item
                && record.sequence > skipped
            {
                nudges.push(record.nudge);
            }
            reader.advance();
        }
        assert_eq!(nudges, [0, 1, 1, 3, 4, 3, 4, 7][skipped as usize..]);
    }
}

#[test]
fn after_a_kill_the_spool_goes_on_behind_its_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(folder.path());
    write(&mut writer, 3);
    commit(&mut writer);
    write(&mut writer, 100_000);
    settle(&writer);
    let id = writer.id();
    drop(writer);
    let (mut writer, found) = open(folder.path());
    assert_eq!((found.renewal, writer.id(), writer.next_sequence()), (None, id, 4));
    let (last, _) = found.last.unwrap();
    assert_eq!((last.intake_position, last.next), (40, 4));
    assert!(found.cut_bytes > 100_000);
    write(&mut writer, 2);
    commit(&mut writer);
    settle(&writer);
    assert_eq!(read_all(&writer), ["1-3", "commit 1..4", "4-5", "commit 4..6"]);
}

#[test]
fn another_boot_gives_a_new_identity_and_the_old_records_are_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = open(folder.path());
    write(&mut writer, 3);
    commit(&mut writer);
    settle(&writer);
    let id = writer.id();
    drop(writer);
    let (mut writer, found) = Writer::open(folder.path(), &Options::new("node-a", "boot-2")).unwrap();
    assert_eq!((found.renewal, found.previous, writer.next_sequence()), (Some(Renewal::Reboot), Some(id), 1));
    assert_ne!(writer.id(), id);
    write(&mut writer, 2);
    commit(&mut writer);
    settle(&writer);
    assert_eq!(read_all(&writer), ["1-3", "commit 1..4", "renewed", "1-2", "commit 1..3"]);
    writer.close(Duration::from_secs(10)).unwrap();
    let (_, found) = Writer::open(folder.path(), &Options::new("node-a", "boot-3")).unwrap();
    assert_eq!(found.renewal, None, "a spool that was closed keeps its identity over a reboot");
}

/// The machine loses power before the sink has delivered anything, and another sink is ahead of it.
#[test]
fn what_a_sink_that_never_delivered_has_to_get_is_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let small = |boot: &str| Options { max_bytes: 16 << 20, min_free_percent: 0, ..Options::new("node-a", boot) };
    let fill = |writer: &mut Writer| {
        for _ in 0..100 {
            write(writer, 1000);
            commit(writer);
            settle(writer);
        }
    };
    let (mut writer, _) = Writer::open(folder.path(), &small("boot-1")).unwrap();
    drop(writer.spool().reader("slow", WhenFull::Hold).unwrap());
    fill(&mut writer);
    drop(writer);

    let (mut writer, found) = Writer::open(folder.path(), &small("boot-2")).unwrap();
    assert_eq!(found.renewal, Some(Renewal::Reboot));
    let (mut fast, _) = writer.spool().reader("fast", WhenFull::Hold).unwrap();
    read(&mut fast);
    writer.spool().release("fast", &fast.cursor());
    fill(&mut writer);
    let (mut slow, _) = writer.spool().reader("slow", WhenFull::Hold).unwrap();
    let items = read(&mut slow);
    assert_eq!((items.len(), items[0].as_str(), items[200].as_str()), (401, "1-1000", "renewed"));
}

/// An interval's end reads its sums while the lines it writes from them, uncommitted, fill more than a segment.
#[test]
fn hidden_frames_are_whole_whatever_lies_uncommitted_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { max_bytes: 64 << 20, min_free_percent: 0, ..options() };
    let (mut writer, _) = Writer::open(folder.path(), &options).unwrap();
    let from = writer.append_hidden(b"one").unwrap();
    writer.append_hidden(b"two").unwrap();
    writer.commit(Commit { partials: Some(from), ..Commit::default() }).unwrap();
    let hidden = |writer: &Writer| {
        let mut frames = Vec::new();
        assert!(writer.hidden(from, &mut |frame| frames.push(frame.to_vec())).unwrap(), "whole");
        frames
    };
    assert_eq!(hidden(&writer), [b"one", b"two"]);
    for _ in 0..3 * writer.spool().shared.segment_bytes() / 10_000 {
        writer.append(1000, b"", b"", &[b'x'; 10_000]).unwrap();
    }
    settle(&writer);
    assert!(writer.spool().shared.lock().segments.len() > 2, "the lines fill several segments");
    assert_eq!(hidden(&writer), [b"one", b"two"]);
}

#[test]
fn what_made_room_is_the_same_gap_each_time_a_reader_comes_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, _) = Writer::open(folder.path(), &Options { max_bytes: 1 << 20, min_free_percent: 0, ..options() }).unwrap();
    let (mut reader, _) = writer.spool().reader("slow", WhenFull::DropOldest).unwrap();
    for _ in 0..100 {
        write(&mut writer, 1000);
        commit(&mut writer);
        settle(&writer);
    }
    let gap = |reader: &mut Reader| match reader.peek().unwrap() {
        Some(Item::Gap(gap)) => gap.clone(),
        other => panic!("{other:?}"),
    };
    let first = gap(&mut reader);
    assert_eq!((first.cause.as_str(), first.sequences.unwrap().0), (cause::FULL, 1));
    for _ in 0..3 {
        let place = reader.cursor();
        reader.seek(&place);
        assert_eq!(gap(&mut reader), first);
    }
    reader.advance();
    assert!(matches!(reader.peek().unwrap(), Some(Item::Record(record)) if record.sequence == first.sequences.unwrap().1));
    // Nothing is damaged; one sink has lost what made room, and that is to be said once.
    let lost: Vec<_> = writer.take_damage().into_iter().map(|lost| (lost.sink, (lost.first, lost.next))).collect();
    assert_eq!(lost, [(Some("slow".to_owned()), first.sequences.unwrap())]);
    assert!(!writer.has_damage());
}

#[test]
fn a_second_owner_and_another_node_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (writer, _) = open(folder.path());
    assert!(matches!(Writer::open(folder.path(), &options()), Err(OpenError::InUse(_))));
    drop(writer);
    assert!(matches!(Writer::open(folder.path(), &Options::new("node-b", "boot-1")), Err(OpenError::OtherNode { .. })));
}
