//! Fields a message had that this build does not know, kept so that a newer agent's flow passes through whole.
//!
//! They are kept in the form they came in: a JSON field is written to JSON again, a protobuf field to protobuf. Neither
//! can be turned into the other, since that needs the schema that is missing.

use std::borrow::Cow;

use super::value::IntoStatic;

/// Unknown fields of one message; empty nearly always, and then one word wide.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unknown<'a>(Option<Box<Kept<'a>>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Kept<'a> {
    json: Vec<Cow<'a, str>>,
    wire: Vec<u8>,
}

impl<'a> Unknown<'a> {
    /// True when there is nothing to pass on.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Keeps a JSON field: its quoted key, a colon and its value, without white space.
    pub(super) fn keep_json(&mut self, field: Cow<'a, str>) {
        self.0.get_or_insert_default().json.push(field);
    }

    /// Keeps a protobuf field: its tag and its value.
    pub(crate) fn keep_wire(&mut self, field: &[u8]) {
        self.0.get_or_insert_default().wire.extend_from_slice(field);
    }

    /// JSON fields in the order they came.
    pub(super) fn json(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|kept| kept.json.iter().map(AsRef::as_ref))
    }

    /// Protobuf fields in the order they came.
    pub(crate) fn wire(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |kept| &kept.wire)
    }
}

impl IntoStatic for Unknown<'_> {
    type Static = Unknown<'static>;

    fn into_static(self) -> Unknown<'static> {
        Unknown(self.0.map(|kept| Box::new(Kept { json: kept.json.into_static(), wire: kept.wire })))
    }
}
