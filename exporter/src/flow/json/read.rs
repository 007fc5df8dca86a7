//! How each kind of field is read from JSON.

use super::error::{Problem, Result};
use super::reader::{Reader, Seen};
use super::token::Integer;
use crate::flow::{Any, Few, Flags, TcpFlags, Text, Texts, Timestamp};

/// A value that can be read from JSON. `null` was handled before: it leaves a field unset.
pub trait ReadJson<'a>: Default {
    /// Reads the value at the reader's position.
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()>;
}

macro_rules! integers {
    ($($kind:ty: $name:literal),*) => {
        $(impl<'a> ReadJson<'a> for $kind {
            #[inline]
            fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
                let value = match reader.integer()? {
                    Integer::Plain(value) => <$kind>::try_from(value).ok(),
                    Integer::Other(value) => <$kind>::try_from(value).ok(),
                };
                *self = value.ok_or_else(|| reader.error(Problem::Number($name)))?;
                Ok(())
            }
        })*
    };
}

integers!(u32: "an unsigned 32-bit integer", i32: "a 32-bit integer", u64: "an unsigned 64-bit integer", i64: "a 64-bit integer");

impl<'a> ReadJson<'a> for bool {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        *self = reader.boolean()?;
        Ok(())
    }
}

impl<'a> ReadJson<'a> for Text<'a> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        *self = reader.text()?;
        Ok(())
    }
}

impl<'a> ReadJson<'a> for Texts<'a> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        *self = reader.texts()?;
        Ok(())
    }
}

impl<'a> ReadJson<'a> for Timestamp {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        *self = reader.time()?;
        Ok(())
    }
}

impl<'a> ReadJson<'a> for Any<'a> {
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        *self = reader.any()?;
        Ok(())
    }
}

impl<'a, T: ReadJson<'a>> ReadJson<'a> for Option<T> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        self.insert(T::default()).read_json(reader)
    }
}

impl<'a, T: ReadJson<'a>> ReadJson<'a> for Box<T> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        T::read_json(self, reader)
    }
}

impl<'a, T: ReadJson<'a>> ReadJson<'a> for Vec<T> {
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let mut more = reader.open_list()?;
        while more {
            reader.space();
            let mut element = T::default();
            element.read_json(reader)?;
            self.push(element);
            more = reader.more_elements()?;
        }
        Ok(())
    }
}

impl<'a, T: ReadJson<'a>> ReadJson<'a> for Few<T> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let mut more = reader.open_list()?;
        while more {
            reader.space();
            let mut element = T::default();
            element.read_json(reader)?;
            self.push(element);
            more = reader.more_elements()?;
        }
        Ok(())
    }
}

impl<'a> ReadJson<'a> for TcpFlags<'a> {
    #[inline]
    fn read_json(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let mut seen = Seen::default();
        let mut more = reader.open_object()?;
        while more {
            let key = reader.key(&Flags::FIELDS, &seen)?;
            reader.once(&mut seen, key)?;
            if key.number() == 0 {
                reader.unknown_field(key, &mut self.unknown)?;
            } else if !reader.null()? && reader.boolean()? {
                self.set.0 |= 1 << (key.number() - 1);
            }
            more = reader.more_members()?;
        }
        Ok(())
    }
}

impl Reader<'_> {
    /// Reads an enum: a name, or any 32-bit number without quotes.
    #[inline]
    pub fn enum_number(&mut self, number_of: impl Fn(&str) -> Option<i32>) -> Result<i32> {
        let start = self.at;
        if self.byte() != b'"' {
            let value = self.bare_integer()?;
            return i32::try_from(value).map_err(|_| self.error_at(start, Problem::Number("an enum's number")));
        }
        let name = self.text()?;
        match number_of(&name) {
            Some(number) => Ok(number),
            None => Err(self.error_at(start, Problem::UnknownName(name.into_owned()))),
        }
    }
}
