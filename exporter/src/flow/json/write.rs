//! Writes JSON by the rules of the Hubble digest §2.2, whole or by what a mask selects.
//!
//! Every member is written with a comma before it; closing the object turns the first comma into the brace. So no member needs to know
//! whether another one came before it.

use super::{scan, time};
use crate::flow::fields::{Below, FieldInfo, Fields, Select};
use crate::flow::{Any, Few, Flags, TcpFlags, Text, Texts, Timestamp, Unknown};

/// The line being written.
#[derive(Debug)]
pub struct Out<'o> {
    bytes: &'o mut Vec<u8>,
}

impl<'o> Out<'o> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'o mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Bytes so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Ends the object whose members were written from `start` on.
    #[inline]
    pub fn close(&mut self, start: usize) {
        match self.bytes.get_mut(start) {
            Some(comma) => {
                *comma = b'{';
                self.bytes.push(b'}');
            }
            None => self.bytes.extend_from_slice(b"{}"),
        }
    }

    /// Writes a string.
    #[inline]
    pub fn string(&mut self, text: &str) {
        if scan::is_clean(text.as_bytes()) {
            self.bytes.reserve(text.len() + 2);
            self.bytes.push(b'"');
            self.bytes.extend_from_slice(text.as_bytes());
            self.bytes.push(b'"');
        } else {
            self.string_with_escapes(text);
        }
    }

    #[cold]
    fn string_with_escapes(&mut self, text: &str) {
        let mut quoted = String::with_capacity(text.len() + 16);
        super::text::quote(text, &mut quoted);
        self.raw(quoted.as_bytes());
    }

    /// Writes an integer.
    #[inline]
    pub fn integer(&mut self, value: impl itoa::Integer) {
        self.raw(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Writes a time as a string.
    #[inline]
    pub fn time(&mut self, value: Timestamp) {
        let mut buffer = [0; time::LONGEST];
        let length = time::format(value, &mut buffer);
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(&buffer[..length.min(time::LONGEST)]);
        self.bytes.push(b'"');
    }

    /// Writes the members of a message that this build does not know.
    #[inline]
    pub fn unknown(&mut self, unknown: &Unknown<'_>) {
        if !unknown.is_empty() {
            for field in unknown.json() {
                self.raw(b",");
                self.raw(field.as_bytes());
            }
        }
    }

    /// Writes those of a message's unknown members that are names of known fields which a mask wants whole: enums whose name this build
    /// does not know.
    #[inline]
    pub fn unknown_names(&mut self, unknown: &Unknown<'_>, fields: &Fields, part: &Select) {
        if !unknown.is_empty() {
            for field in unknown.json() {
                let name = field.split('"').nth(1).unwrap_or_default();
                let wanted = |position| part.has(u32::from(position)) && part.below(u32::from(position)).is_none();
                if fields.position(name.as_bytes()).is_some_and(wanted) {
                    self.raw(b",");
                    self.raw(field.as_bytes());
                }
            }
        }
    }

    /// Writes a field unless it is unset.
    #[inline]
    pub fn field(&mut self, key: &'static str, value: &impl WriteJson) {
        if !value.is_unset() {
            self.raw(key.as_bytes());
            value.write_json(self);
        }
    }

    /// Writes a member of a oneof, of which a mask wants all or a part.
    #[inline]
    pub fn member(&mut self, key: &'static str, value: &impl WriteJson, part: Option<&Select>) {
        self.raw(key.as_bytes());
        match part {
            None => value.write_json(self),
            Some(part) => value.write_part(part, self),
        }
    }

    /// Writes a field of which a mask wants all or a part.
    #[inline]
    pub fn selected(&mut self, key: &'static str, value: &impl WriteJson, part: Option<&Select>) {
        match part {
            None => self.field(key, value),
            Some(part) => {
                self.raw(key.as_bytes());
                value.write_part(part, self);
            }
        }
    }
}

/// A value that can be written as JSON.
pub trait WriteJson {
    /// What a mask may name below such a field.
    const BELOW: Below = Below::Nothing;

    /// The same for an optional field of this type: a number or boolean is then a message with a `value`.
    const BELOW_OPTION: Below = Self::BELOW;

    /// Whether the field is left out.
    fn is_unset(&self) -> bool;

    /// Writes the value.
    fn write_json(&self, out: &mut Out<'_>);

    /// Writes what a mask wants of the value. Only called where the mask could name something below it.
    fn write_part(&self, _part: &Select, out: &mut Out<'_>) {
        self.write_json(out);
    }
}

/// `google.protobuf.BoolValue` and its kin.
const WRAPPER: Fields =
    Fields::new("google.protobuf.Value", &[FieldInfo { name: "value", key: "\"value\":", number: 1, below: Below::Nothing }]);

macro_rules! numbers {
    ($quote:literal: $($kind:ty),*) => {
        $(impl WriteJson for $kind {
            const BELOW_OPTION: Below = Below::Message(&WRAPPER);

            #[inline]
            fn is_unset(&self) -> bool {
                *self == 0
            }

            #[inline]
            fn write_json(&self, out: &mut Out<'_>) {
                out.raw($quote);
                out.integer(*self);
                out.raw($quote);
            }
        })*
    };
}

numbers!(b"": u32, i32);
numbers!(b"\"": u64, i64);

impl WriteJson for bool {
    const BELOW_OPTION: Below = Below::Message(&WRAPPER);

    #[inline]
    fn is_unset(&self) -> bool {
        !*self
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        out.raw(if *self { b"true" } else { b"false" });
    }
}

impl WriteJson for Text<'_> {
    #[inline]
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        out.string(self);
    }
}

impl WriteJson for Texts<'_> {
    const BELOW: Below = Below::List;

    #[inline]
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        out.raw(b"[");
        out.raw(self.canonical().as_bytes());
        out.raw(b"]");
    }
}

impl WriteJson for Any<'_> {
    const BELOW: Below = Below::Message(&Any::FIELDS);

    fn is_unset(&self) -> bool {
        false
    }

    fn write_json(&self, out: &mut Out<'_>) {
        out.raw(self.json().as_bytes());
    }

    fn write_part(&self, part: &Select, out: &mut Out<'_>) {
        out.raw(self.part(part.has(0), part.has(1)).as_bytes());
    }
}

impl<T: WriteJson + Default> WriteJson for Option<T> {
    const BELOW: Below = T::BELOW_OPTION;

    #[inline]
    fn is_unset(&self) -> bool {
        self.is_none()
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        if let Some(value) = self {
            value.write_json(out);
        }
    }

    #[inline]
    fn write_part(&self, part: &Select, out: &mut Out<'_>) {
        match self {
            Some(value) => value.write_part(part, out),
            None => T::default().write_part(part, out),
        }
    }
}

impl<T: WriteJson> WriteJson for Box<T> {
    const BELOW: Below = T::BELOW;

    fn is_unset(&self) -> bool {
        T::is_unset(self)
    }

    fn write_json(&self, out: &mut Out<'_>) {
        T::write_json(self, out);
    }

    fn write_part(&self, part: &Select, out: &mut Out<'_>) {
        T::write_part(self, part, out);
    }
}

impl<T: WriteJson> WriteJson for [T] {
    const BELOW: Below = Below::List;

    #[inline]
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    fn write_json(&self, out: &mut Out<'_>) {
        let mut before: &[u8] = b"[";
        for element in self {
            out.raw(before);
            element.write_json(out);
            before = b",";
        }
        out.raw(b"]");
    }
}

impl<T: WriteJson> WriteJson for Vec<T> {
    const BELOW: Below = Below::List;

    #[inline]
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    fn write_json(&self, out: &mut Out<'_>) {
        self.as_slice().write_json(out);
    }
}

impl<T: WriteJson> WriteJson for Few<T> {
    const BELOW: Below = Below::List;

    #[inline]
    fn is_unset(&self) -> bool {
        self.is_empty()
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        <[T]>::write_json(self, out);
    }
}

impl WriteJson for Timestamp {
    const BELOW: Below = Below::Message(&Timestamp::FIELDS);

    #[inline]
    fn is_unset(&self) -> bool {
        false
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        out.time(*self);
    }

    fn write_part(&self, part: &Select, out: &mut Out<'_>) {
        out.time(self.part(part.has(0), part.has(1)));
    }
}

impl WriteJson for TcpFlags<'_> {
    const BELOW: Below = Below::Message(&Flags::FIELDS);

    #[inline]
    fn is_unset(&self) -> bool {
        false
    }

    #[inline]
    fn write_json(&self, out: &mut Out<'_>) {
        let start = out.position();
        self.set.write_members(out);
        out.unknown(&self.unknown);
        out.close(start);
    }

    fn write_part(&self, part: &Select, out: &mut Out<'_>) {
        let start = out.position();
        Flags(self.set.0 & part.wanted() as u16).write_members(out);
        out.close(start);
    }
}

impl Flags {
    /// Writes `,"SYN":true` for each flag that is set.
    #[inline]
    pub fn write_members(self, out: &mut Out<'_>) {
        const MEMBERS: [&[u8]; 9] = [
            b",\"FIN\":true",
            b",\"SYN\":true",
            b",\"RST\":true",
            b",\"PSH\":true",
            b",\"ACK\":true",
            b",\"URG\":true",
            b",\"ECE\":true",
            b",\"CWR\":true",
            b",\"NS\":true",
        ];
        let mut bits = self.0;
        while bits != 0 {
            out.raw(MEMBERS.get(bits.trailing_zeros() as usize).copied().unwrap_or_default());
            bits &= bits - 1;
        }
    }
}
