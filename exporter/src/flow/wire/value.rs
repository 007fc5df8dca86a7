//! How each kind of field stands on the wire.

use std::borrow::Cow;

use super::decode::{Field, Fields, Found, packed};
use super::{Error, Result};
use crate::flow::{Few, Flags, TcpFlags, Text, Texts, Timestamp};

/// Appends a number of variable length.
pub fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field that holds a number of variable length.
pub fn write_number(number: u32, value: u64, out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3, out);
    write_varint(value, out);
}

/// Appends a field that holds bytes.
pub fn write_bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    write_varint(u64::from(number) << 3 | 2, out);
    write_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a field that holds what `body` writes, with its length before it.
pub fn write_nested(number: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    write_varint(u64::from(number) << 3 | 2, out);
    let at = out.len();
    out.push(0);
    body(out);
    let length = out.len() - at - 1;
    if let (true, Some(byte)) = (length < 0x80, out.get_mut(at)) {
        *byte = length as u8;
        return;
    }
    // Rarely more than one byte: make room for the others.
    let mut prefix = Vec::with_capacity(10);
    write_varint(length as u64, &mut prefix);
    out.splice(at..=at, prefix);
}

/// A value on the wire.
pub trait Wire<'a>: Default {
    /// Appends the field unless it is unset.
    fn write_wire(&self, number: u32, out: &mut Vec<u8>);

    /// Takes the field's value; a message merges, a list grows, anything else is replaced.
    fn read_wire(&mut self, field: Field<'a>) -> Result<()>;

    /// The number that stands for it in a packed list; `None` for what lists hold as fields of their own.
    fn varint(&self) -> Option<u64> {
        None
    }

    /// Appends an element of a list, unset or not.
    fn write_element(&self, number: u32, out: &mut Vec<u8>) {
        self.write_wire(number, out);
    }

    /// Appends an optional field: a number or boolean is then a message with a `value`, and kept when it is zero.
    fn write_some(&self, number: u32, out: &mut Vec<u8>) {
        write_nested(number, out, |out| self.write_wire(1, out));
    }

    /// Takes the value of such a field.
    fn read_some(&mut self, field: Field<'a>) -> Result<()> {
        let mut fields = Fields::of(field.bytes()?);
        while let Some(field) = fields.next()? {
            if field.number == 1 {
                self.read_wire(field)?;
            }
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($kind:ty),*) => {
        $(impl<'a> Wire<'a> for $kind {
            fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
                if *self != 0 {
                    // Negative numbers are sign-extended to 64 bits.
                    write_number(number, *self as u64, out);
                }
            }

            fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
                *self = field.varint()? as $kind;
                Ok(())
            }

            fn varint(&self) -> Option<u64> {
                Some(*self as u64)
            }
        })*
    };
}

numbers!(u32, i32, u64, i64);

impl<'a> Wire<'a> for bool {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        if *self {
            write_number(number, 1, out);
        }
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        *self = field.varint()? != 0;
        Ok(())
    }

    fn varint(&self) -> Option<u64> {
        Some(u64::from(*self))
    }
}

impl<'a> Wire<'a> for Text<'a> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        if !self.is_empty() {
            write_bytes(number, self.as_bytes(), out);
        }
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        *self = Cow::Borrowed(field.text()?);
        Ok(())
    }

    fn write_element(&self, number: u32, out: &mut Vec<u8>) {
        write_bytes(number, self.as_bytes(), out);
    }
}

impl<'a> Wire<'a> for Texts<'a> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        for text in self {
            write_bytes(number, text.as_bytes(), out);
        }
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        self.push(field.text()?);
        Ok(())
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        if let Some(value) = self {
            value.write_some(number, out);
        }
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        self.get_or_insert_default().read_some(field)
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Box<T> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        T::write_wire(self, number, out);
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        T::read_wire(self, field)
    }

    fn write_some(&self, number: u32, out: &mut Vec<u8>) {
        T::write_some(self, number, out);
    }

    fn read_some(&mut self, field: Field<'a>) -> Result<()> {
        T::read_some(self, field)
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        match self.first().and_then(T::varint) {
            Some(_) => write_nested(number, out, |out| {
                self.iter().filter_map(T::varint).for_each(|value| write_varint(value, out));
            }),
            None => self.iter().for_each(|element| element.write_element(number, out)),
        }
    }

    /// Numbers come packed, or one by one from older writers.
    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        if let (Found::Bytes(bytes), Some(_)) = (field.found, T::default().varint()) {
            for value in packed(bytes) {
                let mut element = T::default();
                element.read_wire(Field { found: Found::Varint(value?), ..field })?;
                self.push(element);
            }
            return Ok(());
        }
        let mut element = T::default();
        element.read_wire(field)?;
        self.push(element);
        Ok(())
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Few<T> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        self.iter().for_each(|element| element.write_wire(number, out));
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        let mut element = T::default();
        element.read_wire(field)?;
        self.push(element);
        Ok(())
    }
}

impl<'a> Wire<'a> for Timestamp {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        write_nested(number, out, |out| {
            self.seconds.write_wire(1, out);
            self.nanos.write_wire(2, out);
        });
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        let mut fields = Fields::of(field.bytes()?);
        let mut nanos: i32 = self.nanos as i32;
        while let Some(inner) = fields.next()? {
            match inner.number {
                1 => self.seconds.read_wire(inner)?,
                2 => nanos.read_wire(inner)?,
                _ => {}
            }
        }
        let in_years = (Self::MIN_SECONDS..=Self::MAX_SECONDS).contains(&self.seconds);
        self.nanos = u32::try_from(nanos).ok().filter(|nanos| in_years && *nanos < 1_000_000_000).ok_or(Error::Time(field.number))?;
        Ok(())
    }

    fn write_some(&self, number: u32, out: &mut Vec<u8>) {
        self.write_wire(number, out);
    }

    fn read_some(&mut self, field: Field<'a>) -> Result<()> {
        self.read_wire(field)
    }
}

impl<'a> Wire<'a> for TcpFlags<'a> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        write_nested(number, out, |out| {
            for (bit, flag) in (0u16..).zip(Flags::FIELDS.list()) {
                (self.set.0 >> bit & 1 != 0).write_wire(flag.number, out);
            }
            out.extend_from_slice(self.unknown.wire());
        });
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        let mut fields = Fields::of(field.bytes()?);
        while let Some(flag) = fields.next()? {
            match flag.number {
                number @ 1..=9 => {
                    let bit = 1 << (number - 1);
                    self.set.0 = if flag.varint()? != 0 { self.set.0 | bit } else { self.set.0 & !bit };
                }
                _ => self.unknown.keep_wire(flag.raw),
            }
        }
        Ok(())
    }

    fn write_some(&self, number: u32, out: &mut Vec<u8>) {
        self.write_wire(number, out);
    }

    fn read_some(&mut self, field: Field<'a>) -> Result<()> {
        self.read_wire(field)
    }
}
