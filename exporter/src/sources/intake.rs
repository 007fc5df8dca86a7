//! The intake as its sources share it: one writer behind a lock, stamped by the arrival clock.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flowlog_bpf::event::LAYOUT_VERSION;
use flowlog_sinks::spool::{Appended, Gap, Intake, IntakeReaders, Origin};

use super::SourceKind;
use super::clock::ArrivalClock;
use crate::pipeline::note::{Note, cause};

/// Room that is kept for notes, bytes: they say what is held, so that what holds the intake could otherwise never be let go.
const FOR_NOTES: u64 = 64 << 10;
/// Who the notes of the daemon are from: no ring has this instance.
const NOTES: [u8; 16] = [0; 16];

/// The intake, shared.
pub struct SharedIntake {
    intake: Mutex<Option<Intake>>,
    clock: Arc<ArrivalClock>,
    readers: IntakeReaders,
    /// Appends that found no room.
    pub full: AtomicU64,
    /// Bytes of rings that never reached the intake: corruption, or a ring read by somebody else.
    pub missing: AtomicU64,
}

impl SharedIntake {
    /// Takes an open intake.
    #[must_use]
    pub fn new(intake: Intake, clock: Arc<ArrivalClock>) -> Self {
        let readers = intake.readers();
        Self { intake: Mutex::new(Some(intake)), clock, readers, full: AtomicU64::new(0), missing: AtomicU64::new(0) }
    }

    /// Makes readers.
    #[must_use]
    pub fn readers(&self) -> &IntakeReaders {
        &self.readers
    }

    /// Appends bytes of a source; false when there is no room now.
    ///
    /// # Errors
    /// When the disk does not take them. Nothing was stored.
    pub fn append(&self, kind: SourceKind, id: [u8; 16], number: u32, position: u64, bytes: &[u8]) -> io::Result<bool> {
        let mut guard = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(intake) = guard.as_mut() else { return Err(io::Error::other("the intake is closed")) };
        if intake.room() < FOR_NOTES + bytes.len() as u64 {
            self.full.fetch_add(1, Ordering::Relaxed);
            return Ok(false);
        }
        // Stamped under the lock, so that frames lie in the order of their stamps.
        let now = self.clock.now();
        let origin = Origin {
            arrival: now.unix,
            clock_offset: now.offset,
            ring_id: id,
            ring_position: position,
            ring: number,
            layout: u16::from(LAYOUT_VERSION),
            source: kind as u8,
        };
        match intake.append(&origin, bytes)? {
            Appended::Stored { missing, .. } => {
                if missing > 0 {
                    self.missing.fetch_add(missing, Ordering::Relaxed);
                    let gap = Gap { cause: cause::RING.to_owned(), bytes: Some(missing), ..Gap::default() };
                    append_note(intake, &now, &Note::Gap(gap))?;
                }
                Ok(true)
            }
            Appended::Already => Ok(true),
            Appended::Full => {
                self.full.fetch_add(1, Ordering::Relaxed);
                Ok(false)
            }
        }
    }

    /// Says once more where the rings of an instance end.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn repeat_ends(&self, id: [u8; 16]) -> io::Result<()> {
        let mut guard = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(intake) = guard.as_mut() else { return Err(io::Error::other("the intake is closed")) };
        let (now, layout, source) = (self.clock.now(), u16::from(LAYOUT_VERSION), SourceKind::Ring as u8);
        intake.repeat_ends(&Origin { arrival: now.unix, clock_offset: now.offset, ring_id: id, layout, source, ..Origin::default() })
    }

    /// Writes a note; false when there is no room now.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn note(&self, note: &Note) -> io::Result<bool> {
        let mut guard = self.intake.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(intake) = guard.as_mut() else { return Err(io::Error::other("the intake is closed")) };
        append_note(intake, &self.clock.now(), note)
    }

    /// Where the bytes of a source end in the intake.
    #[must_use]
    pub fn source_end(&self, id: &[u8; 16], number: u32) -> Option<u64> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|intake| intake.ring_end(id, number))
    }

    /// Closes the intake. Later appends are refused.
    pub fn close(&self, patience: Duration) {
        let intake = self.intake.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = intake.map(|intake| intake.close(patience)) {
            tracing::error!(%error, "the intake was not closed in time; the next start treats this as a crash, which loses nothing");
        }
    }
}

fn append_note(intake: &mut Intake, now: &super::clock::Arrival, note: &Note) -> io::Result<bool> {
    let origin = Origin {
        arrival: now.unix,
        clock_offset: now.offset,
        ring_id: NOTES,
        ring_position: intake.ring_end(&NOTES, 0).unwrap_or_default(),
        ring: 0,
        layout: 0,
        source: SourceKind::Note as u8,
    };
    Ok(intake.append(&origin, &note.encode())? != Appended::Full)
}
