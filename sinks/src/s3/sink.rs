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

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Circumstances, newest};
use super::config::{Options, Origin, Problem};
use super::cutting::{Cutting, Size, Taken};
use super::failure::Failure;
use super::key::{Hour, Layout, hex};
use super::manifest::{Manifest, Object, Reason};
use super::object::{Staged, Sums};
use super::store::Store;
use crate::driver::{Batch, Health, Limits, Outcome, ResumeError, Sink, Step};
use crate::spool::{Cursor, Cut, ReadError, Reader, SpoolId};

/// How long after an hour's end by the clock its last commit may still come.
const GRACE: i64 = 10_000_000_000;
/// How often freezing is tried while there is something to read.
const EVERY: Duration = Duration::from_secs(1);
/// How long a stopping daemon waits for its last manifest.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// One flow log's way into a bucket or folder.
pub struct S3Sink {
    options: Options,
    origin: Origin,
    layout: Layout,
    store: Store,
    staging: PathBuf,
    /// When this process started, Unix nanoseconds.
    started: i64,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// The chain at the cursor; unknown until the state or the place told.
    chain: Option<Chain>,
    /// Whether this process has written its start manifest.
    announced: bool,
    /// What is read and not due yet.
    cutting: Option<Cutting>,
    /// Where the batch that is on the way began, and whether it is a manifest.
    sending: Option<(Cursor, bool)>,
    /// The stop manifest of the process before, to be stored (again) before anything else: its cursor file knows nothing
    /// of it, `chain` does.
    left: Option<Statement>,
    /// Whether the last thing delivered was a stop manifest.
    stopped: bool,
}

/// A batch.
pub enum Frozen {
    /// Ask the place for the newest manifest of this flow log and node.
    Ask(Chain),
    /// An object.
    Object {
        /// The bytes.
        staged: Box<Staged>,
        /// The chain behind it, less the object itself.
        chain: Chain,
        /// SHA-256 of the lines an earlier process had meant to store.
        also: Option<String>,
    },
    /// A manifest; with its reason if this process made it.
    Manifest(Box<Statement>, Option<Reason>),
}

/// A manifest whose bytes will not change any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its text.
    text: String,
    /// The last hour it covers, by its first nanosecond.
    hour: i64,
    /// End of its period, Unix nanoseconds.
    to: i64,
    /// The chain in front of it.
    chain: Chain,
    /// The spool's id behind it, and the sequence number it starts with, if it is another.
    renewed: Option<(SpoolId, u64)>,
}

/// What a cut's intent holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Intent {
    Object { key: String, first: u64, last: u64, sha256: String, plain_sha256: String },
    Manifest(Box<Statement>),
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
        fs::create_dir_all(&staging)
            .map_err(|error| Problem { key: "state folder", why: format!("{}: {error}", staging.display()) })?;
        let layout =
            Layout { prefix, cluster: origin.cluster.clone(), log: origin.log.clone(), node: origin.node.clone() };
        Ok(Self { options, origin, layout, store, staging, started: now, memory: Mutex::default() })
    }

    /// The endpoint's clock minus the node's in milliseconds; `None` before the first answer.
    pub fn clock_offset_milliseconds(&self) -> Option<i64> {
        self.store.clock().offset_milliseconds()
    }

    fn size(&self) -> Size {
        Size { bytes: self.options.object_bytes, records: self.options.object_records, level: self.options.level }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop_file(&self) -> PathBuf {
        self.staging.join("stop.json")
    }

    fn next_batch(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, now: i64, memory: &mut Memory, chain: Chain) -> Result<Step<Frozen>, Trouble> {
        if let Some(cut) = cut
            && let Some(step) = self.repeat(reader, cut, chain.clone())?
        {
            return Ok(step);
        }
        if memory.announced {
            return self.read_on(reader, limits, now, memory, chain);
        }
        let (to, end) = (chain.committed, reader.cursor());
        Ok(self.state(chain, Reason::Start, to, None, now, end))
    }

    /// Reads on from where the last call stopped, until something has to go out or the spool has no more.
    fn read_on(&self, reader: &mut Reader, limits: &Limits, now: i64, memory: &mut Memory, chain: Chain) -> Result<Step<Frozen>, Trouble> {
        let from = reader.cursor();
        let mut cutting = match memory.cutting.take() {
            Some(cutting) if cutting.from == from => cutting,
            _ => Cutting::new(from, chain),
        };
        reader.seek(&cutting.to);
        let (path, started) = (self.staging.join("object.jsonl.zst"), Hour::of(self.started));
        loop {
            let taken = match reader.peek()? {
                None => break,
                Some(item) => cutting.take(item, self.size(), &path, started)?,
            };
            match taken {
                Taken::Yes => {
                    reader.advance();
                    cutting.to = reader.cursor();
                }
                Taken::CloseObject => return self.close_object(cutting, reader.cursor()),
                Taken::WriteManifest(_) => return Ok(self.close_period(cutting, taken, None, now)),
                Taken::Renewed(id, is_passed) => {
                    if is_passed {
                        reader.advance();
                    }
                    cutting.to = reader.cursor();
                    let first = cutting.to.sequence;
                    return Ok(self.close_period(cutting, taken, Some((id, first)), now));
                }
            }
        }
        self.at_the_end(cutting, limits, now, memory)
    }

    /// The spool has no more for now: something may be due by the clock.
    fn at_the_end(&self, cutting: Cutting, limits: &Limits, now: i64, memory: &mut Memory) -> Result<Step<Frozen>, Trouble> {
        let draining = limits.max_age < EVERY;
        let hour = Hour::of(now.saturating_sub(GRACE));
        let to_hour_end = hour.end().saturating_add(GRACE).saturating_sub(now);
        let max_age = if draining { 0 } else { i64::try_from(self.options.max_age.as_nanos()).unwrap_or(i64::MAX) };
        let wait = if cutting.open.is_some() {
            match cutting.object_is_due(self.size(), now, max_age, hour) {
                Ok(()) => {
                    let end = cutting.to;
                    return self.close_object(cutting, end);
                }
                Err(left) => left.min(to_hour_end),
            }
        } else if let Some(to) = cutting.chain.due(hour, Hour::of(self.started)) {
            return Ok(self.close_period(cutting, Taken::WriteManifest(to), None, now));
        } else if draining && cutting.to != cutting.from {
            let to = cutting.chain.committed;
            return Ok(self.state(cutting.chain, Reason::Stop, to, None, now, cutting.to));
        } else {
            to_hour_end
        };
        memory.cutting = Some(cutting);
        Ok(Step::Wait(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).max(Duration::from_millis(10))))
    }

    fn close_object(&self, cutting: Cutting, end: Cursor) -> Result<Step<Frozen>, Trouble> {
        let Some(open) = cutting.open else { return Ok(Step::Wait(EVERY)) };
        let staged = open.finish()?;
        let sums = &staged.sums;
        let intent = Intent::Object {
            key: self.layout.object_key(sums.hour, cutting.chain.spool.0, sums.first, sums.last, 0),
            first: sums.first,
            last: sums.last,
            sha256: hex(&staged.sha256),
            plain_sha256: hex(&staged.plain_sha256),
        };
        Ok(Step::Batch(Batch {
            records: sums.records,
            bytes: staged.bytes,
            cut: Some(Cut { end, intent: serde_json::to_value(intent).map_err(io::Error::other)? }),
            frozen: Frozen::Object { staged: Box::new(staged), chain: cutting.chain, also: None },
        }))
    }

    fn close_period(&self, cutting: Cutting, taken: Taken, renewed: Option<(SpoolId, u64)>, now: i64) -> Step<Frozen> {
        match cutting.reason(taken) {
            Some((reason, to)) => self.state(cutting.chain, reason, to, renewed, now, cutting.to),
            None => Step::Wait(EVERY),
        }
    }

    /// Freezes a manifest; the batch ends at `end`.
    fn state(&self, chain: Chain, reason: Reason, to: i64, renewed: Option<(SpoolId, u64)>, now: i64, end: Cursor) -> Step<Frozen> {
        let Some(statement) = self.statement(chain, reason, to, renewed, now) else { return Step::Wait(EVERY) };
        match serde_json::to_value(Intent::Manifest(Box::new(statement.clone()))) {
            Ok(intent) => Step::Batch(Batch {
                records: 0,
                bytes: statement.text.len() as u64,
                cut: Some(Cut { end, intent }),
                frozen: Frozen::Manifest(Box::new(statement), Some(reason)),
            }),
            Err(_) => Step::Wait(EVERY),
        }
    }

    fn statement(&self, chain: Chain, reason: Reason, to: i64, renewed: Option<(SpoolId, u64)>, now: i64) -> Option<Statement> {
        let place = self.store.place();
        let around = Circumstances {
            origin: &self.origin,
            layout: &self.layout,
            place: &place,
            now,
            clock_offset_ms: self.store.clock().offset_milliseconds(),
        };
        let to = to.max(chain.to);
        let hour = Hour::of(if to > chain.to { to - 1 } else { to }).start();
        let manifest = chain.manifest(reason, to, around);
        let text = manifest.bytes().ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        Some(Statement { text, hour, to, chain, renewed })
    }

    /// Freezes again what an earlier process was about to send.
    /// `None` when the spool holds nothing of it any more: what became of it is for the gap there to say.
    fn repeat(&self, reader: &mut Reader, cut: &Cut, chain: Chain) -> Result<Option<Step<Frozen>>, Trouble> {
        let intent: Intent = serde_json::from_value(cut.intent.clone()).map_err(io::Error::other)?;
        let plain_sha256 = match intent {
            Intent::Manifest(statement) => {
                reader.seek(&cut.end);
                return Ok(Some(Step::Batch(Batch {
                    records: 0,
                    bytes: statement.text.len() as u64,
                    cut: Some(cut.clone()),
                    frozen: Frozen::Manifest(statement, None),
                })));
            }
            Intent::Object { plain_sha256, .. } => plain_sha256,
        };
        let mut cutting = Cutting::new(reader.cursor(), chain);
        let path = self.staging.join("object.jsonl.zst");
        let size = Size { bytes: u64::MAX, records: u64::MAX, level: self.options.level };
        while reader.cursor() != cut.end {
            let taken = match reader.peek()? {
                None => break,
                Some(item) => cutting.take(item, size, &path, Hour::of(self.started))?,
            };
            if taken != Taken::Yes {
                break;
            }
            reader.advance();
            cutting.to = reader.cursor();
        }
        if cutting.open.is_none() {
            return Ok(None);
        }
        let end = cutting.to;
        Ok(Some(match self.close_object(cutting, end)? {
            Step::Batch(Batch { frozen: Frozen::Object { staged, chain, .. }, records, bytes, cut }) => {
                if hex(&staged.plain_sha256) != plain_sha256 {
                    tracing::error!(first = staged.sums.first, "The spool no longer holds all records of an object that was about to be sent.");
                }
                let frozen = Frozen::Object { staged, chain, also: Some(plain_sha256) };
                Step::Batch(Batch { records, bytes, cut, frozen })
            }
            other => other,
        }))
    }

    async fn send_object(&self, staged: &Staged, chain: &Chain, also: Option<&str>) -> Result<Chain, Failure> {
        let sums = &staged.sums;
        let name = |conflict| self.layout.object_key(sums.hour, chain.spool.0, sums.first, sums.last, conflict);
        let kept = self.store.keep(name, staged, also).await?;
        let mut chain = chain.clone();
        chain.note_object(Object::new(staged, &kept));
        Ok(chain)
    }

    fn key_of(&self, statement: &Statement, conflict: u32) -> String {
        let chain = &statement.chain;
        self.layout.manifest_key(Hour::of(statement.hour), chain.spool.0, chain.number, conflict)
    }

    async fn send_manifest(&self, statement: &Statement) -> Result<Chain, Failure> {
        let chain = &statement.chain;
        let hour = Hour::of(statement.hour);
        let sums = Sums {
            hour,
            first: chain.first,
            last: chain.next,
            records: 0,
            plain_bytes: statement.text.len() as u64,
            flow_times: (0, 0),
            commit_times: (0, 0),
        };
        let (path, text) = (self.staging.join("manifest.json"), statement.text.clone());
        let written = tokio::task::spawn_blocking(move || Staged::write(&path, text.as_bytes(), sums)).await;
        let staged = written.map_err(io::Error::other).and_then(|staged| staged).map_err(|error| {
            Failure::refused(format!("the manifest can't be staged: {error}"), "check the state folder's disk")
        })?;
        let kept = self.store.keep(|conflict| self.key_of(statement, conflict), &staged, None).await?;
        let behind = chain.behind(&kept.key, statement.text.as_bytes(), statement.to);
        Ok(match statement.renewed {
            Some((id, first)) => behind.renewed(id, first),
            None => behind,
        })
    }

    /// Looks for the newest manifest of this flow log and node, so that the chain goes on although our state is gone.
    async fn ask(&self, chain: &Chain) -> Result<Chain, Failure> {
        let keys = self.store.list(&self.layout.manifests()).await?;
        let Some(key) = newest(&keys) else { return Ok(chain.clone()) };
        let bytes = self.store.read(key).await?;
        match serde_json::from_slice::<Manifest>(&bytes) {
            Ok(last) => Ok(chain.clone().resume_behind(&last, key, &bytes)),
            Err(error) => Err(Failure::refused(
                format!("{key} lies where manifests do and is none: {error}"),
                "a newer release may have written it; else delete that version, or give the node another name",
            )),
        }
    }

    /// Stores the stop manifest of the process before, if it has not been seen stored yet.
    async fn settle_what_was_left(&self) -> Result<(), Failure> {
        let left = self.memory().left.clone();
        if let Some(left) = left {
            self.send_manifest(&left).await?;
            self.memory().left = None;
        }
        Ok(())
    }

    async fn deliver(&self, frozen: &Frozen) -> Result<Chain, Failure> {
        self.settle_what_was_left().await?;
        match frozen {
            Frozen::Ask(chain) => self.ask(chain).await,
            Frozen::Object { staged, chain, also } => {
                let chain = self.send_object(staged, chain, also.as_deref()).await?;
                staged.discard();
                Ok(chain)
            }
            Frozen::Manifest(statement, _) => self.send_manifest(statement).await,
        }
    }
}

/// Why nothing could be frozen: the spool's disk or the staging folder's.
enum Trouble {
    Read(ReadError),
    Staging(io::Error),
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Staging(error)
    }
}

impl Sink for S3Sink {
    type Frozen = Frozen;

    fn limits(&self) -> Limits {
        Limits { max_bytes: 4 << 20, max_records: u64::MAX, max_age: EVERY }
    }

    fn resume(&self, _reader: &mut Reader, state: Option<&serde_json::Value>) -> Result<(), ResumeError> {
        let mut memory = self.memory();
        memory.chain = state.and_then(|state| match serde_json::from_value(state.clone()) {
            Ok(chain) => Some(chain),
            Err(error) => {
                tracing::error!(%error, "The state of the manifest chain can't be read; the newest manifest stored is asked for.");
                None
            }
        });
        let left = fs::read(self.stop_file()).ok().and_then(|text| serde_json::from_slice::<Statement>(&text).ok());
        let number = memory.chain.as_ref().map(|chain| chain.number);
        if let Some(left) = left.filter(|left| Some(left.chain.number) == number) {
            memory.chain = Some(left.chain.behind(&self.key_of(&left, 0), left.text.as_bytes(), left.to));
            memory.left = Some(left);
        }
        Ok(())
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, now: i64) -> Result<Step<Frozen>, ReadError> {
        let mut memory = self.memory();
        let from = reader.cursor();
        if memory.sending.is_some_and(|(sending, _)| sending != from) {
            return Ok(Step::Wait(Duration::from_millis(50)));
        }
        let step = match memory.chain.clone() {
            None => Ok(Step::Batch(Batch {
                frozen: Frozen::Ask(Chain::new(from.spool, from.sequence, now)),
                records: 0,
                bytes: 0,
                cut: None,
            })),
            Some(chain) => self.next_batch(reader, limits, cut, now, &mut memory, chain),
        };
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
        let Some(statement) = self.statement(chain, Reason::Stop, to, None, now) else { return };
        // The cursor file is written no more, so the manifest is kept here for the next process to find and chain to.
        let kept = serde_json::to_vec(&statement).map_err(io::Error::other).and_then(|text| write_durably(&self.stop_file(), &text));
        if let Err(error) = kept {
            tracing::error!(%error, "No stop manifest: it can't be staged.");
            return;
        }
        match tokio::time::timeout(STOP_TIMEOUT, self.send_manifest(&statement)).await {
            Ok(Ok(_)) => {}
            Ok(Err(failure)) => tracing::warn!(%failure, "The stop manifest is not stored yet; the next start will."),
            Err(_) => tracing::warn!("The stop manifest is not stored yet; the next start will."),
        }
    }
}

/// Writes a file so that it is whole or not there, and on disk.
fn write_durably(path: &std::path::Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write;
    let next = path.with_extension("next");
    let mut file = fs::File::create(&next)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
