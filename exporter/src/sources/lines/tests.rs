//! Stories of sources and the intake that remembers where they stand.

use std::io::Write;

use flowlog_sinks::spool::{Intake, IntakeOptions};

use super::*;
use crate::sources::clock::ArrivalClock;

fn intake(folder: &Path) -> Arc<SharedIntake> {
    let options = IntakeOptions { max_bytes: 1 << 20, ..IntakeOptions::new("node", "boot") };
    let (intake, _) = Intake::open(&folder.join("intake"), &options).unwrap();
    Arc::new(SharedIntake::new(intake, Arc::new(ArrivalClock::after(0))))
}

/// Follows a file until its last line is noted.
fn follow(intake: &Arc<SharedIntake>, path: &str, until: impl Fn() -> bool) -> Arc<LinesSource> {
    let source = Arc::new(LinesSource::new(Arc::clone(intake), Arc::new(AtomicBool::new(false))));
    let (follower, path) = (Arc::clone(&source), path.to_owned());
    let thread = std::thread::spawn(move || follower.follow(&path));
    while !until() {
        std::thread::sleep(Duration::from_millis(5));
    }
    source.stop.store(true, Ordering::Release);
    thread.join().unwrap();
    source
}

#[test]
fn a_quiet_source_is_not_forgotten_while_others_fill_the_intake_many_times_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quiet.log");
    std::fs::File::create(&path).unwrap().write_all(b"one\ntwo\n").unwrap();
    let path = path.to_str().unwrap();
    {
        let intake = intake(folder.path());
        let log = intake.readers().reader("a flow log", 0);
        let source = follow(&intake, path, || intake.readers().end() > 8);
        let mut position = 0;
        // No tick of the source in between, as if all of this happened before its next look.
        for _ in 0..40 {
            let bytes = vec![7; 100 << 10];
            while !intake.append(SourceKind::Ring, [1; 16], 0, position, &bytes).unwrap() {
                log.release(intake.readers().end());
                source.note_if_due();
            }
            position += bytes.len() as u64;
            log.release(intake.readers().end());
        }
        assert!(intake.readers().begin() > 0, "nothing was let go");
    }
    let again = intake(folder.path());
    let known = LinesSource::new(again, Arc::new(AtomicBool::new(false)));
    let known = known.positions.lock().unwrap()[path];
    assert_eq!((known.offset, known.lines), (8, 2));
}
