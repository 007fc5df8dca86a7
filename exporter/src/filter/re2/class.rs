//! Character classes and escapes of Go's dialect: `[a-z]`, `[[:alpha:]]`, `\d`, `\pL`, `\x{41}`.
//!
//! A class is a list of ranges until its end, then folded when `(?i)` is on, then negated: in this order `(?i)[^\w]` excludes what `(?i)\w`
//! includes (the Kelvin sign among them), as in Go.

use super::names;
use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

/// What is left of the pattern.
#[derive(Clone, Copy)]
pub(super) struct Rest<'p>(pub(super) &'p str);

impl Rest<'_> {
    pub(super) fn next(&mut self) -> Option<char> {
        let mut chars = self.0.chars();
        let c = chars.next()?;
        self.0 = chars.as_str();
        Some(c)
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    pub(super) fn eat(&mut self, prefix: &str) -> bool {
        match self.0.strip_prefix(prefix) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }
}

/// A bracketed class; `rest` stands behind the `[`.
pub(super) fn bracketed(rest: &mut Rest<'_>, fold: bool) -> Result<ClassUnicode, String> {
    let negated = rest.eat("^");
    let mut class = ClassUnicode::empty();
    let mut first = true;
    while first || rest.peek() != Some(']') {
        first = false;
        if rest.0.starts_with("[:")
            && let Some(end) = rest.0[2..].find(":]")
        {
            let name = &rest.0[2..2 + end];
            class.union(&posix(name, fold)?.ok_or_else(|| format!("invalid character class range: `[:{name}:]`"))?);
            rest.0 = &rest.0[end + 4..];
        } else if let Some(group) = group(rest, fold)? {
            class.union(&group);
        } else {
            let start = class_char(rest)?;
            let mut end = start;
            let mut ahead = *rest;
            if ahead.eat("-") && ahead.peek().is_some_and(|c| c != ']') {
                *rest = ahead;
                end = class_char(rest)?;
            }
            if end < start {
                return Err("invalid character class range: its end comes before its start".to_owned());
            }
            class.union(&range(start, end));
        }
    }
    rest.next();
    finished(class, fold, negated)
}

/// `\pL`, `\p{Greek}`, `\P{…}`, `\d` and the like at the start of `rest`, which then is moved behind them.
pub(super) fn group(rest: &mut Rest<'_>, fold: bool) -> Result<Option<ClassUnicode>, String> {
    let mut ahead = *rest;
    if !ahead.eat("\\") {
        return Ok(None);
    }
    let (class, negated) = match ahead.next() {
        Some(letter @ ('p' | 'P')) => unicode(&mut ahead, letter == 'P')?,
        Some(letter @ ('d' | 'D')) => (ascii(&[('0', '9')]), letter == 'D'),
        Some(letter @ ('s' | 'S')) => (ascii(&[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')]), letter == 'S'),
        Some(letter @ ('w' | 'W')) => (ascii(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]), letter == 'W'),
        _ => return Ok(None),
    };
    *rest = ahead;
    finished(class, fold, negated).map(Some)
}

/// Folded before negated: `(?i)\W` excludes whatever `(?i)\w` includes.
fn finished(mut class: ClassUnicode, fold: bool, negated: bool) -> Result<ClassUnicode, String> {
    if fold {
        fold_case(&mut class)?;
    }
    if negated {
        class.negate();
    }
    Ok(class)
}

/// Behind `\p`: the class of the name that follows, and whether it is to be negated.
fn unicode(rest: &mut Rest<'_>, mut negated: bool) -> Result<(ClassUnicode, bool), String> {
    let whole = rest.0;
    let name = match rest.next() {
        None => {
            return Err("invalid character class range: `\\p` at the end; write `\\pL` or `\\p{Greek}`".to_owned());
        }
        Some('{') => {
            let end = rest.0.find('}').ok_or("invalid character class range: `\\p{` is not closed")?;
            let name = &rest.0[..end];
            rest.0 = &rest.0[end + 1..];
            name
        }
        Some(c) => &whole[..c.len_utf8()],
    };
    let name = match name.strip_prefix('^') {
        Some(name) => {
            negated = !negated;
            name
        }
        None => name,
    };
    let class = names::named(name)
        .ok_or_else(|| format!("invalid character class range: `\\p{{{name}}}` is no category or script (such as L, Lu, Greek)"))?;
    Ok((class, negated))
}

/// The class of `[:name:]`, or of `[:^name:]`.
fn posix(name: &str, fold: bool) -> Result<Option<ClassUnicode>, String> {
    let (name, negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let class = ascii(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return Ok(None),
    });
    finished(class, fold, negated).map(Some)
}

fn class_char(rest: &mut Rest<'_>) -> Result<u32, String> {
    match rest.next() {
        None => Err("missing closing ]".to_owned()),
        Some('\\') => escape(rest),
        Some(c) => Ok(u32::from(c)),
    }
}

/// An escaped character as its code point, which may be a surrogate (that matches nothing); `rest` stands behind the backslash.
pub(super) fn escape(rest: &mut Rest<'_>) -> Result<u32, String> {
    let c = rest.next().ok_or("trailing backslash at end of expression")?;
    let invalid = || format!("invalid escape sequence: `\\{c}`");
    let octal = |rest: &mut Rest<'_>| {
        rest.peek().and_then(|c| c.to_digit(8)).inspect(|_| {
            rest.next();
        })
    };
    Ok(match c {
        '1'..='7' if !rest.peek().is_some_and(|c| c.is_digit(8)) => return Err(invalid()),
        '0'..='7' => {
            let mut value = u32::from(c) - u32::from('0');
            for _ in 0..2 {
                let Some(digit) = octal(rest) else { break };
                value = value * 8 + digit;
            }
            value
        }
        'x' => hexadecimal(rest).ok_or_else(invalid)?,
        'a' => 7,
        'f' => 12,
        'n' => 10,
        'r' => 13,
        't' => 9,
        'v' => 11,
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => u32::from(c),
        _ => return Err(invalid()),
    })
}

fn hexadecimal(rest: &mut Rest<'_>) -> Option<u32> {
    if !rest.eat("{") {
        let high = rest.next()?.to_digit(16)?;
        return Some(high * 16 + rest.next()?.to_digit(16)?);
    }
    let mut value = None;
    loop {
        let c = rest.next()?;
        if c == '}' {
            return value;
        }
        value = Some(value.unwrap_or(0) * 16 + c.to_digit(16)?).filter(|v| *v <= u32::from(char::MAX));
        value?;
    }
}

/// One character with or without its other cases; nothing for a surrogate.
pub(super) fn single(code_point: u32, fold: bool) -> Result<ClassUnicode, String> {
    finished(range(code_point, code_point), fold, false)
}

/// The characters from `start` to `end`, less the surrogates.
fn range(start: u32, end: u32) -> ClassUnicode {
    let up = char::from_u32(start).unwrap_or('\u{e000}');
    let down = char::from_u32(end).unwrap_or('\u{d7ff}');
    if up > down { ClassUnicode::empty() } else { ClassUnicode::new([ClassUnicodeRange::new(up, down)]) }
}

/// Adds every character that differs from one of the class in case only.
fn fold_case(class: &mut ClassUnicode) -> Result<(), String> {
    class.try_case_fold_simple().map_err(|e| e.to_string())
}

fn ascii(ranges: &[(char, char)]) -> ClassUnicode {
    ClassUnicode::new(ranges.iter().map(|(a, b)| ClassUnicodeRange::new(*a, *b)))
}
