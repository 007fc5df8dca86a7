//! JSONL files and standard input as sources: threads that move whole lines into the intake, and remember where they stand.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowlog_sinks::spool::{Gap, IntakeReader, Raw};

use super::SourceKind;
use super::intake::SharedIntake;
use super::jsonl::{Follower, Position};
use crate::pipeline::note::{Note, SourcePosition, cause};

/// How long to wait when there is nothing new, or no room.
const TICK: Duration = Duration::from_millis(50);
/// A longer line of standard input is taken in pieces, each of which can't be read and is counted; an intake's frame takes 16 MiB.
const LONGEST_LINE: u64 = 8 << 20;
/// What the lines of standard input are said to be of.
const STANDARD_INPUT: &str = "standard input";
/// Bytes of the intake between two notes of where the sources stand.
const NOTE_EVERY: u64 = 128 << 10;

/// What the threads share.
pub struct LinesSource {
    /// Lines go here.
    pub intake: Arc<SharedIntake>,
    /// Set to end the threads.
    pub stop: Arc<AtomicBool>,
    /// Where each file stands.
    positions: Mutex<BTreeMap<String, Position>>,
    /// The intake's end before the last note.
    noted: AtomicU64,
    /// Holds that note in the intake, whatever the flow logs have read.
    hold: Mutex<IntakeReader>,
    /// Set when standard input has ended.
    pub ended: AtomicBool,
}

impl LinesSource {
    /// Sources that go on from where the notes in the intake say.
    #[must_use]
    pub fn new(intake: Arc<SharedIntake>, stop: Arc<AtomicBool>) -> Self {
        // It holds all of the intake until the first note of this life: flow logs, which may need more than what follows the last note, are still to come.
        let mut hold = intake.readers().reader("sources", 0);
        let known = known_positions(&mut hold);
        Self { intake, stop, positions: Mutex::new(known), noted: AtomicU64::new(0), hold: Mutex::new(hold), ended: AtomicBool::new(false) }
    }

    /// Nothing is followed: the intake holds nothing for it.
    pub fn follow_nothing(&self) {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).release(u64::MAX);
    }

    /// Follows a file until told to stop.
    pub fn follow(&self, path: &str) {
        let resume = self.positions.lock().unwrap_or_else(PoisonError::into_inner).get(path).copied();
        // The intake may have more than the last note says.
        let resume = resume.map(|known| match self.intake.source_end(&known.file, known.again) {
            Some(end) => Position { offset: known.offset.max(end), ..known },
            None => known,
        });
        let mut follower = Follower::new(Path::new(path), resume);
        let mut lost = 0;
        while !self.stop.load(Ordering::Acquire) {
            match follower.look() {
                Ok(Some(chunk)) => {
                    let end = chunk.position.behind(chunk.bytes);
                    if !self.begins(path, chunk.position) || !self.store(chunk.position, chunk.bytes) {
                        return;
                    }
                    self.stands(path, end);
                }
                Ok(None) => {
                    // Other sources move the intake on too.
                    self.note_if_due();
                    std::thread::sleep(TICK);
                }
                Err(error) => {
                    tracing::error!(%error, "trying again");
                    std::thread::sleep(Duration::from_secs(1));
                }
            }
            if follower.lost_track > lost {
                // Tried again at the next look: a gap must not be lost.
                if self.note(&Note::Gap(Gap { cause: cause::SOURCE_GONE.to_owned(), ..Gap::default() })) {
                    lost = follower.lost_track;
                }
            }
        }
        self.note_positions();
    }

    /// Reads standard input to its end.
    pub fn read_standard_input(&self) {
        let mut input = std::io::stdin().lock();
        let mut id = [0; 16];
        // Another process's input is another stream; its number only has to differ.
        id[..4].copy_from_slice(&std::process::id().to_le_bytes());
        id[8..].copy_from_slice(&self.intake.readers().end().to_le_bytes());
        id[7] = 1;
        let (mut position, mut chunk) = (Position { file: id, ..Position::default() }, Vec::new());
        loop {
            chunk.clear();
            let ended = loop {
                match (&mut input).take(LONGEST_LINE).read_until(b'\n', &mut chunk) {
                    Ok(0) => break true,
                    Ok(_) if chunk.len() >= 256 * 1024 => break false,
                    // More of it may be buffered; a line that is not must not wait for another.
                    Ok(_) => match input.fill_buf() {
                        Ok(rest) if memchr::memchr(b'\n', rest).is_some() => {}
                        _ => break false,
                    },
                    Err(error) => {
                        tracing::error!(%error, "standard input cannot be read any more");
                        break true;
                    }
                }
            };
            if !chunk.is_empty() {
                if !self.begins(STANDARD_INPUT, position) || !self.store(position, &chunk) {
                    return;
                }
                position = position.behind(&chunk);
                self.stands(STANDARD_INPUT, position);
            }
            if ended {
                break;
            }
        }
        self.ended.store(true, Ordering::Release);
    }

    /// Waits for room as long as it takes; false when told to stop meanwhile.
    fn store(&self, position: Position, bytes: &[u8]) -> bool {
        loop {
            match self.intake.append(SourceKind::Lines, position.file, position.again, position.offset, bytes) {
                Ok(true) => return true,
                Ok(false) => std::thread::sleep(TICK),
                Err(error) => {
                    tracing::error!(%error, "the intake cannot be written; the source waits");
                    std::thread::sleep(Duration::from_millis(500));
                }
            }
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
        }
    }

    /// Notes the file that the next bytes are of, before the first of them: a restart then never takes it for the one before, and whoever reads the lines
    /// can tell where they stand. False when told to stop while waiting for room.
    fn begins(&self, path: &str, position: Position) -> bool {
        let before = self.positions.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), position);
        if before.is_some_and(|before| (before.file, before.again) == (position.file, position.again)) {
            return true;
        }
        while !self.note_positions() {
            std::thread::sleep(TICK);
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
        }
        true
    }

    fn stands(&self, path: &str, position: Position) {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), position);
        self.note_if_due();
    }

    fn note_if_due(&self) {
        if self.intake.readers().end().saturating_sub(self.noted.load(Ordering::Relaxed)) >= NOTE_EVERY {
            self.note_positions();
        }
    }

    fn note_positions(&self) -> bool {
        let end = self.intake.readers().end();
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        let notes = positions.iter().map(|(path, position)| SourcePosition::new(path, *position)).collect();
        drop(positions);
        let stored = self.note(&Note::Sources(notes));
        if stored {
            self.noted.store(end, Ordering::Relaxed);
            self.hold.lock().unwrap_or_else(PoisonError::into_inner).release(end);
        }
        stored
    }

    fn note(&self, note: &Note) -> bool {
        let stored = matches!(self.intake.note(note), Ok(true));
        if !stored {
            tracing::warn!(?note, "the intake has no room for a note");
        }
        stored
    }
}

/// Reads the newest position of each source out of an intake, from its oldest frame on.
fn known_positions(reader: &mut IntakeReader) -> BTreeMap<String, Position> {
    let mut known = BTreeMap::new();
    loop {
        match reader.take() {
            Ok(Some(Raw::Frame { origin, bytes, .. })) => {
                if SourceKind::from_number(origin.source) == Some(SourceKind::Note)
                    && let Some(Note::Sources(sources)) = Note::decode(bytes)
                {
                    for source in sources {
                        if let Some(position) = source.position() {
                            known.insert(source.path, position);
                        }
                    }
                }
            }
            Ok(Some(Raw::Lost { .. })) => {}
            Ok(None) => return known,
            Err(error) => {
                tracing::error!(%error, "the intake cannot be read back; sources start from their oldest file");
                return known;
            }
        }
    }
}

#[cfg(test)]
mod tests;
