//! What a relay says of its nodes: for standard error, and only what is wrong unless `--debug` asks for all of it.

use crate::flow::{ExportEvent, NodeState, NodeStatusEvent, Texts};

use super::json;
use super::printer::{Format, Printer};

/// Names are left out once the list is longer than this, bytes.
const LONGEST_LIST: usize = 50;

impl Printer {
    pub(super) fn node_status(&mut self, event: &ExportEvent<'_>, status: &NodeStatusEvent<'_>) {
        let bad = matches!(status.state_change, NodeState::NODE_ERROR | NodeState::NODE_UNAVAILABLE);
        if !bad && !self.style.debug {
            return;
        }
        let start = self.errors.len();
        let mut time = Vec::new();
        self.style.times.write(event.time, &mut time);
        let time = String::from_utf8_lossy(&time);
        let names = names(&status.node_names);
        match self.style.format {
            Format::LegacyJson => {}
            Format::Json => {
                json::envelope(event, &mut self.errors);
                self.style.colors.neutralise_json(&mut self.errors, start);
                self.errors.push(b'\n');
            }
            Format::Dict => {
                // Separates what lies between flows on the same terminal.
                let separator = if self.records > 0 { "------------\n" } else { "" };
                self.records = self.records.max(1);
                let message = if status.message.is_empty() { "N/A".to_owned() } else { quoted(&status.message) };
                let text = format!(
                    "{separator}  TIMESTAMP: {time}\n      STATE: {}\n      NODES: {names}\n    MESSAGE: {message}\n",
                    status.state_change
                );
                self.errors.extend_from_slice(text.as_bytes());
                self.style.colors.neutralise(&mut self.errors, start);
            }
            Format::Compact | Format::Table => {
                let count = status.node_names.len();
                let what = match status.state_change {
                    NodeState::NODE_CONNECTED => format!("Receiving flows from {count} nodes: {names}"),
                    NodeState::NODE_UNAVAILABLE => format!("{count} nodes are unavailable: {names}"),
                    NodeState::NODE_GONE => format!("{count} nodes removed from cluster: {names}"),
                    NodeState::NODE_ERROR => format!("Error {} on {count} nodes: {names}", quoted(&status.message)),
                    other => format!("unknown node status event: {other} {names}"),
                };
                self.errors.extend_from_slice(format!("{time} [{}]: {what}\n", event.node_name).as_bytes());
                self.style.colors.neutralise(&mut self.errors, start);
            }
        }
    }
}

/// The names, comma-separated; at least one, and no more than fit.
fn names(all: &Texts<'_>) -> String {
    let (mut text, mut length, mut count) = (String::new(), 0, 0);
    for name in all {
        length += name.len() + 2;
        if length > LONGEST_LIST && count > 0 {
            break;
        }
        if count > 0 {
            text.push_str(", ");
        }
        text.push_str(&name);
        count += 1;
    }
    match all.len() - count {
        0 => text,
        omitted => format!("{text} (and {omitted} more)"),
    }
}

/// A text as Go quotes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~' => quoted.push(character),
            '\0'..='\u{7f}' => quoted.push_str(&format!("\\x{:02x}", u32::from(character))),
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
