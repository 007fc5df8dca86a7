//! Writes lines: fills a template's holes from sums, and declares gaps.
//!
//! What Hubble has no field for stands in `extensions` as a `google.protobuf.Struct`, keys sorted by name: that is the design's *Lines*, and it does not
//! change.

use flowlog_bpf::event::Count;
use flowlog_sinks::spool::Gap;

use super::bytes::{Put, Take};
use super::sums::Sums;
use super::surroundings::{Surroundings, hubble_lacks};
use super::template::{Hole, Holed, Template, write_flags};
use crate::flow::json::Out;
use crate::flow::{Flags, Timestamp, summary};

const STRUCT: &[u8] = b"{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{";

/// Everything about a line that does not change from window to window, in one piece of memory: a busy node has a hundred thousand of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prepared {
    /// The template's text and holes, key, labels, and the drop's reason, one behind the other.
    bytes: Box<[u8]>,
    /// Where each of the first four ends.
    ends: [u32; 4],
    /// How much of the text is written.
    written: u32,
    kind: Tag,
}

/// [`Kind`] without the texts that belong to it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Tag {
    #[default]
    Input,
    Unattributed,
    Kernel,
    /// Of the kernel, with connections.
    Service,
}

/// What the counts of a line mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind<'p> {
    /// Packets of the kernel.
    Kernel {
        /// Folded by service: it says how many connections it covers.
        connections: bool,
        /// The kernel's name of the reason; empty when nothing was dropped.
        drop_reason: &'p str,
    },
    /// Flows that somebody else saw.
    Input,
    /// Traffic that belongs to no flow.
    Unattributed,
}

impl Prepared {
    /// The line of a template, with its records' key and labels.
    #[must_use]
    pub fn new(template: &Template, key: &[u8], labels: &[u8], kind: Kind<'_>) -> Self {
        let Holed { text, written, holes } = template.parts();
        let (kind, reason) = match kind {
            Kind::Input => (Tag::Input, ""),
            Kind::Unattributed => (Tag::Unattributed, ""),
            Kind::Kernel { connections: false, drop_reason } => (Tag::Kernel, drop_reason),
            Kind::Kernel { connections: true, drop_reason } => (Tag::Service, drop_reason),
        };
        let mut end = 0;
        // Nothing longer than a frame (32 MiB) is ever written.
        let ends = [text, holes, key, labels].map(|part| {
            end += part.len() as u32;
            end
        });
        Self { bytes: [text, holes, key, labels, reason.as_bytes()].concat().into(), ends, written, kind }
    }

    /// Its template.
    #[must_use]
    pub fn template(&self) -> Holed<'_> {
        Holed { text: self.part(0), written: self.written, holes: self.part(1) }
    }

    /// Two flows fold into one line when theirs are equal.
    #[must_use]
    pub fn fold_key(&self) -> &[u8] {
        self.template().fixed()
    }

    /// The records' key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.part(2)
    }

    /// The records' labels.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        self.part(3)
    }

    /// What its counts mean.
    #[must_use]
    pub fn kind(&self) -> Kind<'_> {
        match self.kind {
            Tag::Input => Kind::Input,
            Tag::Unattributed => Kind::Unattributed,
            // It was a text when it was put there.
            tag => Kind::Kernel { connections: tag == Tag::Service, drop_reason: std::str::from_utf8(self.part(4)).unwrap_or_default() },
        }
    }

    fn part(&self, number: usize) -> &[u8] {
        let end = |number: usize| self.ends.get(number).map_or(self.bytes.len(), |end| *end as usize);
        let from = if number == 0 { 0 } else { end(number - 1) };
        &self.bytes[from..end(number)]
    }

    /// What it takes beside itself, bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// About what one window holds of it, bytes, where that is bounded: lines of input flows, whose text others chose and which are kept as they came, too.
    /// Those of the kernel are small, few for each tuple, and worth their memory: what is cut early folds no more.
    #[must_use]
    pub fn weight(&self) -> usize {
        match self.kind {
            Tag::Input => self.bytes.len() + self.part(0).len(),
            Tag::Unattributed | Tag::Kernel | Tag::Service => 0,
        }
    }

    /// Appends it to a hidden frame.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        self.template().put(bytes);
        bytes.put_bytes(self.key());
        bytes.put_bytes(self.labels());
        bytes.put_u8(self.kind as u8);
        if let Kind::Kernel { drop_reason, .. } = self.kind() {
            bytes.put_bytes(drop_reason.as_bytes());
        }
    }

    /// Reads it back; `None` where the bytes are none.
    pub fn get(bytes: &mut Take<'_>) -> Option<Self> {
        let template = Template::get(bytes)?;
        let (key, labels) = (bytes.bytes()?, bytes.bytes()?);
        let kind = match bytes.u8()? {
            0 => Kind::Input,
            1 => Kind::Unattributed,
            number @ (2 | 3) => Kind::Kernel { connections: number == 3, drop_reason: std::str::from_utf8(bytes.bytes()?).ok()? },
            _ => return None,
        };
        Some(Self::new(&template, key, labels, kind))
    }
}

/// A line's own uuid as text.
#[derive(Clone, Copy, Debug)]
pub struct Uuid([u8; 36]);

impl Uuid {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for (position, byte) in bytes.into_iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                at += 1;
            }
            text[at] = HEX[usize::from(byte >> 4)];
            text[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        Self(text)
    }
}

/// Appends a line.
pub fn write(prepared: &Prepared, sums: &Sums, uuid: &Uuid, around: &Surroundings, line: &mut Vec<u8>) {
    let flags = Flags::from_header(sums.tcp_flags);
    prepared.template().write(line, |hole, line| match hole {
        Hole::Time => Out::new(line).time(Timestamp::from_unix_nanos(sums.first)),
        Hole::Uuid => {
            line.push(b'"');
            line.extend_from_slice(&uuid.0);
            line.push(b'"');
        }
        Hole::Flags => write_flags(flags, line),
        Hole::Summary => {
            line.push(b'"');
            if let Kind::Kernel { drop_reason, .. } = prepared.kind()
                && hubble_lacks(drop_reason)
            {
                line.extend_from_slice(drop_reason.as_bytes());
                line.extend_from_slice(b"; ");
            }
            summary::write_tcp_flags(flags, line);
            line.push(b'"');
        }
        Hole::Extensions => write_extensions(prepared.kind(), sums, around, line),
        Hole::Aggregate => write_aggregate(sums, line),
    });
}

/// The object of `aggregate`: zero counters are omitted, as everywhere (Hubble digest §6.1).
fn write_aggregate(sums: &Sums, line: &mut Vec<u8>) {
    let names = ["ingress_flow_count", "egress_flow_count", "unknown_direction_flow_count"];
    let mut members = Members::new(line, b"{");
    for (name, count) in names.into_iter().zip(sums.flows) {
        if count > 0 {
            members.number(name, count.min(u64::from(u32::MAX)));
        }
    }
    members.close(b"}");
}

fn write_extensions(kind: Kind<'_>, sums: &Sums, around: &Surroundings, line: &mut Vec<u8>) {
    let mut members = Members::new(line, STRUCT);
    match kind {
        Kind::Unattributed => {
            members.number("bytes", sums.counted.bytes);
            members.number("packets", sums.counted.packets);
            members.name("unattributed").extend_from_slice(b"true");
        }
        Kind::Input => members.time("last_time", sums.last),
        Kind::Kernel { connections, drop_reason } => {
            members.number("bytes", sums.counted.bytes);
            if connections {
                members.number("connections", sums.connections);
            }
            if !drop_reason.is_empty() {
                members.text("drop_reason", drop_reason);
            }
            if sums.dropped_after.packets > 0 {
                members.count("droppedAfter", sums.dropped_after);
            }
            if sums.entered.packets > 0 && sums.entered != sums.counted {
                members.count("entered", sums.entered);
            }
            members.some("fin", sums.fin);
            members.interfaces(sums, around);
            members.time("last_time", sums.last);
            members.some("other", sums.other);
            members.number("packets", sums.counted.packets);
            members.some("rst", sums.rst);
            members.some("syn", sums.syn);
        }
    }
    members.close(b"}}");
}

/// Appends the line that declares a gap (the design's *Lines*): `time`, `node_name` and `extensions {gap}`, which no mask touches.
pub fn write_gap(gap: &Gap, at: i64, node_name: &str, line: &mut Vec<u8>) {
    let time = gap.first.or(gap.last).unwrap_or(at);
    line.extend_from_slice(b"{\"flow\":{\"time\":");
    Out::new(line).time(Timestamp::from_unix_nanos(time));
    let mut members = Members::after(line);
    members.text("node_name", node_name);
    members.name("extensions").extend_from_slice(STRUCT);
    members.line.extend_from_slice(b"\"gap\":");
    let mut inner = Members::new(members.line, b"{");
    if let Some(bytes) = gap.bytes {
        inner.number("bytes", bytes);
    }
    inner.text("cause", &gap.cause);
    inner.time("first", time);
    if let Some(interface) = &gap.interface {
        inner.text("interface", interface);
    }
    inner.time("last", gap.last.unwrap_or(time));
    if let Some(packets) = gap.packets {
        inner.number("packets", packets);
    }
    if let Some(records) = gap.records {
        inner.number("records", records);
    }
    if let Some(sink) = &gap.sink {
        inner.text("sink", sink);
    }
    inner.close(b"}}}}");
    let mut envelope = Members::after(line);
    envelope.text("node_name", node_name);
    envelope.name("time");
    Out::new(line).time(Timestamp::from_unix_nanos(time));
    line.push(b'}');
}

/// Members of a JSON object under construction.
struct Members<'l> {
    line: &'l mut Vec<u8>,
    first: bool,
}

impl<'l> Members<'l> {
    fn new(line: &'l mut Vec<u8>, open: &[u8]) -> Self {
        line.extend_from_slice(open);
        Self { line, first: true }
    }

    /// Members that follow others.
    fn after(line: &'l mut Vec<u8>) -> Self {
        Self { line, first: false }
    }

    fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.line.extend_from_slice(if self.first { b"\"" } else { b",\"" });
        self.first = false;
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b"\":");
        self.line
    }

    fn number(&mut self, name: &str, value: u64) {
        let mut text = itoa::Buffer::new();
        self.name(name).extend_from_slice(text.format(value).as_bytes());
    }

    fn some(&mut self, name: &str, value: u64) {
        if value > 0 {
            self.number(name, value);
        }
    }

    fn count(&mut self, name: &str, count: Count) {
        let mut inner = Members::new(self.name(name), b"{");
        inner.number("bytes", count.bytes);
        inner.number("packets", count.packets);
        inner.close(b"}");
    }

    fn time(&mut self, name: &str, unix_nanos: i64) {
        Out::new(self.name(name)).time(Timestamp::from_unix_nanos(unix_nanos));
    }

    fn text(&mut self, name: &str, text: &str) {
        Out::new(self.name(name)).string(text);
    }

    fn interfaces(&mut self, sums: &Sums, around: &Surroundings) {
        let mut names = [""; super::sums::MAX_INTERFACES];
        for (name, index) in names.iter_mut().zip(sums.interfaces) {
            *name = around.interface(index).0;
        }
        // Nearly always there is one.
        let known = sums.interfaces.iter().take_while(|index| **index != 0).count();
        names[..known].sort_unstable();
        let line = self.name("interfaces");
        line.push(b'[');
        let mut before = "";
        for name in names {
            if name.is_empty() || name == before {
                continue;
            }
            if !before.is_empty() {
                line.push(b',');
            }
            Out::new(line).string(name);
            before = name;
        }
        line.push(b']');
    }

    fn close(self, close: &[u8]) {
        self.line.extend_from_slice(close);
    }
}
