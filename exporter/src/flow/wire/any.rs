//! `google.protobuf.Any` on the wire, and the struct inside it: JSON there, protobuf here.
//!
//! A type other than a struct that came as protobuf keeps its bytes; JSON shows them in base64. One that came as JSON cannot be turned into
//! protobuf without its schema: only its type is written.

use super::decode::{Field, Fields, Found};
use super::value::{Wire, write_bytes, write_nested, write_number, write_varint};
use super::{Error, Result};
use crate::flow::Any;
use crate::flow::any::STRUCT_TYPE;
use crate::flow::json::number::write_double;
use crate::flow::json::text::quote;
use crate::flow::json::{MAX_DEPTH, Reader};

impl<'a> Wire<'a> for Any<'a> {
    fn write_wire(&self, number: u32, out: &mut Vec<u8>) {
        write_nested(number, out, |out| {
            let type_url = self.type_url();
            if !type_url.is_empty() {
                write_bytes(1, type_url.as_bytes(), out);
            }
            if let Some(value) = self.wire_value() {
                write_bytes(2, value, out);
            } else if let Some(json) = self.struct_json().filter(|json| *json != "{}") {
                // The JSON is canonical, so reading it cannot fail.
                write_nested(2, out, |out| {
                    let _ = write_struct(&mut Reader::new(json, crate::flow::json::OnUnknown::Keep), out);
                });
            }
        });
    }

    fn read_wire(&mut self, field: Field<'a>) -> Result<()> {
        let (mut type_url, mut value) = ("", &[][..]);
        let mut fields = Fields::of(field.bytes()?);
        while let Some(inner) = fields.next()? {
            match inner.number {
                1 => type_url = inner.text()?,
                2 => value = inner.bytes()?,
                _ => {}
            }
        }
        *self = if type_url == STRUCT_TYPE {
            let mut json = format!("{{\"@type\":\"{STRUCT_TYPE}\",\"value\":");
            read_struct(value, MAX_DEPTH, &mut json)?;
            json.push('}');
            Any::from_canonical(json.into())
        } else {
            Any::of_wire(type_url, value)
        };
        Ok(())
    }

    fn write_some(&self, number: u32, out: &mut Vec<u8>) {
        self.write_wire(number, out);
    }

    fn read_some(&mut self, field: Field<'a>) -> Result<()> {
        self.read_wire(field)
    }
}

/// Writes a JSON object as the fields of a struct.
fn write_struct(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> std::result::Result<(), Box<crate::flow::json::Error>> {
    let mut more = reader.open_object()?;
    while more {
        let key = reader.text()?;
        reader.colon()?;
        let mut read = Ok(());
        write_nested(1, out, |out| {
            if !key.is_empty() {
                write_bytes(1, key.as_bytes(), out);
            }
            write_nested(2, out, |out| read = write_value(reader, out));
        });
        read?;
        more = reader.more_members()?;
    }
    Ok(())
}

fn write_value(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> std::result::Result<(), Box<crate::flow::json::Error>> {
    let mut read = Ok(());
    match reader.byte() {
        b'{' => write_nested(5, out, |out| read = write_struct(reader, out)),
        b'[' => write_nested(6, out, |out| read = write_list(reader, out)),
        b'"' => write_bytes(3, reader.text()?.as_bytes(), out),
        b't' | b'f' => write_number(4, u64::from(reader.boolean()?), out),
        b'n' => {
            reader.null()?;
            write_number(1, 0, out);
        }
        _ => {
            let value: f64 = reader.number()?.parse().unwrap_or_default();
            write_varint(2 << 3 | 1, out);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
    read
}

fn write_list(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> std::result::Result<(), Box<crate::flow::json::Error>> {
    let mut more = reader.open_list()?;
    while more {
        let mut read = Ok(());
        write_nested(1, out, |out| read = write_value(reader, out));
        read?;
        more = reader.more_elements()?;
    }
    Ok(())
}

/// Writes the fields of a struct as a canonical JSON object.
fn read_struct(bytes: &[u8], depth: usize, json: &mut String) -> Result<()> {
    let depth = depth.checked_sub(1).ok_or(Error::TooDeep(MAX_DEPTH))?;
    let mut members: Vec<(&str, String)> = Vec::new();
    let mut fields = Fields::of(bytes);
    while let Some(entry) = fields.next()? {
        if entry.number != 1 {
            continue;
        }
        let (mut key, mut value) = ("", "null".to_owned());
        let mut parts = Fields::of(entry.bytes()?);
        while let Some(part) = parts.next()? {
            match part.number {
                1 => key = part.text()?,
                2 => {
                    value.clear();
                    read_value(part.bytes()?, depth, &mut value)?;
                }
                _ => {}
            }
        }
        members.push((key, value));
    }
    // The last one of a key counts.
    members.reverse();
    members.sort_by_key(|(key, _)| *key);
    members.dedup_by_key(|(key, _)| *key);
    json.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        quote(key, json);
        json.push(':');
        json.push_str(value);
    }
    json.push('}');
    Ok(())
}

fn read_value(bytes: &[u8], depth: usize, json: &mut String) -> Result<()> {
    let start = json.len();
    let mut fields = Fields::of(bytes);
    while let Some(field) = fields.next()? {
        json.truncate(start);
        match (field.number, field.found) {
            (2, Found::Fixed64(bits)) => match f64::from_bits(bits) {
                value if value.is_finite() => write_double(value, json),
                // JSON has no other word for it.
                _ => json.push_str("null"),
            },
            (3, _) => quote(field.text()?, json),
            (4, _) => json.push_str(if field.varint()? != 0 { "true" } else { "false" }),
            (5, _) => read_struct(field.bytes()?, depth, json)?,
            (6, _) => read_list(field.bytes()?, depth, json)?,
            _ => json.push_str("null"),
        }
    }
    if json.len() == start {
        json.push_str("null");
    }
    Ok(())
}

fn read_list(bytes: &[u8], depth: usize, json: &mut String) -> Result<()> {
    let depth = depth.checked_sub(1).ok_or(Error::TooDeep(MAX_DEPTH))?;
    json.push('[');
    let mut fields = Fields::of(bytes);
    let mut comma = false;
    while let Some(element) = fields.next()? {
        if element.number == 1 {
            if comma {
                json.push(',');
            }
            comma = true;
            read_value(element.bytes()?, depth, json)?;
        }
    }
    json.push(']');
    Ok(())
}
