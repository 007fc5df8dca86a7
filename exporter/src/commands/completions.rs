//! `flowlog completions SHELL`: a completion script made of the command line's definitions.

use clap::CommandFactory;

use super::{Failure, print};
use crate::cli::{Cli, CompletionsArgs};

/// Runs the command.
///
/// # Errors
/// Standard output cannot be written to.
pub fn run(arguments: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "flowlog", &mut script);
    print(&String::from_utf8_lossy(&script))
}
