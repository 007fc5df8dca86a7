//! Reads strings, lists of strings, words and integers, each on its usual path; the rare forms are in `slow`.

use std::borrow::Cow;

use super::error::Result;
use super::reader::Reader;
use super::scan;
use crate::flow::Texts;

/// An integer as it was found.
#[derive(Clone, Copy, Debug)]
pub enum Integer {
    /// Plain digits.
    Plain(u64),
    /// With a sign, a fraction or an exponent.
    Other(i128),
}

impl<'a> Reader<'a> {
    /// Reads a string.
    #[inline]
    pub fn text(&mut self) -> Result<Cow<'a, str>> {
        if self.byte() != b'"' {
            return Err(self.expected("a string"));
        }
        let start = self.at + 1;
        let end = scan::special(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Ok(Cow::Borrowed(self.slice(start, end)));
        }
        self.text_with_escapes(start, end).map(Cow::Owned)
    }

    /// Reads a list of strings, as one piece when it is written the canonical way.
    #[inline]
    pub fn texts(&mut self) -> Result<Texts<'a>> {
        let start = self.at + 1;
        if self.byte() == b'[' && self.bytes.get(start) == Some(&b'"') {
            let mut quote = start;
            loop {
                let end = scan::unclean(self.bytes, quote + 1);
                match self.bytes.get(end..).and_then(|rest| rest.first_chunk::<3>()) {
                    Some([b'"', b',', b'"']) => quote = end + 2,
                    Some([b'"', b']', _]) => {
                        self.at = end + 2;
                        return Ok(Texts::from_canonical(self.slice(start, end + 1)));
                    }
                    _ => break,
                }
            }
        }
        self.texts_one_by_one()
    }

    #[cold]
    fn texts_one_by_one(&mut self) -> Result<Texts<'a>> {
        let mut texts = Texts::new();
        let mut more = self.open_list()?;
        while more {
            self.space();
            texts.push(&self.text()?);
            more = self.more_elements()?;
        }
        Ok(texts)
    }

    /// Reads a boolean.
    #[inline]
    pub fn boolean(&mut self) -> Result<bool> {
        let value = self.byte() == b't';
        self.word(if value { "true" } else { "false" })?;
        Ok(value)
    }

    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<()> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes()) || self.bytes.get(end).is_some_and(continues_a_word) {
            return Err(self.expected(match word {
                "null" => "null",
                _ => "true or false",
            }));
        }
        self.at = end;
        Ok(())
    }

    /// Reads an integer that is plain digits, at most 19 of them, up to a delimiter; anything else is left to `integer`.
    #[inline]
    fn digits(&self, from: usize, close: impl Fn(u8) -> bool) -> Option<(u64, usize)> {
        let mut value = 0u64;
        let mut at = from;
        while let Some(digit) = self.bytes.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
            at += 1;
        }
        let length = at - from;
        let plain = (1..=19).contains(&length) && (length == 1 || self.bytes.get(from) != Some(&b'0'));
        (plain && self.bytes.get(at).is_some_and(|byte| close(*byte))).then_some((value, at))
    }

    /// Reads an integer, bare or quoted: the value if it is plain digits, else what any of its other forms says.
    #[inline]
    pub fn integer(&mut self) -> Result<Integer> {
        let quoted = self.byte() == b'"';
        let plain = if quoted {
            self.digits(self.at + 1, |byte| byte == b'"').map(|(value, end)| (value, end + 1))
        } else {
            self.digits(self.at, |byte| matches!(byte, b',' | b'}' | b']'))
        };
        if let Some((value, end)) = plain {
            self.at = end;
            return Ok(Integer::Plain(value));
        }
        self.integer_in_any_form().map(Integer::Other)
    }
}

/// Bytes that would make a longer word or number of what stands before them.
pub(super) fn continues_a_word(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_')
}
