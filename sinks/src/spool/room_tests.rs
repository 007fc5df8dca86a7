//! A spool whose segments make room while its identity changes, against how many records each identity had.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

/// What happens to a spool whose sinks are away.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// Commits so many records.
    Commit(u64),
    /// As a power loss: the boot is another.
    Reboot,
    /// Killed and opened again.
    Kill,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![8 => (0_u64..60).prop_map(Act::Commit), 2 => Just(Act::Reboot), 1 => Just(Act::Kill)];
    prop::collection::vec(act, 1..60)
}

const SINKS: [(&str, WhenFull); 2] = [("drops", WhenFull::DropOldest), ("holds", WhenFull::Hold)];

/// The spool, and how many records were committed under each identity.
struct Model {
    folder: tempfile::TempDir,
    boot: u32,
    committed: Vec<(SpoolId, u64)>,
}

impl Model {
    fn open(&mut self) -> Writer {
        // Segments of 16 KiB, sixteen of them.
        let options = Options { max_bytes: 16 * 16384, min_free_percent: 0, ..Options::new("n", &format!("boot-{}", self.boot)) };
        let (writer, _) = Writer::open(self.folder.path(), &options).unwrap();
        for (sink, when_full) in SINKS {
            drop(writer.spool().reader(sink, when_full).unwrap());
        }
        if self.committed.last().is_none_or(|(id, _)| *id != writer.id()) {
            self.committed.push((writer.id(), 0));
        }
        writer
    }

    fn run(acts: &[Act]) {
        let mut model = Self { folder: tempfile::tempdir().unwrap(), boot: 0, committed: Vec::new() };
        let mut writer = model.open();
        for act in acts.iter().chain([&Act::Commit(1)]) {
            match act {
                Act::Commit(count) => {
                    for _ in 0..*count {
                        writer.append(0, b"", b"", &[7; 600]).unwrap();
                    }
                    writer.commit(Commit::default()).unwrap();
                    writer.flush(Duration::from_secs(30)).unwrap();
                    model.committed.last_mut().unwrap().1 += count;
                }
                Act::Reboot | Act::Kill => {
                    drop(writer);
                    model.boot += u32::from(matches!(act, Act::Reboot));
                    writer = model.open();
                }
            }
        }
        SINKS.iter().for_each(|(sink, when_full)| model.check(&writer, sink, *when_full));
    }

    /// The place of an identity in their order; one that committed nothing may be left out.
    fn index(&self, id: SpoolId) -> usize {
        self.committed.iter().position(|(committed, _)| *committed == id).unwrap()
    }

    /// A sink that comes back finds all of it, in order, as records or as a gap that says so.
    fn check(&self, writer: &Writer, sink: &str, when_full: WhenFull) {
        let (mut reader, _) = writer.spool().reader(sink, when_full).unwrap();
        let left: Vec<SpoolId> = writer.spool().shared.lock().segments.iter().map(|segment| segment.id).collect();
        let mut place = reader.cursor();
        let mut is_open = false;
        while let Some(item) = reader.peek().unwrap() {
            match item {
                Item::Record(record) => {
                    assert_eq!((record.spool, record.sequence), (place.spool, place.sequence), "{sink}");
                    place.sequence += 1;
                }
                Item::Gap(gap) => {
                    assert_eq!(gap.cause, cause::FULL);
                    match gap.sequences {
                        Some((first, next)) => assert_eq!((first, gap.records), (place.sequence, Some(next - first)), "{sink}"),
                        None => {
                            let behind = self.committed[self.index(place.spool) + 1].0;
                            assert!(!left.contains(&behind) && !is_open, "{sink}: the identity behind says how many there were");
                            is_open = true;
                        }
                    }
                    place.sequence = gap.sequences.map_or(place.sequence, |(_, next)| next);
                }
                Item::Renewed { id, previous } => {
                    assert_eq!(previous, place.spool);
                    let (from, to) = (self.index(previous), self.index(id));
                    assert!(is_open || place.sequence == self.committed[from].1 + 1, "{sink}: an identity ended early");
                    let skipped = &self.committed[from + 1..to];
                    assert!(is_open || skipped.iter().all(|(_, records)| *records == 0), "{sink}: {skipped:?} skipped");
                    (place, is_open) = (Cursor { spool: id, sequence: 1, ..place }, false);
                }
                Item::Commit(_) => {}
            }
            // Whoever comes back to a place meets there what it met before.
            let met = format!("{item:?}");
            let here = reader.cursor();
            reader.seek(&here);
            assert_eq!(reader.peek().unwrap().map(|item| format!("{item:?}")), Some(met));
            reader.advance();
        }
        let (id, records) = *self.committed.last().unwrap();
        assert_eq!((place.spool, place.sequence), (id, records + 1), "{sink}");
    }
}

#[test]
fn where_an_identity_ended_is_known_although_the_first_segment_behind_it_made_room() {
    use Act::{Commit, Reboot};
    let many = [Commit(50); 12];
    Model::run(&[&[Commit(30), Reboot][..], &many].concat());
    Model::run(&[&[Commit(30), Reboot][..], &many, &[Reboot], &many].concat());
    Model::run(&[&[Commit(30), Reboot, Commit(3), Reboot][..], &many, &[Reboot], &many].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sink_that_was_away_over_changes_of_identity_has_every_record_or_a_gap_in_its_place(acts in acts()) {
        Model::run(&acts);
    }
}
