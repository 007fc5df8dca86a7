//! `flowlog replay`: runs a configuration over recorded flows, and ends once every sink has delivered everything.
//!
//! Interrupted in a state folder that is kept, the same command goes on behind the last line that a flow log has committed, so that nothing is missing and
//! nothing stands twice. The metrics are those of all input: for them, lines are read again.

mod interrupted;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flowlog_sinks::driver::Running;
use flowlog_sinks::spool::{Options, Writer, boot_id};

use interrupted::Replaying;

use super::Failure;
use super::run::{read_config, read_metrics};
use crate::cli::ReplayArgs;
use crate::config::{File, FlowLog, Severity, build, metrics};
use crate::daemon::logging::{self, LogOptions};
use crate::daemon::network_sinks::Origin;
use crate::daemon::sinks;
use crate::daemon::state::{State, log_folder};
use crate::metrics::hubble::Registry;
use crate::metrics::text::Page;
use crate::pipeline::engine::MOST_LINES;
use crate::pipeline::fold::FoldTable;
use crate::pipeline::json_lines;
use crate::pipeline::log::CompiledLog;
use crate::pipeline::output::Output;
use crate::pipeline::replay::ReplayLog;
use crate::pipeline::surroundings::{Surroundings, absolute_node_name};
use crate::pipeline::totals::Totals;
use crate::sources::clock::ArrivalClock;
use crate::sources::recorded;

/// How long a sink may take: the user ends the command who does not want to wait.
const FOR_EVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A flow log with its sinks.
struct Replayed {
    name: String,
    log: ReplayLog,
    bound: u64,
    sinks: Vec<Running>,
}

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong or can't be built, an input can't be read, or the state folder can't be written.
pub fn run(arguments: &ReplayArgs) -> Result<(), Failure> {
    let _log = logging::start(LogOptions { level: Some("warn".to_owned()), ..LogOptions::default() });
    let file = read_config(&arguments.config, arguments.strict)?.file;
    if let Some(entry) = file.flow_logs.iter().find(|entry| build::check(entry).worst() >= Some(Severity::Entry)) {
        return Err(Failure::Usage(format!("{}: flow log {:?} cannot be built, see above", arguments.config.display(), entry.name)));
    }
    let mut metrics = registry(arguments)?;
    let temporary = TemporaryState::new(arguments.state_dir.as_deref())?;
    let state = State::take(temporary.path()).map_err(|error| Failure::Runtime(error.to_string()))?;
    if state.intake().exists() {
        let path = temporary.path().display();
        return Err(Failure::Usage(format!(
            "{path} belongs to a daemon, whose place in its intake a replay would overwrite; give the replay a folder of its own"
        )));
    }
    let replaying = Replaying::new(&file, &arguments.inputs);
    let resume = replaying.was_interrupted(temporary.path())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(async {
        let mut logs = Vec::new();
        for entry in &file.flow_logs {
            logs.push(begin(entry, &file, temporary.path(), arguments, resume)?);
        }
        if !resume {
            for replayed in &mut logs {
                let result = replayed.log.begin(ArrivalClock::default().now().unix);
                wait_for(replayed, result);
            }
            replaying.write(temporary.path())?;
        }
        let (logs, metrics) = tokio::task::spawn_blocking({
            let inputs = arguments.inputs.clone();
            let mut metrics = metrics.take();
            move || Ok::<_, Failure>((feed(logs, &inputs, metrics.as_mut())?, metrics))
        })
        .await
        .map_err(|error| Failure::Runtime(error.to_string()))??;
        if let (Some(metrics), Some(path)) = (metrics, &arguments.metrics_file) {
            write_metrics(&metrics, path)?;
        }
        for Replayed { name, log, sinks, .. } in logs {
            // Closed first: sinks only see what is on disk.
            let totals = log.close(FOR_EVER);
            for sink in sinks {
                sink.drain(FOR_EVER).await;
            }
            report(&name, &totals);
        }
        interrupted::finished(temporary.path())
    });
    drop(state);
    result
}

fn begin(entry: &FlowLog, file: &File, state: &Path, arguments: &ReplayArgs, resume: bool) -> Result<Replayed, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let failed = |error: &dyn std::fmt::Display| Failure::Runtime(error.to_string());
    let log = CompiledLog::build(entry, &sinks::label_paths(entry, file)).map_err(|error| wrong(&error))?;
    let node = arguments.node_name.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    let boot = boot_id().map_err(|error| failed(&error))?;
    // Nothing else waits for this disk as the flows of a node do: no part of it is kept free.
    let options = Options { max_bytes: entry.spool_max_bytes, min_free_percent: 0, ..Options::new(&node, &boot) };
    let (writer, found) = Writer::open(&log_folder(state, &entry.name).join("spool"), &options).map_err(|error| failed(&error))?;
    let spool = writer.spool();
    let mut fold = FoldTable::new(MOST_LINES);
    let now = ArrivalClock::default().now().unix;
    let (output, resumed) = Output::open(writer, &found, &mut fold, now).map_err(|error| failed(&error))?;
    if !resume && (fold.lines() > 0 || output.has_runs()) {
        return Err(Failure::Usage(format!(
            "{} holds sums of a replay that was interrupted, and no note of what it had read; give this one a --state-dir of its own",
            state.display()
        )));
    }
    let cluster = arguments.cluster_name.as_deref().unwrap_or_default();
    let around = Arc::new(Surroundings { node_name: absolute_node_name(cluster, &node), ..Surroundings::default() });
    let mut running = Vec::new();
    let origin = Origin { cluster: cluster.to_owned(), node, log: entry.name.clone() };
    for sink in sinks::wanted(entry, file, &origin) {
        let built = sinks::build(&log_folder(state, &entry.name), &sink).map_err(|error| wrong(&error))?;
        running.push(sinks::start(&spool, &sink, built).map_err(|error| wrong(&error))?);
    }
    let log = ReplayLog::new(Arc::new(log), (output, resumed), fold, around);
    Ok(Replayed { name: entry.name.clone(), log, bound: entry.spool_max_bytes, sinks: running })
}

/// Hubble's metrics, where somebody will see them.
fn registry(arguments: &ReplayArgs) -> Result<Option<Registry>, Failure> {
    let (specs, warnings) = match &arguments.metrics_config {
        Some(path) => read_metrics(path)?,
        None => metrics::checked(|problems| metrics::of_flags(&arguments.metrics, problems))
            .map_err(|problems| Failure::Usage(problems.to_string()))?,
    };
    for warning in &warnings.0 {
        eprintln!("flowlog: {warning}");
    }
    Ok(arguments.metrics_file.is_some().then(|| Registry::new(&specs)))
}

fn write_metrics(metrics: &Registry, path: &Path) -> Result<(), Failure> {
    let mut page = Page::new();
    metrics.render(&mut page);
    std::fs::write(path, page.finish())
        .map_err(|error| Failure::Runtime(format!("the metrics cannot be written to {}: {error}", path.display())))
}

/// Reads every input and applies it to every flow log, and to the metrics.
fn feed(mut logs: Vec<Replayed>, inputs: &[std::path::PathBuf], mut metrics: Option<&mut Registry>) -> Result<Vec<Replayed>, Failure> {
    let clock = ArrivalClock::default();
    let (mut unread, mut number) = (Totals::default(), 0);
    recorded::lines(inputs, &mut |line, place| {
        number += 1;
        let now = clock.now().unix;
        let last = logs.len().saturating_sub(1);
        let Some(event) = json_lines::decode(line, place, &mut unread) else { return };
        if let Some(metrics) = metrics.as_deref_mut() {
            metrics.observe(&event);
        }
        let mut event = Some(event);
        for (at, replayed) in logs.iter_mut().enumerate() {
            if replayed.log.has(number) {
                continue;
            }
            // The last flow log takes the event itself, the others a copy.
            let event = if at == last { event.take() } else { event.clone() };
            if let Some(event) = event {
                let result = replayed.log.apply(number, event, now);
                wait_for(replayed, result);
            }
        }
    })
    .map_err(|error| Failure::Runtime(error.to_string()))?;
    for replayed in &mut logs {
        let result = replayed.log.cut(clock.now().unix);
        wait_for(replayed, result);
    }
    if unread.malformed_lines > 0 {
        eprintln!("flowlog: {} of {} input lines could not be read and were passed over", unread.malformed_lines, unread.input_lines);
    }
    Ok(logs)
}

/// Waits until the disk takes what it refused, and until sinks have made room in a spool that is half full.
fn wait_for(replayed: &mut Replayed, mut result: Result<(), flowlog_sinks::spool::Stalled>) {
    while let Err(error) = result {
        tracing::warn!(%error, "waiting for the disk");
        std::thread::sleep(Duration::from_millis(100));
        result = replayed.log.retry();
    }
    while replayed.log.spool_bytes() > replayed.bound / 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn report(name: &str, totals: &Totals) {
    for violation in totals.violations() {
        eprintln!("flowlog: {name}: the accounting does not hold: {violation}");
    }
    tracing::info!(flow_log = name, inputs = totals.inputs, filtered = totals.filtered, lines = totals.lines, "replayed");
}

/// A state folder for one replay, removed at its end unless the user named it.
struct TemporaryState {
    path: std::path::PathBuf,
    ours: bool,
}

impl TemporaryState {
    fn new(chosen: Option<&Path>) -> Result<Self, Failure> {
        if let Some(chosen) = chosen {
            return Ok(Self { path: chosen.to_owned(), ours: false });
        }
        let path = std::env::temp_dir().join(format!("flowlog-replay-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).map_err(|error| Failure::Runtime(format!("cannot make {}: {error}", path.display())))?;
        Ok(Self { path, ours: true })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryState {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("flowlog: {} could not be removed: {error}", self.path.display());
        }
    }
}
