//! One flow log at work in the daemon: its engine's thread, its spool, its sinks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use flowlog_sinks::driver::{Running, SinkMetrics};
use flowlog_sinks::spool::{IntakeReaders, OpenError, Options, ReadError, Spool, Writer};

use super::network_sinks::Origin;
use super::sinks::{self, SinkError, WantedSink};
use crate::pipeline::engine::{Commons, Engine, MOST_LINES};
use crate::pipeline::fold::FoldTable;
use crate::pipeline::log::CompiledLog;
use crate::pipeline::orders::Command;
use crate::pipeline::output::Output;
use crate::pipeline::published::Published;

/// How long what is on the way may land when the daemon stops.
const GRACE: Duration = Duration::from_secs(3);

/// Why a flow log can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its spool can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What its spool holds of an open window can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its thread can't be started.
    #[error("a thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// A flow log at work.
pub struct RunningLog {
    /// Its configuration.
    pub log: Arc<CompiledLog>,
    /// What it tells of itself.
    pub published: Arc<Published>,
    /// Its spool.
    pub spool: Spool,
    /// The spool's bound in bytes.
    pub spool_bound: u64,
    sinks: BTreeMap<String, RunningSink>,
    draining: BTreeMap<String, Draining>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// A removed sink that still gets what is spooled.
struct Draining {
    task: tokio::task::JoinHandle<()>,
    /// Whether its cursor goes with it.
    forget: Arc<AtomicBool>,
}

struct RunningSink {
    wanted: WantedSink,
    running: Running,
}

/// Where flow logs are started.
#[derive(Clone)]
pub struct Place {
    /// Options of every spool; the bound is the entry's own.
    pub options: Options,
    /// Where flow logs read.
    pub intake: IntakeReaders,
    /// What they share.
    pub commons: Commons,
    /// Cluster and node, for sinks that name them.
    pub origin: Origin,
}

impl RunningLog {
    /// Starts a flow log in its folder: where its last commit left off, or at the intake's present end.
    ///
    /// # Errors
    /// When the spool can't be opened or the thread not started.
    pub fn start(log: Arc<CompiledLog>, folder: &Path, spool_bound: u64, place: &Place) -> Result<Self, StartError> {
        let options = Options { max_bytes: spool_bound, ..place.options.clone() };
        let (writer, found) = Writer::open(&folder.join("spool"), &options)?;
        let spool = writer.spool();
        let mut fold = FoldTable::new(MOST_LINES);
        let output = Output::open(writer, &found, &mut fold)?;
        let resumed = &output.1;
        let fresh = resumed.position.is_none();
        let position = resumed.position.unwrap_or_else(|| place.intake.end());
        let reader = place.intake.reader(&log.name, position);
        let published = Arc::new(Published::default());
        published.committed(&resumed.totals, 0, 0);
        let (mut engine, commands) = Engine::new(Arc::clone(&log), reader, output, fold, place.commons.clone(), Arc::clone(&published));
        if fresh {
            engine.begin();
        }
        let thread =
            std::thread::Builder::new().name(format!("log {}", log.name)).spawn(move || engine.run()).map_err(StartError::Thread)?;
        Ok(Self { log, published, spool, spool_bound, sinks: BTreeMap::new(), draining: BTreeMap::new(), commands, thread: Some(thread) })
    }

    /// Goes on under another configuration from the next commit on.
    pub fn change(&mut self, log: Arc<CompiledLog>) {
        self.log = Arc::clone(&log);
        // The engine only ends when it is told to; a closed channel would mean that it has panicked, which the log says.
        let _ = self.commands.send(Command::Change(log));
    }

    /// Brings the sinks in line with what is wanted: unchanged ones run on, changed ones are replaced at their cursor, others are drained.
    pub async fn set_sinks(&mut self, wanted: Vec<WantedSink>) -> Vec<SinkError> {
        let mut errors = Vec::new();
        let names: Vec<String> = wanted.iter().map(|sink| sink.name.clone()).collect();
        let gone: Vec<String> = self.sinks.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            if let Some(sink) = self.sinks.remove(&name) {
                self.drain(name, sink);
            }
        }
        for sink in wanted {
            if self.sinks.get(&sink.name).is_some_and(|running| running.wanted == sink) {
                continue;
            }
            if let Some(old) = self.sinks.remove(&sink.name) {
                old.running.stop(GRACE).await;
            }
            if let Some(draining) = self.draining.remove(&sink.name) {
                // It came back: one driver a cursor, and the cursor stays.
                draining.forget.store(false, Ordering::Release);
                drop(draining.task.await);
            }
            match sinks::start(&self.spool, &sink) {
                Ok(running) => {
                    self.sinks.insert(sink.name.clone(), RunningSink { wanted: sink, running });
                }
                Err(error) => errors.push(error),
            }
        }
        errors
    }

    /// A removed sink first gets what is spooled, for a while; the rest is said and given up.
    fn drain(&mut self, name: String, sink: RunningSink) {
        let (spool, forget, key) = (self.spool.clone(), Arc::new(AtomicBool::new(true)), name.clone());
        let still = Arc::clone(&forget);
        let task = tokio::spawn(async move {
            if let Some(gap) = sink.running.drain(sink.wanted.drain_timeout).await {
                tracing::warn!(sink = name, records = gap.records, "a removed sink did not take everything in its time");
            }
            if still.load(Ordering::Acquire)
                && let Err(error) = spool.forget(&name)
            {
                tracing::error!(%error, sink = name, "the cursor of a removed sink cannot be forgotten; it still holds the spool");
            }
        });
        self.draining.insert(key, Draining { task, forget });
    }

    /// The sinks' counters.
    #[must_use]
    pub fn sink_metrics(&self) -> Vec<(String, Arc<SinkMetrics>)> {
        self.sinks.iter().map(|(name, sink)| (name.clone(), Arc::clone(sink.running.metrics()))).collect()
    }

    /// Files this flow log writes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sinks.values().filter_map(|sink| sink.wanted.file())
    }

    /// Ends the engine: the open window is committed first. Where its input has `ended`, so that no later life will decide what is open, that is decided now.
    pub async fn stop_engine(&mut self, ended: bool) {
        let _ = self.commands.send(if ended { Command::End } else { Command::Stop });
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!(flow_log = self.log.name, "the flow log's thread had ended by a panic");
            }
        }
    }

    /// Ends the sinks. With `all` each first delivers everything that is visible, however long it takes.
    pub async fn stop_sinks(&mut self, all: bool) {
        let sinks = std::mem::take(&mut self.sinks);
        let mut ends = tokio::task::JoinSet::new();
        for (_, sink) in sinks {
            ends.spawn(async move {
                if all { sink.running.drain(Duration::from_secs(u64::from(u32::MAX))).await } else { sink.running.drain(GRACE).await }
            });
        }
        while ends.join_next().await.is_some() {}
    }

    /// Removes the flow log: what is spooled is delivered for as long as its sinks allow.
    pub async fn retire(mut self) {
        self.stop_engine(true).await;
        let sinks = std::mem::take(&mut self.sinks);
        for (name, sink) in sinks {
            if let Some(gap) = sink.running.drain(sink.wanted.drain_timeout).await {
                tracing::warn!(
                    flow_log = self.log.name,
                    sink = name,
                    records = gap.records,
                    "a removed flow log was not delivered in time"
                );
            }
        }
    }
}
