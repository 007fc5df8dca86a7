//! Which events a flow log wants: Hubble's FlowFilter, compiled once, to the letter of `spec/hubble.md` §3.

pub mod re2;
