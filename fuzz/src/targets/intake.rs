//! An intake's folder with a damaged segment in it: it opens, goes on, and its readers get what was written, or are told which bytes they do
//! not get.

use std::path::Path;

use flowlog_sinks::spool::{Appended, Intake, IntakeOptions, LogKind, Origin, Raw, SpoolId};

use super::frames::Built;

const NEW: &[u8] = b"new bytes";

/// Makes a segment by the input's steps, and opens it.
pub fn run(input: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let id = identity(folder.path());
    let built = Built::new(id, LogKind::Intake, "node", input);
    std::fs::write(folder.path().join(format!("{:020}.seg", 0)), &built.file).expect("a segment is written");
    let mut intake = open(folder.path());
    let origin = Origin { ring_id: [3; 16], ..Origin::default() };
    let Ok(Appended::Stored { position: new, missing: 0 }) = intake.append(&origin, NEW) else {
        panic!("an intake with damage takes nothing");
    };
    let mut reader = intake.readers().reader("check", 0);
    let (mut place, mut found) = (0, false);
    while let Some(raw) = reader.take().expect("the disk is read") {
        match raw {
            Raw::Frame { position, bytes, .. } => {
                assert!(position >= place && (built.wild || position == place), "out of order: {position}, expected {place}");
                if position == new {
                    assert_eq!(bytes, NEW);
                    found = true;
                } else if !built.wild {
                    assert!(built.raw.iter().any(|(at, written)| *at == position && written == bytes), "a frame at {position} changed");
                }
            }
            Raw::Lost { from, to } => assert!(place <= from && from < to, "lost from {from} to {to}, behind {place}"),
        }
        assert!(reader.position() > place, "reading stands still at {place}");
        place = reader.position();
    }
    assert!(found, "what was written behind the damage is not read");
    assert_eq!(intake.append(&origin, NEW).expect("the disk takes it"), Appended::Already);
}

fn open(folder: &Path) -> Intake {
    let mut options = IntakeOptions::new("node", "boot");
    options.max_bytes = 8 << 20;
    Intake::open(folder, &options).expect("a folder with damage opens").0
}

/// Makes the folder and tells its identity, which only its id file knows.
fn identity(folder: &Path) -> SpoolId {
    drop(open(folder));
    let text = std::fs::read(folder.join("id.json")).expect("an id file");
    let identity: serde_json::Value = serde_json::from_slice(&text).expect("an id file is JSON");
    identity["id"].as_str().and_then(|id| id.parse().ok()).expect("an identity")
}
