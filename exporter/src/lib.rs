//! The daemon and its command line. Knows what a flow means.

pub mod cli;
pub mod config;
pub mod daemon;
pub mod metrics;
pub mod sources;
pub mod filter;
pub mod flow;
pub mod mask;
