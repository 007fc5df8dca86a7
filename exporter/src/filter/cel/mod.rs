//! CEL expressions as Hubble's experimental filter takes them (`spec/hubble.md` §3.7): the standard library and macros, one variable `_flow`.
//!
//! Own code, since the interpreter is a contract of its own: which expressions check (`uint` against `int` does not), that `&&` and `||` absorb
//! errors, that an unset message reads as its default. No crate at hand does proto types with a checker.
//!
//! The path of an expression: text → `lexer` → `parser`, `primary` (to an `expression`) → `check` (against `schema`, with `types` and `functions`) → `plan` →
//! `eval` (with `value`, `message`, `operators`, `convert`, `time`). Bounded in length, depth and steps.
//!
//! Not there: messages that no flow contains, hexadecimal doubles, and `Any` other than of a Struct.

mod check;
mod convert;
mod eval;
mod expression;
mod extensions;
mod functions;
mod lexer;
mod message;
mod operators;
mod parser;
mod plan;
mod primary;
mod schema;
#[cfg(test)]
mod tests;
mod time;
mod types;
mod value;

use crate::flow::Flow;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {why}")]
pub struct CelError {
    /// Line of the mistake, from 1.
    pub line: usize,
    /// Column, in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub why: String,
}

impl CelError {
    fn at(text: &str, offset: usize, why: &str) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1, why: why.to_owned() }
    }
}

/// A checked expression of type bool.
#[derive(Debug)]
pub struct Program {
    node: plan::Node,
}

impl Program {
    /// Parses and checks `text`.
    ///
    /// # Errors
    /// The first mistake, with its place; that the expression is not exactly a bool is one.
    pub fn compile(text: &str) -> Result<Self, CelError> {
        let expression = parser::parse(text)?;
        Ok(Self { node: check::check(text, &expression)? })
    }

    /// Evaluates the expression on a flow, or on an event that is none, which reads as an empty flow.
    ///
    /// # Errors
    /// The runtime error: an index out of range, an overflow, too many steps.
    pub fn evaluate(&self, flow: Option<&Flow<'_>>) -> Result<bool, String> {
        eval::evaluate(&self.node, flow)
    }

    /// The paths of the flow that the expression reads, such as `source.namespace`; `""` when it reads the flow as a whole.
    pub fn paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        plan::paths(&self.node, &mut found);
        found
    }
}
