//! The `flowlog` command: dispatches to `commands`, nothing else.

fn main() {}
