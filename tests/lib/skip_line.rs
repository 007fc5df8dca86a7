//! The line `SKIPPED <file>::<test>: <why>; run: <command>` of a test that did not run, so that it never counts as passed.
//!
//! Rust's test harness knows no skip at run time. The line goes round the harness's capture, and `tools/test` takes it off the passed ones and, in CI,
//! fails on any test that `tests/skips.txt` does not list. The unit tests of other crates include this file by its path.

use std::io::Write;

/// Writes the line. The test called `test` returns right after it.
pub fn write(test: &str, why: &str, command: &str) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str()).unwrap_or_default();
    let file = program.rsplit_once('-').map_or(program, |(file, _hash)| file);
    std::io::stderr().write_all(format!("\nSKIPPED {file}::{test}: {why}; run: {command}\n").as_bytes()).expect("standard error");
}
