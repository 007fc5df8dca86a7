//! Keeps in the intake how far each ring has been read, however long one of them is quiet.
//!
//! A start compares that with the ring itself: one that was read further than the intake knows belongs to another intake, and spools get new identities. The
//! frame that says it goes with its segment once every flow log has passed; so it is said again now and then, and what said it last is held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use flowlog_sinks::spool::IntakeReader;

use super::intake::SharedIntake;

/// Bytes of the intake after which it is said again.
const EVERY: u64 = 128 << 10;

/// The ends of one instance's rings.
pub struct RingEnds {
    instance: [u8; 16],
    intake: Arc<SharedIntake>,
    /// Holds the frames that said it last.
    hold: Mutex<IntakeReader>,
    /// The intake's end before them.
    said: AtomicU64,
}

impl RingEnds {
    /// Holds all of the intake until they are said for the first time: make it before a flow log can let go of anything.
    #[must_use]
    pub fn new(instance: [u8; 16], intake: Arc<SharedIntake>) -> Self {
        let hold = Mutex::new(intake.readers().reader("ring ends", 0));
        Self { instance, intake, hold, said: AtomicU64::new(0) }
    }

    /// Says them again if that is due.
    pub fn keep(&self) {
        let end = self.intake.readers().end();
        if end.saturating_sub(self.said.load(Ordering::Acquire)) < EVERY {
            return;
        }
        // Another drain is at it.
        let Ok(hold) = self.hold.try_lock() else { return };
        // What is not taken now is tried again with the next burst.
        if self.intake.repeat_ends(self.instance).is_ok() {
            self.said.store(end, Ordering::Release);
            hold.release(end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::SourceKind;
    use crate::sources::clock::ArrivalClock;
    use flowlog_sinks::spool::{Appended, Intake, IntakeOptions, Origin};
    use std::time::Duration;

    #[test]
    fn a_start_with_an_intake_at_its_bound_lets_go_of_what_everybody_has_passed() {
        let folder = tempfile::tempdir().unwrap();
        let options = IntakeOptions { max_bytes: 1 << 20, ..IntakeOptions::new("node", "boot") };
        let (mut intake, _) = Intake::open(folder.path(), &options).unwrap();
        let reader = intake.readers().reader("story", 0);
        let (id, mut position) = ([7; 16], 0);
        for length in [10_000, 1] {
            let origin = |ring_position| Origin { ring_id: id, ring_position, ..Origin::default() };
            while matches!(intake.append(&origin(position), &vec![0; length]).unwrap(), Appended::Stored { .. }) {
                position += length as u64;
            }
        }
        let intake = Arc::new(SharedIntake::new(intake, Arc::new(ArrivalClock::default())));
        let ends = RingEnds::new(id, Arc::clone(&intake));
        ends.keep();
        while intake.readers().begin() == 0 {
            std::thread::yield_now();
            ends.keep();
            reader.release(intake.readers().end());
        }
        assert!(intake.append(SourceKind::Ring, id, 0, position, b"more").unwrap());
    }

    #[test]
    fn where_a_quiet_ring_ends_is_known_after_a_start_although_its_frames_are_long_gone() {
        let folder = tempfile::tempdir().unwrap();
        let options = IntakeOptions { max_bytes: 2 << 20, ..IntakeOptions::new("node", "boot") };
        let (intake, _) = Intake::open(folder.path(), &options).unwrap();
        let intake = Arc::new(SharedIntake::new(intake, Arc::new(ArrivalClock::default())));
        let (id, burst) = ([7; 16], [0; 10_000]);
        let ends = RingEnds::new(id, Arc::clone(&intake));
        let reader = intake.readers().reader("story", 0);
        assert!(intake.append(SourceKind::Ring, id, 3, 40, b"quiet").unwrap());
        let mut position = 0;
        while intake.readers().begin() < 8 << 20 {
            if intake.append(SourceKind::Ring, id, 0, position, &burst).unwrap() {
                position += burst.len() as u64;
            }
            ends.keep();
            reader.release(intake.readers().end());
        }
        intake.close(Duration::from_secs(20));
        drop((ends, reader, intake));
        let (intake, _) = Intake::open(folder.path(), &options).unwrap();
        assert_eq!((intake.ring_end(&id, 3), intake.ring_end(&id, 0)), (Some(45), Some(position)));
    }
}
