//! Where flows come from: the kernel's ring, and JSONL files that Hubble or flowlog wrote.

pub mod clock;
pub mod jsonl;
