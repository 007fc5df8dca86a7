//! How far one sink has got in a spool, and what it was about to do.

use super::SpoolId;
use serde::{Deserialize, Serialize};

/// A place between two records of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// The identity `sequence` counts in.
    pub spool: SpoolId,
    /// The next record to take.
    pub sequence: u64,
    /// The position in the log of the frame that holds it.
    pub position: u64,
}

/// What a sink is about to send, made durable before the first byte goes out, so that a crash never cuts differently.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cut {
    /// The place after the last record of the batch.
    pub end: Cursor,
    /// What else the sink has to remember about the batch (an object's key and hash, a file's next name), in the sink's own shape.
    pub intent: serde_json::Value,
}

/// What happens at a spool's bound to a sink that is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WhenFull {
    /// Keep the oldest segments the sink needs, up to three quarters of the bound; newer ones make room.
    Hold,
    /// The oldest segments make room.
    #[default]
    DropOldest,
    /// The sink no longer holds anything in the spool.
    Detach,
}
