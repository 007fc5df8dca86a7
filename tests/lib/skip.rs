//! Saying that a test did not run.

use crate::skip_line;

/// Writes `SKIPPED <file>::<test>: <why>; run: <command>`. The test called `test` returns right after it.
pub fn skip(test: &str, why: &str, command: &str) {
    skip_line::write(test, why, command);
}

/// Whether this process lacks what kernel programs and network namespaces need. Says SKIPPED when it does.
pub fn lacks_root(test: &str) -> bool {
    let lacks = !rustix::process::geteuid().is_root();
    if lacks {
        skip(test, "needs root", "sudo -E make test");
    }
    lacks
}
