//! A line that waits for its sums: the text that is the same for every window, and what a sink needs to route it unread.

use flowlog_bpf::event::Count;
use flowlog_sinks::spool::SpoolId;

use super::identify::Sighting;
use super::sums::Sums;
use super::surroundings::Surroundings;
use crate::flow::{Flags, Timestamp};
use crate::mask::{Extensions, Template, Varying};

/// Everything about a line that does not change from window to window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    /// The encoded text around the values that change.
    pub template: Template,
    /// The records' key.
    pub key: Box<[u8]>,
    /// The records' labels.
    pub labels: Box<[u8]>,
    /// What the counts mean.
    pub kind: Kind,
}
