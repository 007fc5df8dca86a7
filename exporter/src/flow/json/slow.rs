//! The readings that are rare: escapes, integers in other forms than plain digits, and values that are kept unread.

use super::error::{Problem, Result};
use super::number;
use super::reader::Reader;
use super::scan;
use super::token::continues_a_word;

/// How deep a kept value may nest.
pub const MAX_DEPTH: usize = 128;

impl Reader<'_> {
    /// Reads on in a string whose first clean stretch is `start..special`.
    #[cold]
    pub(super) fn text_with_escapes(&mut self, start: usize, special: usize) -> Result<String> {
        let mut plain = self.slice(start, special).to_owned();
        self.at = special;
        loop {
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(plain);
                }
                b'\\' => plain.push(self.escape()?),
                _ if self.at >= self.bytes.len() => return Err(self.error(Problem::Torn)),
                _ => return Err(self.error(Problem::Control)),
            }
            let end = scan::special(self.bytes, self.at);
            plain.push_str(self.slice(self.at, end));
            self.at = end;
        }
    }

    /// Reads an escape; a surrogate only with its other half.
    fn escape(&mut self) -> Result<char> {
        let bad = self.error(Problem::Escape);
        let Some(kind) = self.bytes.get(self.at + 1) else {
            return Err(self.error(Problem::Torn));
        };
        let plain = match kind {
            b'"' | b'\\' | b'/' => char::from(*kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit(self.at).ok_or(bad)?;
                self.at += 6;
                if !(0xd800..0xe000).contains(&first) {
                    return char::from_u32(first).ok_or_else(|| self.error(Problem::Escape));
                }
                let second = self.unit(self.at).filter(|unit| (0xdc00..0xe000).contains(unit) && first < 0xdc00);
                let second = second.ok_or_else(|| self.error(Problem::Escape))?;
                self.at += 6;
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return char::from_u32(code).ok_or_else(|| self.error(Problem::Escape));
            }
            _ => return Err(bad),
        };
        self.at += 2;
        Ok(plain)
    }

    /// The number of a `\uXXXX` at a position.
    fn unit(&self, at: usize) -> Option<u32> {
        let escape = self.bytes.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |value, digit| Some(value << 4 | char::from(*digit).to_digit(16)?))
    }

    /// Reads an integer with a sign, a fraction of zeros, an exponent, or quotes round any of them.
    #[cold]
    pub(super) fn integer_in_any_form(&mut self) -> Result<i128> {
        let start = self.at;
        let value = if self.byte() == b'"' {
            let quoted = self.text()?;
            // Behind the number, protojson looks no further than whether the number ends there.
            number::token(quoted.as_bytes())
                .filter(|end| !quoted.as_bytes().get(*end).is_some_and(continues_a_word))
                .filter(|_| quoted.trim() == quoted)
                .and_then(|end| number::integer(&quoted.as_bytes()[..end]))
        } else {
            let token = self.number()?;
            number::integer(token.as_bytes())
        };
        value.ok_or_else(|| self.error_at(start, Problem::Number("an integer")))
    }

    /// Reads an integer that has to be bare, as the number of an enum is.
    pub(super) fn bare_integer(&mut self) -> Result<i128> {
        let start = self.at;
        let token = self.number()?;
        number::integer(token.as_bytes()).ok_or_else(|| self.error_at(start, Problem::Number("an integer")))
    }

    /// Reads a number and leaves it as it is written.
    pub fn number(&mut self) -> Result<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match number::token(rest) {
            Some(length) if !rest.get(length).is_some_and(continues_a_word) => {
                let token = self.slice(self.at, self.at + length).to_owned();
                self.at += length;
                Ok(token)
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// Copies a string as it is written, with the escapes of §2.2 added; what it means is checked.
    pub(super) fn copy_string(&mut self, out: &mut String) -> Result<()> {
        if self.byte() != b'"' {
            return Err(self.expected("a string"));
        }
        let text = self.text()?;
        super::text::quote(&text, out);
        Ok(())
    }

    /// Copies a value of any kind without white space. Goes down without recursion.
    pub(super) fn copy_value(&mut self, out: &mut String) -> Result<()> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.space();
            let opened = match self.byte() {
                bracket @ (b'{' | b'[') => {
                    if open.len() >= MAX_DEPTH {
                        return Err(self.error(Problem::TooDeep(MAX_DEPTH)));
                    }
                    out.push(char::from(bracket));
                    let has_more = if bracket == b'{' { self.open_object()? } else { self.open_list()? };
                    open.push(bracket);
                    has_more
                }
                _ => {
                    self.copy_scalar(out)?;
                    false
                }
            };
            if !opened && !self.close_finished(&mut open, out)? {
                return Ok(());
            }
            if open.last() == Some(&b'{') {
                self.space();
                self.copy_string(out)?;
                self.space();
                if self.byte() != b':' {
                    return Err(self.expected("a colon"));
                }
                self.at += 1;
                out.push(':');
            }
        }
    }

    /// Behind a value: closes what ends here; true when a comma follows, false when nothing is open any more.
    fn close_finished(&mut self, open: &mut Vec<u8>, out: &mut String) -> Result<bool> {
        // An empty object or list was closed by whoever opened it.
        if let (Some(bracket), true) = (open.last(), out.ends_with(['{', '['])) {
            out.push(if *bracket == b'{' { '}' } else { ']' });
            open.pop();
        }
        while let Some(bracket) = open.last() {
            let object = *bracket == b'{';
            if if object { self.more_members()? } else { self.more_elements()? } {
                out.push(',');
                return Ok(true);
            }
            out.push(if object { '}' } else { ']' });
            open.pop();
        }
        Ok(false)
    }

    fn copy_scalar(&mut self, out: &mut String) -> Result<()> {
        match self.byte() {
            b'"' => self.copy_string(out)?,
            b't' | b'f' => out.push_str(if self.boolean()? { "true" } else { "false" }),
            b'n' => {
                self.null()?;
                out.push_str("null");
            }
            _ => out.push_str(&self.number()?),
        }
        Ok(())
    }
}
