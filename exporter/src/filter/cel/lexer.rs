//! CEL's tokens: names, numbers, texts in their eight spellings, operators.

use super::CelError;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    /// A field name in back quotes.
    Quoted(String),
    Int(String),
    Uint(String),
    Double(String),
    Text(String),
    Bytes(Vec<u8>),
    Symbol(&'static str),
    End,
}

/// Longest first.
const SYMBOLS: [&str; 25] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", "(", ")", "[", "]", "{", "}", ".", ",", "="];

/// The tokens of an expression with their byte offsets, the last one being [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<(Token, usize)>, CelError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let (token, length) = if matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}') {
            at += 1;
            continue;
        } else if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if let Some((prefix, quote)) = text_start(rest) {
            text_token(rest, prefix, quote).map_err(|why| CelError::at(text, at, &why))?
        } else if c == '_' || c.is_ascii_alphabetic() {
            let length = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            (Token::Name(rest[..length].to_owned()), length)
        } else if c.is_ascii_digit() || (c == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            number(rest)
        } else if c == '`' {
            let inside = &rest[1..];
            let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || "_.-/ ".contains(c))).unwrap_or(inside.len());
            if end == 0 || !inside[end..].starts_with('`') {
                return Err(CelError::at(text, at, "a field name in back quotes has letters, digits, `_`, `.`, `-`, `/` and spaces"));
            }
            (Token::Quoted(inside[..end].to_owned()), end + 2)
        } else {
            match SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
                Some(symbol) if *symbol != "=" => (Token::Symbol(symbol), symbol.len()),
                Some(_) => return Err(CelError::at(text, at, "`=`: write `==` to compare")),
                None => {
                    return Err(CelError::at(text, at, &format!("{c:?} is not part of the language")));
                }
            }
        };
        tokens.push((token, at));
        at += length;
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

fn number(rest: &str) -> (Token, usize) {
    let digits = |from: usize, hexadecimal: bool| {
        let more = |c: char| {
            if hexadecimal { c.is_ascii_hexdigit() } else { c.is_ascii_digit() }
        };
        rest[from..].find(|c: char| !more(c)).map_or(rest.len(), |n| from + n)
    };
    let hexadecimal = rest.starts_with("0x") && digits(2, true) > 2;
    let mut end = if hexadecimal { digits(2, true) } else { digits(0, false) };
    let mut double = false;
    if !hexadecimal {
        if rest[end..].starts_with('.') && digits(end + 1, false) > end + 1 {
            end = digits(end + 1, false);
            double = true;
        }
        if rest[end..].starts_with(['e', 'E']) {
            let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
            let exponent = digits(end + 1 + sign, false);
            if exponent > end + 1 + sign {
                end = exponent;
                double = true;
            }
        }
    }
    let text = rest[..end].to_owned();
    if double {
        (Token::Double(text), end)
    } else if rest[end..].starts_with(['u', 'U']) {
        (Token::Uint(text), end + 1)
    } else {
        (Token::Int(text), end)
    }
}

/// The prefix (`r`, `b`, `br` …) and quotes that a text begins with.
fn text_start(rest: &str) -> Option<(&str, &'static str)> {
    let quote = rest.bytes().take(3).position(|b| matches!(b, b'"' | b'\''))?;
    let prefix = &rest[..quote];
    if !matches!(prefix, "" | "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR") {
        return None;
    }
    ["\"\"\"", "'''", "\"", "'"].iter().find(|q| rest[quote..].starts_with(**q)).map(|q| (prefix, *q))
}

fn text_token(rest: &str, prefix: &str, quote: &str) -> Result<(Token, usize), String> {
    let raw = prefix.contains(['r', 'R']);
    let bytes = prefix.contains(['b', 'B']);
    let start = prefix.len() + quote.len();
    let mut value = Vec::new();
    let mut at = start;
    loop {
        let Some(c) = rest[at..].chars().next() else {
            return Err("a text without its end".to_owned());
        };
        if rest[at..].starts_with(quote) {
            let length = at + quote.len();
            let token =
                if bytes { Token::Bytes(value) } else { Token::Text(String::from_utf8(value).map_err(|_| "invalid text".to_owned())?) };
            return Ok((token, length));
        }
        if quote.len() == 1 && matches!(c, '\n' | '\r') {
            return Err("a line ends inside a text; write \\n, or three quotes on either side".to_owned());
        }
        if c == '\\' && !raw {
            at += escape(&rest[at..], bytes, &mut value)?;
        } else {
            value.extend_from_slice(&rest.as_bytes()[at..at + c.len_utf8()]);
            at += c.len_utf8();
        }
    }
}

/// Undoes the escape that `rest` begins with; returns its length.
fn escape(rest: &str, bytes: bool, value: &mut Vec<u8>) -> Result<usize, String> {
    let invalid = || format!("invalid escape `{}`", rest.chars().take(2).collect::<String>());
    let Some(kind) = rest[1..].chars().next() else {
        return Err(invalid());
    };
    let simple = match kind {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '?' | '"' | '\'' | '`' => kind as u8,
        _ => 0,
    };
    if simple != 0 {
        value.push(simple);
        return Ok(2);
    }
    let (skip, digits, radix) = match kind {
        'x' | 'X' => (2, 2, 16),
        'u' if !bytes => (2, 4, 16),
        'U' if !bytes => (2, 8, 16),
        '0'..='3' => (1, 3, 8),
        _ => return Err(invalid()),
    };
    let text = rest.get(skip..skip + digits).filter(|t| t.chars().all(|c| c.is_digit(radix))).ok_or_else(invalid)?;
    let number = u32::from_str_radix(text, radix).map_err(|_| invalid())?;
    if bytes {
        value.push(number as u8);
    } else {
        let c = char::from_u32(number).ok_or_else(|| format!("`{}` is no character", &rest[..skip + digits]))?;
        value.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(skip + digits)
}
