//! Patterns of DNS, node and pod names, addresses and status codes: any text is one or refused, and a pattern of DNS names matches what a
//! slower reading of its definition matches. A line each: the pattern, then names.

use flowlog::filter::address::Prefix;
use flowlog::filter::glob::{Glob, NodePattern};
use flowlog::filter::http::StatusCodes;
use flowlog::filter::name::NamePattern;
use flowlog::filter::{protocol, url};

/// Reads the input's first line as each kind of pattern and holds the other lines against it.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let pattern = lines.next().unwrap_or_default();
    let names: Vec<&str> = lines.collect();
    let _ = (NamePattern::advice(pattern), StatusCodes::default().add(pattern), protocol::port(pattern), url::path(pattern));
    if let (Ok(prefix), Some(Ok(other))) = (Prefix::parse(pattern), names.first().map(|name| Prefix::parse(name))) {
        assert!(!(prefix.covers(&other) && other.covers(&prefix)) || prefix == other, "{pattern} and {names:?} cover each other");
    }
    let (glob, node, name) = (Glob::parse(pattern), NodePattern::parse(pattern), NamePattern::parse(pattern));
    for text in names {
        if let Ok(glob) = &glob {
            assert_eq!(glob.matches(text), slowly(pattern, text), "{pattern} on {text}");
        }
        if let Ok(node) = &node {
            assert!(!node.matches(text) || !text.is_empty(), "{pattern} matches no name at all");
        }
        if let (Ok(name), Some((namespace, text))) = (&name, text.split_once('/')) {
            name.matches(namespace, text);
        }
    }
}

/// The definition: `*` covers any run of `a–z`, `0–9`, `-` and `.`; everything else stands for itself, in lower case.
fn slowly(pattern: &str, text: &str) -> bool {
    let trimmed = pattern.trim();
    let pattern: String = trimmed.strip_suffix('.').unwrap_or(trimmed).chars().filter_map(|c| c.to_lowercase().next()).collect();
    let text = text.as_bytes();
    // Whether the pattern up to here matches the text up to each place.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for wanted in pattern.bytes() {
        if wanted == b'*' {
            for at in 0..text.len() {
                reached[at + 1] |= reached[at] && matches!(text[at], b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
            }
        } else {
            for at in (0..text.len()).rev() {
                reached[at + 1] = reached[at] && text[at] == wanted;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}
