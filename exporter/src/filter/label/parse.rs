//! The selector grammar: `key`, `!key`, `key=v`, `key==v`, `key!=v`, `key in (a,b)`, `key notin (a,b)`, `key>5`, `key<5`, comma for "and".
//!
//! Keys and values are held to Kubernetes' rules. A key is checked together with its source (`any.` where none is written), which is why
//! its name may have 59 characters, not 63.

use super::{Condition, Key, Requirement};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Symbol(&'static str),
    End,
}

impl Token<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Word(text) => text,
            Self::Symbol(text) => text,
            Self::End => "",
        }
    }
}

struct Tokens<'t> {
    rest: &'t str,
}

const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];

impl<'t> Tokens<'t> {
    fn peek(&self) -> Token<'t> {
        Tokens { rest: self.rest }.next()
    }

    fn next(&mut self) -> Token<'t> {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        // A NUL ends the text, as it does upstream.
        if text.is_empty() || text.starts_with('\0') {
            self.rest = "";
            return Token::End;
        }
        if let Some(symbol) = SYMBOLS.iter().find(|s| text.starts_with(**s)) {
            self.rest = &text[symbol.len()..];
            return Token::Symbol(symbol);
        }
        let end = text.find(['=', '!', '(', ')', ',', '>', '<', ' ', '\t', '\r', '\n', '\0']).unwrap_or(text.len());
        let behind = &text[end..];
        self.rest = behind.strip_prefix('\0').unwrap_or(behind);
        Token::Word(&text[..end])
    }
}

/// The requirements of a selector; none for the empty one.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let mut requirements = Vec::new();
    if text.is_empty() {
        return Ok(requirements);
    }
    let mut tokens = Tokens { rest: text };
    loop {
        requirements.push(requirement(&mut tokens)?);
        match tokens.next() {
            Token::End => return Ok(requirements),
            Token::Symbol(",") => {}
            other => return Err(format!("found `{}`, expected `,` or the end", other.text())),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<Requirement, String> {
    let mut token = tokens.next();
    let absent = token == Token::Symbol("!");
    if absent {
        token = tokens.next();
    }
    let Token::Word(written) = token else {
        return Err(format!("found `{}`, expected a key", token.text()));
    };
    valid_key(written)?;
    let key = Key::new(written);
    if absent {
        return Ok(Requirement { key, condition: Condition::Absent });
    }
    if matches!(tokens.peek(), Token::End | Token::Symbol(",")) {
        return Ok(Requirement { key, condition: Condition::Exists });
    }
    let operator = tokens.next();
    let condition = match operator.text() {
        "=" | "==" => Condition::In(vec![value(tokens)?]),
        "!=" => Condition::NotIn(vec![value(tokens)?]),
        "in" => Condition::In(values(tokens)?),
        "notin" => Condition::NotIn(values(tokens)?),
        ">" => Condition::Above(number(tokens)?),
        "<" => Condition::Below(number(tokens)?),
        other => {
            return Err(format!("found `{other}`, expected one of `=`, `==`, `!=`, `in`, `notin`, `>`, `<`"));
        }
    };
    Ok(Requirement { key, condition })
}

fn value(tokens: &mut Tokens<'_>) -> Result<String, String> {
    if matches!(tokens.peek(), Token::End | Token::Symbol(",")) {
        return Ok(String::new());
    }
    match tokens.next() {
        Token::Word(word) => valid_value(word),
        other => Err(format!("found `{}`, expected a value", other.text())),
    }
}

fn number(tokens: &mut Tokens<'_>) -> Result<i64, String> {
    let text = value(tokens)?;
    text.parse().map_err(|_| format!("`{text}`: `>` and `<` take an integer without a sign"))
}

/// `(a,b)`; an element may be empty, and `()` is the empty value.
fn values(tokens: &mut Tokens<'_>) -> Result<Vec<String>, String> {
    let open = tokens.next();
    if open != Token::Symbol("(") {
        return Err(format!("found `{}`, expected `(`", open.text()));
    }
    let mut values = Vec::new();
    loop {
        match tokens.peek() {
            Token::Word(word) => {
                tokens.next();
                values.push(valid_value(word)?);
            }
            Token::Symbol("," | ")") => values.push(String::new()),
            other => {
                return Err(format!("found `{}`, expected `,`, `)` or a value", other.text()));
            }
        }
        match tokens.next() {
            Token::Symbol(",") => {}
            Token::Symbol(")") => return Ok(values),
            other => return Err(format!("found `{}`, expected `,` or `)`", other.text())),
        }
    }
}

/// A key as Kubernetes' qualified name: `[DNS subdomain/]name`, the source being part of whichever comes first.
fn valid_key(written: &str) -> Result<(), String> {
    let sourced = if written.contains(':') { written.replacen(':', ".", 1) } else { format!("any.{written}") };
    let name = match sourced.split_once('/') {
        None => sourced.as_str(),
        Some((prefix, _)) if !dns_subdomain(prefix) => {
            return Err(format!(
                "key `{written}`: the part before `/` must be lower-case letters, digits, `-` and `.`, at most 253 of them"
            ));
        }
        Some((_, name)) => name,
    };
    if name.is_empty() || name.len() > 63 || !label_text(name) {
        return Err(format!(
            "key `{written}`: a name is letters, digits, `-`, `_` and `.`, with a letter or digit at the end, at most 63 with its source"
        ));
    }
    Ok(())
}

fn valid_value(text: &str) -> Result<String, String> {
    if text.len() > 63 || !(text.is_empty() || label_text(text)) {
        return Err(format!(
            "value `{text}`: a value is at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at either end"
        ));
    }
    Ok(text.to_owned())
}

fn label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter().all(|b| b.is_some_and(|b| b.is_ascii_alphanumeric()))
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn dns_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        let bytes = part.as_bytes();
        let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        bytes.first().is_some_and(plain) && bytes.last().is_some_and(plain) && bytes.iter().all(|b| plain(b) || *b == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
