//! Reads `google.protobuf.Any` into its canonical JSON: the type first, a struct's keys sorted, its numbers as Go writes doubles.

use std::borrow::Cow;

use super::canonical;
use super::error::{Problem, Result};
use super::number::write_double;
use super::reader::Reader;
use super::slow::MAX_DEPTH;
use super::text::quote;
use crate::flow::Any;
use crate::flow::any::STRUCT_TYPE;

impl<'a> Reader<'a> {
    /// Reads an `Any`. One whose type is not a struct is kept as it is written, or refused where unknown fields are.
    pub fn any(&mut self) -> Result<Any<'a>> {
        let start = self.at;
        if let Some(length) = canonical::length(self.bytes.get(start..).unwrap_or_default()) {
            self.at += length;
            return Ok(Any::from_canonical(Cow::Borrowed(self.slice(start, start + length))));
        }
        let mut members: Vec<(String, usize)> = Vec::new();
        let mut type_url = None;
        let mut skipped = String::new();
        let mut more = self.open_object()?;
        while more {
            self.space();
            let key_at = self.at;
            let key = self.text()?.into_owned();
            self.colon()?;
            if key == "@type" {
                if type_url.is_some() {
                    return Err(self.error_at(key_at, Problem::Twice(key)));
                }
                type_url = Some(self.text()?.into_owned());
            } else {
                skipped.clear();
                let value_at = self.at;
                self.copy_value(&mut skipped)?;
                members.push((key, value_at));
            }
            more = self.more_members()?;
        }
        let end = self.at;
        self.no_key_twice(members.iter().map(|(key, at)| (key.as_str(), *at)).collect())?;
        let Some(type_url) = type_url else {
            return match members.first() {
                None => Ok(Any::default()),
                Some((key, _)) => Err(self.error_at(start, Problem::UnknownField(key.clone()))),
            };
        };
        let json = self.any_of(start, &type_url, &members)?;
        self.at = end;
        Ok(Any::from_canonical(if json == self.slice(start, end) { Cow::Borrowed(self.slice(start, end)) } else { Cow::Owned(json) }))
    }

    /// The canonical text of an `Any` whose members stand at known places.
    fn any_of(&mut self, start: usize, type_url: &str, members: &[(String, usize)]) -> Result<String> {
        let mut json = String::from("{\"@type\":");
        quote(type_url, &mut json);
        if type_url != STRUCT_TYPE {
            if !self.keeps_unknown() {
                return Err(self.error_at(start, Problem::AnyType(type_url.to_owned())));
            }
            for (key, value_at) in members {
                self.at = *value_at;
                json.push(',');
                quote(key, &mut json);
                json.push(':');
                self.copy_value(&mut json)?;
            }
        } else {
            let value = members.iter().find(|(key, _)| key == "value");
            if let Some((other, at)) = members.iter().find(|(key, _)| key != "value") {
                return Err(self.error_at(*at, Problem::UnknownField(other.clone())));
            }
            let Some((_, value_at)) = value else {
                return Err(self.error_at(start, Problem::Expected("the struct's \"value\"")));
            };
            self.at = *value_at;
            json.push_str(",\"value\":");
            if self.byte() != b'{' {
                return Err(self.expected("an object"));
            }
            self.struct_value(MAX_DEPTH, &mut json)?;
        }
        json.push('}');
        Ok(json)
    }

    /// Refuses a key that stands twice among these; each with its place.
    fn no_key_twice(&self, mut keys: Vec<(&str, usize)>) -> Result<()> {
        keys.sort_unstable();
        match keys.array_windows().find(|[one, other]| one.0 == other.0) {
            Some([_, (key, at)]) => Err(self.error_at(*at, Problem::Twice((*key).to_owned()))),
            None => Ok(()),
        }
    }

    /// Reads a colon and the white space round it.
    pub fn colon(&mut self) -> Result<()> {
        self.space();
        if self.byte() != b':' {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Writes a value of a struct in canonical form. Recursion ends at `depth`.
    fn struct_value(&mut self, depth: usize, out: &mut String) -> Result<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error(Problem::TooDeep(MAX_DEPTH)));
        };
        self.space();
        match self.byte() {
            b'{' => self.struct_object(depth, out)?,
            b'[' => {
                out.push('[');
                let mut more = self.open_list()?;
                while more {
                    self.struct_value(depth, out)?;
                    more = self.more_elements()?;
                    if more {
                        out.push(',');
                    }
                }
                out.push(']');
            }
            b'"' => quote(&self.text()?, out),
            b't' | b'f' => out.push_str(if self.boolean()? { "true" } else { "false" }),
            b'n' => {
                self.null()?;
                out.push_str("null");
            }
            _ => {
                let at = self.at;
                let value = self.number()?.parse().ok().filter(|value: &f64| value.is_finite());
                write_double(value.ok_or_else(|| self.error_at(at, Problem::Number("a double")))?, out);
            }
        }
        Ok(())
    }

    fn struct_object(&mut self, depth: usize, out: &mut String) -> Result<()> {
        let mut members: Vec<(String, usize, String)> = Vec::new();
        let mut more = self.open_object()?;
        while more {
            self.space();
            let (at, key) = (self.at, self.text()?.into_owned());
            self.colon()?;
            let mut value = String::new();
            self.struct_value(depth, &mut value)?;
            members.push((key, at, value));
            more = self.more_members()?;
        }
        self.no_key_twice(members.iter().map(|(key, at, _)| (key.as_str(), *at)).collect())?;
        members.sort();
        out.push('{');
        for (at, (key, _, value)) in members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            quote(key, out);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
        Ok(())
    }
}
