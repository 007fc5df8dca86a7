//! Saying that a test did not run, so that it never counts as passed.
//!
//! Rust's test harness knows no skip at run time. The line written here goes round the harness's capture, and `tools/test` takes it off
//! the passed ones and, in CI, fails on any test that `tests/skips.txt` does not list.

use std::io::Write;

/// Writes `SKIPPED <file>::<test>: <why>; run: <command>`. The caller returns right after it.
pub fn skip(why: &str, command: &str) {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(|path| path.file_stem()).and_then(|name| name.to_str()).unwrap_or_default();
    let file = program.rsplit_once('-').map_or(program, |(file, _hash)| file);
    let thread = std::thread::current();
    let line = format!("SKIPPED {file}::{}: {why}; run: {command}\n", thread.name().unwrap_or("main"));
    std::io::stderr().write_all(line.as_bytes()).expect("standard error");
}

/// Whether this process may do what needs root: load kernel programs, make network namespaces. Says SKIPPED when not.
pub fn lacks_root(command: &str) -> bool {
    let lacks = !rustix::process::geteuid().is_root();
    if lacks {
        skip("needs root", command);
    }
    lacks
}
