//! `flow.extensions` as CEL sees it: a `google.protobuf.Struct` is a map of texts to anything.
//!
//! Other message types in an `Any` would need their schema; reading one is a runtime error, as upstream where the type is not linked in.

use super::value::Value;
use crate::flow::Any;
use std::borrow::Cow;

const STRUCT: &str = "type.googleapis.com/google.protobuf.Struct";

/// The value of an `Any`.
pub(super) fn value<'v>(any: &'v Any<'_>) -> Result<Value<'v>, String> {
    let parsed: serde_json::Value = serde_json::from_str(any.json()).map_err(|e| format!("extensions: {e}"))?;
    match (parsed.get("@type").and_then(serde_json::Value::as_str), parsed.get("value")) {
        (Some(STRUCT), Some(value)) => Ok(convert(value)),
        (of, _) => Err(format!("extensions hold a {}, which is not known here", of.unwrap_or("message without a type"))),
    }
}

fn convert<'v>(json: &serde_json::Value) -> Value<'v> {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(b) => Value::Bool(*b),
        serde_json::Value::Number(n) => Value::Double(n.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Value::Text(Cow::Owned(text.clone())),
        serde_json::Value::Array(elements) => Value::list(elements.iter().map(convert).collect()),
        serde_json::Value::Object(fields) => Value::Map(std::sync::Arc::new(
            fields.iter().map(|(key, value)| (Value::Text(Cow::Owned(key.clone())), convert(value))).collect(),
        )),
    }
}
