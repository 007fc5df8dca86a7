//! Brings what runs in line with a configuration: flow logs and sinks that are new, changed, gone.
//!
//! Everything of an entry that can fail is tried before the running instance hears of it. An entry that fails keeps its old instance and is a reason for
//! `/readyz` to say no; the rest of the file is applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use flowlog_sinks::driver::SinkMetrics;
use flowlog_sinks::spool::Spool;
use tokio::task::JoinHandle;

use super::running_log::{Place, RunningLog};
use super::sinks;
use super::state::State;
use crate::config::File;
use crate::pipeline::log::CompiledLog;
use crate::pipeline::published::Published;

/// What others may see of a flow log at work.
#[derive(Clone)]
pub struct LogHandle {
    /// Its name.
    pub name: String,
    /// What it tells of itself.
    pub published: Arc<Published>,
    /// Its spool.
    pub spool: Spool,
    /// The spool's bound in bytes.
    pub spool_bound: u64,
    /// Its sinks' counters.
    pub sinks: Vec<(String, Arc<SinkMetrics>)>,
}

/// What the daemon shows of its configuration and flow logs.
#[derive(Default)]
pub struct View {
    /// The flow logs at work.
    pub logs: Vec<LogHandle>,
    /// Why something that was asked for does not run, by what it is.
    pub problems: BTreeMap<String, String>,
    /// SHA-256 of the file that is applied.
    pub hash: [u8; 32],
    /// When it was applied, Unix nanoseconds.
    pub applied: i64,
    /// Reloads that rejected a file, since the start.
    pub rejected: u64,
    /// Why the last file was rejected; `None` once another was applied.
    pub rejection: Option<String>,
    /// Entries added, updated, removed and failed, since the start.
    pub operations: [u64; 4],
}

/// The flow logs at work.
pub struct Manager {
    state: Arc<State>,
    place: Place,
    logs: BTreeMap<String, RunningLog>,
    retiring: BTreeMap<String, JoinHandle<()>>,
    view: Arc<Mutex<View>>,
}

impl Manager {
    /// No flow logs yet.
    #[must_use]
    pub fn new(state: Arc<State>, place: Place) -> Self {
        Self { state, place, logs: BTreeMap::new(), retiring: BTreeMap::new(), view: Arc::default() }
    }

    /// What the daemon shows.
    #[must_use]
    pub fn view(&self) -> Arc<Mutex<View>> {
        Arc::clone(&self.view)
    }

    /// A file that changes nothing was read.
    pub fn reject(&self, why: &str) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.rejected += 1;
        view.operations[3] += 1;
        view.rejection = Some(why.to_owned());
    }

    /// Applies a file.
    pub async fn apply(&mut self, file: &File) {
        let mut problems = BTreeMap::new();
        let mut operations = [0; 4];
        let gone: Vec<String> = self.logs.keys().filter(|name| file.flow_log(name).is_none()).cloned().collect();
        for name in gone {
            if let Some(log) = self.logs.remove(&name) {
                tracing::info!(flow_log = name, "removed; delivering what is spooled");
                operations[2] += 1;
                self.retiring.insert(name, tokio::spawn(log.retire()));
            }
        }
        for entry in &file.flow_logs {
            let log = match CompiledLog::build(entry, &sinks::label_paths(entry, file)) {
                Ok(log) => Arc::new(log),
                Err(error) => {
                    let error = format!("{}: {error}", entry.place);
                    tracing::error!(error, "the entry cannot be built; a running instance goes on as it was");
                    operations[3] += 1;
                    problems.insert(format!("flow log {}", entry.name), error);
                    continue;
                }
            };
            let wanted = sinks::wanted(entry, file, &self.place.origin);
            match self.run(log, entry.spool_max_bytes, &mut operations).await {
                Ok(running) => {
                    for error in running.set_sinks(wanted).await {
                        tracing::error!(%error, "the others go on");
                        problems.insert(format!("flow log {} sink {}", entry.name, error.name), error.to_string());
                    }
                }
                Err(why) => {
                    tracing::error!(flow_log = entry.name, why, "cannot start");
                    operations[3] += 1;
                    problems.insert(format!("flow log {}", entry.name), why);
                }
            }
        }
        self.show(file.hash, problems, operations);
    }

    /// The running instance of an entry, started or changed as needed.
    async fn run(&mut self, log: Arc<CompiledLog>, spool_bound: u64, operations: &mut [u64; 4]) -> Result<&mut RunningLog, String> {
        let name = log.name.clone();
        if let Some(retiring) = self.retiring.remove(&name) {
            // It may still hold its spool.
            let _ = retiring.await;
        }
        match self.logs.entry(name) {
            std::collections::btree_map::Entry::Occupied(entry) => {
                let running = entry.into_mut();
                if running.log.hash != log.hash {
                    operations[1] += 1;
                    running.change(log);
                }
                Ok(running)
            }
            std::collections::btree_map::Entry::Vacant(entry) => {
                let folder = self.state.log(&log.name);
                let place = self.place.clone();
                let started = tokio::task::spawn_blocking(move || RunningLog::start(log, &folder, spool_bound, &place)).await;
                let running = started.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
                operations[0] += 1;
                Ok(entry.insert(running))
            }
        }
    }

    fn show(&self, hash: [u8; 32], problems: BTreeMap<String, String>, operations: [u64; 4]) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.logs = self
            .logs
            .values()
            .map(|log| LogHandle {
                name: log.log.name.clone(),
                published: Arc::clone(&log.published),
                spool: log.spool.clone(),
                spool_bound: log.spool_bound,
                sinks: log.sink_metrics(),
            })
            .collect();
        (view.hash, view.problems, view.rejection) = (hash, problems, None);
        view.applied = self.place.commons.clock.now().unix;
        for (sum, more) in view.operations.iter_mut().zip(operations) {
            *sum += more;
        }
    }

    /// Files that are written, in the order of flow logs.
    #[must_use]
    pub fn files(&self) -> Vec<std::path::PathBuf> {
        self.logs.values().flat_map(RunningLog::files).map(ToOwned::to_owned).collect()
    }

    /// Ends everything. With `deliver_all` the input has ended: what is open is decided, and each sink first gets all that is visible, however long that takes.
    pub async fn stop(mut self, deliver_all: bool) {
        for log in self.logs.values_mut() {
            log.stop_engine(deliver_all).await;
        }
        let mut ends = tokio::task::JoinSet::new();
        for (_, mut log) in std::mem::take(&mut self.logs) {
            ends.spawn(async move { log.stop_sinks(deliver_all).await });
        }
        while ends.join_next().await.is_some() {}
    }
}
