//! The parser of Go's dialect: pattern text to the `regex` crate's syntax tree.
//!
//! It keeps the open groups on a stack of its own, so nesting costs memory, not stack. Where Go's parser has a rule that follows from how it
//! works rather than from the grammar, the rule is kept: `(?i)` stands between a character and its `*` without separating them, and a
//! repetition directly behind a repetition is an error while `(a*)*` is not.

use super::MAX_CLASS_RANGES;
use super::class::{self, Rest};
use super::item::{Flags, Group, Item, MAX_HEIGHT, alternation, bounded, concatenation};
use regex_syntax::hir::{Class, ClassUnicode, Dot, Hir, Look, Repetition};

/// Go's limit on a count, and on the product of nested counts.
const MAX_REPEAT: u32 = 1000;

struct Parser {
    stack: Vec<Group>,
    flags: Flags,
    ranges: usize,
}

/// Parses `pattern`, or says in Go's words what is wrong with it.
pub(super) fn parse(pattern: &str) -> Result<Hir, String> {
    let mut parser = Parser { stack: vec![Group::new(Flags::default(), false)], flags: Flags::default(), ranges: 0 };
    let mut rest = Rest(pattern);
    let mut behind_repetition = false;
    while let Some(c) = rest.peek() {
        let mut repetition = false;
        match c {
            '(' => parser.open(&mut rest)?,
            ')' => {
                rest.next();
                parser.close()?;
            }
            '|' => {
                rest.next();
                parser.alternative()?;
            }
            '*' | '+' | '?' => {
                rest.next();
                let (min, max) = match c {
                    '*' => (0, None),
                    '+' => (1, None),
                    _ => (0, Some(1)),
                };
                parser.repeat(&mut rest, min, max, false, behind_repetition)?;
                repetition = true;
            }
            '{' => match count(&mut rest)? {
                None => {
                    rest.next();
                    parser.literal(u32::from('{'))?;
                }
                Some((min, max)) => {
                    parser.repeat(&mut rest, min, max, true, behind_repetition)?;
                    repetition = true;
                }
            },
            _ => parser.single(&mut rest, c)?,
        }
        behind_repetition = repetition;
    }
    let Some(whole) = parser.stack.pop() else {
        return Err("missing closing )".to_owned());
    };
    if !parser.stack.is_empty() {
        return Err("missing closing ): write `\\(` for the character".to_owned());
    }
    Ok(alternation(whole)?.hir)
}

impl Parser {
    fn push(&mut self, item: Item) {
        if let Some(group) = self.stack.last_mut() {
            group.sequence.push(item);
        }
    }

    fn look(&mut self, look: Look) {
        self.push(Item::leaf(Hir::look(look)));
    }

    fn class(&mut self, class: ClassUnicode) -> Result<(), String> {
        self.ranges += class.ranges().len();
        if self.ranges > MAX_CLASS_RANGES {
            return Err(format!("expression too large: its classes expand to more than {MAX_CLASS_RANGES} ranges"));
        }
        self.push(Item::leaf(Hir::class(Class::Unicode(class))));
        Ok(())
    }

    fn literal(&mut self, code_point: u32) -> Result<(), String> {
        if self.flags.fold_case {
            return self.class(class::single(code_point, true)?);
        }
        let hir = match char::from_u32(code_point) {
            Some(c) => Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()),
            // A surrogate, as in `\x{D800}`: valid to write, never in a text.
            None => Hir::fail(),
        };
        self.push(Item::leaf(hir));
        Ok(())
    }

    /// Whatever starts with neither a group, an alternative nor a repetition.
    fn single(&mut self, rest: &mut Rest<'_>, c: char) -> Result<(), String> {
        if c == '\\' {
            return self.escaped(rest);
        }
        rest.next();
        match c {
            '^' => self.look(if self.flags.multi_line { Look::StartLF } else { Look::Start }),
            '$' => self.look(if self.flags.multi_line { Look::EndLF } else { Look::End }),
            '.' => {
                let dot = if self.flags.dot_all { Dot::AnyChar } else { Dot::AnyCharExceptLF };
                self.push(Item::leaf(Hir::dot(dot)));
            }
            '[' => {
                let class = class::bracketed(rest, self.flags.fold_case)?;
                self.class(class)?;
            }
            c => self.literal(u32::from(c))?,
        }
        Ok(())
    }

    fn escaped(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        if let Some(class) = class::group(rest, self.flags.fold_case)? {
            return self.class(class);
        }
        if rest.eat("\\A") {
            self.look(Look::Start);
        } else if rest.eat("\\z") {
            self.look(Look::End);
        } else if rest.eat("\\b") {
            self.look(Look::WordAscii);
        } else if rest.eat("\\B") {
            self.look(Look::WordAsciiNegate);
        } else if rest.eat("\\Q") {
            let (quoted, behind) = rest.0.split_once("\\E").unwrap_or((rest.0, ""));
            rest.0 = behind;
            for c in quoted.chars() {
                self.literal(u32::from(c))?;
            }
        } else {
            rest.next();
            let code_point = class::escape(rest)?;
            self.literal(code_point)?;
        }
        Ok(())
    }

    fn open(&mut self, rest: &mut Rest<'_>) -> Result<(), String> {
        let flags_outside = self.flags;
        let capture = if !rest.0.starts_with("(?") {
            rest.next();
            true
        } else if let Some(named) = rest.0.strip_prefix("(?P<").or_else(|| rest.0.strip_prefix("(?<")) {
            let (name, behind) = named.split_once('>').ok_or("invalid named capture: no `>`")?;
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(format!("invalid named capture: `{name}`"));
            }
            rest.0 = behind;
            true
        } else {
            rest.eat("(?");
            match self.flag_group(rest)? {
                ':' => false,
                // `(?i)` holds until the group it stands in ends.
                _ => return Ok(()),
            }
        };
        if self.stack.len() > MAX_HEIGHT {
            return Err("expression nests too deeply".to_owned());
        }
        self.stack.push(Group::new(flags_outside, capture));
        Ok(())
    }

    /// Behind `(?`: sets the flags and returns the `:` or `)` they end with.
    fn flag_group(&mut self, rest: &mut Rest<'_>) -> Result<char, String> {
        let invalid = "invalid or unsupported Perl syntax behind `(?`: there are `(?i)`, `(?m)`, `(?s)`, `(?U)`, `(?:…)` and `(?P<name>…)`";
        let mut flags = self.flags;
        let mut on = true;
        let mut any = false;
        while let Some(c) = rest.next() {
            match c {
                'i' => flags.fold_case = on,
                'm' => flags.multi_line = on,
                's' => flags.dot_all = on,
                'U' => {}
                '-' if on => {
                    on = false;
                    any = false;
                    continue;
                }
                ':' | ')' if on || any => {
                    self.flags = flags;
                    return Ok(c);
                }
                _ => break,
            }
            any = true;
        }
        Err(invalid.to_owned())
    }

    fn close(&mut self) -> Result<(), String> {
        let unexpected = "unexpected ): write `\\)` for the character";
        if self.stack.len() < 2 {
            return Err(unexpected.to_owned());
        }
        let Some(group) = self.stack.pop() else {
            return Err(unexpected.to_owned());
        };
        self.flags = group.flags_outside;
        let capture = group.capture;
        let mut item = alternation(group)?;
        if capture {
            item.height += 1;
        }
        if item.height > MAX_HEIGHT {
            return Err("expression nests too deeply".to_owned());
        }
        self.push(item);
        Ok(())
    }

    fn alternative(&mut self) -> Result<(), String> {
        if let Some(group) = self.stack.last_mut() {
            let item = concatenation(std::mem::take(&mut group.sequence))?;
            group.alternatives.push(item);
        }
        Ok(())
    }

    fn repeat(&mut self, rest: &mut Rest<'_>, min: u32, max: Option<u32>, counted: bool, behind_repetition: bool) -> Result<(), String> {
        let lazy = rest.eat("?");
        if behind_repetition {
            return Err("invalid nested repetition operator: write `(?:…)*` round the inner one".to_owned());
        }
        let missing = || "missing argument to repetition operator: write `\\*`, `\\+` or `\\?` for the character".to_owned();
        let inner = self.stack.last_mut().and_then(|group| group.sequence.pop()).ok_or_else(missing)?;
        let repeats = match (counted, max) {
            (false, _) => inner.repeats,
            (true, Some(0)) => 1,
            (true, max) => max.unwrap_or(min).max(1).saturating_mul(inner.repeats),
        };
        if counted && (min >= 2 || max.is_some_and(|max| max >= 2)) && repeats > MAX_REPEAT {
            return Err(format!("invalid repeat count: nested counts multiply to {repeats}, the limit is {MAX_REPEAT}"));
        }
        let hir = Hir::repetition(Repetition { min, max, greedy: !lazy, sub: Box::new(inner.hir) });
        let item = bounded(Item { hir, repeats, height: inner.height + 1, depth: inner.depth + 1 })?;
        self.push(item);
        Ok(())
    }
}

/// `{n}`, `{n,}` or `{n,m}` at the start of `rest`, which then is moved behind it; `None` when the brace is a literal one.
fn count(rest: &mut Rest<'_>) -> Result<Option<(u32, Option<u32>)>, String> {
    let Some((inside, behind)) = rest.0.strip_prefix('{').and_then(|s| s.split_once('}')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        // A number that fits no u32 is too large by any count.
        digits.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside), number(inside).map(Some)),
        Some((min, "")) => (number(min), Some(None)),
        Some((min, max)) => (number(min), number(max).map(Some)),
    };
    let (Some(min), Some(max)) = (min, max) else {
        return Ok(None);
    };
    if min > MAX_REPEAT || max.is_some_and(|max| max > MAX_REPEAT || max < min) {
        return Err(format!("invalid repeat count: `{{{inside}}}`; counts run from 0 to {MAX_REPEAT}"));
    }
    rest.0 = behind;
    Ok(Some((min, max)))
}
