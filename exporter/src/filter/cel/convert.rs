//! CEL's conversions between types, with the spellings of numbers that Go writes and reads.

use super::operators::no_overload;
use super::time;
use super::value::Value;
use std::borrow::Cow;

type Outcome<'v> = Result<Value<'v>, String>;

fn unreadable(text: &str, what: &str) -> String {
    format!("{text:?} is not {what}")
}

pub(super) fn to_bool<'v>(of: &Value<'v>) -> Outcome<'v> {
    match of {
        Value::Bool(b) => Ok(Value::Bool(*b)),
        Value::Text(text) => match text.as_ref() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            other => Err(unreadable(other, "a bool")),
        },
        _ => Err(no_overload(std::slice::from_ref(of))),
    }
}

pub(super) fn to_bytes<'v>(of: &Value<'v>) -> Outcome<'v> {
    match of {
        Value::Bytes(_) => Ok(of.clone()),
        Value::Text(text) => Ok(Value::Bytes(Cow::Owned(text.as_bytes().to_vec()))),
        _ => Err(no_overload(std::slice::from_ref(of))),
    }
}

pub(super) fn to_double<'v>(of: &Value<'v>) -> Outcome<'v> {
    match of {
        Value::Double(_) => Ok(of.clone()),
        Value::Int(n) => Ok(Value::Double(*n as f64)),
        Value::Uint(n) => Ok(Value::Double(*n as f64)),
        Value::Text(text) => match text.parse::<f64>() {
            // Go reports what is too large instead of rounding it to infinity.
            Ok(number) if number.is_finite() || !text.contains(|c: char| c.is_ascii_digit()) => Ok(Value::Double(number)),
            _ => Err(unreadable(text, "a double")),
        },
        _ => Err(no_overload(std::slice::from_ref(of))),
    }
}

pub(super) fn to_int<'v>(of: &Value<'v>) -> Outcome<'v> {
    let limit = 2f64.powi(63);
    match of {
        Value::Int(_) => Ok(of.clone()),
        Value::Uint(n) => i64::try_from(*n).map(Value::Int).map_err(|_| "integer overflow".to_owned()),
        Value::Double(n) if *n > -limit && *n < limit => Ok(Value::Int(*n as i64)),
        Value::Double(_) => Err("integer overflow".to_owned()),
        Value::Duration(nanos) => Ok(Value::Int(*nanos)),
        Value::Timestamp(seconds, ..) => Ok(Value::Int(*seconds)),
        Value::Text(text) => text.parse().map(Value::Int).map_err(|_| unreadable(text, "an int")),
        _ => Err(no_overload(std::slice::from_ref(of))),
    }
}

pub(super) fn to_uint<'v>(of: &Value<'v>) -> Outcome<'v> {
    match of {
        Value::Uint(_) => Ok(of.clone()),
        Value::Int(n) => u64::try_from(*n).map(Value::Uint).map_err(|_| "integer overflow".to_owned()),
        Value::Double(n) if *n >= 0.0 && *n < 2f64.powi(64) => Ok(Value::Uint(*n as u64)),
        Value::Double(_) => Err("integer overflow".to_owned()),
        Value::Text(text) if !text.starts_with('+') => text.parse().map(Value::Uint).map_err(|_| unreadable(text, "a uint")),
        Value::Text(text) => Err(unreadable(text, "a uint")),
        _ => Err(no_overload(std::slice::from_ref(of))),
    }
}

pub(super) fn to_text<'v>(of: &Value<'v>) -> Outcome<'v> {
    let text = match of {
        Value::Text(_) => return Ok(of.clone()),
        Value::Bool(b) => b.to_string(),
        Value::Int(n) => n.to_string(),
        Value::Uint(n) => n.to_string(),
        Value::Double(n) => double_text(*n),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| "the bytes are not UTF-8".to_owned())?.to_owned(),
        Value::Duration(nanos) => format!("{}s", *nanos as f64 / 1e9),
        Value::Timestamp(seconds, nanos, ahead) => time::timestamp_text(*seconds, *nanos, *ahead)?,
        _ => return Err(no_overload(std::slice::from_ref(of))),
    };
    Ok(Value::Text(Cow::Owned(text)))
}

/// As Go's `%g`: the shortest digits, with an exponent below 1e-4 and from 1e6… where the digits don't reach that far, 1e21.
fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) || number == 0.0 {
        return format!("{number}");
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
