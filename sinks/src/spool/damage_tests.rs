//! A spool killed, cut and damaged at random, against a vector of what was written.

use super::*;
use proptest::prelude::*;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What happens to a spool.
#[derive(Clone, Debug)]
enum Act {
    /// Records, each with so many bytes in its line.
    Append(usize, usize),
    Commit,
    /// Sums that no sink sees.
    Hidden(usize),
    /// Killed and opened again.
    Kill,
    /// As a power loss: the file's end is gone, and the boot is another.
    Cut(u64),
    /// A bit changes on disk, while the spool is not open.
    Flip(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0_usize..40, 0_usize..400).prop_map(|(count, bytes)| Act::Append(count, bytes)),
        3 => Just(Act::Commit),
        1 => (0_usize..300).prop_map(Act::Hidden),
        1 => Just(Act::Kill),
        1 => any::<u64>().prop_map(Act::Cut),
        1 => any::<u64>().prop_map(Act::Flip),
    ];
    // Two bits at most. Three can hit the records of an identity, its commit and the next segment's header, and then nothing is left that says how many there were.
    prop::collection::vec(act, 1..40).prop_map(|mut acts| {
        let mut flips = 0;
        acts.retain(|act| {
            flips += usize::from(matches!(act, Act::Flip(_)));
            flips <= 2 || !matches!(act, Act::Flip(_))
        });
        acts
    })
}

/// The spool, and what a reader has to find in it.
struct Model {
    folder: tempfile::TempDir,
    writer: Option<Writer>,
    boot: u32,
    /// Committed, by identity in order: the lines by number from 1.
    committed: Vec<(SpoolId, Vec<Vec<u8>>)>,
    open: Vec<Vec<u8>>,
    damaged: bool,
    made: u64,
}

fn settle(writer: &Writer) {
    writer.flush(Duration::from_secs(30)).unwrap();
}

impl Model {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut model = Self { folder, writer: None, boot: 0, committed: Vec::new(), open: Vec::new(), damaged: false, made: 0 };
        model.open();
        model
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn open(&mut self) {
        let mut options = Options::new("n", &format!("boot-{}", self.boot));
        // Segments of 16 KiB, so that there are several.
        options.max_bytes = 16 * 16384;
        options.min_free_percent = 0;
        let (writer, found) = Writer::open(&self.path(), &options).unwrap();
        self.open.clear();
        // Without damage the last commit is never lost; with it, what is behind the last whole commit is folded again.
        let before: usize = self.committed.iter().map(|(_, lines)| lines.len()).sum();
        // An identity under which nothing is stored begins behind what is left of the one before, which may have lost its last commit since.
        let last = writer.spool().shared.lock().segments.back().cloned();
        let is_new = self.committed.last().is_none_or(|(id, _)| *id != writer.id());
        let previous = last.filter(|last| is_new || last.base == last.end).and_then(|last| last.previous);
        let (id, next) = previous.unwrap_or((writer.id(), writer.next_sequence()));
        let known = self.committed.iter().position(|(committed, _)| *committed == id);
        for (index, (_, lines)) in self.committed.iter_mut().enumerate() {
            if known.is_none_or(|known| index >= known) {
                lines.truncate(if known == Some(index) { (next - 1) as usize } else { 0 });
            }
        }
        let after: usize = self.committed.iter().map(|(_, lines)| lines.len()).sum();
        assert!(self.damaged || before == after, "a commit is gone: {found:?}");
        if self.committed.last().is_none_or(|(id, _)| *id != writer.id()) {
            self.committed.push((writer.id(), Vec::new()));
        }
        self.writer = Some(writer);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append(count, bytes) => {
                for _ in 0..*count {
                    self.made += 1;
                    let line = format!("{:0>width$}", self.made, width = bytes + 8).into_bytes();
                    let writer = self.writer.as_mut().unwrap();
                    writer.append(self.made as i64, b"key", b"", &line).unwrap();
                    self.open.push(line);
                }
            }
            Act::Commit => self.commit(),
            Act::Hidden(bytes) => drop(self.writer.as_mut().unwrap().append_hidden(&vec![7; *bytes]).unwrap()),
            Act::Kill => {
                self.writer = None;
                self.open();
            }
            Act::Cut(at) => {
                settle(self.writer.as_ref().unwrap());
                let synced = self.synced_file();
                self.writer = None;
                self.boot += 1;
                // Everything behind the last synced byte may be gone, from any byte on.
                let (path, from) = synced;
                let length = path.metadata().unwrap().len();
                let keep = from + pick(*at, length - from + 1);
                std::fs::File::options().write(true).open(&path).unwrap().set_len(keep).unwrap();
                self.open();
            }
            Act::Flip(at) => {
                settle(self.writer.as_ref().unwrap());
                self.writer = None;
                self.damaged |= flip(&self.path(), *at);
                self.open();
            }
        }
    }

    fn commit(&mut self) {
        self.writer.as_mut().unwrap().commit(Commit::default()).unwrap();
        self.committed.last_mut().unwrap().1.append(&mut self.open);
    }

    /// The active segment's file and the offset up to which it is synced.
    fn synced_file(&self) -> (PathBuf, u64) {
        let spool = self.writer.as_ref().unwrap().spool();
        let state = spool.shared.lock();
        let segment = state.segments.back().unwrap();
        // Visible is what is certain; later frames may or may not be on disk.
        let visible = spool.shared.visible.borrow().position.max(segment.base);
        (spool.shared.folder.segment(segment.base), visible - segment.base + SEGMENT_HEAD as u64)
    }

    /// Reads everything and compares: in order, nothing changed, and what is missing is exactly what the gaps say.
    fn check(&mut self) {
        self.commit();
        let writer = self.writer.as_ref().unwrap();
        settle(writer);
        let (mut reader, _) = writer.spool().reader("check", WhenFull::Hold).unwrap();
        let mut place = reader.cursor();
        let mut read = 0_u64;
        let mut lost = 0_u64;
        while let Some(item) = reader.peek().unwrap() {
            match item {
                Item::Record(record) => {
                    assert_eq!((record.spool, record.sequence), (place.spool, place.sequence), "out of order");
                    let lines = &self.committed.iter().find(|(id, _)| *id == record.spool).unwrap().1;
                    assert!(lines[record.sequence as usize - 1] == record.line, "record {} changed", record.sequence);
                    place.sequence += 1;
                    read += 1;
                }
                Item::Gap(gap) => {
                    assert!(self.damaged, "nothing was damaged, yet {gap:?}");
                    let (first, next) = gap.sequences.unwrap();
                    assert_eq!((first, gap.records), (place.sequence, Some(next - first)));
                    place.sequence = next;
                    lost += next - first;
                }
                Item::Renewed { id, previous } => {
                    assert_eq!(previous, place.spool);
                    let all = self.committed.iter().find(|(id, _)| *id == previous).unwrap().1.len() as u64;
                    assert_eq!(place.sequence, all + 1, "an identity ended early");
                    place = Cursor { spool: id, sequence: 1, ..place };
                }
                Item::Commit(_) => {}
            }
            reader.advance();
        }
        let visible: u64 = self.committed.iter().skip_while(|(id, _)| *id != self.first_id()).map(|(_, lines)| lines.len() as u64).sum();
        assert_eq!(read + lost, visible - self.before_oldest(), "what is missing was not counted");
    }

    fn first_id(&self) -> SpoolId {
        self.writer.as_ref().unwrap().spool().shared.lock().segments.front().unwrap().id
    }

    /// Records that made room before anybody read them.
    fn before_oldest(&self) -> u64 {
        self.writer.as_ref().unwrap().spool().shared.lock().segments.front().unwrap().number.max(1) - 1
    }
}

/// A place in `size`, as far along as `at` is in all of `u64`.
fn pick(at: u64, size: u64) -> u64 {
    ((u128::from(at) * u128::from(size)) >> 64) as u64
}

/// Flips a bit of a segment; whether there was one.
fn flip(folder: &Path, at: u64) -> bool {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    files.sort();
    let total: u64 = files.iter().map(|path| path.metadata().unwrap().len()).sum();
    let mut bit = pick(at, total * 8) as usize;
    for path in files {
        let mut bytes = std::fs::read(&path).unwrap();
        if bit < bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            return true;
        }
        bit -= bytes.len() * 8;
    }
    false
}

fn run(acts: &[Act]) {
    let mut model = Model::new();
    // A sink that holds everything, so that nothing makes room by itself.
    drop(model.writer.as_ref().unwrap().spool().reader("hold", WhenFull::Hold).unwrap());
    acts.iter().for_each(|act| model.act(act));
    model.check();
}

#[test]
fn what_went_wrong_once() {
    use Act::{Append, Commit, Cut, Flip};
    // Two flips, one in the only frame of an identity.
    run(&[
        Commit,
        Append(5, 143),
        Append(36, 23),
        Append(30, 293),
        Append(32, 306),
        Commit,
        Cut(0),
        Flip(885_919_376_948_500_626),
        Append(23, 102),
        Append(13, 29),
        Commit,
        Flip(15_540_610_966_251_608_570),
    ]);
    // The header of a segment in the middle, of an identity that nothing else has.
    run(&[Commit, Cut(0), Append(14, 69), Commit, Cut(0), Flip(3_851_331_277_286_654_132)]);
    run(&[Commit, Cut(0), Append(14, 269), Commit, Flip(2_262_179_615_892_244_383), Flip(3_965_467_797_269_934_270)]);
    // The last commit of an identity, once the next has begun and committed nothing.
    run(&[Commit, Append(2, 41), Commit, Cut(0), Flip(10_322_530_362_490_319_040), Append(0, 0)]);
    run(&[Commit, Cut(0), Append(11, 122), Commit, Cut(0), Flip(14_953_353_441_285_690_479)]);
    // The header of an identity's first segment, whose commits hold nothing, and then the last commit of the one before.
    run(&[
        Commit,
        Commit,
        Append(10, 216),
        Commit,
        Cut(0),
        Commit,
        Flip(14_724_070_976_828_303_858),
        Append(23, 265),
        Commit,
        Flip(5_796_655_946_897_147_947),
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_to_a_spool_its_records_come_back_in_order_and_every_loss_is_counted(acts in acts()) {
        run(&acts);
    }
}

/// Flips a bit in the middle of the first frame of records from this number on.
fn spoil(folder: &Path, number: u64) {
    for segment in inspect::segments(folder).unwrap() {
        let base = segment.head.as_ref().unwrap().base;
        let mut found = None;
        let each = &mut |part: inspect::Part<'_>| match part {
            inspect::Part::Frame(head, _) if head.kind == Kind::Records && head.number >= number => {
                found.get_or_insert(head.end() - base + SEGMENT_HEAD as u64 - u64::from(head.length) / 2);
            }
            _ => {}
        };
        inspect::walk(&segment, each).unwrap();
        if let Some(at) = found {
            let file = std::fs::File::options().read(true).write(true).open(&segment.path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            return file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        }
    }
    panic!("no such frame");
}

fn read_through(writer: &Writer, sink: &str) {
    let (mut reader, _) = writer.spool().reader(sink, WhenFull::Hold).unwrap();
    while reader.peek().unwrap().is_some() {
        reader.advance();
    }
}

#[test]
fn damage_is_given_out_once_whoever_meets_it_and_whenever_the_process_ends() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { min_free_percent: 0, ..Options::new("n", "b") };
    let (mut writer, _) = Writer::open(folder.path(), &options).unwrap();
    for time in 1..=4 {
        for _ in 0..10 {
            writer.append(time, b"", b"", b"line").unwrap();
        }
        writer.commit(Commit { time, ..Commit::default() }).unwrap();
        settle(&writer);
    }
    spoil(folder.path(), 11);
    assert!(!writer.has_damage(), "nobody has met it");
    read_through(&writer, "a");
    read_through(&writer, "b");
    let lost = Damaged { spool: writer.id(), first: 11, next: 21, from: Some(1), to: Some(2), sink: None };
    assert!(writer.has_damage());
    assert_eq!(writer.take_damage(), std::slice::from_ref(&lost));
    // Killed before the commit that would have said so.
    drop(writer);
    let (mut writer, _) = Writer::open(folder.path(), &options).unwrap();
    assert_eq!(writer.take_damage(), std::slice::from_ref(&lost));
    writer.commit(Commit { time: 5, ..Commit::default() }).unwrap();
    settle(&writer);
    drop(writer);
    let (mut writer, _) = Writer::open(folder.path(), &options).unwrap();
    read_through(&writer, "c");
    assert!(!writer.has_damage() && writer.take_damage().is_empty());
    spoil(folder.path(), 31);
    read_through(&writer, "d");
    assert_eq!(writer.take_damage(), [Damaged { first: 31, next: 41, from: Some(3), to: Some(4), ..lost }]);
}
