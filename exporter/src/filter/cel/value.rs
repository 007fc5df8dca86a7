//! The values of CEL, and when two of them are equal.
//!
//! Numbers are equal when they stand for the same number, whatever their types; values of unlike types are unequal, not an error.
//! Texts are borrowed from the flow or the program.

use super::message::Message;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(Cow<'v, str>),
    Bytes(Cow<'v, [u8]>),
    /// Seconds since 1970, nanoseconds, and how many seconds the clock was ahead of UTC that it was read from, which only its text shows.
    Timestamp(i64, u32, i32),
    /// Nanoseconds.
    Duration(i64),
    List(Arc<Vec<Value<'v>>>),
    Map(Arc<Vec<(Value<'v>, Value<'v>)>>),
    Message(Message<'v>),
    Type(&'static str),
}

impl<'v> Value<'v> {
    pub(super) fn list(elements: Vec<Value<'v>>) -> Self {
        Self::List(Arc::new(elements))
    }

    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(..) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Message(message) => message.message_type().name,
            Self::Type(_) => "type",
        }
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Timestamp(a, n, _), Self::Timestamp(b, m, _)) => (a, n) == (b, m),
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::List(a), Self::List(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b)),
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| find(b, key).is_some_and(|other| value.equals(other)))
            }
            (Self::Message(a), Self::Message(b)) => a.equals(b),
            (Self::Type(a), Self::Type(b)) => a == b,
            _ => self.compare_numbers(other) == Some(Ordering::Equal),
        }
    }

    /// How two values of an ordered type stand to each other; `None` for a NaN and for values that have no order.
    pub(super) fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bytes(a), Self::Bytes(b)) => Some(a.cmp(b)),
            (Self::Timestamp(a, n, _), Self::Timestamp(b, m, _)) => Some((a, n).cmp(&(b, m))),
            (Self::Duration(a), Self::Duration(b)) => Some(a.cmp(b)),
            _ => self.compare_numbers(other),
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::Uint(_) | Self::Double(_))
    }

    fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        let whole = |value: &Self| match value {
            Self::Int(n) => Some(i128::from(*n)),
            Self::Uint(n) => Some(i128::from(*n)),
            _ => None,
        };
        match (self, other) {
            (Self::Double(a), Self::Double(b)) => a.partial_cmp(b),
            (Self::Double(a), b) => whole(b).and_then(|b| compare_double(*a, b)),
            (a, Self::Double(b)) => whole(a).and_then(|a| compare_double(*b, a)).map(Ordering::reverse),
            (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
        }
    }
}

/// Exactly, where a conversion to either type would round.
fn compare_double(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    // A double beyond this is beyond any integer of 64 bits; within, its whole part is exact.
    let limit = 2f64.powi(65);
    if double.abs() >= limit {
        return Some(if double > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let floor = double.floor();
    Some((floor as i128).cmp(&whole).then(if double > floor { Ordering::Greater } else { Ordering::Equal }))
}

/// The value of a key. A list, map or message is never found, as upstream compares them as keys by identity.
pub(super) fn find<'m, 'v>(entries: &'m [(Value<'v>, Value<'v>)], key: &Value<'v>) -> Option<&'m Value<'v>> {
    if matches!(key, Value::List(_) | Value::Map(_) | Value::Message(_)) {
        return None;
    }
    entries.iter().find(|(k, _)| k.equals(key)).map(|(_, value)| value)
}
