//! What can go wrong at the crate's edge, each with what to do next.

/// Why the kernel side could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Only until the loader is in.
    #[error("the kernel side is not built yet")]
    NotBuilt,
}
