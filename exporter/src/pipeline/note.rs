//! What the daemon writes into the intake beside events, so that every flow log learns of it at its place in the order: gaps, and where sources stand.
//!
//! A note is one JSON object. It lies on disk between releases, so unknown notes and unknown fields are passed over, not refused.

use serde::{Deserialize, Serialize};

use flowlog_sinks::spool::Gap;

use crate::sources::jsonl;

/// One note.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Note {
    /// A loss or unobserved time, which every flow log declares.
    Gap(Gap),
    /// Where the JSONL sources stand, repeated now and then so that the newest one is always among the frames that are kept.
    Sources(Vec<SourcePosition>),
}

/// Where one JSONL source stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourcePosition {
    /// The path as configured.
    pub path: String,
    /// The file, by the hash of its first line, in hexadecimal.
    pub file: String,
    /// How many files that begin with the same line were finished before it.
    #[serde(default)]
    pub again: u32,
    /// Bytes of it that are in the intake.
    pub offset: u64,
    /// Newlines among them.
    #[serde(default)]
    pub lines: u64,
}

impl SourcePosition {
    /// Of a follower's position.
    #[must_use]
    pub fn new(path: &str, position: jsonl::Position) -> Self {
        let file = position.file.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { path: path.to_owned(), file, again: position.again, offset: position.offset, lines: position.lines }
    }

    /// As a follower's position; `None` when the hash is not one.
    #[must_use]
    pub fn position(&self) -> Option<jsonl::Position> {
        let mut file = [0; 16];
        if self.file.len() != 32 || !self.file.is_ascii() {
            return None;
        }
        for (at, byte) in file.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.file[at * 2..at * 2 + 2], 16).ok()?;
        }
        Some(jsonl::Position { file, again: self.again, offset: self.offset, lines: self.lines })
    }
}

/// Causes of gaps that the daemon itself declares.
pub mod cause {
    /// An interface carried traffic before the programs were attached to it.
    pub const BEFORE_ATTACH: &str = "before-attach";
    /// An interface carried traffic after its last look and before it vanished.
    pub const AFTER_DETACH: &str = "after-detach";
    /// The programs were not attached: the daemon was detached, or the machine was down.
    pub const UNOBSERVED: &str = "unobserved";
    /// Bytes of a ring never reached the intake.
    pub const RING: &str = "ring-bytes";
    /// Records of the intake could not be read back.
    pub const INTAKE: &str = "intake-corrupt";
    /// The intake no longer holds what a flow log had not read: that was not configured meanwhile, or the intake was lost.
    pub const INTAKE_GONE: &str = "intake-gone";
    /// Stored sums of an unfinished window could not be read back.
    pub const PARTIAL: &str = "window-corrupt";
    /// A JSONL source's file was gone before it was read to its end.
    pub const SOURCE_GONE: &str = "source-gone";
    /// A line was larger than any record may be.
    pub const LINE_TOO_LARGE: &str = "line-too-large";

    /// What flowlog itself loses, and counts in `flowlog_lost_total`: the first two in bytes, the others one by one. The other gaps are of traffic that
    /// nobody observed, or of a sink.
    pub const LOST: [&str; 6] = [RING, INTAKE, PARTIAL, SOURCE_GONE, LINE_TOO_LARGE, flowlog_sinks::spool::cause::CORRUPT];
}

impl Note {
    /// As it is written.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads one; `None` for what this release does not know.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_come_back_as_they_were_written_and_foreign_ones_are_passed_over() {
        let position = jsonl::Position { file: [0xa5; 16], again: 2, offset: 7, lines: 1 };
        for note in [
            Note::Gap(Gap { cause: cause::BEFORE_ATTACH.into(), packets: Some(3), interface: Some("eth0".into()), ..Gap::default() }),
            Note::Sources(vec![SourcePosition::new("/x", position)]),
        ] {
            assert_eq!(Note::decode(&note.encode()), Some(note));
        }
        assert_eq!(Note::decode(br#"{"later":{}}"#), None);
        assert_eq!(Note::decode(b"\xff"), None);
        assert_eq!(SourcePosition::new("/x", position).position(), Some(position));
        assert_eq!(SourcePosition { path: String::new(), file: "zz".into(), again: 0, offset: 0, lines: 0 }.position(), None);
    }
}
