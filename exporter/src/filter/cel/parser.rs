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

    /// Every nesting comes through here, and the stack has to hold [`MAX_DEPTH`] of them even where nothing is optimised: the functions on
    /// this way keep little, and leave the rest to others.
    pub(super) fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.too_deep();
        }
        let at = self.at();
        let mut parsed = self.condition();
        if parsed.is_ok() && self.eat("?") {
            parsed = self.choice(at, parsed);
        }
        self.depth -= 1;
        parsed
    }

    fn too_deep(&self) -> Parsed {
        Err(self.error(&format!("nests deeper than {MAX_DEPTH}")))
    }

    /// What follows `condition ?`.
    fn choice(&mut self, at: usize, condition: Parsed) -> Parsed {
        let then = self.condition()?;
        self.need(":")?;
        let otherwise = self.expression()?;
        self.call(at, "?:", false, vec![condition?, then, otherwise])
    }

    /// A chain of `||`, whose elements are chains of `&&`, whose elements are comparisons.
    fn condition(&mut self) -> Parsed {
        let at = self.at();
        let first = self.conjunction(at);
        if first.is_ok() && self.is("||") { self.chain(at, "||", first) } else { first }
    }

    fn conjunction(&mut self, at: usize) -> Parsed {
        let first = self.binary(0);
        if first.is_ok() && self.is("&&") { self.chain(at, "&&", first) } else { first }
    }

    /// The terms behind the first one. A chain is flat, so that its length is no depth.
    fn chain(&mut self, at: usize, operator: &str, first: Parsed) -> Parsed {
        let mut terms = vec![first?];
        while self.eat(operator) {
            let from = self.at();
            terms.push(if operator == "||" { self.conjunction(from)? } else { self.binary(0)? });
        }
        let inner = deepest(&terms);
        self.node(at, if operator == "||" { Kind::Or(terms) } else { Kind::And(terms) }, inner)
    }

    /// Operands with operators between them that bind at least as tightly as `loosest`: one call a nesting, not one a level of [`BINARY`].
    fn binary(&mut self, loosest: usize) -> Parsed {
        let mut left = self.unary();
        while left.is_ok()
            && let Some((level, operator)) = self.operator().filter(|(level, _)| *level >= loosest)
        {
            left = self.operation(left, level, operator);
        }
        left
    }

    /// What an operator makes of the operand before it and the one behind it.
    fn operation(&mut self, left: Parsed, level: usize, operator: &str) -> Parsed {
        let at = self.at();
        self.next += 1;
        let right = self.binary(level + 1)?;
        self.call(at, operator, false, vec![left?, right])
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
        let mut operand = self.primary();
        while operand.is_ok() && (self.is("[") || self.is(".")) {
            operand = self.part(operand);
        }
        operand
    }

    /// An element, field or method of the operand.
    fn part(&mut self, operand: Parsed) -> Parsed {
        let at = self.at();
        if self.eat("[") { self.element(at, operand) } else { self.named_part(at, operand) }
    }

    fn element(&mut self, at: usize, operand: Parsed) -> Parsed {
        let index = self.expression()?;
        self.need("]")?;
        self.call(at, "[]", false, vec![operand?, index])
    }

    fn named_part(&mut self, at: usize, operand: Parsed) -> Parsed {
        self.need(".")?;
        match self.take() {
            Token::Quoted(field) => self.select(at, operand, field),
            Token::Name(name) if KEYWORDS.contains(&name.as_str()) => self.no_name(at),
            Token::Name(name) if self.is("(") => self.method(at, operand, &name),
            Token::Name(name) if self.is("{") => self.built(at, operand, &name),
            Token::Name(name) => self.select(at, operand, name),
            _ => self.no_name(at),
        }
    }

    fn no_name(&self, at: usize) -> Parsed {
        Err(CelError::at(self.text, at, "expected a field or function name behind `.`"))
    }

    fn method(&mut self, at: usize, operand: Parsed, name: &str) -> Parsed {
        self.need("(")?;
        let arguments = self.list(")")?;
        self.receiver_call(at, operand?, name, arguments)
    }

    fn built(&mut self, at: usize, operand: Parsed, name: &str) -> Parsed {
        match qualified(&operand?) {
            Some(prefix) => self.message(at, format!("{prefix}.{name}")),
            None => Err(self.error("a message is built as `Name{…}`")),
        }
    }

    fn select(&self, at: usize, operand: Parsed, field: String) -> Parsed {
        let operand = operand?;
        let inner = operand.depth;
        self.node(at, Kind::Select(Box::new(operand), field), inner)
    }
}
