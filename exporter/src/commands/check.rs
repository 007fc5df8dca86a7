//! `flowlog check`: what a configuration would do, in prose or as JSON with every default filled in, or all that is wrong with it.
//!
//! Nothing is contacted and no file but those named is opened. Exit code 0 means that `run` would take the file whole; 2 that it would refuse
//! it, or one of its flow logs.

mod prose;

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Failure, print, read_input};
use crate::cli::{CheckArgs, DaemonArgs, OutputFormat};
use crate::config::settings::{SourceSpec, settings};
use crate::config::supply::Supply;
use crate::config::{Checked, File, Problems, Severity, build, canonical, read};

/// Runs the command.
///
/// # Errors
/// A file that cannot be read or is refused, whole or in part; the reasons have been printed.
pub fn run(arguments: &CheckArgs) -> Result<(), Failure> {
    let sources = sources(&arguments.sources)?;
    let text = read_input(&arguments.file)?;
    let mut failed = check_identities(arguments.identities.as_deref())?;
    failed |= check_settings(arguments.settings.as_deref())?;
    let Checked { file, warnings } = match read(&text, arguments.strict) {
        Ok(checked) => checked,
        Err(problems) => {
            report(&arguments.file, &problems, arguments.strict);
            return Err(Failure::Usage(format!("{} is refused: {}", arguments.file.display(), count(&problems, arguments.strict))));
        }
    };
    let mut problems = warnings;
    let supply = Supply { sources: &sources, identities: arguments.identities.is_some() };
    for entry in &file.flow_logs {
        problems.append(build::check(entry));
        problems.append(supply.warnings(entry));
    }
    problems.sort();
    report(&arguments.file, &problems, false);
    match arguments.output {
        OutputFormat::Json => print(&format!("{}\n", as_json(&file)))?,
        OutputFormat::Text => print(&prose::describe(&arguments.file, &file, arguments.rate))?,
    }
    if problems.worst() >= Some(Severity::Entry) {
        return Err(Failure::Usage(format!("{} is not usable as it is: {}", arguments.file.display(), count(&problems, false))));
    }
    if failed {
        return Err(Failure::Usage(format!("{} is not usable with the files beside it: they are refused", arguments.file.display())));
    }
    Ok(())
}

fn sources(given: &[String]) -> Result<Vec<SourceSpec>, Failure> {
    let parse = |text: &String| match text.as_str() {
        "jsonl" | "hubble" => Ok(SourceSpec::StandardInput),
        text => {
            SourceSpec::parse(text).ok_or_else(|| Failure::Usage(format!("--source: `{text}` is no source; write kernel, jsonl or hubble")))
        }
    };
    let sources: Vec<SourceSpec> = given.iter().map(parse).collect::<Result<_, _>>()?;
    Ok(if sources.is_empty() { vec![SourceSpec::Kernel] } else { sources })
}

/// True if the file of identities is wrong, which has then been said.
fn check_identities(path: Option<&Path>) -> Result<bool, Failure> {
    let Some(path) = path else { return Ok(false) };
    match crate::identity::read(&read_input(path)?) {
        Ok(_) => Ok(false),
        Err(problems) => {
            report(path, &problems, true);
            Ok(true)
        }
    }
}

/// True if the file of settings is wrong; what is has been said, and what may not be meant.
fn check_settings(path: Option<&Path>) -> Result<bool, Failure> {
    let Some(path) = path else { return Ok(false) };
    let (problems, failed) = match settings(&DaemonArgs::default(), Some(&read_input(path)?)) {
        Ok(settings) => (settings.warnings, false),
        Err(problems) => (problems, true),
    };
    report(path, &problems, true);
    Ok(failed)
}

/// Prints problems to standard error, a line each, with file and line first, as compilers do.
fn report(path: &Path, problems: &Problems, strict: bool) {
    for problem in &problems.0 {
        eprintln!("{}", problem.line(path, strict));
    }
}

fn count(problems: &Problems, strict: bool) -> String {
    let harmful = problems.0.iter().filter(|problem| !problem.is_harmless(strict)).count();
    match harmful {
        1 => "1 problem".to_owned(),
        harmful => format!("{harmful} problems"),
    }
}

/// The file in its own keys, every default filled in.
fn as_json(file: &File) -> Value {
    let entries: Vec<Value> = file.flow_logs.iter().map(canonical::flow_log).collect();
    let sinks: Map<String, Value> = file.sinks.iter().map(|(name, sink)| (name.clone(), canonical::sink(sink))).collect();
    match sinks.is_empty() {
        true => json!({"flowLogs": entries}),
        false => json!({"flowLogs": entries, "sinks": sinks}),
    }
}
