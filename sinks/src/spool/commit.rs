//! A commit makes the records since the one before visible, and says how far the intake has been read for them.
//!
//! It travels as JSON in a frame of its own: at most ten a second are written, and `flowlog spool cat` shows them as they are.

use super::Damaged;
use serde::{Deserialize, Serialize};

/// The frame that makes a window's records visible to sinks, all at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Commit {
    /// Everything before this position of the intake is accounted for in this spool.
    pub intake_position: u64,
    /// The first sequence number the commit covers. Set by the writer.
    pub first: u64,
    /// The sequence number after the last one covered; equal to `first` when the window had no records. Set by the writer.
    pub next: u64,
    /// Nanoseconds since 1970 UTC. The writer raises it to the commit's before where it would go backwards.
    pub time: i64,
    /// SHA-256 of the configuration the records were made under.
    #[serde(with = "hex32")]
    pub config_hash: [u8; 32],
    /// Losses and unobserved time declared with this commit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Gap>,
    /// The cumulative accounting totals at this commit, in the exporter's own shape.
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub totals: serde_json::Value,
    /// Where the hidden frames begin that an unfinished long window still needs; `None` if no window is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partials: Option<u64>,
    /// What of the spool's damage has been declared by now, as long as a sink may still meet it. Set by the writer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub damaged: Vec<Damaged>,
}

/// A declared, counted loss or unobserved time: what, how many, why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gap {
    /// Why, as one word of [`cause`] or of the exporter.
    pub cause: String,
    /// Begin of the time concerned, nanoseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// End of the time concerned, nanoseconds since 1970 UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
    /// Records lost, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// The sequence numbers lost, first and the one after the last, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequences: Option<(u64, u64)>,
    /// Packets concerned, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Bytes concerned, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The network interface concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The only sink that is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
}

/// The causes this crate gives to gaps.
pub mod cause {
    /// Frames whose bytes changed on disk and could not be read back. A sink meets them with their numbers; the flow log declares them once, in a commit.
    pub const CORRUPT: &str = "spool-corrupt";
    /// The spool was at its bound and this sink's oldest (or, for `hold`, newest) segments made room.
    pub const FULL: &str = "spool-full";
    /// The spool got a new identity: its folder is new, a copy, or was not closed before a reboot.
    pub const RENEWED: &str = "spool-renewed";
    /// The sink refused the records for good; they are in its quarantine file.
    pub const REJECTED: &str = "rejected";
    /// The sink was removed and did not take what was spooled within its `drainTimeout`.
    pub const REMOVED: &str = "sink-removed";
}

mod hex32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a configuration hash is 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| wrong())?;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::SpoolId;

    #[test]
    fn a_commit_comes_back_as_it_was_written() {
        let commit = Commit {
            intake_position: 77,
            first: 3,
            next: 9,
            time: -5,
            config_hash: [0xa5; 32],
            gaps: vec![Gap { cause: cause::FULL.to_owned(), records: Some(4), sequences: Some((1, 5)), ..Gap::default() }],
            totals: serde_json::json!({"packets": 18_446_744_073_709_551_615_u64}),
            partials: Some(12),
            damaged: vec![Damaged { spool: SpoolId([7; 16]), first: 2, next: 3, from: None, to: Some(-6), sink: None }],
        };
        let text = serde_json::to_string(&commit).unwrap();
        assert_eq!(serde_json::from_str::<Commit>(&text).unwrap(), commit);
        assert!(serde_json::from_str::<Commit>(r#"{"configHash":"äöü"}"#).is_err());
    }
}
