//! The accounting of one flow log: what went in, what came out, and where the difference is. Cumulative over restarts, because each commit stores them.
//!
//! Guarantee 1 for the stages behind the intake, in packets of kernel events and in inputs (events or input lines). At a commit:
//!
//! * `entered = explained + delivered + traced + held`: a packet that entered left again or was dropped (explained), or is one of the others;
//! * `left + dropped + delivered + traced + unattributed = lines_volume + filtered_volume + open_packets`;
//! * `inputs = lines_inputs + filtered + open_inputs`, where a line stands for one or more inputs (`folded = lines_inputs − lines`), and *open* is what a
//!   window longer than the time between two commits holds.
//!
//! Each term is counted where it happens, so that an equation that does not hold names a stage that lies.

use std::collections::BTreeMap;

use flowlog_bpf::event::Count;
use serde::{Deserialize, Serialize};

/// Packets and bytes, as they are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Volume {
    /// Packets on the wire.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
}

impl Volume {
    /// Adds a count.
    pub fn add(&mut self, count: Count) {
        self.packets = self.packets.wrapping_add(count.packets);
        self.bytes = self.bytes.wrapping_add(count.bytes);
    }
}

/// Cumulative totals of one flow log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Totals {
    /// Kernel events read.
    pub events: u64,
    /// Kernel events that could not be read.
    pub malformed_events: u64,
    /// Input lines read.
    pub input_lines: u64,
    /// Input lines that could not be read.
    pub malformed_lines: u64,
    /// Events and input lines that were put to the filters, once for each line they may stand in.
    pub inputs: u64,
    /// Of these, not wanted.
    pub filtered: u64,
    /// Of these, in a line.
    pub lines_inputs: u64,
    /// Lines made.
    pub lines: u64,
    /// Bytes of these lines, newlines included.
    pub lines_bytes: u64,
    /// Packets that entered, as the kernel reported.
    pub entered: Volume,
    /// Packets that left.
    pub left: Volume,
    /// Packets dropped between the hooks.
    pub dropped: Volume,
    /// Packets dropped behind the egress hook: they are in `left` too.
    pub dropped_after: Volume,
    /// Sightings at further interfaces.
    pub other: Volume,
    /// Packets that entered and whose leaving or drop was counted: they stand in a line by that.
    pub explained: u64,
    /// Packets that were delivered on this host.
    pub delivered: Volume,
    /// Packets that entered and were not seen again.
    pub traced: Volume,
    /// Packets counted by the kernel and attributable to no flow.
    pub unattributed: Volume,
    /// Packets in lines.
    pub lines_volume: Volume,
    /// Packets in what the filters did not want.
    pub filtered_volume: Volume,
    /// Packets whose fate was open at this commit.
    pub held: u64,
    /// Inputs in the lines of a window that is still open at this commit.
    pub open_inputs: u64,
    /// Packets in them.
    pub open_packets: u64,
    /// Rows whose ports the kernel had removed, kept although a port filter could not decide them.
    pub undecided: u64,
    /// Windows cut early because they had more lines than memory allows.
    pub early_cuts: u64,
    /// What flowlog itself lost, by cause, in the cause's own unit.
    pub lost: BTreeMap<String, u64>,
}

impl Totals {
    /// The equations that do not hold, as text; empty when the accounting is sound.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut check = |name: &str, left: u64, right: u64| {
            if left != right {
                found.push(format!("{name}: {left} is not {right}"));
            }
        };
        let sum = |terms: &[u64]| terms.iter().fold(0_u64, |sum, term| sum.wrapping_add(*term));
        let after = sum(&[self.explained, self.delivered.packets, self.traced.packets, self.held]);
        check("entered = explained + delivered + traced + held", self.entered.packets, after);
        let counted =
            sum(&[self.left.packets, self.dropped.packets, self.delivered.packets, self.traced.packets, self.unattributed.packets]);
        let placed = sum(&[self.lines_volume.packets, self.filtered_volume.packets, self.open_packets]);
        check("left + dropped + delivered + traced + unattributed = in lines + filtered + open", counted, placed);
        check("inputs = in lines + filtered + open", self.inputs, sum(&[self.lines_inputs, self.filtered, self.open_inputs]));
        found
    }
}
