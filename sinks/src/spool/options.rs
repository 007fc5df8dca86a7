//! What a spool's owner says when it opens one, and what it is told.

/// How a spool is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's name. A folder written on another node is refused.
    pub node: String,
    /// This boot of the machine, see [`super::boot_id`].
    pub boot: String,
    /// The most the spool may take on disk, in bytes. Default 1 GiB.
    pub max_bytes: u64,
    /// The part of the disk that stays free, in percent. Default 10.
    pub min_free_percent: u64,
    /// Give the spool a new identity, for this reason, whatever its folder says (the live ring is ahead of the intake).
    pub renew: Option<String>,
}

impl Options {
    /// The defaults for a node in this boot.
    pub fn new(node: &str, boot: &str) -> Self {
        Self { node: node.to_owned(), boot: boot.to_owned(), max_bytes: 1 << 30, min_free_percent: 10, renew: None }
    }
}

/// The disk does not take the spool's frames just now. Nothing is lost: they are in memory. Call [`Writer::retry`] until it succeeds
/// before appending more.
#[derive(Debug, thiserror::Error)]
#[error("spool {folder} holds {waiting} bytes that the disk does not take: {why}")]
pub struct Stalled {
    /// The spool's folder.
    pub folder: String,
    /// Bytes in memory.
    pub waiting: u64,
    /// What the system said last.
    pub why: String,
}

/// What of a spool is certain to survive a power loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    /// The intake position of the last durable commit: the intake is not needed before it.
    pub intake_position: u64,
    /// The sequence number after the last record covered.
    pub next: u64,
    /// That commit's time.
    pub time: i64,
}
