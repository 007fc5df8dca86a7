//! Writes events as lines, by a mask that was compiled once.
//!
//! The envelope's node name and time are those of the flow behind the mask (digest §2.1); events that are not flows keep their own and are
//! never masked.

use super::Mask;
use super::redact::{Redacted, Redaction};
use crate::flow::fields::Select;
use crate::flow::json::{Out, WriteJson};
use crate::flow::{Event, ExportEvent, Flow};

/// Turns events into lines.
#[derive(Clone, Debug)]
pub struct Encoder {
    select: Select,
    everything: bool,
    redaction: Redaction,
}

/// Positions of the flow's fields that an encoder treats by name.
mod position {
    use crate::flow::Flow;

    /// Position of a top-level field, at compile time.
    const fn of(name: &str) -> u32 {
        let list = Flow::FIELDS.list();
        let mut at = 0;
        while at < list.len() {
            if same(list[at].name.as_bytes(), name.as_bytes()) {
                return at as u32;
            }
            at += 1;
        }
        u32::MAX
    }

    const fn same(one: &[u8], other: &[u8]) -> bool {
        let mut at = 0;
        while at < one.len() && at < other.len() && one[at] == other[at] {
            at += 1;
        }
        at == one.len() && at == other.len()
    }

    pub const TIME: u32 = of("time");
    pub const NODE_NAME: u32 = of("node_name");
    pub const L7: u32 = of("l7");
    pub const SUMMARY: u32 = of("Summary");
}

impl Encoder {
    /// Compiles a mask and what to hide.
    pub fn compile(mask: &Mask, redaction: Redaction) -> Self {
        Self { select: mask.select(), everything: mask.is_everything(), redaction }
    }

    /// Appends an event as one JSON object, without a newline.
    pub fn encode(&self, event: &ExportEvent<'_>, line: &mut Vec<u8>) {
        let mut out = Out::new(line);
        let start = out.position();
        match &event.event {
            Some(Event::Flow(flow)) => {
                self.flow_and_envelope(flow, &mut out);
                if self.everything {
                    out.unknown(&event.unknown);
                }
                out.close(start);
                return;
            }
            Some(other) => other.write_member(&mut out),
            None => {}
        }
        out.field(",\"node_name\":", &event.node_name);
        out.field(",\"time\":", &event.time);
        out.unknown(&event.unknown);
        out.close(start);
    }

    /// Appends a flow in its envelope as one JSON object, without a newline.
    pub fn encode_flow(&self, flow: &Flow<'_>, line: &mut Vec<u8>) {
        let mut out = Out::new(line);
        let start = out.position();
        self.flow_and_envelope(flow, &mut out);
        out.close(start);
    }

    fn flow_and_envelope(&self, flow: &Flow<'_>, out: &mut Out<'_>) {
        out.raw(b",\"flow\":");
        self.flow(flow, out);
        self.envelope(flow, out);
    }

    /// Writes the flow object.
    fn flow(&self, flow: &Flow<'_>, out: &mut Out<'_>) {
        if let Some(redacted) = self.redaction.of(flow) {
            self.redacted(flow, &redacted, out);
        } else if self.everything {
            flow.write_json(out);
        } else {
            flow.write_part(&self.select, out);
        }
    }

    /// Writes the flow object with what is hidden replaced.
    #[cold]
    fn redacted(&self, flow: &Flow<'_>, redacted: &Redacted<'_>, out: &mut Out<'_>) {
        let start = out.position();
        let (l7, summary) = (1u64 << position::L7, 1u64 << position::SUMMARY);
        flow.write_members(&self.select, l7 - 1, out);
        if self.select.has(position::L7) {
            out.selected(",\"l7\":", &redacted.l7, self.select.below(position::L7));
        }
        flow.write_members(&self.select, (summary - 1) & !(2 * l7 - 1), out);
        if self.select.has(position::SUMMARY) {
            out.field(",\"Summary\":", &redacted.summary);
        }
        flow.write_members(&self.select, !(2 * summary - 1), out);
        if self.everything {
            out.unknown(&flow.unknown);
        } else {
            out.unknown_names(&flow.unknown, &Flow::FIELDS, &self.select);
        }
        out.close(start);
    }

    /// Writes the node name and time behind the flow, as far as the mask left them in it.
    fn envelope(&self, flow: &Flow<'_>, out: &mut Out<'_>) {
        if self.select.has(position::NODE_NAME) {
            out.field(",\"node_name\":", &flow.node_name);
        }
        if self.select.has(position::TIME) {
            out.selected(",\"time\":", &flow.time, self.select.below(position::TIME));
        }
    }
}

#[cfg(test)]
mod tests;
