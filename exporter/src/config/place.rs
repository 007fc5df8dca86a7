//! Where in a file something stands, and what is wrong there.
//!
//! Every complaint about a configuration names the file's key path, line and column and says what to write instead. All
//! complaints of one file are collected before any is reported, so one look at the output is enough to repair it.

use std::collections::BTreeMap;
use std::fmt;

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

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match &self.advice {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

/// All problems found in one file, in the order of their lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

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

    fn push(&mut self, severity: Severity, place: &Place, what: String, advice: Option<String>) {
        self.0.push(Problem { severity, place: place.clone(), what, advice });
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
#[derive(Clone, Debug, Default)]
pub struct Places(pub(super) BTreeMap<String, (u32, u32)>);

impl Places {
    /// The place of a key path, or of its nearest parent that stands in the file.
    pub fn of(&self, path: &str) -> Place {
        let mut known = path;
        loop {
            if let Some(&(line, column)) = self.0.get(known) {
                return Place { path: path.to_owned(), line, column };
            }
            match known.rfind(['.', '[']) {
                Some(at) => known = &known[..at],
                None => return Place { path: path.to_owned(), line: 0, column: 0 },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_was_left_out_is_reported_at_its_nearest_parent() {
        let mut places = Places::default();
        places.0.insert("flowLogs[0]".into(), (3, 1));
        places.0.insert("flowLogs[0].includeFilters[1]".into(), (7, 5));
        assert_eq!(places.of("flowLogs[0].includeFilters[1].source_ip[2]").line, 7);
        assert_eq!(places.of("flowLogs[0].fieldMask").line, 3);
        assert_eq!(places.of("other").line, 0);
    }

    #[test]
    fn a_problem_names_line_and_key_and_says_what_to_write() {
        let place = Place { path: "flowLogs[0].fieldMask".into(), line: 4, column: 3 };
        let mut problems = Problems::default();
        problems.reject(&place, "is a text, not a list", Some("write [source]".into()));
        assert_eq!(problems.to_string(), "line 4: flowLogs[0].fieldMask: is a text, not a list; write [source]");
        assert!(problems.rejects_file());
    }
}
