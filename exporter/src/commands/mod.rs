//! The commands, a file each. A command prints its result on standard output and returns why it failed; `main` turns that into an exit code.

pub mod check;
pub mod completions;
pub mod detach;
pub mod man;
pub mod observe;
pub mod reference;
pub mod replay;
pub mod run;
pub mod spool;
pub mod status;

use std::io::{self, Read, Write};
use std::path::Path;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It was called wrongly, or its configuration is wrong: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It could not do its work: exit code 1.
    #[error("{0}")]
    Runtime(String),
}

impl Failure {
    /// The exit code that says so to a script.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Runtime(_) => 1,
        }
    }
}

/// Writes a result to standard output. A reader that has gone away (`| head`) has seen enough and is no failure.
///
/// # Errors
/// Any other failure of the write.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Runtime(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Reads a small file, or standard input for `-`.
///
/// # Errors
/// As a wrong use, naming the file: a configuration that cannot be read is a wrong one.
pub fn read_input(path: &Path) -> Result<Vec<u8>, Failure> {
    // One byte more than is accepted shows that there is too much.
    let most = crate::config::MAX_TEXT_BYTES as u64 + 1;
    let mut text = Vec::new();
    let read = match path == Path::new("-") {
        true => io::stdin().lock().take(most).read_to_end(&mut text),
        false => std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut text)),
    };
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}
