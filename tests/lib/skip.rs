//! Saying that a test did not run, so that it never counts as passed.
//!
//! Rust's test harness knows no skip at run time. The line written here goes round the harness's capture, and `tools/test` takes it off
//! the passed ones and, in CI, fails on any test that `tests/skips.txt` does not list.

use std::io::Write;

/// Writes `SKIPPED <file>::<test>: <why>; run: <command>`. The test called `test` returns right after it.
pub fn skip(test: &str, why: &str, command: &str) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str()).unwrap_or_default();
    let file = program.rsplit_once('-').map_or(program, |(file, _hash)| file);
    std::io::stderr().write_all(format!("\nSKIPPED {file}::{test}: {why}; run: {command}\n").as_bytes()).expect("standard error");
}

/// Whether this process lacks what kernel programs and network namespaces need. Says SKIPPED when it does.
pub fn lacks_root(test: &str) -> bool {
    let lacks = !rustix::process::geteuid().is_root();
    if lacks {
        skip(test, "needs root", "sudo -E make test");
    }
    lacks
}
