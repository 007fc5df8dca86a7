//! FlowFilters as they stand in a file: checked against Hubble's fields, one problem per mistake, with what to write instead.
//!
//! Follows proto JSON (`spec/hubble.md` §2.2, §3.9): snake_case or camelCase names, enum names to the letter, no number where a text is
//! wanted, nothing unknown and nothing twice. What comes out is JSON in proto spelling; whether an address or an expression in it is
//! valid is for the filter engine to say, since that fails one entry and not the file.

use serde_json::{Map, Value};

use super::fields::{At, quoted};
use super::suggest::nearest;
use crate::config::place::Problems;
use crate::config::types::FilterText;
use crate::config::yaml::{Kind, Scalar, integral};
use crate::flow::{DropReason, IpVersion, TrafficDirection, Verdict};

/// What a field of a filter holds.
#[derive(Clone, Copy)]
enum Shape {
    Text,
    Bool,
    Int32,
    Uint32,
    Uint64,
    Enum(&'static [fn(usize) -> Option<&'static str>; 1]),
    Message(&'static [Field]),
    List(&'static Shape),
}

type Field = (&'static str, Shape);

const TEXTS: Shape = Shape::List(&Shape::Text);
const BOOLS: Shape = Shape::List(&Shape::Bool);
const NUMBERS: Shape = Shape::List(&Shape::Uint32);
const WORKLOADS: Shape = Shape::List(&Shape::Message(&[("name", Shape::Text), ("kind", Shape::Text)]));

/// The fields of FlowFilter (`spec/hubble.md` §3.2).
const FLOW_FILTER: &[Field] = &[
    ("uuid", TEXTS),
    ("source_ip", TEXTS),
    ("source_ip_xlated", TEXTS),
    ("source_pod", TEXTS),
    ("source_fqdn", TEXTS),
    ("source_label", TEXTS),
    ("source_service", TEXTS),
    ("source_workload", WORKLOADS),
    ("source_cluster_name", TEXTS),
    ("destination_ip", TEXTS),
    ("destination_pod", TEXTS),
    ("destination_fqdn", TEXTS),
    ("destination_label", TEXTS),
    ("destination_service", TEXTS),
    ("destination_workload", WORKLOADS),
    ("destination_cluster_name", TEXTS),
    ("traffic_direction", Shape::List(&Shape::Enum(&[|n| TrafficDirection::ALL.get(n).map(|known| known.0)]))),
    ("verdict", Shape::List(&Shape::Enum(&[|n| Verdict::ALL.get(n).map(|known| known.0)]))),
    ("drop_reason_desc", Shape::List(&Shape::Enum(&[|n| DropReason::ALL.get(n).map(|known| known.0)]))),
    ("interface", Shape::List(&Shape::Message(&[("index", Shape::Uint32), ("name", Shape::Text)]))),
    ("event_type", Shape::List(&Shape::Message(&[("type", Shape::Int32), ("match_sub_type", Shape::Bool), ("sub_type", Shape::Int32)]))),
    ("http_status_code", TEXTS),
    ("protocol", TEXTS),
    ("source_port", TEXTS),
    ("destination_port", TEXTS),
    ("reply", BOOLS),
    ("encrypted", BOOLS),
    ("dns_query", TEXTS),
    ("source_identity", NUMBERS),
    ("destination_identity", NUMBERS),
    ("http_method", TEXTS),
    ("http_path", TEXTS),
    ("http_url", TEXTS),
    ("http_header", Shape::List(&Shape::Message(&[("key", Shape::Text), ("value", Shape::Text)]))),
    (
        "tcp_flags",
        Shape::List(&Shape::Message(&[
            ("FIN", Shape::Bool),
            ("SYN", Shape::Bool),
            ("RST", Shape::Bool),
            ("PSH", Shape::Bool),
            ("ACK", Shape::Bool),
            ("URG", Shape::Bool),
            ("ECE", Shape::Bool),
            ("CWR", Shape::Bool),
            ("NS", Shape::Bool),
        ])),
    ),
    ("node_name", TEXTS),
    ("node_labels", TEXTS),
    ("ip_version", Shape::List(&Shape::Enum(&[|n| IpVersion::ALL.get(n).map(|known| known.0)]))),
    ("trace_id", TEXTS),
    ("ip_trace_id", Shape::List(&Shape::Uint64)),
    ("experimental", Shape::Message(&[("cel_expression", TEXTS)])),
];

/// A list of filters; an empty or `null` item matches everything.
pub(super) fn filters(at: &At<'_>, problems: &mut Problems) -> Option<Vec<FilterText>> {
    Some(at.items(problems)?.iter().map(|item| filter(item, problems)).collect())
}

/// One filter.
pub(super) fn filter(at: &At<'_>, problems: &mut Problems) -> FilterText {
    let value = if at.node.is_null() { None } else { message(at, FLOW_FILTER, problems) };
    FilterText { value: value.unwrap_or_else(|| Value::Object(Map::new())), place: at.place.clone() }
}

fn message(at: &At<'_>, fields: &[Field], problems: &mut Problems) -> Option<Value> {
    let mut object = Map::new();
    for (name, value) in at.entries(problems)? {
        let Some((field, shape)) = fields.iter().find(|(field, _)| *field == name || camel(field) == name) else {
            let near = nearest(name, fields.iter().map(|(field, _)| *field));
            let advice = near.map(|near| format!("did you mean {near}?"));
            problems.reject(&value.place, "is not a field of FlowFilter", advice);
            continue;
        };
        if object.contains_key(*field) {
            problems.reject(&value.place, format!("gives {field} a second time, in its other spelling"), Some("join the two".into()));
            continue;
        }
        if value.node.is_null() {
            continue;
        }
        if let Some(value) = decode(&value, *shape, problems) {
            object.insert((*field).to_owned(), value);
        }
    }
    Some(Value::Object(object))
}

fn camel(name: &str) -> String {
    let mut after_dash = false;
    let letters = name.chars().filter_map(|c| {
        let letter = (c != '_').then(|| if after_dash { c.to_ascii_uppercase() } else { c });
        after_dash = c == '_';
        letter
    });
    letters.collect()
}

fn decode(at: &At<'_>, shape: Shape, problems: &mut Problems) -> Option<Value> {
    match shape {
        Shape::List(item) => {
            let items = at.items(problems)?;
            Some(items.iter().filter_map(|at| decode(at, *item, problems)).collect())
        }
        _ if at.node.is_null() => {
            problems.reject(&at.place, "is empty", Some("write a value, or remove the item".into()));
            None
        }
        Shape::Message(fields) => message(at, fields, problems),
        Shape::Text => text(at, problems).map(Value::from),
        Shape::Bool => match &at.node.kind {
            Kind::Scalar(Scalar::Bool(truth), _) => Some(Value::from(*truth)),
            _ => at.truth(problems).map(Value::from),
        },
        Shape::Int32 => whole(at, i128::from(i32::MIN), i128::from(i32::MAX), problems),
        Shape::Uint32 => whole(at, 0, i128::from(u32::MAX), problems),
        Shape::Uint64 => whole(at, 0, i128::from(u64::MAX), problems),
        Shape::Enum([name]) => enumeration(at, *name, problems),
    }
}

/// Only a text is one; what looks like a number has to be quoted.
fn text(at: &At<'_>, problems: &mut Problems) -> Option<String> {
    match &at.node.kind {
        Kind::Scalar(Scalar::Text, text) => Some(text.clone()),
        Kind::Scalar(_, written) => {
            at.reject(problems, "a text", Some(format!("write {}", quoted(written))));
            None
        }
        _ => {
            at.reject(problems, "a text", None);
            None
        }
    }
}

/// A whole number, quoted or not; integral floats and exponents count, signs and zeros in front do not.
fn whole(at: &At<'_>, least: i128, most: i128, problems: &mut Problems) -> Option<Value> {
    let number = match &at.node.kind {
        Kind::Scalar(Scalar::Int(number), _) => Some(i128::from(*number)),
        Kind::Scalar(Scalar::Unsigned(number), _) => Some(i128::from(*number)),
        // 128 bits hold every whole number in question; what is larger becomes their end, which is out of bounds too.
        Kind::Scalar(Scalar::Float(number), _) => (number.fract() == 0.0).then_some(*number as i128),
        Kind::Scalar(Scalar::Text, text) => match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) if text.trim() == text => {
                let exact = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                exact.or_else(|| number.as_f64().and_then(integral).map(i128::from))
            }
            _ => None,
        },
        _ => None,
    };
    let number = number.filter(|number| (least..=most).contains(number));
    if number.is_none() {
        at.reject(problems, &format!("a whole number from {least} to {most}"), None);
    }
    // The bounds above are within 64 bits.
    number.map(|number| i64::try_from(number).map_or_else(|_| Value::from(u64::try_from(number).unwrap_or(u64::MAX)), Value::from))
}

fn enumeration(at: &At<'_>, name: fn(usize) -> Option<&'static str>, problems: &mut Problems) -> Option<Value> {
    match &at.node.kind {
        Kind::Scalar(Scalar::Text, text) => {
            let names = || (0..).map_while(name);
            if names().any(|known| known == text) {
                return Some(Value::from(text.as_str()));
            }
            let same = names().find(|known| known.eq_ignore_ascii_case(text)).or_else(|| nearest(text, names()));
            let advice = match same {
                Some(known) => format!("write {known}"),
                None if text.parse::<i32>().is_ok() => format!("write {text} without quotes"),
                None => format!("known are {}", names().take(10).collect::<Vec<_>>().join(", ")),
            };
            problems.reject(&at.place, format!("`{text}` is not a name of this enum"), Some(advice));
            None
        }
        Kind::Scalar(Scalar::Int(_) | Scalar::Float(_), _) => whole(at, i128::from(i32::MIN), i128::from(i32::MAX), problems),
        _ => {
            at.reject(problems, "a name", None);
            None
        }
    }
}
