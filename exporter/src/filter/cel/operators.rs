//! What CEL's operators and functions do to values. Overflow, division by zero, an index or key that is not there, and values a function
//! does not take are errors.

use super::functions::Function;
use super::value::{Value, find};
use super::{convert, time};
use std::borrow::Cow;
use std::cmp::Ordering;

type Outcome<'v> = Result<Value<'v>, String>;

/// Applies a function to the values of its arguments.
pub(super) fn apply<'v>(function: Function, values: &[Value<'v>]) -> Outcome<'v> {
    match (function, values) {
        (Function::Equal, [a, b]) => Ok(Value::Bool(a.equals(b))),
        (Function::NotEqual, [a, b]) => Ok(Value::Bool(!a.equals(b))),
        (Function::Less, [a, b]) => ordered(a, b, |o| o == Ordering::Less),
        (Function::LessEqual, [a, b]) => ordered(a, b, |o| o != Ordering::Greater),
        (Function::Greater, [a, b]) => ordered(a, b, |o| o == Ordering::Greater),
        (Function::GreaterEqual, [a, b]) => ordered(a, b, |o| o != Ordering::Less),
        (Function::Add | Function::Subtract | Function::Multiply | Function::Divide | Function::Modulo, [a, b]) => {
            arithmetic(function, a, b)
        }
        (Function::Not, [Value::Bool(b)]) => Ok(Value::Bool(!b)),
        (Function::Negate, [Value::Int(n)]) => n.checked_neg().map(Value::Int).ok_or_else(overflow),
        (Function::Negate, [Value::Double(n)]) => Ok(Value::Double(-n)),
        (Function::Index, [of, index]) => element(of, index),
        (Function::In, [wanted, Value::List(elements)]) => Ok(Value::Bool(elements.iter().any(|e| e.equals(wanted)))),
        (Function::In, [wanted, Value::Map(entries)]) => Ok(Value::Bool(find(entries, wanted).is_some())),
        (Function::Size, [of]) => size(of),
        (Function::Contains, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.contains(part.as_ref()))),
        (Function::StartsWith, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.starts_with(part.as_ref()))),
        (Function::EndsWith, [Value::Text(text), Value::Text(part)]) => Ok(Value::Bool(text.ends_with(part.as_ref()))),
        (Function::TypeOf, [of]) => Ok(Value::Type(of.type_name())),
        (Function::ToBool, [of]) => convert::to_bool(of),
        (Function::ToBytes, [of]) => convert::to_bytes(of),
        (Function::ToDouble, [of]) => convert::to_double(of),
        (Function::ToInt, [of]) => convert::to_int(of),
        (Function::ToUint, [of]) => convert::to_uint(of),
        (Function::ToText, [of]) => convert::to_text(of),
        (Function::ToDuration, [of @ Value::Duration(_)]) => Ok(of.clone()),
        (Function::ToDuration, [Value::Text(text)]) => time::parse_duration(text).map(Value::Duration),
        (Function::ToTimestamp, [of @ Value::Timestamp(..)]) => Ok(of.clone()),
        (Function::ToTimestamp, [Value::Int(seconds)]) => time::in_range(*seconds, 0, 0),
        (Function::ToTimestamp, [Value::Text(text)]) => time::parse_timestamp(text),
        (Function::Time(part), [Value::Duration(nanos)]) => time::of_duration(part, *nanos),
        (Function::Time(part), [Value::Timestamp(seconds, nanos, _)]) => time::of_timestamp(part, *seconds, *nanos, "UTC"),
        (Function::Time(part), [Value::Timestamp(seconds, nanos, _), Value::Text(zone)]) => {
            time::of_timestamp(part, *seconds, *nanos, zone)
        }
        _ => Err(no_overload(values)),
    }
}

pub(super) fn no_overload(values: &[Value<'_>]) -> String {
    let types: Vec<&str> = values.iter().map(Value::type_name).collect();
    format!("no such overload for ({})", types.join(", "))
}

fn overflow() -> String {
    "integer overflow".to_owned()
}

fn ordered<'v>(a: &Value<'v>, b: &Value<'v>, wanted: fn(Ordering) -> bool) -> Outcome<'v> {
    match a.compare(b) {
        Some(order) => Ok(Value::Bool(wanted(order))),
        // A NaN is neither less nor greater than any number.
        None if a.is_number() && b.is_number() => Ok(Value::Bool(false)),
        None => Err(no_overload(&[a.clone(), b.clone()])),
    }
}

fn arithmetic<'v>(function: Function, a: &Value<'v>, b: &Value<'v>) -> Outcome<'v> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => {
            let whole = match function {
                Function::Add => a.checked_add(*b),
                Function::Subtract => a.checked_sub(*b),
                Function::Multiply => a.checked_mul(*b),
                _ if *b == 0 => return Err("division by zero".to_owned()),
                Function::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            whole.map(Value::Int).ok_or_else(overflow)
        }
        (Value::Uint(a), Value::Uint(b)) => {
            let whole = match function {
                Function::Add => a.checked_add(*b),
                Function::Subtract => a.checked_sub(*b),
                Function::Multiply => a.checked_mul(*b),
                _ if *b == 0 => return Err("division by zero".to_owned()),
                Function::Divide => a.checked_div(*b),
                _ => a.checked_rem(*b),
            };
            whole.map(Value::Uint).ok_or_else(overflow)
        }
        (Value::Double(a), Value::Double(b)) => match function {
            Function::Add => Ok(Value::Double(a + b)),
            Function::Subtract => Ok(Value::Double(a - b)),
            Function::Multiply => Ok(Value::Double(a * b)),
            Function::Divide => Ok(Value::Double(a / b)),
            _ => Err("no remainder of doubles".to_owned()),
        },
        _ if function == Function::Add => joined(a, b),
        _ if function == Function::Subtract => time_difference(a, b),
        _ => Err(no_overload(&[a.clone(), b.clone()])),
    }
}

fn joined<'v>(a: &Value<'v>, b: &Value<'v>) -> Outcome<'v> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Value::Text(Cow::Owned([a.as_ref(), b.as_ref()].concat()))),
        (Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes(Cow::Owned([a.as_ref(), b.as_ref()].concat()))),
        (Value::List(a), Value::List(b)) => Ok(Value::list(a.iter().chain(b.iter()).cloned().collect())),
        (Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration).ok_or_else(overflow),
        (Value::Timestamp(s, n, ahead), Value::Duration(d)) | (Value::Duration(d), Value::Timestamp(s, n, ahead)) => {
            time::shifted(*s, *n, i128::from(*d), *ahead)
        }
        _ => Err(no_overload(&[a.clone(), b.clone()])),
    }
}

fn time_difference<'v>(a: &Value<'v>, b: &Value<'v>) -> Outcome<'v> {
    match (a, b) {
        (Value::Duration(a), Value::Duration(b)) => a.checked_sub(*b).map(Value::Duration).ok_or_else(overflow),
        (Value::Timestamp(s, n, ahead), Value::Duration(d)) => time::shifted(*s, *n, -i128::from(*d), *ahead),
        (Value::Timestamp(s, n, _), Value::Timestamp(t, m, _)) => time::between(*t, *m, *s, *n),
        _ => Err(no_overload(&[a.clone(), b.clone()])),
    }
}

fn element<'v>(of: &Value<'v>, index: &Value<'v>) -> Outcome<'v> {
    match of {
        Value::List(elements) => {
            let position = match index {
                Value::Int(n) => usize::try_from(*n).ok(),
                Value::Uint(n) => usize::try_from(*n).ok(),
                Value::Double(n) if n.fract() == 0.0 && *n >= 0.0 && *n < 9e15 => Some(*n as usize),
                _ => return Err(format!("a list has no element by {}", index.type_name())),
            };
            position.and_then(|n| elements.get(n)).cloned().ok_or_else(|| "index out of range".to_owned())
        }
        Value::Map(_) if matches!(index, Value::Timestamp(..) | Value::Duration(_) | Value::Bytes(_)) => {
            Err(no_overload(&[of.clone(), index.clone()]))
        }
        Value::Map(entries) => find(entries, index).cloned().ok_or_else(|| "no such key".to_owned()),
        _ => Err(no_overload(&[of.clone(), index.clone()])),
    }
}

fn size<'v>(of: &Value<'v>) -> Outcome<'v> {
    let length = match of {
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(elements) => elements.len(),
        Value::Map(entries) => entries.len(),
        _ => return Err(no_overload(std::slice::from_ref(of))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}
