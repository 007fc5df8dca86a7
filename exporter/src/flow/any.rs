//! `flow.extensions`: a message of any type, held as the JSON it is written as.
//!
//! Flowlog writes only a `google.protobuf.Struct` there; other types are passed on unread.

use std::borrow::Cow;

use super::value::IntoStatic;

/// A `google.protobuf.Any`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Any<'a> {
    /// The canonical JSON object, `@type` first.
    pub(super) json: Cow<'a, str>,
}

impl Default for Any<'_> {
    fn default() -> Self {
        Self {
            json: Cow::Borrowed("{}"),
        }
    }
}

impl Any<'_> {
    /// The JSON object, `{"@type":…,…}`, in canonical form.
    pub fn json(&self) -> &str {
        &self.json
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
