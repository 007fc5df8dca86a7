//! The type checker: a parsed expression becomes a [`Node`] whose names are resolved, or an error at the place of the mistake.
//!
//! Names are looked up in the container `flow`, as upstream: a variable of a macro first, then `flow.<name>`, then `<name>`.

use super::CelError;
use super::expression::{Expression, Kind, Macro, MacroKind, qualified};
use super::functions::{Function, named};
use super::message::no_field;
use super::plan::{Fold, Node};
use super::schema::{self, MessageType};
use super::types::{Parameters, Type, most_general};
use super::value::Value;
use crate::filter::re2::Pattern;
use std::borrow::Cow;

struct Checker<'t> {
    text: &'t str,
    parameters: Parameters,
    /// Variables of the macros round the expression, the innermost last; the position is the slot.
    variables: Vec<(String, Type)>,
}

type Checked = Result<(Node, Type), CelError>;

/// Checks an expression that has to be exactly `bool`.
pub(super) fn check(text: &str, expression: &Expression) -> Result<Node, CelError> {
    let mut checker = Checker { text, parameters: Parameters::default(), variables: Vec::new() };
    let (node, of) = checker.expression(expression)?;
    match checker.parameters.resolved(&of) {
        Type::Bool => Ok(node),
        Type::BoolWrapper => {
            Err(CelError::at(text, 0, "has to be a bool, and this may be null: compare it, as in `_flow.is_reply == true`"))
        }
        other => Err(CelError::at(text, 0, &format!("has to be a bool, and this is a {other}"))),
    }
}

impl Checker<'_> {
    fn error<T>(&self, at: usize, why: &str) -> Result<T, CelError> {
        Err(CelError::at(self.text, at, why))
    }

    /// Every nesting comes through here: it keeps little on the stack, and leaves each kind to a function.
    fn expression(&mut self, expression: &Expression) -> Checked {
        let at = expression.at;
        match &expression.kind {
            Kind::Name(name) => self.known_name(name, at),
            Kind::Select(operand, field) => self.select(expression, operand, field),
            Kind::Has(operand, field) => self.has(operand, field, at),
            Kind::And(terms) => self.bools(terms).map(|nodes| (Node::And(nodes), Type::Bool)),
            Kind::Or(terms) => self.bools(terms).map(|nodes| (Node::Or(nodes), Type::Bool)),
            Kind::Call(name, member, arguments) => self.call(at, name, *member, arguments),
            Kind::List(elements) => self.list(elements),
            Kind::Map(entries) => self.map(entries),
            Kind::Message(name, fields) => self.message(at, name, fields),
            Kind::Macro(of) => self.fold(of),
            literal => Ok(constant(literal)),
        }
    }

    fn known_name(&self, name: &str, at: usize) -> Checked {
        match self.name(name) {
            Some(found) => Ok(found),
            None => self.error(at, &format!("`{name}` is not known; the flow is `_flow`")),
        }
    }

    fn select(&mut self, expression: &Expression, operand: &Expression, field: &str) -> Checked {
        if let Some(found) = qualified(expression).and_then(|name| self.name(&name)) {
            return Ok(found);
        }
        let (node, of) = self.field(operand, field, expression.at)?;
        Ok((Node::Select(Box::new(node), field.into()), of))
    }

    fn has(&mut self, operand: &Expression, field: &str, at: usize) -> Checked {
        let (node, _) = self.field(operand, field, at)?;
        Ok((Node::Has(Box::new(node), field.into()), Type::Bool))
    }

    fn list(&mut self, elements: &[Expression]) -> Checked {
        let mut joined = None;
        let mut nodes = Vec::new();
        for element in elements {
            let (node, of) = self.expression(element)?;
            joined = Some(self.join(joined, of));
            nodes.push(node);
        }
        let of = joined.unwrap_or_else(|| self.parameters.fresh());
        Ok((Node::List(nodes), Type::list(of)))
    }

    /// A variable, type or enum constant.
    fn name(&self, written: &str) -> Option<(Node, Type)> {
        let absolute = written.strip_prefix('.');
        if absolute.is_none()
            && let Some(slot) = self.variables.iter().rposition(|(name, _)| name == written)
        {
            return self.variables.get(slot).map(|(_, of)| (Node::Variable(slot), of.clone()));
        }
        // A macro's variable hides what its name begins.
        let first = written.split('.').next().unwrap_or_default();
        if absolute.is_none() && self.variables.iter().any(|(name, _)| name == first) {
            return None;
        }
        match absolute {
            Some(name) => global(name),
            None => global(&format!("flow.{written}")).or_else(|| global(written)),
        }
    }

    /// Checks `operand.field` and gives back the operand and the field's type.
    fn field(&mut self, operand: &Expression, field: &str, at: usize) -> Checked {
        let (node, of) = self.expression(operand)?;
        let of = match self.parameters.resolved(&of) {
            Type::Map(_, value) => *value,
            Type::Message(message) => match message.kind(field) {
                Some(kind) => kind.type_of(),
                None => return self.error(at, &no_field(message, field)),
            },
            parameter @ Type::Parameter(_) => {
                self.parameters.accept(&[Type::Dyn], &[parameter]);
                Type::Dyn
            }
            Type::Dyn | Type::Any => Type::Dyn,
            other => return self.error(at, &format!("a {other} has no fields")),
        };
        Ok((node, of))
    }

    fn bools(&mut self, terms: &[Expression]) -> Result<Vec<Node>, CelError> {
        let mut nodes = Vec::new();
        for term in terms {
            nodes.push(self.bool(term)?);
        }
        Ok(nodes)
    }

    fn bool(&mut self, term: &Expression) -> Result<Node, CelError> {
        let (node, of) = self.expression(term)?;
        if self.parameters.accept(std::slice::from_ref(&of), &[Type::Bool]) {
            return Ok(node);
        }
        let of = self.parameters.resolved(&of);
        self.error(term.at, &format!("expected a bool, found a {of}"))
    }

    fn call(&mut self, at: usize, name: &str, member: bool, arguments: &[Expression]) -> Checked {
        let (a, b) = (self.parameters.fresh(), self.parameters.fresh());
        let found = named(name, member, a, b);
        let mut nodes = Vec::new();
        let mut given = Vec::new();
        for argument in arguments {
            let (node, of) = self.expression(argument)?;
            nodes.push(node);
            given.push(of);
        }
        let Some((function, _)) = found else {
            return self.error(at, &format!("there is no function `{name}`"));
        };
        let mut result: Option<Type> = None;
        let overloads = named(name, member, Type::Dyn, Type::Dyn).map_or(0, |(_, all)| all.len());
        for n in 0..overloads {
            // Each overload has type parameters of its own.
            let (a, b) = (self.parameters.fresh(), self.parameters.fresh());
            let Some((wanted, gives)) = named(name, member, a, b).and_then(|(_, all)| all.into_iter().nth(n)) else {
                continue;
            };
            if self.parameters.accept(&given, &wanted) {
                let gives = self.parameters.resolved(&gives);
                result = Some(match result {
                    Some(before) if before != gives && before != Type::Dyn => Type::Dyn,
                    Some(before) => before,
                    None => gives,
                });
            }
        }
        let Some(result) = result else {
            let given: Vec<String> = given.iter().map(|of| self.parameters.resolved(of).to_string()).collect();
            return self.error(at, &mismatch(name, member, &given));
        };
        if function == Function::Index
            && let [_, Node::Constant(key @ (Value::Null | Value::Bytes(_) | Value::Type(_)))] = nodes.as_slice()
        {
            return self.error(at, &format!("a {} can't be a key", key.type_name()));
        }
        Ok((operation(function, nodes), result))
    }

    fn join(&mut self, before: Option<Type>, next: Type) -> Type {
        match before {
            None => next,
            Some(before) if self.parameters.accept(std::slice::from_ref(&before), std::slice::from_ref(&next)) => {
                most_general(&before, &next).clone()
            }
            Some(_) => Type::Dyn,
        }
    }

    fn map(&mut self, entries: &[(Expression, Expression)]) -> Checked {
        let (mut keys, mut values) = (None, None);
        let mut nodes = Vec::new();
        for (key, value) in entries {
            let (key, of) = self.expression(key)?;
            keys = Some(self.join(keys, of));
            let (value, of) = self.expression(value)?;
            values = Some(self.join(values, of));
            nodes.push((key, value));
        }
        let key = keys.unwrap_or_else(|| self.parameters.fresh());
        let value = values.unwrap_or_else(|| self.parameters.fresh());
        Ok((Node::Map(nodes), Type::map(key, value)))
    }

    fn message(&mut self, at: usize, name: &str, fields: &[(String, Expression)]) -> Checked {
        let found = match name.strip_prefix('.') {
            Some(name) => schema::message_named(name),
            None => schema::message_named(&format!("flow.{name}")).or_else(|| schema::message_named(name)),
        };
        let Some(of) = found else {
            return self.error(at, &format!("there is no message `{name}`"));
        };
        let mut nodes: Vec<(&'static str, Node)> = Vec::new();
        for (field, value) in fields {
            let (node, given) = self.expression(value)?;
            let Some((known, kind)) = of.fields.iter().find(|(known, _)| known == field) else {
                return self.error(value.at, &no_field(of, field));
            };
            // The field takes what may be assigned to it; `null` unsets a message or wrapper.
            if !self.parameters.accept(&[kind.type_of()], std::slice::from_ref(&given)) {
                let given = self.parameters.resolved(&given);
                return self.error(value.at, &format!("field `{field}` is a {}, not a {given}", kind.type_of()));
            }
            nodes.push((known, node));
        }
        Ok((Node::Message(of, nodes), Type::Message(of)))
    }

    fn fold(&mut self, of: &Macro) -> Checked {
        let (range, range_type) = self.expression(&of.range)?;
        let element = match self.parameters.resolved(&range_type) {
            Type::List(of) => *of,
            Type::Map(key, _) => *key,
            parameter @ Type::Parameter(_) => {
                self.parameters.accept(&[Type::Dyn], &[parameter]);
                Type::Dyn
            }
            Type::Dyn => Type::Dyn,
            Type::Any => {
                return self.error(of.range.at, "an any has no elements before it is asked for them: write dyn(…)");
            }
            other => {
                return self.error(of.range.at, &format!("a {other} has no elements; a list or map has"));
            }
        };
        let slot = self.variables.len();
        self.variables.push((of.variable.clone(), element.clone()));
        let condition = of.condition.as_ref().map(|condition| self.bool(condition)).transpose()?;
        let result = of.result.as_ref().map(|result| self.expression(result)).transpose()?;
        self.variables.truncate(slot);
        let gives = match (of.kind, &result) {
            (MacroKind::Map, Some((_, of))) => Type::list(of.clone()),
            (MacroKind::Filter, _) => Type::list(element),
            _ => Type::Bool,
        };
        let result = result.map(|(node, _)| node);
        Ok((Node::Fold(Box::new(Fold { kind: of.kind, range, slot, condition, result })), gives))
    }
}

/// A literal.
fn constant(kind: &Kind) -> (Node, Type) {
    let (value, of) = match kind {
        Kind::Bool(b) => (Value::Bool(*b), Type::Bool),
        Kind::Int(n) => (Value::Int(*n), Type::Int),
        Kind::Uint(n) => (Value::Uint(*n), Type::Uint),
        Kind::Double(n) => (Value::Double(*n), Type::Double),
        Kind::Text(text) => (Value::Text(Cow::Owned(text.clone())), Type::Text),
        Kind::Bytes(bytes) => (Value::Bytes(Cow::Owned(bytes.clone())), Type::Bytes),
        _ => (Value::Null, Type::Null),
    };
    (Node::Constant(value), of)
}

fn operation(function: Function, mut nodes: Vec<Node>) -> Node {
    // A pattern that is written out is compiled once; a bad one is a runtime error, as upstream.
    if function == Function::Matches
        && let [_, Node::Constant(Value::Text(pattern))] = nodes.as_slice()
    {
        let pattern = Pattern::compile(pattern).map_err(|e| e.to_string());
        nodes.truncate(1);
        return Node::Matches(nodes, pattern);
    }
    Node::Call(function, nodes)
}

fn global(name: &str) -> Option<(Node, Type)> {
    if name == "_flow" {
        return Some((Node::Flow, Type::Message(&schema::FLOW)));
    }
    if let Some(number) = schema::enum_constant(name) {
        return Some((Node::Constant(Value::Int(number)), Type::Int));
    }
    const TYPES: [&str; 12] = [
        "bool",
        "bytes",
        "double",
        "google.protobuf.Duration",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "google.protobuf.Timestamp",
        "type",
        "uint",
    ];
    let named = TYPES.iter().find(|known| **known == name).copied();
    named
        .or_else(|| schema::message_named(name).map(|of: &MessageType| of.name))
        .map(|name| (Node::Constant(Value::Type(name)), Type::Meta))
}

fn mismatch(name: &str, member: bool, given: &[String]) -> String {
    let between = match (name, given) {
        ("[]", [of, index]) => format!("a {of} has no element by {index}"),
        (_, [left, right]) if !member && !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name == "in" => {
            format!("`{name}` does not go between {left} and {right}")
        }
        _ => format!("`{name}` does not take ({})", given.join(", ")),
    };
    let numbers = given.iter().any(|of| of == "uint" || of.contains("(uint")) && given.iter().any(|of| of == "int" || of.contains("(int"));
    if numbers { format!("{between}; write unsigned numbers as `80u`, or `uint(…)`") } else { between }
}
