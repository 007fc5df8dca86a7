//! One flow log at work in the daemon: its engine's thread, its spool, its sinks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use flowlog_sinks::driver::{Drained, Running, SinkMetrics};
use flowlog_sinks::spool::{Gap, IntakeReaders, OpenError, Options, ReadError, Spool, Writer};
use tokio::task::JoinSet;

use super::network_sinks::Origin;
use super::retiring::{CallBack, Retiring};
use super::sinks::{self, Built, SinkError, WantedSink};
use crate::config::FlowLog;
use crate::pipeline::commons::Commons;
use crate::pipeline::engine::{Engine, MOST_LINES};
use crate::pipeline::fold::FoldTable;
use crate::pipeline::log::CompiledLog;
use crate::pipeline::note::cause;
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
    draining: BTreeMap<String, Retiring>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

struct RunningSink {
    wanted: WantedSink,
    running: Running,
}

/// What others may see of a sink at work.
#[derive(Clone)]
pub struct SinkHandle {
    /// Its name.
    pub name: String,
    /// Its counters.
    pub metrics: Arc<SinkMetrics>,
    /// How long a record may wait for its batch to fill.
    pub batch_max_age: Duration,
}

/// The sinks an entry wants: those that are new or changed with what was built for them, the others as they run.
pub type Wanted = Vec<(WantedSink, Option<Built>)>;

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
        let now = place.commons.clock.now().unix;
        let mut output = Output::open(writer, &found, &mut fold, now)?;
        let resumed = &mut output.1;
        let fresh = resumed.position.is_none();
        let mut position = resumed.position.unwrap_or_else(|| place.intake.end());
        if position < place.intake.begin() {
            // Nothing was kept for it while it was not configured: it begins anew, and says since when it has seen nothing.
            position = place.intake.end();
            resumed.gaps.push(Gap { cause: cause::INTAKE_GONE.to_owned(), first: resumed.time, last: Some(now), ..Gap::default() });
        }
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

    /// Bounds the spool anew, in place: its sinks do not notice unless it has to make room.
    pub fn bound(&mut self, spool_bound: u64) {
        self.spool_bound = spool_bound;
        self.spool.set_max_bytes(spool_bound);
    }

    /// Goes on under another configuration from the next commit on.
    pub fn change(&mut self, log: Arc<CompiledLog>) {
        self.log = Arc::clone(&log);
        // The engine only ends when it is told to; a closed channel would mean that it has panicked, which the log says.
        let _ = self.commands.send(Command::Change(log));
    }

    /// Builds the sinks that are new or changed, and says which can't be. Nothing that runs hears of it.
    pub fn build_sinks(&self, wanted: Vec<WantedSink>) -> (Wanted, Vec<SinkError>) {
        let folder = self.spool.folder().parent().unwrap_or(self.spool.folder());
        let (mut ready, mut errors) = (Vec::new(), Vec::new());
        for sink in wanted {
            let runs = self.sinks.get(&sink.name).is_some_and(|running| running.wanted == sink);
            match (!runs).then(|| sinks::build(folder, &sink)).transpose() {
                Ok(built) => ready.push((sink, built)),
                Err(error) => errors.push(error),
            }
        }
        (ready, errors)
    }

    /// Brings the sinks in line with what is wanted: unchanged ones run on, changed ones are replaced at their cursor, others are drained.
    pub async fn set_sinks(&mut self, wanted: Wanted) -> Vec<SinkError> {
        let mut errors = Vec::new();
        let names: Vec<String> = wanted.iter().map(|(sink, _)| sink.name.clone()).collect();
        let gone: Vec<String> = self.sinks.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            if let Some(sink) = self.sinks.remove(&name) {
                self.drain(name, sink);
            }
        }
        for (sink, built) in wanted {
            let Some(built) = built else { continue };
            if let Some(old) = self.sinks.remove(&sink.name) {
                old.running.stop(GRACE).await;
            }
            if let Some(draining) = self.draining.remove(&sink.name) {
                // It came back: one driver a cursor, and the cursor stays.
                draining.call_back().await;
            }
            match sinks::start(&self.spool, &sink, built) {
                Ok(running) => {
                    self.sinks.insert(sink.name.clone(), RunningSink { wanted: sink, running });
                }
                Err(error) => errors.push(error),
            }
        }
        self.draining.retain(|_, draining| !draining.is_over());
        errors
    }

    /// Lets go of cursors whose sinks went from the file while no daemon ran: what they had not delivered nobody will take.
    pub fn forget_others(&self, wanted: &[WantedSink]) {
        let Ok(cursors) = self.spool.cursors() else { return };
        for (name, _) in cursors.into_iter().filter(|(name, _)| wanted.iter().all(|sink| sink.name != *name)) {
            let records = self.spool.lag(&name).map_or(0, |(records, _)| records);
            tracing::warn!(flow_log = self.log.name, sink = name, records, "the sink is gone from the configuration and did not get these");
            forget(&self.spool, &name);
        }
    }

    /// A removed sink first gets what is spooled, for a while; the rest is said and given up.
    fn drain(&mut self, name: String, sink: RunningSink) {
        let (spool, key) = (self.spool.clone(), name.clone());
        let retiring = Retiring::start(|back| async move {
            match drain(sink, back).await {
                Drained::All => {}
                Drained::Left(gap) => {
                    tracing::warn!(sink = name, records = gap.records, "a removed sink did not take everything in its time")
                }
                Drained::CalledBack => return,
            }
            forget(&spool, &name);
        });
        self.draining.insert(key, retiring);
    }

    /// The sinks, for those who look.
    #[must_use]
    pub fn sinks(&self) -> Vec<SinkHandle> {
        let handle = |(name, sink): (&String, &RunningSink)| SinkHandle {
            name: name.clone(),
            metrics: Arc::clone(sink.running.metrics()),
            batch_max_age: sink.wanted.batch_max_age(),
        };
        self.sinks.iter().map(handle).collect()
    }

    /// Files this flow log writes: its own first, then those of its named sinks in the order of the entry.
    pub fn files(&self, entry: &FlowLog) -> Vec<PathBuf> {
        let place = |name: &str| entry.sinks.iter().position(|named| named == name);
        let mut sinks: Vec<&RunningSink> = self.sinks.values().collect();
        sinks.sort_by_key(|sink| place(&sink.wanted.name));
        sinks.into_iter().filter_map(|sink| sink.wanted.file()).map(ToOwned::to_owned).collect()
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

    /// Ends the sinks. With `all` each first delivers everything that is visible, however long it takes; removed ones as long as they may.
    pub async fn stop_sinks(&mut self, all: bool) {
        let mut ends = JoinSet::new();
        for (_, sink) in std::mem::take(&mut self.sinks) {
            let patience = if all { Duration::from_secs(u64::from(u32::MAX)) } else { GRACE };
            ends.spawn(async move { drop(sink.running.drain(patience).await) });
        }
        for (_, draining) in std::mem::take(&mut self.draining) {
            ends.spawn(async move { if all { draining.over().await } else { draining.call_back().await } });
        }
        while ends.join_next().await.is_some() {}
    }

    /// Removes the flow log: what is spooled is delivered for as long as its sinks allow, unless it is called back.
    pub async fn retire(mut self, mut back: CallBack) {
        self.stop_engine(true).await;
        let mut ends = JoinSet::new();
        for (name, sink) in std::mem::take(&mut self.sinks) {
            let back = back.clone();
            ends.spawn(async move { (name, drain(sink, back).await) });
        }
        while let Some(ended) = ends.join_next().await {
            if let Ok((sink, Drained::Left(gap))) = ended {
                tracing::warn!(flow_log = self.log.name, sink, records = gap.records, "a removed flow log was not delivered in time");
            }
        }
        for (_, draining) in std::mem::take(&mut self.draining) {
            draining.over_or(&mut back).await;
        }
    }
}

/// Delivers what is spooled for as long as the sink may take, unless it is called back.
async fn drain(sink: RunningSink, mut back: CallBack) -> Drained {
    let called_back = async {
        back.heard().await;
        GRACE
    };
    sink.running.drain_unless(sink.wanted.drain_timeout, called_back).await
}

fn forget(spool: &Spool, sink: &str) {
    if let Err(error) = spool.forget(sink) {
        tracing::error!(%error, sink, "the cursor of a removed sink cannot be forgotten; it still holds the spool");
    }
}
