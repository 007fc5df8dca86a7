//! `flow.extensions`: a message of any type, held as the JSON it is written as.
//!
//! Flowlog writes only a `google.protobuf.Struct` there; other types are passed on unread.

use std::borrow::Cow;

use super::fields::{Below, FieldInfo, Fields};
use super::value::IntoStatic;

/// Type of the only message flowlog writes.
pub const STRUCT_TYPE: &str = "type.googleapis.com/google.protobuf.Struct";

/// A `google.protobuf.Any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Any<'a> {
    json: Cow<'a, str>,
}

impl Default for Any<'_> {
    fn default() -> Self {
        Self {
            json: Cow::Borrowed("{}"),
        }
    }
}

impl<'a> Any<'a> {
    pub(crate) const FIELDS: Fields = Fields::new(
        "google.protobuf.Any",
        &[
            FieldInfo {
                name: "type_url",
                number: 1,
                below: Below::Nothing,
            },
            FieldInfo {
                name: "value",
                number: 2,
                below: Below::Nothing,
            },
        ],
    );

    /// Of an object that is canonical already.
    pub(crate) fn from_canonical(json: Cow<'a, str>) -> Self {
        Self { json }
    }

    /// The JSON object, `{"@type":…,…}`, in canonical form; `{}` when it is empty.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The type, with its domain; empty when there is none.
    pub fn type_url(&self) -> &str {
        let text = self.json.strip_prefix("{\"@type\":\"").unwrap_or_default();
        text.split('"').next().unwrap_or_default()
    }

    /// The JSON of the struct, when it holds one.
    pub fn struct_json(&self) -> Option<&str> {
        let rest = self
            .json
            .strip_prefix("{\"@type\":\"")?
            .strip_prefix(STRUCT_TYPE)?;
        rest.strip_prefix("\",\"value\":")?.strip_suffix('}')
    }

    /// What is left of it without its value or without its type. Without a type there is nothing that can be written.
    pub(crate) fn part(&self, type_url: bool, value: bool) -> Cow<'_, str> {
        match (type_url, value) {
            (true, true) => Cow::Borrowed(self.json()),
            (true, false) if self.struct_json().is_some() => {
                Cow::Owned(format!("{{\"@type\":\"{STRUCT_TYPE}\",\"value\":{{}}}}"))
            }
            (true, false) if !self.type_url().is_empty() => {
                Cow::Owned(format!("{{\"@type\":\"{}\"}}", self.type_url()))
            }
            _ => Cow::Borrowed("{}"),
        }
    }
}

impl IntoStatic for Any<'_> {
    type Static = Any<'static>;

    fn into_static(self) -> Any<'static> {
        Any {
            json: Cow::Owned(self.json.into_owned()),
        }
    }
}
