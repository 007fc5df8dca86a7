//! CEL's grammar from the conditional down to fields and calls; `primary` has what stands at the end of it.
//!
//! Chains of `&&` and of `||` are kept flat, so that their length is no depth. Any other nesting ends at [`MAX_DEPTH`], upstream's limit.

use super::CelError;
use super::expression::{Expression, Kind, deepest, qualified};
use super::lexer::{Token, tokens};
use super::primary::KEYWORDS;

/// The deepest an expression may nest.
const MAX_DEPTH: usize = 250;
/// The longest an expression may be, in characters: upstream's limit.
const MAX_LENGTH: usize = 100_000;

/// Operators from the loosest to the tightest, all of them left-associative.
const BINARY: [&[&str]; 3] = [&["==", "!=", "<", "<=", ">", ">=", "in"], &["+", "-"], &["*", "/", "%"]];

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

pub(super) type Parsed = Result<Expression, CelError>;

/// Parses a whole expression.
pub(super) fn parse(text: &str) -> Parsed {
    if text.chars().count() > MAX_LENGTH {
        return Err(CelError::at(text, 0, &format!("longer than {MAX_LENGTH} characters")));
    }
    let mut parser = Parser { text, tokens: tokens(text)?, next: 0, depth: 0 };
    let expression = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(expression),
        _ => Err(parser.error("expected an operator or the end")),
    }
}

impl Parser<'_> {
    pub(super) fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    pub(super) fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |(_, at)| *at)
    }

    pub(super) fn take(&mut self) -> Token {
        let token = self.peek().clone();
        self.next += 1;
        token
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(self.peek(), Token::Symbol(s) if *s == symbol)
    }

    pub(super) fn eat(&mut self, symbol: &str) -> bool {
        let found = self.is(symbol);
        self.next += usize::from(found);
        found
    }

    pub(super) fn need(&mut self, symbol: &str) -> Result<(), CelError> {
        if self.eat(symbol) { Ok(()) } else { Err(self.error(&format!("expected `{symbol}`"))) }
    }

    pub(super) fn error(&self, why: &str) -> CelError {
        CelError::at(self.text, self.at(), why)
    }

    pub(super) fn node(&self, at: usize, kind: Kind, inner: usize) -> Parsed {
        let depth = inner + 1;
        if depth > MAX_DEPTH {
            return Err(CelError::at(self.text, at, &format!("nests deeper than {MAX_DEPTH}")));
        }
        Ok(Expression { at, kind, depth })
    }

    pub(super) fn call(&self, at: usize, function: &str, member: bool, arguments: Vec<Expression>) -> Parsed {
        let inner = deepest(&arguments);
        self.node(at, Kind::Call(function.to_owned(), member, arguments), inner)
    }

    pub(super) fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(&format!("nests deeper than {MAX_DEPTH}")));
        }
        let at = self.at();
        let condition = self.condition()?;
        let expression = if self.eat("?") {
            let then = self.condition()?;
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
    fn condition(&mut self) -> Parsed {
        let at = self.at();
        let mut alternatives = Vec::new();
        loop {
            let from = self.at();
            let mut terms = vec![self.binary(0)?];
            while self.eat("&&") {
                terms.push(self.binary(0)?);
            }
            alternatives.push(self.chain(from, Kind::And, terms)?);
            if !self.eat("||") {
                return self.chain(at, Kind::Or, alternatives);
            }
        }
    }

    /// The terms joined; one term is no chain.
    fn chain(&self, at: usize, kind: fn(Vec<Expression>) -> Kind, mut terms: Vec<Expression>) -> Parsed {
        match terms.pop() {
            Some(only) if terms.is_empty() => Ok(only),
            last => {
                terms.extend(last);
                let inner = deepest(&terms);
                self.node(at, kind(terms), inner)
            }
        }
    }

    /// Operands with operators between them that bind at least as tightly as `loosest`. One call a nesting, not one a level of [`BINARY`]:
    /// the stack has to hold [`MAX_DEPTH`] of them.
    fn binary(&mut self, loosest: usize) -> Parsed {
        let mut left = self.unary()?;
        loop {
            let at = self.at();
            let Some((level, operator)) = self.operator().filter(|(level, _)| *level >= loosest) else {
                return Ok(left);
            };
            self.next += 1;
            let right = self.binary(level + 1)?;
            left = self.call(at, operator, false, vec![left, right])?;
        }
    }

    /// The operator that comes next, and its level.
    fn operator(&self) -> Option<(usize, &'static str)> {
        let written = match self.peek() {
            Token::Symbol(symbol) => symbol,
            Token::Name(name) if name == "in" => "in",
            _ => return None,
        };
        BINARY
            .iter()
            .enumerate()
            .find_map(|(level, operators)| operators.iter().find(|known| **known == written).map(|known| (level, *known)))
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
                return if count % 2 == 0 { Ok(operand) } else { self.call(at, function, false, vec![operand]) };
            }
        }
        self.member()
    }

    fn number_follows(&self) -> bool {
        matches!(self.tokens.get(self.next + 1), Some((Token::Int(_) | Token::Double(_), _)))
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
                        return Err(CelError::at(self.text, at, "expected a field or function name behind `.`"));
                    }
                };
            } else {
                return Ok(operand);
            }
        }
    }

    fn select(&self, at: usize, operand: Expression, field: String) -> Parsed {
        let inner = operand.depth;
        self.node(at, Kind::Select(Box::new(operand), field), inner)
    }
}
