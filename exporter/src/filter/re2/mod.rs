//! Regular expressions in Go's RE2 dialect, which is what Hubble's filters and CEL's `matches` are written in.
//!
//! The pattern is parsed here by Go's rules (`spec/hubble.md` §3.8) into the syntax tree of the `regex` crate, so that acceptance, escapes and
//! classes are Go's while matching is the crate's: linear in the text, no back-tracking. Matching is a search: unanchored, yes or no, no captures.
//!
//! Why not rewrite the text into Rust's dialect: the two differ in what they reject (`a**`, `{`, `[[a]]`, `\_`, `(?x)`), so the text has to be
//! parsed anyway, and a tree can't be misread a second time.
//!
//! Bounded: patterns up to [`MAX_PATTERN_BYTES`], [`MAX_CLASS_RANGES`] and [`MAX_PROGRAM_BYTES`]; nesting as in Go, but at most
//! [`MAX_DEPTH`] levels that are not plain groups. Go has no such bounds of its own below 128 MiB.

mod class;
mod item;
mod names;
mod parse;
#[cfg(test)]
mod tests;

use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;

/// The longest pattern accepted, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;
/// The most character ranges a pattern may expand to, `\pL` being about 700 of them.
pub const MAX_CLASS_RANGES: usize = 1 << 19;
/// The most memory a compiled program may take, in bytes, forwards and backwards each.
pub const MAX_PROGRAM_BYTES: usize = 32 << 20;
/// The deepest nesting of repetitions, sequences and alternatives.
pub const MAX_DEPTH: usize = 250;

/// Why a pattern is not one: Go's reason in Go's words where it has one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("regular expression `{pattern}`: {why}")]
pub struct PatternError {
    /// The pattern as written, cut to 200 characters.
    pub pattern: String,
    /// What is wrong with it, and where that helps what to write instead.
    pub why: String,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: meta::Regex,
}

impl Pattern {
    /// Compiles `pattern` by Go's rules.
    ///
    /// # Errors
    /// When Go's `regexp` would reject it, or when it exceeds a bound of this module.
    pub fn compile(pattern: &str) -> Result<Self, PatternError> {
        Self::compile_within(pattern, MAX_PROGRAM_BYTES)
    }

    /// As [`Pattern::compile`], with a program bound of its own: for patterns made up at run time.
    ///
    /// # Errors
    /// As [`Pattern::compile`].
    pub fn compile_within(pattern: &str, program_bytes: usize) -> Result<Self, PatternError> {
        let fail = |why: String| PatternError { pattern: pattern.chars().take(200).collect(), why };
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(fail(format!("longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let hir = parse::parse(pattern).map_err(fail)?;
        let config = meta::Config::new().nfa_size_limit(Some(program_bytes)).which_captures(WhichCaptures::None);
        match meta::Builder::new().configure(config).build_from_hir(&hir) {
            Ok(regex) => Ok(Self { regex }),
            Err(e) if e.size_limit().is_some() => Err(fail(format!("compiles to more than {program_bytes} bytes"))),
            Err(e) => Err(fail(e.to_string())),
        }
    }

    /// Whether the pattern occurs anywhere in `text`.
    #[inline]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}
