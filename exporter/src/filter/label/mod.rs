//! Label selectors: the Kubernetes grammar with Cilium's sources (`spec/hubble.md` §3.6).
//!
//! A selector is parsed once; matching reads the flow's label strings (`source:key=value`) as they are and allocates nothing.
//! A key is looked up once: the first label that has it decides, in the order of keys, ties in the order written. Upstream leaves the order
//! of ties open beyond twelve labels; here they keep it always.

mod parse;
#[cfg(test)]
mod tests;

use super::address::Prefix;
use std::borrow::Cow;

/// What the value of a key has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Exists,
    Absent,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

/// Which labels a key means.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    /// Any source: none was written, or `any:` or `unspec:`.
    Any(String),
    /// This source and key.
    Of { source: String, key: String },
    /// A network that contains the label's; `None` when the selector's is no network, which nothing is in.
    Cidr(Option<Prefix>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: Key,
    condition: Condition,
}

/// A parsed selector: all its requirements have to hold. The empty selector selects everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One label of a flow, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Label<'l> {
    source: &'l str,
    key: &'l str,
    value: &'l str,
}

impl Selector {
    /// Parses `text`.
    ///
    /// # Errors
    /// Says what was found where what was expected, as a text for the person who wrote the selector.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse::parse(text).map(|requirements| Self { requirements })
    }

    /// Whether a flow with these labels is selected.
    pub fn matches<'l>(&self, labels: impl Iterator<Item = Cow<'l, str>> + Clone) -> bool {
        self.requirements.iter().all(|requirement| {
            let label = requirement.key.look_up(labels.clone());
            requirement.condition.holds(label.as_deref().map(|text| Label::new(text).value))
        })
    }
}

impl Condition {
    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|v| v.parse::<i64>().ok());
        match self {
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::In(values) => value.is_some_and(|v| values.iter().any(|w| w == v)),
            Self::NotIn(values) => value.is_none_or(|v| values.iter().all(|w| w != v)),
            Self::Above(bound) => number().is_some_and(|n| n > *bound),
            Self::Below(bound) => number().is_some_and(|n| n < *bound),
        }
    }
}

impl Key {
    /// The key of `source:key` as written in a selector; without a colon it is a key of any source.
    fn new(written: &str) -> Self {
        match written.split_once(':') {
            None => Self::Any(written.to_owned()),
            Some(("any" | "unspec", key)) => Self::Any(key.to_owned()),
            Some(("cidr", key)) => Self::Cidr(network(key)),
            Some((source, key)) => Self::Of { source: source.to_owned(), key: key.to_owned() },
        }
    }

    /// The label that decides, if there is one.
    fn look_up<'l>(&self, mut labels: impl Iterator<Item = Cow<'l, str>>) -> Option<Cow<'l, str>> {
        match self {
            Self::Any(key) => labels.find(|text| Label::new(text).key == key),
            Self::Of { source, key } => labels.find(|text| {
                let label = Label::new(text);
                label.key == key && label.source == source
            }),
            Self::Cidr(None) => None,
            Self::Cidr(Some(wider)) => labels
                .filter(|text| {
                    let label = Label::new(text);
                    label.source == "cidr" && network(label.key).is_some_and(|narrower| wider.covers(&narrower))
                })
                .reduce(|first, text| if Label::new(&text).key < Label::new(&first).key { text } else { first }),
        }
    }
}

impl<'l> Label<'l> {
    /// Splits at the first `:` and then the first `=`; `$host` and `reserved:=host` are `reserved:host`.
    fn new(text: &'l str) -> Self {
        let (source, rest) = match text.strip_prefix('$') {
            Some(rest) => ("reserved", rest),
            None => text.split_once(':').unwrap_or(("", text)),
        };
        let (key, value) = match rest.split_once('=') {
            None => (rest, ""),
            Some(("", key)) if source == "reserved" => (key, ""),
            Some(pair) => pair,
        };
        Self { source: if source.is_empty() { "unspec" } else { source }, key, value }
    }
}

/// The network of a `cidr` key, which has `-` where the address has `:`.
fn network(key: &str) -> Option<Prefix> {
    if key.contains('-') { Prefix::parse(&key.replace('-', ":")).ok() } else { Prefix::parse(key).ok() }
}
