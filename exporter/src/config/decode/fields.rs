//! Taking a map apart: known keys, misspelt keys, values of the wanted kind. Whatever is wrong is noted and decoding goes on.
//!
//! Cilium's own keys follow Go's rules: case does not matter, of two spellings the later in byte order counts, `null` leaves a value
//! as it was, and a single value becomes a text where a text is wanted. Ours are spelled exactly, except in an entry, where both live together.

use std::collections::BTreeMap;

use super::suggest::nearest;
use crate::config::keys::Key;
use crate::config::place::{Place, Problems};
use crate::config::yaml::{Entry, Kind, Node, Scalar, format_go_float, integral};

/// A value with its place.
#[derive(Clone)]
pub(crate) struct At<'n> {
    pub node: &'n Node,
    pub place: Place,
}

/// What happens to a key that is in no table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// The file is rejected.
    Reject,
    /// Warns as Cilium ignores it, but rejects what looks like a misspelt key of ours.
    Warn,
}

impl<'n> At<'n> {
    pub fn new(node: &'n Node, path: String) -> Self {
        At { place: Place { path, line: node.mark.line, column: node.mark.column }, node }
    }

    fn entry(parent: &Place, key: &str, entry: &'n Entry) -> Self {
        let place = Place { path: parent.key(key), line: entry.mark.line, column: entry.mark.column };
        At { place, node: &entry.value }
    }

    /// The items of a list; a single value is refused with the list to write.
    pub fn items(&self, problems: &mut Problems) -> Option<Vec<At<'n>>> {
        match &self.node.kind {
            Kind::List(items) => {
                Some(items.iter().enumerate().map(|(n, item)| At::new(item, format!("{}[{n}]", self.place.path))).collect())
            }
            kind => {
                let advice = match kind {
                    Kind::Scalar(Scalar::Null, _) => None,
                    Kind::Scalar(_, text) => Some(format!("write [{}]", quoted(text))),
                    _ => Some("put a dash before it".to_owned()),
                };
                self.reject(problems, "a list", advice);
                None
            }
        }
    }

    /// The entries of a map.
    pub fn map(&self, problems: &mut Problems) -> Option<&'n BTreeMap<String, Entry>> {
        match &self.node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.reject(problems, "a map", None);
                None
            }
        }
    }

    /// True for a map.
    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    /// The entries of a map, each with its place.
    pub fn entries(&self, problems: &mut Problems) -> Option<Vec<(&'n str, At<'n>)>> {
        let entries = self.map(problems)?;
        Some(entries.iter().map(|(key, entry)| (key.as_str(), At::entry(&self.place, key, entry))).collect())
    }

    /// A text, or any other single value as Go would write it.
    pub fn text(&self, problems: &mut Problems) -> Option<String> {
        match &self.node.kind {
            Kind::Scalar(Scalar::Text, text) => Some(text.clone()),
            Kind::Scalar(Scalar::Bool(truth), _) => Some(truth.to_string()),
            Kind::Scalar(Scalar::Int(number), _) => Some(number.to_string()),
            Kind::Scalar(Scalar::Unsigned(number), _) => Some(number.to_string()),
            // Go makes a text of it in single precision: `3.14159265` becomes `3.1415927`.
            Kind::Scalar(Scalar::Float(number), _) => Some(format_go_float(*number as f32)),
            Kind::Scalar(Scalar::Null, _) => None,
            Kind::List(_) | Kind::Map(_) => {
                self.reject(problems, "a text", None);
                None
            }
        }
    }

    /// A text that is not empty.
    pub fn word(&self, problems: &mut Problems) -> Option<String> {
        let text = self.text(problems)?;
        if text.is_empty() {
            problems.reject(&self.place, "is empty", Some("write a value, or remove the key".into()));
            return None;
        }
        Some(text)
    }

    /// A whole number; `10.0` and `1e1` are 10, `"10"` and `1.5` are refused.
    pub fn integer(&self, problems: &mut Problems) -> Option<i64> {
        let number = match &self.node.kind {
            Kind::Scalar(Scalar::Int(number), _) => Some(*number),
            Kind::Scalar(Scalar::Float(number), _) => integral(*number),
            Kind::Scalar(Scalar::Null, _) => return None,
            _ => None,
        };
        if number.is_none() {
            let advice = match &self.node.kind {
                Kind::Scalar(Scalar::Text, text) if text.parse::<i64>().is_ok() => Some(format!("write {text} without quotes")),
                _ => None,
            };
            self.reject(problems, "a whole number", advice);
        }
        number
    }

    /// A number within bounds.
    pub fn number(&self, problems: &mut Problems, least: u64, most: u64) -> Option<u64> {
        let number = u64::try_from(self.integer(problems)?).ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            problems.reject(&self.place, format!("is not between {least} and {most}"), None);
        }
        number
    }

    /// `true` or `false`, or what YAML 1.1 takes for them.
    pub fn truth(&self, problems: &mut Problems) -> Option<bool> {
        match &self.node.kind {
            Kind::Scalar(Scalar::Bool(truth), _) => Some(*truth),
            Kind::Scalar(Scalar::Null, _) => None,
            kind => {
                let advice = match kind {
                    Kind::Scalar(Scalar::Text, text) if matches!(text.as_str(), "true" | "false" | "yes" | "no") => {
                        format!("write {text} without quotes")
                    }
                    _ => "write true or false".to_owned(),
                };
                self.reject(problems, "true or false", Some(advice));
                None
            }
        }
    }

    /// One of a few words.
    pub fn choice<T: Copy>(&self, problems: &mut Problems, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(problems)?;
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            problems.reject(&self.place, format!("`{text}` is not known here"), Some(format!("write one of {}", words.join(", "))));
        }
        found
    }

    /// Texts of a list; an empty item is an empty text, as in Go.
    pub fn texts(&self, problems: &mut Problems) -> Option<Vec<String>> {
        let items = self.items(problems)?;
        Some(items.iter().map(|item| item.text(problems).unwrap_or_default()).collect())
    }

    /// Notes that another kind of value is needed.
    pub fn reject(&self, problems: &mut Problems, needed: &str, advice: Option<String>) {
        problems.reject(&self.place, format!("is {}, but {needed} is needed", self.node.what()), advice);
    }
}

/// A text in the quotes of JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The keys of a map, sorted into known ones.
pub(crate) struct Fields<'n> {
    place: Place,
    node: &'n Node,
    known: Vec<(&'static str, Vec<At<'n>>)>,
    #[cfg(test)]
    asked: std::cell::RefCell<Vec<&'static str>>,
}

impl<'n> Fields<'n> {
    /// Takes the map apart; `None` if it is none.
    pub fn take(at: &At<'n>, tables: &[&[Key]], unknown: Unknown, problems: &mut Problems) -> Option<Self> {
        let entries = at.map(problems)?;
        let keys: Vec<Key> = tables.iter().flat_map(|table| table.iter().copied()).collect();
        let mut known: Vec<(&'static str, Vec<At<'n>>)> = keys.iter().map(|key| (key.name, Vec::new())).collect();
        for (name, entry) in entries {
            let value = At::entry(&at.place, name, entry);
            let spelled = |key: &str| {
                if unknown == Unknown::Warn { fold(key) == fold(name) } else { key == name }
            };
            match known.iter_mut().find(|(key, _)| spelled(key)) {
                Some((_, values)) => values.push(value),
                None => unknown_key(name, &value, &keys, unknown, problems),
            }
        }
        Some(Fields {
            place: at.place.clone(),
            node: at.node,
            known,
            #[cfg(test)]
            asked: Default::default(),
        })
    }

    /// Where the map stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The map itself.
    pub fn node(&self) -> &'n Node {
        self.node
    }

    /// The values of a key in the byte order of its spellings; more than one only where case does not matter.
    pub fn spellings(&self, name: &'static str) -> &[At<'n>] {
        #[cfg(test)]
        self.asked.borrow_mut().push(name);
        self.known.iter().find(|(key, _)| *key == name).map(|(_, values)| values.as_slice()).unwrap_or_default()
    }

    /// The value of a key, whatever it is.
    pub fn raw(&self, name: &'static str) -> Option<At<'n>> {
        self.spellings(name).last().cloned()
    }

    /// A single value: every spelling is decoded, the last that is not empty counts.
    pub fn value<T>(&self, name: &'static str, problems: &mut Problems, decode: impl Fn(&At<'n>, &mut Problems) -> Option<T>) -> Option<T> {
        let values = self.spellings(name).iter().filter(|at| !at.node.is_null());
        values.fold(None, |last, at| decode(at, problems).or(last))
    }

    /// A list or map: every spelling is decoded, the last counts, and an empty one is `None`.
    pub fn whole<T>(&self, name: &'static str, problems: &mut Problems, decode: impl Fn(&At<'n>, &mut Problems) -> Option<T>) -> Option<T> {
        self.spellings(name).iter().fold(None, |_, at| if at.node.is_null() { None } else { decode(at, problems) })
    }

    /// A value that has to be there.
    pub fn required<T>(
        &self,
        name: &'static str,
        problems: &mut Problems,
        decode: impl Fn(&At<'n>, &mut Problems) -> Option<T>,
    ) -> Option<T> {
        if self.spellings(name).iter().all(|at| at.node.is_null()) {
            problems.reject(&self.place, format!("{name} is missing"), None);
            return None;
        }
        self.value(name, problems, decode)
    }

    /// Fails a test if a documented key was never asked for.
    #[cfg(test)]
    pub fn assert_all_asked(&self) {
        let asked = self.asked.borrow();
        for (key, _) in &self.known {
            assert!(asked.contains(key), "{key} is documented, but not read");
        }
    }
}

fn unknown_key(name: &str, value: &At<'_>, keys: &[Key], unknown: Unknown, problems: &mut Problems) {
    let near = nearest(name, keys.iter().map(|key| key.name));
    let ours = near.is_some_and(|near| keys.iter().any(|key| key.name == near && key.ours));
    let advice = near.map(|near| format!("did you mean {near}?"));
    if unknown == Unknown::Reject {
        let known = || format!("known here: {}", keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", "));
        problems.reject(&value.place, "is not a known key", Some(advice.unwrap_or_else(known)));
    } else if ours {
        problems.reject(&value.place, "is not a known key", advice);
    } else {
        let advice = advice.or_else(|| (name == "start").then(|| "there is only `end`; a flow log starts when it is added".to_owned()));
        problems.ignore(&value.place, "is not a known key and is ignored, as Cilium ignores it", advice);
    }
    if value.node.holds_infinity() {
        problems.reject(&value.place, "holds a number that JSON cannot express", None);
    }
}

/// Go's folding of a key: ASCII case, and the two letters outside ASCII that fold into it.
fn fold(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            c => c.to_ascii_lowercase(),
        })
        .collect()
}
