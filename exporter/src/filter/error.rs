//! What is wrong with a filter that has the right shape, and what is right with it but can't be meant.

use std::fmt;

/// Which list a filter stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// Events have to match one of these.
    Include,
    /// Events must match none of these.
    Exclude,
}

impl List {
    /// The key of the list in `flowlogs.yaml`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Include => "includeFilters",
            Self::Exclude => "excludeFilters",
        }
    }
}

/// Where in the lists something stands: `includeFilters[1].source_pod[0]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The list.
    pub list: List,
    /// Which filter of it, from 0.
    pub filter: usize,
    /// The field, by its proto name, and the element where it is a list: `source_pod[0]`.
    pub field: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}].{}", self.list.key(), self.filter, self.field)
    }
}

/// A value that a filter can't be built with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {value:?}: {why}")]
pub struct BuildError {
    /// Where the value stands.
    pub place: Place,
    /// The value as written.
    pub value: String,
    /// What is wrong with it, and what to write instead.
    pub why: String,
}

/// A value that is valid but does not do what whoever wrote it is likely to think.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Where the value stands.
    pub place: Place,
    /// The value as written.
    pub value: String,
    /// What it does, and what to write instead.
    pub why: String,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}: {}", self.place, self.value, self.why)
    }
}
