//! `flow.extensions`: a message of any type, held as the JSON it is written as.
//!
//! Flowlog writes only a `google.protobuf.Struct` there; other types are passed on unread.

use std::borrow::Cow;

use base64::Engine as _;

use super::fields::{Below, FieldInfo, Fields};
use super::json::text::{quote, unquote_inner};
use super::value::IntoStatic;

/// Type of the only message flowlog writes.
pub const STRUCT_TYPE: &str = "type.googleapis.com/google.protobuf.Struct";

/// A `google.protobuf.Any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Any<'a> {
    json: Cow<'a, str>,
    /// The value as protobuf, of a type that JSON cannot tell.
    wire_value: Option<Box<[u8]>>,
}

impl Default for Any<'_> {
    fn default() -> Self {
        Self { json: Cow::Borrowed("{}"), wire_value: None }
    }
}

impl<'a> Any<'a> {
    pub(crate) const FIELDS: Fields = Fields::new(
        "google.protobuf.Any",
        &[
            FieldInfo { name: "type_url", key: "\"type_url\":", number: 1, below: Below::Nothing },
            FieldInfo { name: "value", key: "\"value\":", number: 2, below: Below::Nothing },
        ],
    );

    /// Of an object that is canonical already.
    pub(crate) fn from_canonical(json: Cow<'a, str>) -> Self {
        Self { json, wire_value: None }
    }

    /// Of a type whose schema is not known; JSON shows the value in base64.
    pub(super) fn of_wire(type_url: &str, value: &[u8]) -> Self {
        if type_url.is_empty() && value.is_empty() {
            return Self::default();
        }
        let mut json = String::from("{\"@type\":");
        quote(type_url, &mut json);
        json.push_str(",\"value\":\"");
        json.push_str(&base64::engine::general_purpose::STANDARD.encode(value));
        json.push_str("\"}");
        Self { json: Cow::Owned(json), wire_value: Some(value.into()) }
    }

    /// The value as protobuf, when it came so and its type is not known.
    pub(super) fn wire_value(&self) -> Option<&[u8]> {
        self.wire_value.as_deref()
    }

    /// The JSON object, `{"@type":…,…}`, in canonical form; `{}` when it is empty.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The type, with its domain; empty when there is none.
    pub fn type_url(&self) -> Cow<'_, str> {
        let quoted = self.quoted_type();
        if quoted.contains('\\') { Cow::Owned(unquote_inner(quoted)) } else { Cow::Borrowed(quoted) }
    }

    /// The type as it stands in the JSON, with its escapes.
    fn quoted_type(&self) -> &str {
        let text = self.json.strip_prefix("{\"@type\":\"").unwrap_or_default();
        let mut escaped = false;
        let end = text.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        text.get(..end.unwrap_or_default()).unwrap_or_default()
    }

    /// The JSON of the struct, when it holds one.
    pub fn struct_json(&self) -> Option<&str> {
        let rest = self.json.strip_prefix("{\"@type\":\"")?.strip_prefix(STRUCT_TYPE)?;
        rest.strip_prefix("\",\"value\":")?.strip_suffix('}')
    }

    /// What is left of it without its value or without its type. Without a type there is nothing that can be written.
    pub(crate) fn part(&self, type_url: bool, value: bool) -> Cow<'_, str> {
        match (type_url, value) {
            (true, true) => Cow::Borrowed(self.json()),
            (true, false) if self.struct_json().is_some() => Cow::Owned(format!("{{\"@type\":\"{STRUCT_TYPE}\",\"value\":{{}}}}")),
            (true, false) if !self.quoted_type().is_empty() => Cow::Owned(format!("{{\"@type\":\"{}\"}}", self.quoted_type())),
            _ => Cow::Borrowed("{}"),
        }
    }
}

impl IntoStatic for Any<'_> {
    type Static = Any<'static>;

    fn into_static(self) -> Any<'static> {
        Any { json: Cow::Owned(self.json.into_owned()), wire_value: self.wire_value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_needs_escapes_is_the_same_in_both_forms() {
        for type_url in ["a/b", "a\"b", "a\\", "\u{3}\n<"] {
            let any = Any::of_wire(type_url, b"x");
            assert_eq!(any.type_url(), type_url);
            assert!(serde_json::from_str::<serde_json::Value>(&any.part(true, false)).is_ok(), "{}", any.part(true, false));
        }
    }
}
