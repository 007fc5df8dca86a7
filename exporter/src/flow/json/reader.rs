//! Reads JSON tokens off a line in one pass, borrowing from it.
//!
//! Accepts what protojson accepts (Hubble digest §2.2) and nothing else. Never recurses on what a line nests, never reads a byte
//! twice on the usual path: no white space, no escapes, numbers as plain digits. The rest is in `slow`.

use std::borrow::Cow;

use super::error::{Error, Problem, Result};
use super::{OnUnknown, scan};
use crate::flow::Unknown;
use crate::flow::fields::Fields;

/// A position in a line.
#[derive(Debug)]
pub struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    on_unknown: OnUnknown,
    /// Text and value of the time read last; the envelope repeats the flow's.
    pub(super) last_time: (&'a str, crate::flow::Timestamp),
}

/// A key of an object: where it stands and what it means, packed so that reading one returns it in a register.
#[derive(Clone, Copy, Debug)]
pub struct Key(u64);

impl Key {
    #[inline]
    fn new(start: usize, position: u8, number: u32) -> Self {
        Self((start as u64) << 32 | u64::from(position) << 24 | u64::from(number))
    }

    /// Where its opening quote stands. Lines are shorter than 4 GiB.
    #[inline]
    fn start(self) -> usize {
        (self.0 >> 32) as usize
    }

    /// Position in the message's fields, meaningless when unknown.
    #[inline]
    fn position(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// The proto number, below 2^24; 0 is a field the message does not have.
    #[inline]
    pub fn number(self) -> u32 {
        self.0 as u32 & 0xff_ffff
    }
}

/// The fields of a message that were read already.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Bit n: the field at position n.
    fields: u64,
    /// The position behind the last one.
    next: u8,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte. `on_unknown`: what becomes of unknown fields and enum names.
    pub fn new(text: &'a str, on_unknown: OnUnknown) -> Self {
        Self { text, bytes: text.as_bytes(), at: 0, on_unknown, last_time: ("", Default::default()) }
    }

    /// Whether what is unknown is kept.
    pub(super) fn keeps_unknown(&self) -> bool {
        self.on_unknown == OnUnknown::Keep
    }

    /// The byte at the position, 0 at the end.
    #[inline]
    pub fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    /// An error at the position.
    #[cold]
    pub fn error(&self, problem: Problem) -> Box<Error> {
        self.error_at(self.at, problem)
    }

    #[cold]
    pub(super) fn error_at(&self, at: usize, problem: Problem) -> Box<Error> {
        Box::new(Error { at, problem })
    }

    /// The error of a byte that is not what had to come: a torn line when there is none.
    #[cold]
    pub fn expected(&self, what: &'static str) -> Box<Error> {
        self.error(if self.at >= self.bytes.len() { Problem::Torn } else { Problem::Expected(what) })
    }

    /// Skips white space.
    #[inline]
    pub fn space(&mut self) {
        if self.byte() <= b' ' {
            self.skip_space();
        }
    }

    #[cold]
    fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    #[inline]
    fn take(&mut self, byte: u8, what: &'static str) -> Result<()> {
        if self.byte() != byte {
            self.space();
            if self.byte() != byte {
                return Err(self.expected(what));
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Enters an object; false when it is empty.
    #[inline]
    pub fn open_object(&mut self) -> Result<bool> {
        self.take(b'{', "an object")?;
        self.not_closed(b'}')
    }

    /// Enters a list; false when it is empty.
    #[inline]
    pub fn open_list(&mut self) -> Result<bool> {
        self.take(b'[', "a list")?;
        self.not_closed(b']')
    }

    #[inline]
    fn not_closed(&mut self, close: u8) -> Result<bool> {
        self.space();
        if self.byte() == close {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Behind a member: true at a comma, false at the end of the object.
    #[inline]
    pub fn more_members(&mut self) -> Result<bool> {
        self.more(b'}', "a comma or `}`")
    }

    /// Behind an element: true at a comma, false at the end of the list.
    #[inline]
    pub fn more_elements(&mut self) -> Result<bool> {
        self.more(b']', "a comma or `]`")
    }

    #[inline]
    fn more(&mut self, close: u8, what: &'static str) -> Result<bool> {
        let mut byte = self.byte();
        if byte != b',' && byte != close {
            self.space();
            byte = self.byte();
            if byte != b',' && byte != close {
                return Err(self.expected(what));
            }
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Reads a key and its colon, up to the value. Lines nearly always hold their fields in the order of the schema with small gaps, so the
    /// next few fields are tried first.
    #[inline]
    pub fn key(&mut self, fields: &'static Fields, seen: &Seen) -> Result<Key> {
        self.space();
        let start = self.at;
        let rest = self.bytes.get(start..).unwrap_or_default();
        for position in seen.next..seen.next + 4 {
            if let Some((length, number)) = fields.expected(position, rest) {
                self.at = start + length;
                self.space();
                return Ok(Key::new(start, position, number));
            }
        }
        self.other_key(fields)
    }

    /// Reads a key that may be any.
    fn other_key(&mut self, fields: &'static Fields) -> Result<Key> {
        let start = self.at;
        if self.byte() != b'"' {
            return Err(self.expected("a key"));
        }
        let end = scan::special(self.bytes, start + 1);
        let Some([b'"', b':']) = self.bytes.get(end..).and_then(|rest| rest.first_chunk::<2>()) else {
            return self.key_with_escapes(fields);
        };
        self.at = end + 2;
        let (number, position) = fields.key(self.bytes.get(start + 1..end).unwrap_or_default()).unwrap_or_default();
        self.space();
        Ok(Key::new(start, position, number))
    }

    /// A key that holds an escape, or has white space behind it.
    #[cold]
    fn key_with_escapes(&mut self, fields: &'static Fields) -> Result<Key> {
        let start = self.at;
        let (number, position) = fields.key(self.text()?.as_bytes()).unwrap_or_default();
        self.take(b':', "a colon")?;
        self.space();
        Ok(Key::new(start, position, number))
    }

    /// Refuses a field that was read before.
    #[inline]
    pub fn once(&self, seen: &mut Seen, key: Key) -> Result<()> {
        let bit = 1 << (key.position() & 63);
        if key.number() != 0 {
            if seen.fields & bit != 0 {
                return Err(self.error_at(key.start(), Problem::Twice(self.key_name(key))));
            }
            seen.fields |= bit;
            seen.next = key.position() + 1;
        }
        Ok(())
    }

    /// Reads `null` if it stands here, which leaves a field unset.
    #[inline]
    pub fn null(&mut self) -> Result<bool> {
        if self.byte() != b'n' {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// The error of a second member of a oneof.
    #[cold]
    pub fn second_member(&self, key: Key) -> Box<Error> {
        self.error_at(key.start(), Problem::Oneof(self.key_name(key)))
    }

    /// Keeps a field the message does not have, or refuses it.
    #[cold]
    pub fn unknown_field(&mut self, key: Key, unknown: &mut Unknown<'a>) -> Result<()> {
        if self.on_unknown == OnUnknown::Refuse {
            return Err(self.error_at(key.start(), Problem::UnknownField(self.key_name(key))));
        }
        self.keep(key, unknown)
    }

    /// Keeps a field whose enum name is unknown; passes any other error on.
    #[cold]
    pub fn keep_unknown_name(&mut self, error: Box<Error>, key: Key, unknown: &mut Unknown<'a>) -> Result<()> {
        if self.on_unknown == OnUnknown::Refuse || !matches!(error.problem, Problem::UnknownName(_)) {
            return Err(error);
        }
        self.keep(key, unknown)
    }

    /// Goes back to a key and keeps it with its value, or passes over both.
    fn keep(&mut self, key: Key, unknown: &mut Unknown<'a>) -> Result<()> {
        self.at = key.start();
        let mut field = String::new();
        self.copy_string(&mut field)?;
        self.take(b':', "a colon")?;
        field.push(':');
        self.copy_value(&mut field)?;
        if self.keeps_unknown() {
            unknown.keep_json(Cow::Owned(field));
        }
        Ok(())
    }

    fn key_name(&self, key: Key) -> String {
        let mut again = Reader { text: self.text, bytes: self.bytes, at: key.start(), ..*self };
        again.text().map(Cow::into_owned).unwrap_or_default()
    }

    /// Nothing but white space may follow.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.error(Problem::MoreText));
        }
        Ok(())
    }
}
