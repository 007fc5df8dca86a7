//! The S3 sink against a strict server of our own that fails on command, and against two real ones.

mod credentials;
mod delivery;
mod drive;
mod driven;
mod failing;
mod locked;
mod shared;
mod tls;
