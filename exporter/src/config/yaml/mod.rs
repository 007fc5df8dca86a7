//! YAML as Kubernetes reads it: YAML 1.1 scalars, first document only, last duplicate wins, anchors and merge keys expanded.
//!
//! Cilium reads its file through `sigs.k8s.io/yaml`, which turns YAML into JSON first (`spec/hubble.md` §3.9). This module gives
//! the tree between the two, with the line of every key and value kept, so that later stages can say where something stands.
//! Maps are ordered by the bytes of their keys, as the JSON in between is. The tree of any input is bounded: text, depth
//! and nodes made by aliases each have a limit.

mod build;
mod dialect;
mod number;
mod scalar;

use std::collections::BTreeMap;

use super::place::{Place, Problems};

pub use number::{format_go_float, integral};

/// Longest text that is read; a ConfigMap holds 1 MiB at most.
pub const MAX_TEXT_BYTES: usize = 2 << 20;
/// Longest key.
pub const MAX_KEY_BYTES: usize = 1024;
/// Deepest nesting of lists and maps.
pub const MAX_DEPTH: usize = 100;
/// Most values that aliases may add to what is written out.
pub const MAX_ALIASED_NODES: usize = 100_000;

/// Line and column, each counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Line; 0 for an empty text.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it begins.
    pub mark: Mark,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of values.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A single value, and its text as written (without quotes).
    Scalar(Scalar, String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of its keys' bytes.
    Map(BTreeMap<String, Entry>),
}

/// A single value; the text of [`Scalar::Text`] stands beside it in [`Kind::Scalar`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// Nothing, `~` or `null`.
    Null,
    /// Also `yes`, `no`, `on`, `off`, `y`, `n`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond the range of [`Scalar::Int`].
    Unsigned(u64),
    /// A number with a fraction or exponent; may be infinite or not a number.
    Float(f64),
    /// Everything else.
    Text,
}

/// A key's place and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where the key stands.
    pub mark: Mark,
    /// Its value.
    pub value: Node,
}

impl Node {
    /// The value of an empty document.
    pub fn null(mark: Mark) -> Self {
        Node { mark, kind: Kind::Scalar(Scalar::Null, String::new()) }
    }

    /// True for nothing, `~` and `null`.
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Scalar(Scalar::Null, _))
    }

    /// What it is, as a word with its article.
    pub fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(Scalar::Null, _) => "empty",
            Kind::Scalar(Scalar::Bool(_), _) => "a truth value",
            Kind::Scalar(Scalar::Int(_) | Scalar::Unsigned(_) | Scalar::Float(_), _) => "a number",
            Kind::Scalar(Scalar::Text, _) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// True if an infinite number or one that is none stands in it, which JSON cannot express.
    pub fn holds_infinity(&self) -> bool {
        match &self.kind {
            Kind::Scalar(Scalar::Float(number), _) => !number.is_finite(),
            Kind::Scalar(..) => false,
            Kind::List(items) => items.iter().any(Node::holds_infinity),
            Kind::Map(entries) => entries.values().any(|entry| entry.value.holds_infinity()),
        }
    }
}

/// Reads the first document of a text. Problems that reject the text and duplicate keys (warnings) go to `problems`.
///
/// Returns `None` if the text was rejected.
pub fn parse(text: &[u8], problems: &mut Problems) -> Option<Node> {
    let top = Place::default();
    if text.len() > MAX_TEXT_BYTES {
        problems.reject(&top, format!("the text is larger than {MAX_TEXT_BYTES} bytes"), None);
        return None;
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let before = &text[..error.valid_up_to()];
            let line = u32::try_from(before.iter().filter(|byte| **byte == b'\n').count() + 1).unwrap_or(u32::MAX);
            problems.reject(&Place { line, ..top }, "the text is not UTF-8", Some("save the file as UTF-8".into()));
            return None;
        }
    };
    if let Some((line, what)) = refused(text) {
        problems.reject(&Place { line, ..top }, what, None);
        return None;
    }
    match dialect::adapt(text) {
        Ok(text) => build::build(&text, problems),
        Err(Mark { line, column }) => {
            problems.reject(&Place { line, column, ..top }, "a tab stands in the indentation", Some("indent with spaces".into()));
            None
        }
    }
}

/// What the parser lets pass and Go does not: control characters, and directives but that of YAML 1.1 and tags.
fn refused(text: &str) -> Option<(u32, &'static str)> {
    let control = |c: char| matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}');
    let mut head = true;
    for (number, line) in (1..).zip(text.lines()) {
        if line.contains(control) {
            return Some((number, "a control character stands here; in a text with quotes write it as \"\\x07\""));
        }
        if head && line.starts_with('%') {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["%YAML", "1.1", ..] | ["%TAG", ..] => {}
                ["%YAML", ..] => return Some((number, "only YAML 1.1 is read, as by Cilium; remove the line")),
                _ => return Some((number, "this directive is not known; remove the line")),
            }
        }
        head &= line.is_empty() || line.starts_with(['%', '#']);
    }
    None
}

#[cfg(test)]
mod tests;
