//! Events as JSON objects: with their envelope, as in `events.log`, or bare.

use crate::flow::json::{Out, WriteJson};
use crate::flow::{Event, ExportEvent};

/// The event as it stands in `events.log`.
pub fn envelope(event: &ExportEvent<'_>, out: &mut Vec<u8>) {
    let mut out = Out::new(out);
    let start = out.position();
    if let Some(event) = &event.event {
        event.write_member(&mut out);
    }
    out.field(",\"node_name\":", &event.node_name);
    out.field(",\"time\":", &event.time);
    out.close(start);
}

/// The event without its envelope.
pub fn bare(event: &ExportEvent<'_>, out: &mut Vec<u8>) {
    let mut out = Out::new(out);
    match &event.event {
        Some(Event::Flow(flow)) => flow.write_json(&mut out),
        Some(Event::LostEvents(lost)) => lost.write_json(&mut out),
        Some(Event::AgentEvent(agent)) => agent.write_json(&mut out),
        Some(Event::DebugEvent(debug)) => debug.write_json(&mut out),
        Some(Event::NodeStatus(_)) | None => {}
    }
}
