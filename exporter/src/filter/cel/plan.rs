//! A checked expression, ready to be evaluated, and what of a flow it reads.

use super::expression::MacroKind;
use super::functions::Function;
use super::schema::MessageType;
use super::value::Value;
use crate::filter::re2::Pattern;

#[derive(Debug)]
pub(super) enum Node {
    Constant(Value<'static>),
    /// `_flow`.
    Flow,
    /// A macro's variable, by its slot.
    Variable(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Call(Function, Vec<Node>),
    /// `text.matches('pattern')` of a pattern that was written out.
    Matches(Vec<Node>, Result<Pattern, String>),
    And(Vec<Node>),
    Or(Vec<Node>),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Message(&'static MessageType, Vec<(&'static str, Node)>),
    Fold(Box<Fold>),
}

/// A macro over the elements of a list or the keys of a map.
#[derive(Debug)]
pub(super) struct Fold {
    pub(super) kind: MacroKind,
    pub(super) range: Node,
    pub(super) slot: usize,
    pub(super) condition: Option<Node>,
    pub(super) result: Option<Node>,
}

/// The paths of `_flow` that `node` reads, `""` where it reads the flow as a whole.
pub(super) fn paths(node: &Node, found: &mut Vec<String>) {
    if let Some(path) = path(node) {
        if !found.contains(&path) {
            found.push(path);
        }
        return;
    }
    let mut all = |nodes: &[Node]| nodes.iter().for_each(|node| paths(node, found));
    match node {
        Node::Constant(_) | Node::Flow | Node::Variable(_) => {}
        Node::Select(operand, _) | Node::Has(operand, _) => paths(operand, found),
        Node::Call(_, nodes) | Node::Matches(nodes, _) | Node::And(nodes) | Node::Or(nodes) | Node::List(nodes) => all(nodes),
        Node::Map(entries) => {
            for (key, value) in entries {
                paths(key, found);
                paths(value, found);
            }
        }
        Node::Message(_, fields) => fields.iter().for_each(|(_, value)| paths(value, found)),
        Node::Fold(fold) => {
            paths(&fold.range, found);
            for node in [&fold.condition, &fold.result].into_iter().flatten() {
                paths(node, found);
            }
        }
    }
}

/// The path of a chain of fields that starts at `_flow`.
fn path(node: &Node) -> Option<String> {
    match node {
        Node::Flow => Some(String::new()),
        Node::Select(operand, field) | Node::Has(operand, field) => {
            let outer = path(operand)?;
            Some(if outer.is_empty() { field.to_string() } else { format!("{outer}.{field}") })
        }
        _ => None,
    }
}
