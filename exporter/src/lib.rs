//! The daemon and its command line. Knows what a flow means.

pub mod cli;
pub mod config;
pub mod flow;
