//! A line with holes: the encoded text of a masked flow, cut where its values change from window to window.
//!
//! Made by encoding the flow once with marks in place of those values and finding the marks in the text. Whatever the mask leaves out has no mark and so no
//! hole, without anybody asking; and two flows have the same fixed text exactly when their lines would differ only in the holes, which makes the fixed text
//! the fold key. Writing a line is copying text and formatting what changes: no field is looked up, nothing is allocated.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::OnceLock;

use memchr::memmem::Finder;

use super::bytes::{Put, Take};
use crate::flow::json::{Out, WriteJson};
use crate::flow::{Aggregate, Any, Flags, Flow, Protocol, TcpFlags, Timestamp};
use crate::mask::Encoder;

/// What stands for the values while a flow is encoded. Drawn anew by each process: text that somebody else wrote into a flow can't be made to look like it.
struct Marks {
    time: Timestamp,
    uuid: String,
    summary: String,
    extensions: String,
    counts: [u32; 3],
}

impl Marks {
    fn get() -> &'static Self {
        static MARKS: OnceLock<Marks> = OnceLock::new();
        MARKS.get_or_init(|| {
            let drawn = || RandomState::new().build_hasher().finish();
            let count = || (drawn() as u32) | 1 << 31;
            Self {
                // Moments no packet has: the last day that JSON can say.
                time: Timestamp { seconds: Timestamp::MAX_SECONDS, nanos: (drawn() % 999_999_999) as u32 + 1 },
                uuid: format!("\u{10fffd}{:016x}", drawn()),
                summary: format!("\u{10fffd}{:016x}", drawn()),
                extensions: format!(r#"{{"@type":"type.googleapis.com/google.protobuf.Struct","value":{{"{:016x}":true}}}}"#, drawn()),
                counts: [count(), count(), count()],
            }
        })
    }

    /// The texts to look for, with what finds each, and the hole it stands for.
    fn texts(&self) -> [Mark; 6] {
        let quoted = |text: &str| [b"\"", text.as_bytes(), b"\""].concat();
        let [ingress, egress, unknown] = self.counts;
        let mut time = Vec::new();
        Out::new(&mut time).time(self.time);
        let mut flags = Vec::new();
        write_flags(ALL_FLAGS, &mut flags);
        let aggregate =
            format!("{{\"ingress_flow_count\":{ingress},\"egress_flow_count\":{egress},\"unknown_direction_flow_count\":{unknown}}}");
        [
            Mark::new(&time, Hole::Time),
            Mark::new(&quoted(&self.uuid), Hole::Uuid),
            Mark::new(&flags, Hole::Flags),
            Mark::new(&quoted(&self.summary), Hole::Summary),
            Mark::new(self.extensions.as_bytes(), Hole::Extensions),
            Mark::new(aggregate.as_bytes(), Hole::Aggregate),
        ]
    }
}

/// All of the TCP flags, which is how they are marked.
const ALL_FLAGS: Flags = Flags(0x1ff);

/// A mark as it is looked for. Getting ready to look costs more than the look, so it is done once a process.
struct Mark {
    finder: Finder<'static>,
    hole: Hole,
}

impl Mark {
    fn new(text: &[u8], hole: Hole) -> Self {
        Self { finder: Finder::new(text).into_owned(), hole }
    }

    fn all() -> &'static [Self; 6] {
        static ALL: OnceLock<[Mark; 6]> = OnceLock::new();
        ALL.get_or_init(|| Marks::get().texts())
    }
}

/// Stands behind what is written where the fixed text is another, which follows. No reason that tells lines apart begins with a zero byte.
const OTHER_KEY: &[u8] = b"\0\0";

/// What goes into a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The time of the first packet, as a JSON text.
    Time = 1,
    /// The line's uuid.
    Uuid = 2,
    /// The object of TCP flags.
    Flags = 3,
    /// The summary of a TCP flow.
    Summary = 4,
    /// The object of `extensions`.
    Extensions = 5,
    /// The object of `aggregate`.
    Aggregate = 6,
}

impl Hole {
    const ALL: [Self; 6] = [Self::Time, Self::Uuid, Self::Flags, Self::Summary, Self::Extensions, Self::Aggregate];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|hole| *hole as u8 == number)
    }
}

/// A line with holes, as it is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    text: Vec<u8>,
    written: u32,
    holes: Vec<u8>,
}

/// A line with holes, wherever its parts lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holed<'t> {
    /// The text that does not change, see [`Holed::fixed`].
    pub text: &'t [u8],
    /// How much of `text` is written. What stands behind it tells lines apart that differ in what goes into a hole for good, as the reason of a drop does.
    pub written: u32,
    /// The holes in order, [`HOLE`] bytes each: where in `text` it is, and its number.
    pub holes: &'t [u8],
}

/// Bytes that nearly every line fits in.
const ROOM: usize = 2048;

/// Bytes of a hole in [`Holed::holes`].
const HOLE: usize = 5;

/// What a line stands for, and so which of its values change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// For packets of the kernel: it has `extensions` of its own.
    ForPackets,
    /// For flows that somebody else saw: it says how many.
    ForFlows,
    /// For flows reduced to the fields of `fieldAggregate`, all of which are its key (Hubble digest §6.1): only the number of flows changes, and the
    /// time, unless that is one of the fields.
    ForReduced {
        /// `time` is one of the fields.
        by_time: bool,
    },
}

impl Template {
    /// Makes the template of a flow behind a mask.
    #[must_use]
    pub fn of(encoder: &Encoder, mut flow: Flow<'_>, stands: Stands) -> Self {
        let marks = Marks::get();
        // Without a time of its own the first of the reduced flows gives a line without one, whatever follows it.
        let timeless = stands == Stands::ForReduced { by_time: false } && flow.time.is_none();
        if let Stands::ForReduced { by_time } = stands {
            flow.time = if by_time { flow.time } else { Some(marks.time) };
        } else {
            flow.time = Some(marks.time);
            flow.uuid = marks.uuid.as_str().into();
            // A socket's cookie and a request's latency are of one event, not of a line.
            flow.socket_cookie = 0;
            if let Some(l7) = &mut flow.l7 {
                l7.latency_ns = 0;
            }
            if let Some(Protocol::Tcp(tcp)) = flow.l4.as_mut().and_then(|l4| l4.protocol.as_mut())
                && tcp.flags.is_some()
            {
                tcp.flags = Some(ALL_FLAGS.into());
                flow.summary = marks.summary.as_str().into();
            }
        }
        if stands == Stands::ForPackets {
            flow.extensions = Some(Any::from_canonical(marks.extensions.as_str().into()));
        } else {
            let [ingress_flow_count, egress_flow_count, unknown_direction_flow_count] = marks.counts;
            flow.aggregate =
                Some(Aggregate { ingress_flow_count, egress_flow_count, unknown_direction_flow_count, ..Aggregate::default() });
        }
        let mut line = Vec::with_capacity(ROOM);
        encoder.encode_flow(&flow, &mut line);
        let template = Self::cut(&line);
        if !timeless {
            return template;
        }
        flow.time = None;
        line.clear();
        encoder.encode_flow(&flow, &mut line);
        let mut without = Self::cut(&line);
        without.text = [&without.text, OTHER_KEY, &template.text].concat();
        without
    }

    fn cut(line: &[u8]) -> Self {
        let mut found: Vec<(usize, usize, Hole)> = Vec::new();
        for Mark { finder, hole } in Mark::all() {
            found.extend(finder.find_iter(line).map(|at| (at, finder.needle().len(), *hole)));
        }
        found.sort_unstable_by_key(|(at, ..)| *at);
        let (mut text, mut holes, mut from) = (Vec::with_capacity(line.len()), Vec::with_capacity(found.len() * HOLE), 0);
        for (at, length, hole) in found {
            text.extend_from_slice(&line[from..at]);
            holes.put_u32(text.len() as u32);
            holes.put_u8(hole as u8);
            from = at + length;
        }
        text.extend_from_slice(&line[from..]);
        Self { written: text.len() as u32, text, holes }
    }

    /// Keeps its lines apart from those of an otherwise equal template, if it has one of the `holes` in which they would differ.
    pub fn tell_apart(&mut self, by: &str, holes: &[Hole]) {
        if !by.is_empty() && self.parts().holes().any(|(_, hole)| holes.contains(&hole)) {
            // No byte of JSON is zero.
            self.text.push(0);
            self.text.extend_from_slice(by.as_bytes());
        }
    }

    /// A line that has only `extensions`.
    #[must_use]
    pub fn extensions_only() -> Self {
        Self { text: b"{\"flow\":{\"extensions\":}}".into(), written: 24, holes: vec![22, 0, 0, 0, Hole::Extensions as u8] }
    }

    /// A text in which nothing changes, JSON or not.
    #[must_use]
    pub fn without_holes(text: &[u8]) -> Self {
        Self { written: text.len() as u32, text: text.into(), holes: Vec::new() }
    }

    /// What it consists of.
    #[must_use]
    pub fn parts(&self) -> Holed<'_> {
        Holed { text: &self.text, written: self.written, holes: &self.holes }
    }

    /// Reads it back; `None` where the bytes are no template.
    pub fn get(bytes: &mut Take<'_>) -> Option<Self> {
        let text = bytes.bytes()?;
        let written = bytes.u32()?;
        if written as usize > text.len() {
            return None;
        }
        let (mut holes, mut before) = (Vec::new(), 0);
        for _ in 0..bytes.u32()? {
            let (at, hole) = (bytes.u32()?, Hole::from_number(bytes.u8()?)?);
            if at < before || at > written {
                return None;
            }
            holes.put_u32(at);
            holes.put_u8(hole as u8);
            before = at;
        }
        Some(Self { text: text.into(), written, holes })
    }
}

impl<'t> Holed<'t> {
    /// What two flows that fold have in common.
    #[must_use]
    pub fn fixed(&self) -> &'t [u8] {
        let behind = self.text.get(self.written as usize..).unwrap_or_default();
        behind.strip_prefix(OTHER_KEY).unwrap_or(self.text)
    }

    fn holes(&self) -> impl Iterator<Item = (u32, Hole)> {
        let mut rest = Take(self.holes);
        std::iter::from_fn(move || Some((rest.u32()?, Hole::from_number(rest.u8()?)?)))
    }

    /// Appends the line, asking `fill` for each hole.
    pub fn write(&self, line: &mut Vec<u8>, mut fill: impl FnMut(Hole, &mut Vec<u8>)) {
        let mut from = 0;
        for (at, hole) in self.holes() {
            let at = at as usize;
            line.extend_from_slice(&self.text[from..at]);
            fill(hole, line);
            from = at;
        }
        line.extend_from_slice(&self.text[from..self.written as usize]);
    }

    /// Appends it to a hidden frame.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_bytes(self.text);
        bytes.put_u32(self.written);
        bytes.put_u32((self.holes.len() / HOLE) as u32);
        bytes.extend_from_slice(self.holes);
    }
}

/// Appends the object of TCP flags.
pub fn write_flags(flags: Flags, line: &mut Vec<u8>) {
    TcpFlags::from(flags).write_json(&mut Out::new(line));
}
