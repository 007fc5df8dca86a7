//! `flowlog run`: the daemon. Starts it, follows its configuration and signals, shows a status line on a terminal, and ends it within seconds.

mod serve;

use std::path::Path;

use super::{Failure, read_input};
use crate::cli::{LogFormat, RunArgs};
use crate::config::settings::{Settings, settings};
use crate::config::{Checked, Problem, Problems, build, metrics, read};
use crate::daemon::identities::IdentitySources;
use crate::daemon::logging::{self, LogOptions};
use crate::daemon::{privileges, sinks, start};
use crate::metrics::hubble::spec::Specs;

/// Runs the command until a signal, or until standard input has ended and all is delivered.
///
/// # Errors
/// When the daemon can't start, or its configuration is wrong.
pub fn run(arguments: &RunArgs) -> Result<(), Failure> {
    flowlog_bpf::memory::give_back_early();
    let settings = read_settings(arguments)?;
    let checked = read_config(&arguments.config, arguments.strict)?;
    let node = start::node_name(&settings);
    let identities = IdentitySources::read(settings.identities.clone(), &node).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Err(error) = privileges::join(&sinks::groups(&checked.file)) {
        // The entries that need it are refused by name.
        eprintln!("flowlog: cannot join the groups that files are to be given to: {error}; {}", privileges::JOIN_ADVICE);
    }
    // Before the kernel programs are attached. Its thread starts when privileges are gone.
    let log = LogOptions {
        to: logging::open(settings.log_dir.as_deref()).map_err(|error| Failure::Runtime(error.to_string()))?,
        json: settings.log_format == LogFormat::Json,
        level: Some(settings.log_level.clone()),
    };
    let prepared = start::prepare(&settings).map_err(|error| Failure::Runtime(error.to_string()))?;
    // From here on there may be threads: what they inherit has been reduced.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(serve::serve(arguments, &settings, checked, identities, prepared, log))
}

pub(super) fn read_settings(arguments: &RunArgs) -> Result<Settings, Failure> {
    let file = arguments.settings.as_deref().map(read_input).transpose()?;
    let mut settings = settings(&arguments.daemon, file.as_deref())
        .map_err(|problems| Failure::Usage(refusal(&problems, arguments.settings.as_deref())))?;
    if let Some(path) = &arguments.metrics_config {
        let (metrics, warnings) = read_metrics(path)?;
        settings.metrics = metrics;
        settings.warnings.append(warnings);
    }
    Ok(settings)
}

/// What is wrong with flags and with the file of settings: what has a line is of the file.
fn refusal(problems: &Problems, file: Option<&Path>) -> String {
    let line = |problem: &Problem| match file {
        Some(path) if problem.place.line > 0 => problem.line(path, true),
        _ => problem.to_string(),
    };
    problems.0.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads a file of metrics.
pub(super) fn read_metrics(path: &Path) -> Result<(Specs, Problems), Failure> {
    let text = read_input(path)?;
    metrics::checked(|problems| metrics::of_file(&text, problems))
        .map_err(|problems| Failure::Usage(format!("{} is refused:\n{problems}", path.display())))
}

/// Reads the configuration; whatever is wrong with it is printed with key and line.
pub(super) fn read_config(path: &Path, strict: bool) -> Result<Checked, Failure> {
    let text = read_input(path)?;
    let checked = read(&text, strict).map_err(|problems| Failure::Usage(format!("{} is refused:\n{problems}", path.display())))?;
    for warning in &checked.warnings.0 {
        eprintln!("flowlog: {}: {warning}", path.display());
    }
    for entry in &checked.file.flow_logs {
        for problem in &build::check(entry).0 {
            eprintln!("flowlog: {}: {problem}", path.display());
        }
    }
    Ok(checked)
}
