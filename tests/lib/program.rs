//! The `flowlog` program under test: the static one that `make test` built, else the one that cargo built beside the tests.

use std::path::PathBuf;
use std::process::{Command, Output};

/// Where it stands: `$FLOWLOG_BINARY`, else `flowlog` in the folder above this test program.
pub fn flowlog() -> PathBuf {
    if let Some(path) = std::env::var_os("FLOWLOG_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test program's path");
    let path = test.ancestors().nth(2).expect("target/debug").join("flowlog");
    assert!(path.exists(), "{} is missing; run: cargo build -p flowlog", path.display());
    path
}

/// Runs `flowlog` with these arguments to its end.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(flowlog()).args(arguments).output().expect("flowlog starts")
}
