//! The evaluator. `&&` and `||` absorb an error that the other side makes irrelevant; any other error ends the evaluation.
//!
//! Bounded: each evaluation has [`MAX_COST`] steps, where handling a text costs a step per 16 bytes. What runs out is an error, and so false.

use super::expression::MacroKind;
use super::functions::Function;
use super::message::Message;
use super::operators;
use super::plan::{Fold, Node};
use super::value::{Value, find};
use crate::filter::re2::Pattern;
use crate::flow::Flow;
use std::sync::Arc;

/// Steps one evaluation may take: some 50 ms.
const MAX_COST: usize = 1_000_000;
/// What compiling a pattern that is made up at run time costs, beside a step per byte.
const PATTERN_COST: usize = 20_000;
/// The program bound of such a pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;

pub(super) struct Evaluation<'v> {
    flow: Option<&'v Flow<'v>>,
    variables: Vec<Value<'v>>,
    cost: usize,
}

type Outcome<'v> = Result<Value<'v>, String>;

/// Evaluates a program on a flow, or on an event that is none.
///
/// # Errors
/// The runtime error, such as an index out of range.
pub(super) fn evaluate<'v>(node: &'v Node, flow: Option<&'v Flow<'v>>) -> Result<bool, String> {
    Evaluation { flow, variables: Vec::new(), cost: 0 }.bool(node)
}

impl<'v> Evaluation<'v> {
    fn spend(&mut self, cost: usize) -> Result<(), String> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > MAX_COST { Err(format!("took more than {MAX_COST} steps")) } else { Ok(()) }
    }

    fn bool(&mut self, node: &'v Node) -> Result<bool, String> {
        match self.value(node)? {
            Value::Bool(b) => Ok(b),
            other => Err(format!("expected a bool, found a {}", other.type_name())),
        }
    }

    fn value(&mut self, node: &'v Node) -> Outcome<'v> {
        self.spend(1)?;
        Ok(match node {
            Node::Constant(value) => value.clone(),
            Node::Flow => Value::Message(self.flow.map_or(Message::NoFlow, Message::Flow)),
            Node::Variable(slot) => self.variables.get(*slot).cloned().unwrap_or(Value::Null),
            Node::Select(operand, field) => select(&self.value(operand)?, field)?,
            Node::Has(operand, field) => Value::Bool(has(&self.value(operand)?, field)?),
            Node::And(terms) => Value::Bool(self.logical(terms, false)?),
            Node::Or(terms) => Value::Bool(self.logical(terms, true)?),
            Node::Call(function, arguments) => self.call(*function, arguments)?,
            Node::Matches(arguments, pattern) => self.matches(arguments, pattern)?,
            Node::List(elements) => Value::list(self.values(elements)?),
            Node::Map(entries) => self.map(entries)?,
            Node::Message(of, fields) => {
                let mut built = Vec::with_capacity(fields.len());
                for (field, node) in fields {
                    set(of, &mut built, field, self.value(node)?)?;
                }
                Value::Message(Message::Built(of, Arc::new(built)))
            }
            Node::Fold(fold) => self.fold(fold)?,
        })
    }

    fn values(&mut self, nodes: &'v [Node]) -> Result<Vec<Value<'v>>, String> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    /// The terms of an `||` (`decides` is true) or an `&&`: one that decides does so whatever failed before it.
    fn logical(&mut self, terms: &'v [Node], decides: bool) -> Result<bool, String> {
        let mut failed = None;
        for term in terms {
            match self.bool(term) {
                Ok(b) if b == decides => return Ok(decides),
                Ok(_) => {}
                Err(why) => failed = failed.or(Some(why)),
            }
        }
        failed.map_or(Ok(!decides), Err)
    }

    fn call(&mut self, function: Function, arguments: &'v [Node]) -> Outcome<'v> {
        if function == Function::Conditional
            && let [condition, then, otherwise] = arguments
        {
            let chosen = if self.bool(condition)? { then } else { otherwise };
            return self.value(chosen);
        }
        if function == Function::ToDyn
            && let [argument] = arguments
        {
            return self.value(argument);
        }
        let values = self.values(arguments)?;
        self.spend(values.iter().map(weight).sum())?;
        if function == Function::Matches
            && let [Value::Text(text), Value::Text(pattern)] = values.as_slice()
        {
            self.spend(PATTERN_COST.saturating_add(pattern.len()))?;
            let pattern = Pattern::compile_within(pattern, PATTERN_BYTES).map_err(|e| e.to_string())?;
            return Ok(Value::Bool(pattern.is_match(text)));
        }
        operators::apply(function, &values)
    }

    fn matches(&mut self, arguments: &'v [Node], pattern: &'v Result<Pattern, String>) -> Outcome<'v> {
        let text = self.values(arguments)?;
        self.spend(text.iter().map(weight).sum())?;
        match (text.first(), pattern) {
            (Some(Value::Text(text)), Ok(pattern)) => Ok(Value::Bool(pattern.is_match(text))),
            (_, Err(why)) => Err(why.clone()),
            _ => Err("matches() takes a text".to_owned()),
        }
    }

    fn map(&mut self, entries: &'v [(Node, Node)]) -> Outcome<'v> {
        let mut built: Vec<(Value<'v>, Value<'v>)> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            self.spend(built.len())?;
            if matches!(key, Value::Bytes(_)) {
                return Err("bytes can't be a key".to_owned());
            }
            match built.iter_mut().find(|(k, _)| k.equals(&key)) {
                Some(entry) => entry.1 = value,
                None => built.push((key, value)),
            }
        }
        Ok(Value::Map(Arc::new(built)))
    }

    fn fold(&mut self, fold: &'v Fold) -> Outcome<'v> {
        let elements = match self.value(&fold.range)? {
            Value::List(elements) => elements,
            Value::Map(entries) => Arc::new(entries.iter().map(|(key, _)| key.clone()).collect()),
            other => return Err(format!("a {} has no elements", other.type_name())),
        };
        let mut collected = Vec::new();
        let mut count = 0;
        let mut failed = None;
        for element in elements.iter() {
            self.spend(1 + weight(element))?;
            self.variables.truncate(fold.slot);
            self.variables.push(element.clone());
            let holds = match &fold.condition {
                Some(condition) => self.bool(condition),
                None => Ok(true),
            };
            match (fold.kind, holds) {
                (MacroKind::All, Ok(false)) => return Ok(Value::Bool(false)),
                (MacroKind::Exists, Ok(true)) => return Ok(Value::Bool(true)),
                (MacroKind::All | MacroKind::Exists, Ok(_)) | (_, Ok(false)) => {}
                (MacroKind::All | MacroKind::Exists, Err(why)) => failed = failed.or(Some(why)),
                (_, Err(why)) => return Err(why),
                (MacroKind::ExistsOne, Ok(true)) => count += 1,
                (MacroKind::Filter, Ok(true)) => collected.push(element.clone()),
                (MacroKind::Map, Ok(true)) => {
                    if let Some(result) = &fold.result {
                        collected.push(self.value(result)?);
                    }
                }
            }
        }
        if let Some(why) = failed {
            return Err(why);
        }
        Ok(match fold.kind {
            MacroKind::All => Value::Bool(true),
            MacroKind::Exists => Value::Bool(false),
            MacroKind::ExistsOne => Value::Bool(count == 1),
            MacroKind::Filter | MacroKind::Map => Value::list(collected),
        })
    }
}

/// The cost of handling a value.
fn weight(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len() / 16,
        Value::Bytes(bytes) => bytes.len() / 16,
        Value::List(elements) => elements.len(),
        Value::Map(entries) => entries.len(),
        Value::Message(_) => 8,
        _ => 0,
    }
}

fn select<'v>(operand: &Value<'v>, field: &'v str) -> Outcome<'v> {
    match operand {
        Value::Message(message) => message.get(field),
        Value::Map(entries) => find(entries, &Value::Text(field.into())).cloned().ok_or_else(|| format!("no such key: {field}")),
        other => Err(format!("a {} has no field `{field}`", other.type_name())),
    }
}

fn has(operand: &Value<'_>, field: &str) -> Result<bool, String> {
    match operand {
        Value::Message(message) => message.has(field),
        Value::Map(entries) => Ok(find(entries, &Value::Text(field.into())).is_some()),
        Value::List(_) => Err("a list has no fields".to_owned()),
        // Behind `dyn` what has no fields at all simply does not have this one.
        _ => Ok(false),
    }
}

/// Sets a field of a message that is being built: `null` leaves it unset, numbers have to fit, a member of a oneof replaces the one before.
fn set<'v>(
    of: &'static super::schema::MessageType,
    built: &mut Vec<(&'static str, Value<'v>)>,
    field: &'static str,
    value: Value<'v>,
) -> Result<(), String> {
    if of.oneof.contains(&field) {
        built.retain(|(name, _)| !of.oneof.contains(name));
    }
    let fits = match (of.kind(field), &value) {
        (Some(super::schema::Kind::Int), Value::Int(n)) => i32::try_from(*n).is_ok(),
        (Some(super::schema::Kind::Uint), Value::Uint(n)) => {
            // The fields of 64 bits.
            matches!(field, "socket_cookie" | "cgroup_id" | "latency_ns" | "revision") || (field == "trace_id") || u32::try_from(*n).is_ok()
        }
        _ => true,
    };
    if !fits {
        return Err(format!("the number does not fit {}.{field}", of.name));
    }
    if !matches!(value, Value::Null) {
        built.push((field, value));
    }
    Ok(())
}
