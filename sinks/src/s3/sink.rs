//! The S3 sink: objects and manifests, cut from the spool, sent one at a time and in order.
//!
//! An object's cut (where it ends, and the SHA-256 of its lines) and a manifest's bytes are durable before they go out,
//! by the driver's cursor file, so a crash repeats what was meant and never makes a second object for the same records.
//! The state behind each delivery is the manifest chain (`chain.rs`).
//!
//! Memory is bounded by one zstd frame and one chunk of upload; the open object is a file in the staging folder.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use super::chain::Chain;
use super::config::{Options, Origin, Problem};
use super::cutting::{Cutting, Size};
use super::freezing::{Statement, Trouble};
use super::key::Layout;
use super::manifest::Reason;
use super::object::Staged;
use super::store::Store;
use crate::driver::{Health, Limits, Outcome, ResumeError, Sink, Step};
use crate::spool::{Cursor, Cut, ReadError, Reader};

/// How long after an hour's end by the clock its last commit may still come.
pub(super) const GRACE: i64 = 10_000_000_000;
/// How often freezing is tried while there is something to read.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long a stopping daemon waits for its last manifest.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// One flow log's way into a bucket or folder.
pub struct S3Sink {
    pub(super) options: Options,
    pub(super) origin: Origin,
    pub(super) layout: Layout,
    pub(super) store: Store,
    pub(super) staging: PathBuf,
    /// When this process started, Unix nanoseconds.
    pub(super) started: i64,
    pub(super) memory: Mutex<Memory>,
}

#[derive(Default)]
pub(super) struct Memory {
    /// The chain at the cursor; unknown until the state or the place told.
    pub(super) chain: Option<Chain>,
    /// Whether this process has written its start manifest.
    pub(super) announced: bool,
    /// What is read and not due yet.
    pub(super) cutting: Option<Cutting>,
    /// Where the batch that is on the way began, and whether it is a manifest.
    pub(super) sending: Option<(Cursor, bool)>,
    /// Whether the last thing delivered was a stop manifest.
    pub(super) stopped: bool,
}

/// A batch.
pub enum Frozen {
    /// An object.
    Object {
        /// The bytes.
        staged: Box<Staged>,
        /// The chain behind it, less the object itself.
        chain: Box<Chain>,
        /// SHA-256 of the lines an earlier process had meant to store.
        also: Option<String>,
    },
    /// A manifest; with its reason if this process made it.
    Manifest(Box<Statement>, Option<Reason>),
}

impl S3Sink {
    /// Prepares the sink; nothing is contacted. `staging` is a folder of its own, `now` Unix nanoseconds.
    ///
    /// # Errors
    /// When an option or the staging folder can't be used.
    pub fn new(options: Options, origin: Origin, staging: PathBuf, now: i64) -> Result<Self, Problem> {
        if let Some(problem) = options.problems(now.div_euclid(1_000_000_000)).into_iter().next() {
            return Err(problem);
        }
        let (store, prefix) = Store::new(&options)?;
        fs::create_dir_all(&staging).map_err(|error| Problem { key: "state folder", why: format!("{}: {error}", staging.display()) })?;
        let layout = Layout { prefix, cluster: origin.cluster.clone(), log: origin.log.clone(), node: origin.node.clone() };
        Ok(Self { options, origin, layout, store, staging, started: now, memory: Mutex::default() })
    }

    /// The endpoint's clock minus the node's in milliseconds; `None` before the first answer.
    pub fn clock_offset_milliseconds(&self) -> Option<i64> {
        self.store.clock().offset_milliseconds()
    }

    pub(super) fn size(&self) -> Size {
        Size { bytes: self.options.object_bytes, records: self.options.object_records, level: self.options.level }
    }

    pub(super) fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop_file(&self) -> PathBuf {
        self.staging.join("stop.json")
    }
}

impl Sink for S3Sink {
    type Frozen = Frozen;

    fn freezes_when_idle(&self) -> bool {
        true
    }

    fn limits(&self) -> Limits {
        Limits { max_bytes: 4 << 20, max_records: u64::MAX, max_age: EVERY }
    }

    fn resume(&self, reader: &mut Reader, state: Option<&serde_json::Value>) -> Result<Option<serde_json::Value>, ResumeError> {
        let known = state.and_then(|state| match serde_json::from_value(state.clone()) {
            Ok(chain) => Some(chain),
            Err(error) => {
                tracing::error!(%error, "The state of the manifest chain can't be read; the newest manifest stored is asked for.");
                None
            }
        });
        let destination = |why: String| ResumeError::Destination(why);
        let runtime = Handle::try_current().map_err(|error| destination(error.to_string()))?;
        let chain = runtime.block_on(self.take_up(reader.cursor(), known));
        let chain = chain.map_err(|failure| destination(failure.to_string()))?;
        let state = serde_json::to_value(&chain).ok();
        self.memory().chain = Some(chain);
        Ok(state)
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, now: i64) -> Result<Step<Frozen>, ReadError> {
        let mut memory = self.memory();
        let from = reader.cursor();
        if memory.sending.is_some_and(|(sending, _)| sending != from) {
            return Ok(Step::Wait(Duration::from_millis(50)));
        }
        let step = self.next_batch(reader, limits, cut, now, &mut memory);
        match step {
            Ok(Step::Batch(batch)) => {
                memory.sending = Some((from, matches!(batch.frozen, Frozen::Manifest(..))));
                Ok(Step::Batch(batch))
            }
            Ok(step) => Ok(step),
            Err(Trouble::Read(error)) => Err(error),
            Err(Trouble::Staging(error)) => {
                tracing::error!(folder = %self.staging.display(), %error, "An object can't be staged; trying again.");
                Ok(Step::Wait(EVERY))
            }
        }
    }

    async fn send(&self, frozen: &Frozen) -> Outcome {
        match self.deliver(frozen).await {
            Ok(chain) => {
                let state = serde_json::to_value(&chain).ok();
                let reason = if let Frozen::Manifest(_, reason) = frozen { *reason } else { None };
                let mut memory = self.memory();
                memory.chain = Some(chain);
                memory.announced |= reason == Some(Reason::Start);
                memory.stopped = reason == Some(Reason::Stop);
                memory.sending = None;
                Outcome::Delivered { state }
            }
            Err(failure) => Outcome::Retry { why: failure.to_string(), after: failure.after(), shrink: false },
        }
    }

    async fn check(&self) -> Result<(), Health> {
        let warnings = self.store.check().await.map_err(|failure| Health(failure.to_string()))?;
        for warning in warnings {
            tracing::warn!(place = self.store.place(), log = self.origin.log, "{warning}");
        }
        Ok(())
    }

    async fn close(&self) {
        let chain = {
            let memory = self.memory();
            // A manifest that is on the way has the number this one would get; it is repeated by the next process.
            let is_taken = memory.sending.is_some_and(|(_, is_manifest)| is_manifest);
            memory.chain.clone().filter(|_| memory.announced && !memory.stopped && !is_taken)
        };
        let Some(chain) = chain else { return };
        let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
        let to = chain.committed;
        let Some(statement) = self.statement(chain, Reason::Stop, to, None, now) else {
            return;
        };
        // The cursor file is written no more, so the manifest is kept here for the next process to find and chain to.
        let kept =
            serde_json::to_vec(&statement).map_err(io::Error::other).and_then(|text| crate::spool::replace(&self.stop_file(), &text));
        if let Err(error) = kept {
            tracing::error!(%error, "No stop manifest: it can't be staged.");
            return;
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.send_manifest(&statement)).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => {
                tracing::warn!(%failure, "The stop manifest is not stored yet; the next start will.")
            }
            Err(_) => tracing::warn!("The stop manifest is not stored yet; the next start will."),
        }
    }
}
