//! A flow as the JSON of `events.log` (Hubble digest §2.2).
//!
//! Reading takes what protojson takes, in one pass, and borrows from the line. Writing gives protojson's bytes exactly. Unknown fields are
//! kept or refused, as the caller wants; everything else that is wrong with a line is an error with its place.

mod any;
mod canonical;
mod error;
pub(super) mod number;
mod read;
mod reader;
pub(crate) mod scan;
mod slow;
pub(super) mod text;
pub(crate) mod time;
mod token;
mod write;

pub(crate) use error::Result;
pub use error::{Error, Problem};
pub(crate) use read::ReadJson;
pub(crate) use reader::{Reader, Seen};
pub(crate) use slow::MAX_DEPTH;
pub(crate) use write::{Out, WriteJson};

use super::ExportEvent;

/// What becomes of fields and enum names the schema does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnknown {
    /// They are kept, for passing on.
    Keep,
    /// They are passed over, as if they had not been there.
    Drop,
    /// They make the line a wrong one.
    Refuse,
}

/// What to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What becomes of what is not known.
    pub unknown: OnUnknown,
    /// The longest line that is read, bytes; 4 GiB at most.
    pub max_bytes: usize,
}

impl Default for Options {
    /// Keeps what is unknown, reads lines of up to 16 MiB.
    fn default() -> Self {
        Self { unknown: OnUnknown::Keep, max_bytes: 16 << 20 }
    }
}

/// Reads one line, without its newline, as an event.
///
/// # Errors
/// What is wrong with the line and at which byte.
pub fn decode(line: &[u8], options: Options) -> std::result::Result<ExportEvent<'_>, Box<Error>> {
    let limit = options.max_bytes.min(u32::MAX as usize);
    if line.len() > limit {
        let problem = Problem::TooLong { bytes: line.len(), limit };
        return Err(Box::new(Error { at: limit, problem }));
    }
    let text = std::str::from_utf8(line).map_err(|error| Box::new(Error { at: error.valid_up_to(), problem: Problem::NotUtf8 }))?;
    let mut reader = Reader::new(text, options.unknown);
    let mut event = ExportEvent::default();
    event.read_json(&mut reader)?;
    reader.end()?;
    Ok(event)
}

#[cfg(test)]
mod tests;
