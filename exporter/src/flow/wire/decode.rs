//! Takes protobuf apart: fields with their numbers, and values by how they are laid out.

use super::{Error, Result};

/// How deep groups of unknown fields may nest.
const MAX_DEPTH: usize = 100;

/// What a field holds, before its type is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'a> {
    /// A number of variable length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Bytes with a length: a text or a message.
    Bytes(&'a [u8]),
    /// Four bytes, or a group: nothing of this schema has them.
    Other,
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Field<'a> {
    /// Its number.
    pub number: u32,
    /// Its value.
    pub found: Found<'a>,
    /// All of it, as it stands in the message.
    pub raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// A number of variable length.
    pub fn varint(&self) -> Result<u64> {
        match self.found {
            Found::Varint(value) => Ok(value),
            _ => Err(Error::Type(self.number)),
        }
    }

    /// Bytes with a length.
    pub fn bytes(&self) -> Result<&'a [u8]> {
        match self.found {
            Found::Bytes(bytes) => Ok(bytes),
            _ => Err(Error::Type(self.number)),
        }
    }

    /// A text.
    pub fn text(&self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Error::NotUtf8(self.number))
    }
}

/// The fields of a message, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of these bytes.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next field, `None` at the end.
    pub fn next(&mut self) -> Result<Option<Field<'a>>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let start = self.rest;
        let (number, kind) = self.tag()?;
        let found = self.value(number, kind, MAX_DEPTH)?;
        let raw = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        Ok(Some(Field { number, found, raw }))
    }

    fn tag(&mut self) -> Result<(u32, u8)> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        Ok((number.ok_or(Error::Number)?, (tag & 7) as u8))
    }

    fn value(&mut self, number: u32, kind: u8, depth: usize) -> Result<Found<'a>> {
        match kind {
            0 => Ok(Found::Varint(self.varint()?)),
            1 => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(Error::Torn)?;
                self.rest = rest;
                Ok(Found::Fixed64(u64::from_le_bytes(*bytes)))
            }
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Error::Torn)?;
                let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Error::Torn)?;
                self.rest = rest;
                Ok(Found::Bytes(bytes))
            }
            3 => self.group(number, depth.checked_sub(1).ok_or(Error::TooDeep(MAX_DEPTH))?),
            5 => {
                self.rest = self.rest.get(4..).ok_or(Error::Torn)?;
                Ok(Found::Other)
            }
            _ => Err(Error::Type(number)),
        }
    }

    /// Skips a group up to its end.
    fn group(&mut self, number: u32, depth: usize) -> Result<Found<'a>> {
        loop {
            match self.tag()? {
                (end, 4) if end == number => return Ok(Found::Other),
                (inner, kind) => self.value(inner, kind, depth)?,
            };
        }
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for (at, byte) in self.rest.iter().take(10).enumerate() {
            if at == 9 && *byte > 1 {
                return Err(Error::Number);
            }
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte & 0x80 == 0 {
                self.rest = self.rest.get(at + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { Error::Torn } else { Error::Number })
    }
}

/// The numbers of a packed list.
pub fn packed(bytes: &[u8]) -> impl Iterator<Item = Result<u64>> {
    let mut fields = Fields::of(bytes);
    std::iter::from_fn(move || {
        if fields.rest.is_empty() {
            return None;
        }
        let value = fields.varint();
        if value.is_err() {
            fields.rest = &[];
        }
        Some(value)
    })
}
