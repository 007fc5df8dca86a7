//! What the benches share: the description of the machine, seeded inputs, and `flowlog` as a process of its own.

pub mod events;
pub mod flows;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use flowlog::cli::{Cli, Command};
use flowlog::commands;

/// The machine in one line: processors and their model, and whether the kernel times BPF programs, which makes each run dearer.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let timed = std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").is_ok_and(|text| text.trim() != "0");
    let warning = if timed { "; kernel.bpf_stats_enabled is on: each run of a program costs two readings of the clock more" } else { "" };
    format!("{processors} processors,{}{warning}", model.trim_start_matches(['\t', ':']))
}

/// How busy the machine is: the load averages.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Processor seconds of a process so far, from its `/proc/PID/stat`.
pub fn processor_seconds(stat: &str) -> f64 {
    seconds(stat, 14)
}

/// Processor seconds of all child processes that have ended.
pub fn children_seconds() -> f64 {
    seconds("/proc/self/stat", 16)
}

/// The sum of a field of proc(5) and the next, which are ticks.
fn seconds(stat: &str, field: usize) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // Behind the name in brackets, which may hold blanks, field 3 is the first.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(field - 3).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Does what `flowlog` does with the arguments of this process: a bench starts itself to measure a command from its start to its end.
pub fn flowlog() -> ExitCode {
    let matches = Cli::command().get_matches();
    let result = match Cli::from_arg_matches(&matches).map(|cli| cli.command) {
        Ok(Command::Observe(arguments)) => commands::observe::run(&arguments, matches.subcommand_matches("observe").unwrap_or(&matches)),
        Ok(Command::Replay(arguments)) => commands::replay::run(&arguments),
        Ok(_) => return ExitCode::from(2),
        Err(error) => error.exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("flowlog: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
