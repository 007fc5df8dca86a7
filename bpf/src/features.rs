//! What the running kernel offers, printed at start and by the README.

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is for.
    pub name: &'static str,
    /// Kernel version that brought it.
    pub since: &'static str,
    /// This kernel has it.
    pub present: bool,
    /// What happens without it.
    pub without: &'static str,
}

/// The table for the running kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// As `uname -r` prints it.
    pub release: String,
    /// The rows.
    pub rows: Vec<Feature>,
}
