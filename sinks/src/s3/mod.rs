//! S3 under Object Lock: objects of JSONL in seekable zstd, each with a retention that the server confirmed, and a chain
//! of manifests that says what was stored, so that an auditor can prove that nothing is missing.
//!
//! Promises:
//! - each record is in exactly one object, whatever crashes: keys are a function of the spool, an object's cut is durable
//!   before it goes out, puts never overwrite, and after each put the server is asked what it has;
//! - nothing counts as delivered that is not locked as asked (it fails closed, and says what to do);
//! - a manifest for every UTC hour of commit time, every start, stop and change of the spool's id.
//!
//! Does not promise that an object can't be hidden (a delete marker in front of a locked version): the manifests name
//! the versions, and `flowlog verify` looks for them.
//!
//! Read in this order: [`config`], [`key`] (names, for ever), [`retention`]; [`object`] and [`seekable`] (bytes);
//! [`lock`] (signed headers), [`bucket`], [`presigned`], [`folder`], [`failure`], [`store`] and [`check`] (stored exactly once, and only where it can be
//! locked); [`manifest`] and [`chain`] (the evidence); [`cutting`], [`freezing`], [`sending`] and [`sink`] (what goes out when).

pub mod bucket;
pub mod chain;
pub mod check;
pub mod config;
pub mod credentials;
pub mod cutting;
pub mod failure;
pub mod folder;
pub mod freezing;
pub mod key;
pub mod lock;
pub mod manifest;
pub mod object;
pub mod presigned;
pub mod retention;
pub mod seekable;
pub mod sending;
pub mod sink;
pub mod store;

pub use config::{Options, Origin, Problem};
pub use sink::S3Sink;
