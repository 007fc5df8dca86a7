//! Where flows come from: the kernel's ring, and JSONL files that Hubble or flowlog wrote.

pub mod clock;
pub mod host;
pub mod intake;
pub mod jsonl;
pub mod kernel;
pub mod lines;
pub mod owed;
pub mod recorded;
pub mod ring_ends;

/// What a frame of the intake holds. The numbers lie on disk and don't change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Bytes of a kernel ring.
    Ring = 1,
    /// Lines of JSON.
    Lines = 2,
    /// A note of the daemon's own.
    Note = 3,
}

impl SourceKind {
    /// By its number; `None` for one of a later release.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Ring),
            2 => Some(Self::Lines),
            3 => Some(Self::Note),
            _ => None,
        }
    }
}
