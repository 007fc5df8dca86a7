//! Filters in the syntax of Cilium's agent flags: JSON objects one after the other, with nothing but white space between them.
//!
//! Commas between the objects, lists, and quotes round them are mistakes there (`spec/hubble.md` §3.9), also the comma that the official
//! documentation shows. The JSON goes through the same checks as a filter in the file; all of it has one place, the flag's.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::fields::At;
use super::filters::filter;
use crate::config::place::Problems;
use crate::config::types::FilterText;
use crate::config::yaml::{Entry, Kind, Mark, Node, Scalar, format_go_float};

/// Reads the filters of a flag's text.
pub(super) fn filters_of_flag(text: &str, at: &At<'_>, problems: &mut Problems) -> Vec<FilterText> {
    let mut filters = Vec::new();
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Json>();
    loop {
        let from = stream.byte_offset();
        let what = match stream.next() {
            None => return filters,
            Some(Ok(Json(node))) if matches!(node.kind, Kind::Map(_)) => {
                filters.push(filter(&At { node: &node, place: at.place.clone() }, problems));
                continue;
            }
            Some(Ok(Json(node))) => format!("{} stands where a filter should", node.what()),
            Some(Err(error)) => format!("is not JSON: {error}"),
        };
        let comma = text.get(from..).is_some_and(|rest| rest.trim_start().starts_with(','));
        let advice = match comma {
            true => "leave out the commas between filters",
            false => "write JSON objects one after the other, as in {\"source_pod\":[\"a/\"]} {\"verdict\":[\"DROPPED\"]}",
        };
        problems.reject(&at.place, what, Some(advice.to_owned()));
        return filters;
    }
}

/// Any JSON in which no key of an object stands twice.
struct Json(Node);

fn scalar<E>(scalar: Scalar, text: impl Into<String>) -> Result<Json, E> {
    Ok(Json(Node { mark: Mark::default(), kind: Kind::Scalar(scalar, text.into()) }))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json, E> {
        scalar(Scalar::Null, "null")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Json, E> {
        scalar(Scalar::Bool(truth), truth.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Json, E> {
        scalar(Scalar::Int(number), number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Json, E> {
        scalar(i64::try_from(number).map_or(Scalar::Unsigned(number), Scalar::Int), number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Json, E> {
        scalar(Scalar::Float(number), format_go_float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json, E> {
        scalar(Scalar::Text, text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(Json(item)) = access.next_element()? {
            items.push(item);
        }
        Ok(Json(Node { mark: Mark::default(), kind: Kind::List(items) }))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((key, Json(value))) = access.next_entry::<String, Json>()? {
            if entries.contains_key(&key) {
                return Err(A::Error::custom(format!("{key} stands there twice")));
            }
            entries.insert(key, Entry { mark: Mark::default(), value });
        }
        Ok(Json(Node { mark: Mark::default(), kind: Kind::Map(entries) }))
    }
}
