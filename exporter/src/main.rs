//! The `flowlog` command: dispatches to `commands`, nothing else.

use std::process::ExitCode;

use clap::Parser;
use flowlog::cli::{Cli, Command};
use flowlog::commands::{self, Failure};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::man::run(&arguments),
        Command::Reference => commands::reference::run(),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Replay(arguments) => commands::replay::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Detach(arguments) => commands::detach::run(&arguments),
        Command::Spool(command) => commands::spool::run(&command),
        Command::Observe(_) => Err(Failure::Runtime("this command is not part of this build".into())),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flowlog: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
