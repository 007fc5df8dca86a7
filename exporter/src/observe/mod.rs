//! `flowlog observe`: what `hubble observe` does, with its flags and its output to the byte (`spec/hubble.md` §9.5), on recorded lines.
//!
//! The way of a command: `arguments` (flags in their order, `HUBBLE_ALLOWLIST`, `--config`) → `tracker` (flags to FlowFilters) → `request` (which
//! events, how many) → `input` (files, rotated sets, followed files) → `threads` and `block` (pieces of input, several at a time, in order) → `reading` (a
//! line to an event that is wanted) → `printer` (an event to text).
//!
//! Where it differs from the real one on purpose: gzip and zstd are read, lines longer than 64 KiB too, rotated predecessors come first, `--follow`
//! follows files, and agent and debug events can be read from a file.

mod arguments;
pub mod block;
mod color;
mod endpoint;
mod events;
mod identity;
pub mod input;
mod json;
pub mod printer;
mod progress;
pub mod raw_filters;
pub mod reading;
pub mod request;
mod status;
pub mod table;
mod threads;
mod times;
mod tracker;
mod values;
