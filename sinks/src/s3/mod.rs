//! S3 under Object Lock (issue: delivery that an auditor can check): objects of JSONL in seekable zstd, each with a
//! retention the server confirmed, and a chain of manifests that says what was stored.

pub mod bucket;
pub mod config;
pub mod credentials;
pub mod failure;
pub mod key;
pub mod lock;
pub mod object;
pub mod retention;
pub mod seekable;
