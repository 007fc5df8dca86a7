//! `flowlog man`: the man page made of the command line's definitions, or one page per command in a folder.

use clap::CommandFactory;

use super::{Failure, print};
use crate::cli::{Cli, ManArgs};

/// Runs the command.
///
/// # Errors
/// A page cannot be written; the message names the folder.
pub fn run(arguments: &ManArgs) -> Result<(), Failure> {
    match &arguments.dir {
        None => {
            let mut page = Vec::new();
            let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
            rendered.map_err(|error| Failure::Runtime(format!("cannot make the page: {error}")))?;
            print(&String::from_utf8_lossy(&page))
        }
        Some(folder) => {
            let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
            written.map_err(|error| Failure::Runtime(format!("cannot write into {}: {error}", folder.display())))
        }
    }
}
