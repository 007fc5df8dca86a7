//! The daemon and its command line. Knows what a flow means.

pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod filter;
pub mod flow;
pub mod identity;
pub mod mask;
pub mod metrics;
pub mod observe;
pub mod pipeline;
pub mod sources;

#[cfg(test)]
#[path = "../../tests/lib/skip_line.rs"]
mod skip_line;
