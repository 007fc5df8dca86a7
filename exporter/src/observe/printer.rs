//! Events to text, in one of the formats of `-o`. Everything goes to one buffer that the caller writes out in big pieces.

use crate::flow::{AuthType, Event, ExportEvent, Flow, Policy, Record, Timestamp, TrafficDirection, Verdict, datapath};
use crate::mask::Encoder;

use super::color::{self, Colors};
use super::endpoint::{self, Side};
use super::json;
use super::table::Table;
use super::times::Layout;

/// The formats of `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A line an event.
    #[default]
    Compact,
    /// A paragraph an event.
    Dict,
    /// Columns.
    Table,
    /// A JSON object an event, as in `events.log`.
    Json,
    /// The bare flow as JSON (`HUBBLE_COMPAT=legacy-json-output`).
    LegacyJson,
}

/// How events are printed.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// The format.
    pub format: Format,
    /// `--time-format`.
    pub times: Layout,
    /// `--print-node-name`.
    pub node_name: bool,
    /// `--print-policy-names`.
    pub policy_names: bool,
    /// `--ip-translation`.
    pub translate: bool,
    /// `--color`.
    pub colors: Colors,
    /// `--debug`.
    pub debug: bool,
    /// `--field-mask`, for JSON.
    pub mask: Option<Encoder>,
}

/// Prints events into buffers.
#[derive(Debug, Default)]
pub struct Printer {
    pub(super) style: Style,
    /// Records printed so far, of those that count for headings and separators.
    pub records: u64,
    /// For standard output.
    pub out: Vec<u8>,
    /// For standard error: what relays say of their nodes.
    pub errors: Vec<u8>,
    /// Rows of `-o table`, which are laid out when all are known.
    pub table: Table,
    row: Vec<u8>,
}

/// A column of the table and a line of a paragraph: the heading, and the key with the colon right-aligned.
const COLUMNS: [(&str, &str); 6] = [
    ("SOURCE", "     SOURCE: "),
    ("DESTINATION", "DESTINATION: "),
    ("TYPE", "       TYPE: "),
    ("VERDICT", "    VERDICT: "),
    ("SUMMARY", "    SUMMARY: "),
    ("DETAILS", "    DETAILS: "),
];
const SEPARATOR: &[u8] = b"------------\n";

impl Printer {
    /// A printer of a style.
    pub fn new(style: Style) -> Self {
        let mut style = style;
        // Colours would count as width.
        style.colors.on &= style.format != Format::Table;
        Self { style, ..Self::default() }
    }

    /// Whether it makes a difference what was printed before.
    pub fn counts_records(style: &Style) -> bool {
        matches!(style.format, Format::Dict | Format::Table)
    }

    /// Whether anything was printed.
    pub fn has_printed(&self) -> bool {
        !(self.out.is_empty() && self.errors.is_empty() && self.table.is_empty())
    }

    /// Prints one event.
    pub fn print(&mut self, event: &ExportEvent<'_>) {
        match &event.event {
            None => {}
            Some(Event::NodeStatus(status)) => self.node_status(event, status),
            Some(Event::AgentEvent(_) | Event::DebugEvent(_) | Event::LostEvents(_) | Event::Flow(_)) => {
                match self.style.format {
                    Format::Json | Format::LegacyJson => self.json(event),
                    Format::Compact => self.compact(event),
                    Format::Dict | Format::Table => self.fields(event),
                }
                self.records += 1;
            }
        }
    }

    /// Forgets what was printed, and takes so many records to stand before what comes.
    pub fn restart(&mut self, records: u64) {
        self.records = records;
        self.out.clear();
        self.errors.clear();
        self.table.clear();
    }

    fn json(&mut self, event: &ExportEvent<'_>) {
        let start = self.out.len();
        match (&self.style.mask, &event.event) {
            _ if self.style.format == Format::LegacyJson => json::bare(event, &mut self.out),
            (Some(encoder), Some(Event::Flow(_))) => encoder.encode(event, &mut self.out),
            _ => json::envelope(event, &mut self.out),
        }
        self.style.colors.neutralise_json(&mut self.out, start);
        self.out.push(b'\n');
    }

    fn compact(&mut self, event: &ExportEvent<'_>) {
        let start = self.out.len();
        let style = &self.style;
        let out = &mut self.out;
        match &event.event {
            Some(Event::Flow(flow)) => compact_flow(style, flow, out),
            Some(Event::LostEvents(lost)) => super::events::compact_lost(style.times, event, lost, out),
            _ => super::events::compact_other(style, event, out),
        }
        out.push(b'\n');
        self.style.colors.neutralise(&mut self.out, start);
    }

    /// A row of the table or a paragraph.
    fn fields(&mut self, event: &ExportEvent<'_>) {
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        let table = self.style.format == Format::Table;
        match &event.event {
            Some(Event::Flow(flow)) => self.flow_fields(table, flow, &mut row),
            Some(Event::LostEvents(lost)) => super::events::lost_fields(self, table, event, lost, &mut row),
            _ => super::events::other_fields(self, table, event, &mut row),
        }
        self.style.colors.neutralise(&mut row, 0);
        if table {
            self.table.write(&row);
        } else {
            self.out.extend_from_slice(&row);
        }
        self.row = row;
    }

    fn flow_fields(&self, table: bool, flow: &Flow<'_>, row: &mut Vec<u8>) {
        let style = &self.style;
        let mut fields = self.fields_of(table, flow.time, &flow.node_name, &["SOURCE", "DESTINATION", "TYPE", "VERDICT", "SUMMARY"], row);
        fields.add("SOURCE", |row| endpoint::write(flow, Side::Source, style.translate, style.colors, row));
        fields.add("DESTINATION", |row| endpoint::write(flow, Side::Destination, style.translate, style.colors, row));
        fields.add("TYPE", |row| flow_type(flow, row));
        fields.add("VERDICT", |row| verdict(style, flow, row));
        fields.add("SUMMARY", |row| summary(style, flow, row));
        fields.end();
    }

    /// Begins a record: the heading or the separator, the time and the node.
    pub(super) fn fields_of<'r>(
        &self,
        table: bool,
        time: Option<Timestamp>,
        node: &str,
        columns: &[&str],
        row: &'r mut Vec<u8>,
    ) -> Fields<'r> {
        let style = &self.style;
        if !table {
            if self.records > 0 {
                row.extend_from_slice(SEPARATOR);
            }
            row.extend_from_slice(b"  TIMESTAMP: ");
            style.times.write(time, row);
            if style.node_name {
                row.extend_from_slice(b"\n       NODE: ");
                row.extend_from_slice(node.as_bytes());
            }
            row.push(b'\n');
            return Fields { table, row };
        }
        if self.records == 0 {
            row.extend_from_slice(b"TIMESTAMP");
            if style.node_name {
                row.extend_from_slice(b"\tNODE");
            }
            for column in columns {
                row.push(b'\t');
                row.extend_from_slice(column.as_bytes());
            }
            row.push(b'\n');
        }
        style.times.write(time, row);
        if style.node_name {
            row.push(b'\t');
            row.extend_from_slice(node.as_bytes());
        }
        Fields { table, row }
    }
}

/// A record in the making.
pub(super) struct Fields<'r> {
    table: bool,
    row: &'r mut Vec<u8>,
}

impl Fields<'_> {
    /// Adds a field.
    pub fn add(&mut self, heading: &str, value: impl FnOnce(&mut Vec<u8>)) {
        if self.table {
            self.row.push(b'\t');
            value(self.row);
            return;
        }
        let key = COLUMNS.iter().find(|column| column.0 == heading);
        match key {
            Some((_, key)) => self.row.extend_from_slice(key.as_bytes()),
            None => self.row.extend_from_slice(format!("{heading:>11}: ").as_bytes()),
        }
        value(self.row);
        self.row.push(b'\n');
    }

    /// Ends the record.
    pub fn end(self) {
        if self.table {
            self.row.push(b'\n');
        }
    }
}

fn compact_flow(style: &Style, flow: &Flow<'_>, out: &mut Vec<u8>) {
    style.times.write(flow.time, out);
    if style.node_name {
        out.extend_from_slice(b" [");
        out.extend_from_slice(flow.node_name.as_bytes());
        out.push(b']');
    }
    out.extend_from_slice(b": ");
    // The client stays on the left.
    let (left, arrow, right) = match flow.is_reply {
        None => (Side::Source, &b" <> "[..], Side::Destination),
        Some(false) => (Side::Source, &b" -> "[..], Side::Destination),
        Some(true) => (Side::Destination, &b" <- "[..], Side::Source),
    };
    endpoint::write(flow, left, style.translate, style.colors, out);
    out.push(b' ');
    endpoint::write_identity(flow, left, style.colors, out);
    out.extend_from_slice(arrow);
    endpoint::write(flow, right, style.translate, style.colors, out);
    out.push(b' ');
    endpoint::write_identity(flow, right, style.colors, out);
    out.push(b' ');
    flow_type(flow, out);
    out.push(b' ');
    verdict(style, flow, out);
    out.extend_from_slice(b" (");
    summary(style, flow, out);
    out.push(b')');
}

/// An enum's name, or its number.
pub(super) fn name_or_number(name: Option<&str>, number: i32, out: &mut Vec<u8>) {
    match name {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes()),
    }
}

fn flow_type(flow: &Flow<'_>, out: &mut Vec<u8>) {
    if let Some(layer) = &flow.l7 {
        let protocol: &[u8] = match &layer.record {
            Some(Record::Http(_)) => b"http-",
            Some(Record::Dns(_)) => b"dns-",
            _ => b"l7-",
        };
        out.extend_from_slice(protocol);
        let start = out.len();
        name_or_number(layer.r#type.name(), layer.r#type.0, out);
        out[start..].make_ascii_lowercase();
        if let Some(Record::Dns(dns)) = &layer.record {
            out.push(b' ');
            out.extend_from_slice(dns.observation_source.as_bytes());
        }
        return;
    }
    let (r#type, sub_type) = flow.event_type.as_ref().map_or((0, 0), |kind| (kind.r#type, kind.sub_type));
    // The datapath's numbers are bytes.
    let code = sub_type as u8;
    match r#type {
        datapath::TRACE => match datapath::trace_point(code) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes()),
        },
        datapath::DROP => match datapath::drop_reason(code) {
            Some(text) => out.extend_from_slice(text.as_bytes()),
            None => {
                out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
                out.extend_from_slice(b", 0");
            }
        },
        datapath::POLICY_VERDICT => {
            out.extend_from_slice(b"policy-verdict:");
            out.extend_from_slice(datapath::policy_match(flow.policy_match_type).as_bytes());
            out.push(b' ');
            name_or_number(flow.traffic_direction.name(), flow.traffic_direction.0, out);
        }
        datapath::CAPTURE => name_or_number(flow.debug_capture_point.name(), flow.debug_capture_point.0, out),
        datapath::TRACE_SOCK => out.extend_from_slice(match sub_type {
            1 => b"pre-xlate-fwd",
            2 => b"post-xlate-fwd",
            3 => b"pre-xlate-rev",
            4 => b"post-xlate-rev",
            _ => b"SOCK_XLATE_POINT_UNKNOWN",
        }),
        _ => out.extend_from_slice(b"UNKNOWN"),
    }
}

fn verdict(style: &Style, flow: &Flow<'_>, out: &mut Vec<u8>) {
    let by_policy = flow.event_type.as_ref().is_some_and(|kind| kind.r#type == datapath::POLICY_VERDICT);
    let allowed = (&flow.ingress_allowed_by, &flow.egress_allowed_by);
    let denied = (&flow.ingress_denied_by, &flow.egress_denied_by);
    let (color, word, by) = match flow.verdict {
        Verdict::FORWARDED | Verdict::REDIRECTED => (color::GREEN, "ALLOWED", Some(allowed)),
        Verdict::DROPPED | Verdict::ERROR => (color::RED, "DENIED", Some(denied)),
        Verdict::AUDIT => (color::YELLOW, "AUDITED", Some(denied)),
        Verdict::TRACED | Verdict::TRANSLATED => (color::YELLOW, "", None),
        other => return name_or_number(other.name(), other.0, out),
    };
    style.colors.write(color, out, |out| match by {
        Some((ingress, egress)) if by_policy => {
            out.extend_from_slice(word.as_bytes());
            if style.policy_names {
                match flow.traffic_direction {
                    TrafficDirection::INGRESS => policies(ingress, out),
                    TrafficDirection::EGRESS => policies(egress, out),
                    _ => {}
                }
            }
        }
        _ => name_or_number(flow.verdict.name(), flow.verdict.0, out),
    });
}

fn policies(policies: &[Policy<'_>], out: &mut Vec<u8>) {
    let named = policies.iter().filter(|policy| !policy.kind.is_empty() && !policy.name.is_empty());
    for (at, policy) in named.enumerate() {
        out.extend_from_slice(if at == 0 { b" BY " } else { b", " });
        out.extend_from_slice(policy.name.as_bytes());
        out.extend_from_slice(b" (");
        out.extend_from_slice(policy.kind.as_bytes());
        out.push(b')');
    }
}

fn summary(style: &Style, flow: &Flow<'_>, out: &mut Vec<u8>) {
    if let Some(id) = flow.ip_trace_id.as_ref().map(|id| id.trace_id).filter(|id| *id > 0) {
        out.extend_from_slice(b"IP Trace ID: ");
        out.extend_from_slice(itoa::Buffer::new().format(id).as_bytes());
        out.extend_from_slice(b"; ");
    }
    out.extend_from_slice(flow.summary.as_bytes());
    if flow.auth_type != AuthType::DISABLED {
        out.extend_from_slice(b"; Auth: ");
        let color = if flow.auth_type == AuthType::TEST_ALWAYS_FAIL { color::RED } else { color::GREEN };
        style.colors.write(color, out, |out| name_or_number(flow.auth_type.name(), flow.auth_type.0, out));
    }
}
