//! Brings what runs in line with a configuration: flow logs and sinks that are new, changed, gone.
//!
//! Everything of an entry that can fail is tried before the running instance hears of it. An entry that fails keeps its old instance and is a reason for
//! `/readyz` to say no; the rest of the file is applied.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use flowlog_sinks::spool::Spool;
use tokio::task::JoinSet;

use super::logging;
use super::retiring::Retiring;
use super::running_log::{Place, RunningLog, SinkHandle};
use super::sinks::{self, SinkError, WantedSink};
use super::state::State;
use crate::config::{File, FlowLog, build};
use crate::pipeline::log::{BuildError, CompiledLog};
use crate::pipeline::published::Published;

/// What others may see of a flow log at work.
#[derive(Clone)]
pub struct LogHandle {
    /// Its name.
    pub name: String,
    /// Nothing is written after this moment, Unix nanoseconds.
    pub end: Option<i64>,
    /// What it tells of itself.
    pub published: Arc<Published>,
    /// Its spool.
    pub spool: Spool,
    /// The spool's bound in bytes.
    pub spool_bound: u64,
    /// Its sinks.
    pub sinks: Vec<SinkHandle>,
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
    retiring: BTreeMap<String, Retiring>,
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
        let mut changes = Changes::default();
        let gone: Vec<String> = self.logs.keys().filter(|name| file.flow_log(name).is_none()).cloned().collect();
        for name in gone {
            if let Some(log) = self.logs.remove(&name) {
                tracing::info!(flow_log = name, "removed; delivering what is spooled");
                changes.operations[2] += 1;
                self.retiring.insert(name, Retiring::start(|back| log.retire(back)));
            }
        }
        for entry in &file.flow_logs {
            let wanted = sinks::wanted(entry, file, &self.place.origin);
            match CompiledLog::build(entry, &sinks::label_paths(entry, file)) {
                Ok(log) if self.logs.contains_key(&entry.name) => self.change(Arc::new(log), wanted, entry, file, &mut changes).await,
                Ok(log) => self.start(Arc::new(log), wanted, entry, file, &mut changes).await,
                Err(error) => changes.failed(&format!("flow log {}", entry.name), &not_built(entry, &error)),
            }
        }
        self.retiring.retain(|_, retiring| !retiring.is_over());
        self.show(file.hash, changes);
    }

    /// Changes a running instance, or leaves it as it is where any of its new sinks can't be built.
    async fn change(&mut self, log: Arc<CompiledLog>, wanted: Vec<WantedSink>, entry: &FlowLog, file: &File, changes: &mut Changes) {
        let Some(running) = self.logs.get_mut(&entry.name) else { return };
        let (ready, errors) = running.build_sinks(wanted);
        if !errors.is_empty() {
            return changes.failed_sinks(errors, entry, file);
        }
        if running.log.hash != log.hash {
            changes.operations[1] += 1;
            running.bound(entry.spool_max_bytes);
            running.change(log);
        }
        changes.failed_sinks(running.set_sinks(ready).await, entry, file);
    }

    /// Starts an entry that does not run, with the sinks that can be built.
    async fn start(&mut self, log: Arc<CompiledLog>, wanted: Vec<WantedSink>, entry: &FlowLog, file: &File, changes: &mut Changes) {
        if let Some(retiring) = self.retiring.remove(&entry.name) {
            // It still has the spool. What its sinks have not delivered, the new ones will.
            retiring.call_back().await;
        }
        let (folder, place, bound) = (self.state.log(&entry.name), self.place.clone(), entry.spool_max_bytes);
        let started = tokio::task::spawn_blocking(move || RunningLog::start(log, &folder, bound, &place)).await;
        let mut running = match started.map_err(|error| error.to_string()).and_then(|started| started.map_err(|error| error.to_string())) {
            Ok(running) => running,
            Err(why) => return changes.failed(&format!("flow log {}", entry.name), &format!("{}: {why}", entry.place)),
        };
        changes.operations[0] += 1;
        let (ready, errors) = running.build_sinks(wanted.clone());
        changes.failed_sinks(errors, entry, file);
        changes.failed_sinks(running.set_sinks(ready).await, entry, file);
        // Only now: a sink that is new takes over what the spool still holds for one that is gone.
        running.forget_others(&wanted);
        self.logs.insert(entry.name.clone(), running);
    }

    fn show(&self, hash: [u8; 32], changes: Changes) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.logs = self
            .logs
            .values()
            .map(|log| LogHandle {
                name: log.log.name.clone(),
                end: log.log.end,
                published: Arc::clone(&log.published),
                spool: log.spool.clone(),
                spool_bound: log.spool_bound,
                sinks: log.sinks(),
            })
            .collect();
        (view.hash, view.problems, view.rejection) = (hash, changes.problems, None);
        view.applied = self.place.commons.clock.now().unix;
        for (sum, more) in view.operations.iter_mut().zip(changes.operations) {
            *sum += more;
        }
    }

    /// Files that are written, in the order of the configuration.
    #[must_use]
    pub fn files(&self, file: &File) -> Vec<std::path::PathBuf> {
        file.flow_logs.iter().filter_map(|entry| Some(self.logs.get(&entry.name)?.files(entry))).flatten().collect()
    }

    /// Ends everything. With `deliver_all` the input has ended: what is open is decided, and each sink first gets all that is visible, however long that takes.
    pub async fn stop(mut self, deliver_all: bool) {
        let mut ends = JoinSet::new();
        for (_, retiring) in std::mem::take(&mut self.retiring) {
            ends.spawn(async move { if deliver_all { retiring.over().await } else { retiring.call_back().await } });
        }
        for log in self.logs.values_mut() {
            log.stop_engine(deliver_all).await;
        }
        for (_, mut log) in std::mem::take(&mut self.logs) {
            ends.spawn(async move { log.stop_sinks(deliver_all).await });
        }
        while ends.join_next().await.is_some() {}
    }
}

/// Why an entry cannot be built, by key and line where that is known.
fn not_built(entry: &FlowLog, error: &BuildError) -> String {
    let (_, problems) = build::check(entry).split(false);
    if problems.is_empty() { format!("{}: {error}", entry.place) } else { problems.to_string() }
}

/// What a file comes to while it is applied.
#[derive(Default)]
struct Changes {
    problems: BTreeMap<String, String>,
    /// Entries added, updated, removed and failed.
    operations: [u64; 4],
}

impl Changes {
    fn failed(&mut self, what: &str, why: &str) {
        tracing::error!(target: logging::ANSWER, what, why, "cannot be used; what runs goes on as it was");
        self.operations[3] += 1;
        self.problems.insert(what.to_owned(), why.to_owned());
    }

    fn failed_sinks(&mut self, errors: Vec<SinkError>, entry: &FlowLog, file: &File) {
        for error in errors {
            let place = match file.sinks.get(&error.name) {
                Some(sink) if entry.sinks.contains(&error.name) => sink.place.to_string(),
                // All that a file can be refused for before it is opened.
                _ => entry.places.below("fileGroup").to_string(),
            };
            self.failed(&format!("flow log {} sink {}", entry.name, error.name), &format!("{place}: {error}"));
        }
    }
}
