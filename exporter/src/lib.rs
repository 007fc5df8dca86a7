//! The daemon and its command line. Knows what a flow means.

pub mod config;
pub mod daemon;
pub mod metrics;
pub mod sources;
