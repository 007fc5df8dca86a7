//! A setting that can't work, named so that whoever reads the configuration can find it.

/// One problem of a sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Key below the sink, as in `labels.source_ns`.
    pub key: String,
    /// What is wrong and what to write instead. Never holds a secret.
    pub why: String,
}
