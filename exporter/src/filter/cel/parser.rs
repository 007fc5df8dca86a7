//! CEL's grammar, with the standard macros (`has`, `all`, `exists`, `exists_one`, `map`, `filter`) recognised as they are parsed.
//!
//! Chains of `&&` and of `||` are kept flat, so that their length is no depth. Any other nesting ends at [`MAX_DEPTH`], upstream's limit.

use super::CelError;
use super::lexer::{Token, tokens};

/// The deepest an expression may nest.
const MAX_DEPTH: usize = 250;
/// The longest an expression may be, in characters: upstream's limit.
const MAX_LENGTH: usize = 100_000;

/// A parsed expression and where it starts.
#[derive(Debug, Clone)]
pub(super) struct Expression {
    pub(super) at: usize,
    pub(super) kind: Kind,
    depth: usize,
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

const RESERVED: [&str; 16] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
];
const KEYWORDS: [&str; 4] = ["in", "null", "true", "false"];

/// Operators from the loosest to the tightest, all of them left-associative.
const BINARY: [&[&str]; 3] = [
    &["==", "!=", "<", "<=", ">", ">=", "in"],
    &["+", "-"],
    &["*", "/", "%"],
];

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

type Parsed = Result<Expression, CelError>;

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Parsed {
    if text.chars().count() > MAX_LENGTH {
        return Err(CelError::at(
            text,
            0,
            &format!("longer than {MAX_LENGTH} characters"),
        ));
    }
    let mut parser = Parser {
        text,
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
    };
    let expression = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.error("expected an operator or the end")),
    }
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens
            .get(self.next)
            .map_or(&Token::End, |(token, _)| token)
    }

    fn at(&self) -> usize {
        self.tokens
            .get(self.next)
            .map_or(self.text.len(), |(_, at)| *at)
    }

    fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(s) if *s == symbol)
    }

    fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.next += usize::from(found);
        found
    }

    fn need(&mut self, symbol: &str) -> Result<(), CelError> {
        if self.eat(symbol) {
            Ok(())
        } else {
            Err(self.error(&format!("expected `{symbol}`")))
        }
    }

    fn error(&self, why: &str) -> CelError {
        CelError::at(self.text, self.at(), why)
    }

    fn new(&self, at: usize, kind: Kind, inner: usize) -> Parsed {
        let depth = inner + 1;
        if depth > MAX_DEPTH {
            return Err(CelError::at(
                self.text,
                at,
                &format!("nests deeper than {MAX_DEPTH}"),
            ));
        }
        Ok(Expression { at, kind, depth })
    }

    fn call(&self, at: usize, function: &str, member: bool, arguments: Vec<Expression>) -> Parsed {
        let inner = deepest(&arguments);
        self.new(
            at,
            Kind::Call(function.to_owned(), member, arguments),
            inner,
        )
    }

    fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(&format!("nests deeper than {MAX_DEPTH}")));
        }
        let at = self.at();
        let condition = self.chain("||")?;
        let expression = if self.eat("?") {
            let then = self.chain("||")?;
            self.need(":")?;
            let otherwise = self.expression()?;
            self.call(at, "?:", false, vec![condition, then, otherwise])
        } else {
            Ok(condition)
        };
        self.depth -= 1;
        expression
    }

    /// A chain of `||`, whose elements are chains of `&&`, whose elements are comparisons.
    fn chain(&mut self, operator: &'static str) -> Parsed {
        let at = self.at();
        let mut terms = Vec::new();
        loop {
            terms.push(if operator == "||" {
                self.chain("&&")?
            } else {
                self.binary(0)?
            });
            if !self.eat(operator) {
                break;
            }
        }
        if terms.len() == 1
            && let Some(only) = terms.pop()
        {
            return Ok(only);
        }
        let inner = deepest(&terms);
        self.new(
            at,
            if operator == "||" {
                Kind::Or(terms)
            } else {
                Kind::And(terms)
            },
            inner,
        )
    }

    fn binary(&mut self, level: usize) -> Parsed {
        let Some(operators) = BINARY.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        loop {
            let at = self.at();
            let operator = match self.peek() {
                Token::Symbol(symbol) if operators.contains(symbol) => *symbol,
                Token::Name(name) if name == "in" && operators.contains(&"in") => "in",
                _ => return Ok(left),
            };
            self.take();
            let right = self.binary(level + 1)?;
            left = self.call(at, operator, false, vec![left, right])?;
        }
    }

    fn unary(&mut self) -> Parsed {
        let at = self.at();
        for (symbol, function) in [("!", "!"), ("-", "negate")] {
            let mut count = 0;
            // `-1` is a number, so that the smallest integer can be written.
            while self.is(symbol) && !(symbol == "-" && count == 0 && self.number_follows()) {
                self.next += 1;
                count += 1;
            }
            if count > 0 {
                let operand = self.member()?;
                return if count % 2 == 0 {
                    Ok(operand)
                } else {
                    self.call(at, function, false, vec![operand])
                };
            }
        }
        self.member()
    }

    fn number_follows(&self) -> bool {
        matches!(
            self.tokens.get(self.next + 1),
            Some((Token::Int(_) | Token::Double(_), _))
        )
    }

    fn member(&mut self) -> Parsed {
        let mut operand = self.primary()?;
        loop {
            let at = self.at();
            if self.eat("[") {
                let index = self.expression()?;
                self.need("]")?;
                operand = self.call(at, "[]", false, vec![operand, index])?;
            } else if self.eat(".") {
                operand = match self.take() {
                    Token::Quoted(field) => self.select(at, operand, field)?,
                    Token::Name(name) if !KEYWORDS.contains(&name.as_str()) => {
                        if self.eat("(") {
                            let arguments = self.list(")")?;
                            self.receiver_call(at, operand, &name, arguments)?
                        } else if self.is("{") {
                            let Some(prefix) = qualified(&operand) else {
                                return Err(self.error("a message is built as `Name{…}`"));
                            };
                            self.message(at, format!("{prefix}.{name}"))?
                        } else {
                            self.select(at, operand, name)?
                        }
                    }
                    _ => {
                        return Err(CelError::at(
                            self.text,
                            at,
                            "expected a field or function name behind `.`",
                        ));
                    }
                };
            } else {
                return Ok(operand);
            }
        }
    }

    fn select(&self, at: usize, operand: Expression, field: String) -> Parsed {
        let inner = operand.depth;
        self.new(at, Kind::Select(Box::new(operand), field), inner)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let leading_dot = self.eat(".");
        match self.take() {
            Token::Name(name) if leading_dot || !KEYWORDS.contains(&name.as_str()) => {
                self.named(at, leading_dot, name)
            }
            _ if leading_dot => Err(CelError::at(self.text, at, "expected a name behind `.`")),
            Token::Name(name) => match name.as_str() {
                "true" | "false" => self.new(at, Kind::Bool(name == "true"), 0),
                "null" => self.new(at, Kind::Null, 0),
                _ => Err(CelError::at(
                    self.text,
                    at,
                    &format!("`{name}` needs an operand before it"),
                )),
            },
            Token::Symbol("(") => {
                let inside = self.expression()?;
                self.need(")")?;
                Ok(inside)
            }
            Token::Symbol("[") => {
                let elements = self.list("]")?;
                let inner = deepest(&elements);
                self.new(at, Kind::List(elements), inner)
            }
            Token::Symbol("{") => {
                let entries = self.entries()?;
                let inner = entries
                    .iter()
                    .map(|(key, value)| key.depth.max(value.depth))
                    .max()
                    .unwrap_or(0);
                self.new(at, Kind::Map(entries), inner)
            }
            Token::Symbol("-") => {
                let number = self.take();
                self.literal(at, number, "-")
            }
            Token::End => Err(CelError::at(
                self.text,
                at,
                "expected an expression, found the end",
            )),
            other => self.literal(at, other, ""),
        }
    }

    fn literal(&self, at: usize, token: Token, sign: &str) -> Parsed {
        let fail = |what: &str| CelError::at(self.text, at, what);
        let kind = match token {
            Token::Int(digits) => {
                let number = match digits.strip_prefix("0x") {
                    Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16),
                    None => format!("{sign}{digits}").parse(),
                };
                Kind::Int(number.map_err(|_| fail("does not fit an int of 64 bits"))?)
            }
            Token::Uint(digits) => {
                let number = match digits.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => digits.parse(),
                };
                Kind::Uint(number.map_err(|_| fail("does not fit a uint of 64 bits"))?)
            }
            Token::Double(digits) => match format!("{sign}{digits}").parse::<f64>() {
                Ok(number) if number.is_finite() => Kind::Double(number),
                _ => return Err(fail("does not fit a double")),
            },
            Token::Text(text) => Kind::Text(text),
            Token::Bytes(bytes) => Kind::Bytes(bytes),
            Token::Symbol(symbol) => {
                return Err(fail(&format!("found `{symbol}`, expected an expression")));
            }
            _ => return Err(fail("expected an expression")),
        };
        self.new(at, kind, 0)
    }

    fn named(&mut self, at: usize, leading_dot: bool, name: String) -> Parsed {
        let full = format!("{}{name}", if leading_dot { "." } else { "" });
        if self.is("{") {
            return self.message(at, full);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(CelError::at(
                self.text,
                at,
                &format!("`{name}` is a reserved word"),
            ));
        }
        if !self.eat("(") {
            return self.new(at, Kind::Name(full), 0);
        }
        let mut arguments = self.list(")")?;
        if name == "has" && !leading_dot && arguments.len() == 1 {
            return match arguments
                .pop()
                .map(|argument| (argument.depth, argument.kind))
            {
                Some((depth, Kind::Select(operand, field))) => {
                    self.new(at, Kind::Has(operand, field), depth)
                }
                _ => Err(CelError::at(
                    self.text,
                    at,
                    "has() takes a field: has(_flow.source.labels)",
                )),
            };
        }
        self.call(at, &full, false, arguments)
    }

    fn receiver_call(
        &self,
        at: usize,
        receiver: Expression,
        name: &str,
        arguments: Vec<Expression>,
    ) -> Parsed {
        let kind = match (name, arguments.len()) {
            ("all", 2) => MacroKind::All,
            ("exists", 2) => MacroKind::Exists,
            ("exists_one", 2) => MacroKind::ExistsOne,
            ("filter", 2) => MacroKind::Filter,
            ("map", 2 | 3) => MacroKind::Map,
            _ => {
                let mut all = vec![receiver];
                all.extend(arguments);
                return self.call(at, name, true, all);
            }
        };
        let inner = deepest(&arguments).max(receiver.depth);
        let mut arguments = arguments.into_iter();
        let variable = match arguments.next() {
            Some(Expression {
                kind: Kind::Name(variable),
                ..
            }) if !variable.starts_with('.') => variable,
            other => {
                return Err(CelError::at(
                    self.text,
                    other.map_or(at, |e| e.at),
                    "the first argument must be a plain name",
                ));
            }
        };
        if variable == "__result__" {
            return Err(CelError::at(
                self.text,
                at,
                "`__result__` can't be a variable",
            ));
        }
        let (condition, result) = match (kind, arguments.next(), arguments.next()) {
            (MacroKind::Map, result, None) => (None, result),
            (_, condition, result) => (condition, result),
        };
        self.new(
            at,
            Kind::Macro(Box::new(Macro {
                kind,
                range: receiver,
                variable,
                condition,
                result,
            })),
            inner,
        )
    }

    /// Expressions with commas between them, up to `end`; one comma more is allowed in a list.
    fn list(&mut self, end: &str) -> Result<Vec<Expression>, CelError> {
        let mut elements = Vec::new();
        while !self.eat(end) {
            elements.push(self.expression()?);
            if !self.eat(",") {
                self.need(end)?;
                break;
            }
            if end == ")" && self.is(end) {
                return Err(self.error("expected an argument"));
            }
        }
        Ok(elements)
    }

    fn entries(&mut self) -> Result<Vec<(Expression, Expression)>, CelError> {
        let mut entries = Vec::new();
        while !self.eat("}") {
            let key = self.expression()?;
            self.need(":")?;
            entries.push((key, self.expression()?));
            if !self.eat(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(entries)
    }

    fn message(&mut self, at: usize, name: String) -> Parsed {
        self.need("{")?;
        let mut fields = Vec::new();
        while !self.eat("}") {
            let field = match self.take() {
                Token::Quoted(field) => field,
                Token::Name(field) if !KEYWORDS.contains(&field.as_str()) => field,
                _ => return Err(self.error("expected a field name")),
            };
            self.need(":")?;
            fields.push((field, self.expression()?));
            if !self.eat(",") {
                self.need("}")?;
                break;
            }
        }
        let inner = fields
            .iter()
            .map(|(_, value)| value.depth)
            .max()
            .unwrap_or(0);
        self.new(at, Kind::Message(name, fields), inner)
    }
}

fn deepest(expressions: &[Expression]) -> usize {
    expressions.iter().map(|e| e.depth).max().unwrap_or(0)
}

/// The dotted name an expression is, if it is one.
pub(super) fn qualified(expression: &Expression) -> Option<String> {
    match &expression.kind {
        Kind::Name(name) => Some(name.clone()),
        Kind::Select(operand, field) => {
            qualified(operand).map(|prefix| format!("{prefix}.{field}"))
        }
        _ => None,
    }
}
