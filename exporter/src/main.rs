//! The `flowlog` command: dispatches to `commands`, nothing else.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use flowlog::cli::{Cli, Command};
use flowlog::commands;

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let result = match cli.command {
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Completions(arguments) => commands::completions::run(&arguments),
        Command::Man(arguments) => commands::man::run(&arguments),
        Command::Reference => commands::reference::run(),
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Replay(arguments) => commands::replay::run(&arguments),
        Command::Status(arguments) => commands::status::run(&arguments),
        Command::Detach(arguments) => commands::detach::run(&arguments),
        Command::Spool(command) => commands::spool::run(&command),
        Command::Observe(arguments) => commands::observe::run(&arguments, matches.subcommand_matches("observe").unwrap_or(&matches)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flowlog: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
