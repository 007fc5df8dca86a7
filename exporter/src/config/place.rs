//! Where in a file something stands, and what is wrong there.
//!
//! Every complaint about a configuration names the file's key path, line and column and says what to write instead. All
//! complaints of one file are collected before any is reported, so one look at the output is enough to repair it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::yaml::{Kind, Mark, Node};

/// A place in a file: the path of keys that leads there, and its line and column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Path of keys and list positions from the top, as in `flowLogs[0].includeFilters[1].source_pod`; empty for the whole file.
    pub path: String,
    /// Line, counted from 1; 0 where the text is empty or the value came from a flag.
    pub line: u32,
    /// Column in characters, counted from 1; 0 where unknown.
    pub column: u32,
}

impl Place {
    /// The place of a key below this one.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.path.is_empty()) {
            (0, true) => f.write_str("the file"),
            (0, false) => f.write_str(&self.path),
            (line, true) => write!(f, "line {line}"),
            (line, false) => write!(f, "line {line}: {}", self.path),
        }
    }
}

/// How much harm a problem does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The file works, but probably not as its writer expects.
    Warning,
    /// Something written has no effect, as Cilium ignores it: a warning, and under `--strict` a rejection.
    Ignored,
    /// One flow log cannot be built; the rest of the file is applied and a running instance of the entry goes on.
    Entry,
    /// The whole file is rejected; whatever runs goes on unchanged.
    File,
}

/// One thing that is wrong, with its place and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// How much harm it does.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What is wrong, as a sentence without a full stop.
    pub what: String,
    /// What to write instead, where that is known.
    pub advice: Option<String>,
}

impl Problem {
    /// True for what the file works with all the same.
    pub fn is_harmless(&self, strict: bool) -> bool {
        match self.severity {
            Severity::Warning => true,
            Severity::Ignored => !strict,
            Severity::Entry | Severity::File => false,
        }
    }

    /// A line for people, as compilers write them: file, line, column, how bad, and the rest.
    pub fn line(&self, file: &Path, strict: bool) -> String {
        let mut text = file.display().to_string();
        for number in [self.place.line, self.place.column] {
            if number != 0 {
                text.push_str(&format!(":{number}"));
            }
        }
        let bad = if self.is_harmless(strict) { "warning" } else { "error" };
        let path = if self.place.path.is_empty() { String::new() } else { format!("{}: ", self.place.path) };
        let advice = self.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
        format!("{text}: {bad}: {path}{}{advice}", self.what)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// All problems found in one file, in the order of their lines; of very many, the first [`MOST_PROBLEMS`] and the worst.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

/// How many problems of one file are reported.
pub const MOST_PROBLEMS: usize = 200;

impl Problems {
    /// Notes that the whole file has to be rejected.
    pub fn reject(&mut self, place: &Place, what: impl Into<String>, advice: Option<String>) {
        self.push(Severity::File, place, what.into(), advice);
    }

    /// Notes that one entry cannot be built.
    pub fn fail_entry(&mut self, place: &Place, what: impl Into<String>, advice: Option<String>) {
        self.push(Severity::Entry, place, what.into(), advice);
    }

    /// Notes what works, but probably not as expected.
    pub fn warn(&mut self, place: &Place, what: impl Into<String>, advice: Option<String>) {
        self.push(Severity::Warning, place, what.into(), advice);
    }

    /// Notes what is written and has no effect.
    pub fn ignore(&mut self, place: &Place, what: impl Into<String>, advice: Option<String>) {
        self.push(Severity::Ignored, place, what.into(), advice);
    }

    fn push(&mut self, severity: Severity, place: &Place, what: String, advice: Option<String>) {
        if !self.is_full() || self.worst() < Some(severity) {
            self.0.push(Problem { severity, place: place.clone(), what, advice });
        }
    }

    /// True if so many were found that more would not help.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST_PROBLEMS
    }

    /// True if something at or below a path rejects the file.
    pub(super) fn any_below(&self, path: &str) -> bool {
        let below = |at: &str| at.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        self.0.iter().any(|problem| problem.severity == Severity::File && below(&problem.place.path))
    }

    /// Takes over what another look at the same file found.
    pub fn append(&mut self, others: Problems) {
        for problem in others.0 {
            self.push(problem.severity, &problem.place, problem.what, problem.advice);
        }
    }

    /// Splits warnings from what does harm; what has no effect does harm where `strict`.
    pub fn split(self, strict: bool) -> (Problems, Problems) {
        let (warnings, harm) = self.0.into_iter().partition(|problem| problem.is_harmless(strict));
        (Problems(warnings), Problems(harm))
    }

    /// True if nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if something rejects the whole file.
    pub fn rejects_file(&self) -> bool {
        self.worst() == Some(Severity::File)
    }

    /// The greatest harm among the problems.
    pub fn worst(&self) -> Option<Severity> {
        self.0.iter().map(|problem| problem.severity).max()
    }

    /// Sorts by line, keeping the order of discovery within one.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|problem| (problem.place.line, problem.place.column));
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The places of everything below one entry, by key path, so that a later stage can name the line of what it refuses.
#[derive(Clone, Default)]
pub struct Places {
    entry: Place,
    node: Option<Arc<Node>>,
}

impl Places {
    pub(super) fn new(entry: Place, node: &Node) -> Self {
        Places { entry, node: Some(Arc::new(node.clone())) }
    }

    /// The place of a key path below the entry, as in `fieldMask[2]`, or of its nearest parent that stands in the file.
    pub fn below(&self, path: &str) -> Place {
        let mut mark = Mark { line: self.entry.line, column: self.entry.column };
        let mut rest = path;
        let mut node = self.node.as_deref();
        while let Some(found) = node.and_then(|node| step(node, rest)) {
            (mark, rest) = (found.0, found.2);
            node = Some(found.1);
        }
        let path = if path.starts_with('[') { format!("{}{path}", self.entry.path) } else { self.entry.key(path) };
        Place { path, line: mark.line, column: mark.column }
    }
}

/// Only where, since what stands there may be a secret.
impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({})", self.entry)
    }
}

/// One key or position of a path: its place, its value and the rest of the path.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(Mark, &'n Node, &'p str)> {
    match &node.kind {
        Kind::Scalar(..) => None,
        Kind::List(items) => {
            let (position, rest) = path.strip_prefix('[')?.split_once(']')?;
            let item = items.get(position.parse::<usize>().ok()?)?;
            Some((item.mark, item, rest))
        }
        Kind::Map(entries) => {
            let path = path.strip_prefix('.').unwrap_or(path);
            // A key may hold dots itself; the longest that fits is meant.
            let mut fitting: Vec<_> = entries.iter().filter(|(key, _)| !key.is_empty() && path.starts_with(key.as_str())).collect();
            fitting.retain(|(key, _)| matches!(path.as_bytes().get(key.len()), None | Some(b'.' | b'[')));
            let (key, entry) = fitting.into_iter().max_by_key(|(key, _)| key.len())?;
            Some((entry.mark, &entry.value, &path[key.len()..]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_out_is_reported_at_its_nearest_parent() {
        let text = b"name: a\nincludeFilters:\n- {}\n- source_pod:\n  - a/\nproperties:\n  linger.ms: 5\n";
        let node = crate::config::yaml::parse(text, &mut Problems::default()).unwrap();
        let places = Places::new(Place { path: "flowLogs[0]".into(), line: 1, column: 1 }, &node);
        for (path, line) in [
            ("includeFilters[1].source_pod[0]", 5),
            ("includeFilters[1].source_ip[2]", 4),
            ("includeFilters[7]", 2),
            ("properties.linger.ms", 7),
            ("fieldMask", 1),
        ] {
            let place = places.below(path);
            assert_eq!((place.line, place.path), (line, format!("flowLogs[0].{path}")));
        }
        assert_eq!(Places::default().below("x").line, 0);
    }

    #[test]
    fn of_very_many_problems_the_worst_is_never_left_out() {
        let mut problems = Problems::default();
        (0..1000).for_each(|_| problems.warn(&Place::default(), "w", None));
        problems.reject(&Place::default(), "r", None);
        assert!(problems.rejects_file());
        assert_eq!(problems.0.len(), MOST_PROBLEMS + 1);
    }

    #[test]
    fn a_problem_names_line_and_key_and_says_what_to_write() {
        let place = Place { path: "flowLogs[0].fieldMask".into(), line: 4, column: 3 };
        let mut problems = Problems::default();
        problems.reject(&place, "is a text, not a list", Some("write [source]".into()));
        assert_eq!(problems.to_string(), "line 4: flowLogs[0].fieldMask: is a text, not a list; write [source]");
        assert!(problems.rejects_file());
        let line = problems.0[0].line(Path::new("f.yaml"), false);
        assert_eq!(line, "f.yaml:4:3: error: flowLogs[0].fieldMask: is a text, not a list; write [source]");
    }
}
