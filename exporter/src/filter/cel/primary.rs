//! The ends of CEL's grammar: literals, names, lists, maps, messages, calls, and the standard macros (`has`, `all`, `exists`, `exists_one`,
//! `map`, `filter`), which are recognised as they are parsed.

use super::CelError;
use super::expression::{Expression, Kind, Macro, MacroKind, deepest};
use super::lexer::Token;
use super::parser::{Parsed, Parser};

/// Words that are no variables.
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
/// Words that are no names of fields either.
pub(super) const KEYWORDS: [&str; 4] = ["in", "null", "true", "false"];

impl Parser<'_> {
    pub(super) fn primary(&mut self) -> Parsed {
        if self.eat("(") {
            let inside = self.expression();
            return if inside.is_ok() && !self.eat(")") { self.need(")").and(inside) } else { inside };
        }
        self.other_primary()
    }

    /// All but what stands in parentheses.
    fn other_primary(&mut self) -> Parsed {
        let at = self.at();
        let leading_dot = self.eat(".");
        match self.take() {
            Token::Name(name) if leading_dot || !KEYWORDS.contains(&name.as_str()) => self.named(at, leading_dot, name),
            _ if leading_dot => Err(CelError::at(self.text, at, "expected a name behind `.`")),
            Token::Name(name) => match name.as_str() {
                "true" | "false" => self.node(at, Kind::Bool(name == "true"), 0),
                "null" => self.node(at, Kind::Null, 0),
                _ => Err(CelError::at(self.text, at, &format!("`{name}` needs an operand before it"))),
            },
            Token::Symbol("[") => {
                let elements = self.list("]")?;
                let inner = deepest(&elements);
                self.node(at, Kind::List(elements), inner)
            }
            Token::Symbol("{") => {
                let entries = self.entries()?;
                let inner = entries.iter().map(|(key, value)| key.depth.max(value.depth)).max().unwrap_or(0);
                self.node(at, Kind::Map(entries), inner)
            }
            Token::Symbol("-") => {
                let number = self.take();
                self.literal(at, number, "-")
            }
            Token::End => Err(CelError::at(self.text, at, "expected an expression, found the end")),
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
        self.node(at, kind, 0)
    }

    fn named(&mut self, at: usize, leading_dot: bool, name: String) -> Parsed {
        let full = format!("{}{name}", if leading_dot { "." } else { "" });
        if self.is("{") {
            return self.message(at, full);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(CelError::at(self.text, at, &format!("`{name}` is a reserved word")));
        }
        if !self.eat("(") {
            return self.node(at, Kind::Name(full), 0);
        }
        let mut arguments = self.list(")")?;
        if name == "has" && !leading_dot && arguments.len() == 1 {
            return match arguments.pop().map(|argument| (argument.depth, argument.kind)) {
                Some((depth, Kind::Select(operand, field))) => self.node(at, Kind::Has(operand, field), depth),
                _ => Err(CelError::at(self.text, at, "has() takes a field: has(_flow.source.labels)")),
            };
        }
        self.call(at, &full, false, arguments)
    }

    pub(super) fn receiver_call(&self, at: usize, receiver: Expression, name: &str, arguments: Vec<Expression>) -> Parsed {
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
            Some(Expression { kind: Kind::Name(variable), .. }) if !variable.starts_with('.') => variable,
            other => {
                return Err(CelError::at(self.text, other.map_or(at, |e| e.at), "the first argument must be a plain name"));
            }
        };
        if variable == "__result__" {
            return Err(CelError::at(self.text, at, "`__result__` can't be a variable"));
        }
        let (condition, result) = match (kind, arguments.next(), arguments.next()) {
            (MacroKind::Map, result, None) => (None, result),
            (_, condition, result) => (condition, result),
        };
        self.node(at, Kind::Macro(Box::new(Macro { kind, range: receiver, variable, condition, result })), inner)
    }

    /// Expressions with commas between them, up to `end`; one comma more is allowed in a list, be it empty.
    pub(super) fn list(&mut self, end: &str) -> Result<Vec<Expression>, CelError> {
        let mut elements = Vec::new();
        if end == "]" && self.only_a_comma(end)? {
            return Ok(elements);
        }
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

    /// Takes a comma with nothing but the end behind it.
    fn only_a_comma(&mut self, end: &str) -> Result<bool, CelError> {
        let comma = self.eat(",");
        if comma {
            self.need(end)?;
        }
        Ok(comma)
    }

    fn entries(&mut self) -> Result<Vec<(Expression, Expression)>, CelError> {
        let mut entries = Vec::new();
        if self.only_a_comma("}")? {
            return Ok(entries);
        }
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

    pub(super) fn message(&mut self, at: usize, name: String) -> Parsed {
        self.need("{")?;
        let mut fields = Vec::new();
        if self.only_a_comma("}")? {
            return self.node(at, Kind::Message(name, fields), 0);
        }
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
        let inner = fields.iter().map(|(_, value)| value.depth).max().unwrap_or(0);
        self.node(at, Kind::Message(name, fields), inner)
    }
}
