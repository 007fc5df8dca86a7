//! S3 for tests: a strict server of our own that fails on command, and a client that is none of our sink's code.

pub mod audit;
pub mod client;
pub mod http;
pub mod identity;
pub mod sigv4;
pub mod stub;
mod stub_actions;
mod stub_checks;
