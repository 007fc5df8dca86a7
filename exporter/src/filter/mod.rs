//! Which events a flow log wants: Hubble's FlowFilter, compiled once, to the letter of `spec/hubble.md` §3.

pub mod address;
pub mod cel;
pub mod glob;
pub mod label;
pub mod name;
pub mod re2;
pub mod url;
