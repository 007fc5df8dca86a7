//! The fuzz targets, a file each: what is done with one input, and what has to hold. `main.rs` gives them libFuzzer's inputs,
//! `tests/seeds.rs` the seeds, on the compiler of every other test.
//!
//! A target panics where something does not hold. What libFuzzer watches beside: that an input ends, and how much memory it takes.

mod frames;
mod sample;

pub mod answers;
pub mod cel;
pub mod config;
pub mod filter;
pub mod flow_json;
pub mod flow_protobuf;
pub mod identities;
pub mod intake;
pub mod labels;
pub mod names;
pub mod observe;
pub mod observe_flags;
pub mod recovery;
pub mod regex;
pub mod ring;
pub mod segment;
pub mod stored;

/// What is done with an input.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its folder in `seeds/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("answers", answers::run),
    ("cel", cel::run),
    ("config", config::run),
    ("filter", filter::run),
    ("flow_json", flow_json::run),
    ("flow_protobuf", flow_protobuf::run),
    ("identities", identities::run),
    ("intake", intake::run),
    ("labels", labels::run),
    ("names", names::run),
    ("observe", observe::run),
    ("observe_flags", observe_flags::run),
    ("recovery", recovery::run),
    ("regex", regex::run),
    ("ring", ring::run),
    ("segment", segment::run),
    ("stored", stored::run),
];
