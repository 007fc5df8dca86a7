//! A parsed expression, before its names and types are looked up.

/// A parsed expression and where it starts.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) at: usize,
    pub(super) kind: Kind,
    /// Levels of nesting, itself included.
    pub(super) depth: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// With a leading dot if it was written so.
    Name(String),
    Select(Box<Expression>, String),
    /// `has(operand.field)`.
    Has(Box<Expression>, String),
    /// A function or operator by its name; the receiver, if there is one, is the first argument and the flag is set.
    Call(String, bool, Vec<Expression>),
    And(Vec<Expression>),
    Or(Vec<Expression>),
    List(Vec<Expression>),
    Map(Vec<(Expression, Expression)>),
    Message(String, Vec<(String, Expression)>),
    Macro(Box<Macro>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    Map,
}

/// `range.kind(variable, condition)`, or `range.map(variable, [condition,] result)`.
#[derive(Debug, Clone)]
pub(super) struct Macro {
    pub(super) kind: MacroKind,
    pub(super) range: Expression,
    pub(super) variable: String,
    pub(super) condition: Option<Expression>,
    pub(super) result: Option<Expression>,
}

/// The depth of the deepest of them.
pub(super) fn deepest(expressions: &[Expression]) -> usize {
    expressions.iter().map(|e| e.depth).max().unwrap_or(0)
}

/// The dotted name an expression is, if it is one.
pub(super) fn qualified(expression: &Expression) -> Option<String> {
    match &expression.kind {
        Kind::Name(name) => Some(name.clone()),
        Kind::Select(operand, field) => qualified(operand).map(|prefix| format!("{prefix}.{field}")),
        _ => None,
    }
}
