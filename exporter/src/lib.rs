//! The daemon and its command line. Knows what a flow means.

pub mod filter;
pub mod flow;
pub mod mask;
