//! The file as a destination: lines are frozen up to where the file is full, rotated, appended.
//!
//! A batch never spans a rotation: one that has to begin with a rotation carries a cut, so that the cursor with the file's inode and offset
//! is durable before the rename, and a crash inside the rotation is followed by inode ([`super::resume`]).

use super::active::Active;
use super::config::FileConfig;
use super::{backups, resume};
use crate::denied::At;
use crate::driver::{Batch, Health, Limits, Outcome, ResumeError, Sink, Step};
use crate::spool::{Cursor, Cut, Item, ReadError, Reader, now};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the path is compared with the open file, and a failed rotation or clean-up is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often what is written is synced, and the cursor stored.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// What a file sink counts. All counters start at 0 with the process.
#[derive(Debug, Default)]
pub struct FileMetrics {
    /// Rotations.
    pub rotations: AtomicU64,
    /// Rotations that failed; lines go on into the old file until one succeeds.
    pub rotate_errors: AtomicU64,
    /// Times the file was found renamed, removed or truncated by somebody else.
    pub external_changes: AtomicU64,
    /// Torn last lines that were ours and were completed in place.
    pub torn_lines_completed: AtomicU64,
    /// Torn last lines of unknown origin that were closed with a newline.
    pub torn_lines_closed: AtomicU64,
    /// Lines larger than the size limit, each in a file of its own.
    pub oversized_lines: AtomicU64,
    /// Writes that failed and are tried again.
    pub write_errors: AtomicU64,
    /// Backups removed by count, age or total size.
    pub backups_removed: AtomicU64,
    /// Backups compressed.
    pub backups_compressed: AtomicU64,
    /// Clean-ups of backups that failed and are tried again.
    pub backup_errors: AtomicU64,
}

/// Writes lines to a rotated file.
pub struct FileSink {
    inner: Arc<Inner>,
}

/// Shared with the blocking pool, where all file operations run.
struct Inner {
    config: FileConfig,
    metrics: Arc<FileMetrics>,
    state: Mutex<State>,
    tidying: AtomicBool,
    tidier: Mutex<Option<JoinHandle<()>>>,
    /// Set to end the clean-up where it is: whoever writes this file next has one of its own.
    ended: AtomicBool,
}

#[derive(Default)]
struct State {
    active: Option<Active>,
    /// When the file was last rotated by this process.
    rotated: Option<Instant>,
    /// The time in the newest backup's name, milliseconds since 1970, once known.
    newest: Option<i64>,
    looked: Option<Instant>,
    rotate_failed: Option<Instant>,
    /// The backups have to be looked through.
    untidy: bool,
}

/// Whole lines for one file.
pub struct Lines {
    inner: Arc<Frozen>,
}

struct Frozen {
    bytes: Vec<u8>,
    /// How far the bytes are written, and whether the rotation before them is still to be done.
    progress: Mutex<(usize, bool)>,
}

impl FileSink {
    /// A sink for this file. Nothing is opened yet.
    pub fn new(config: FileConfig) -> Self {
        let state = Mutex::new(State { untidy: true, ..State::default() });
        let metrics = Arc::new(FileMetrics::default());
        let (tidying, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { inner: Arc::new(Inner { config, metrics, state, tidying, tidier: Mutex::default(), ended }) }
    }

    /// The sink's settings.
    pub fn config(&self) -> &FileConfig {
        &self.inner.config
    }

    /// What the sink counts.
    pub fn metrics(&self) -> &Arc<FileMetrics> {
        &self.inner.metrics
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file's size now, whether it is open or not.
    fn size(&self, state: &State) -> u64 {
        match &state.active {
            Some(active) => active.size,
            None => self.config.path.metadata().map_or(0, |found| found.len()),
        }
    }

    /// How large the file may become. Between paced rotations it may have four times its limit.
    fn limit(&self, state: &State) -> u64 {
        let soon = |at: Option<Instant>, pause| at.is_some_and(|at| at.elapsed() < pause);
        if soon(state.rotate_failed, LOOK_EVERY) {
            return u64::MAX;
        }
        let paced = soon(state.rotated, self.config.min_rotate_interval);
        self.config.max_bytes.saturating_mul(if paced { 4 } else { 1 })
    }

    fn too_old(&self, state: &State) -> bool {
        let age = |born: i64| u64::try_from(now().saturating_sub(born)).unwrap_or(0);
        let paced = state.rotated.is_some_and(|at| at.elapsed() < self.config.min_rotate_interval);
        let limit = self.config.max_age.filter(|_| !paced);
        limit.is_some_and(|limit| {
            state.active.as_ref().is_some_and(|active| active.born > 0 && u128::from(age(active.born)) >= limit.as_nanos())
        })
    }

    /// Writes what is left of a batch. Gives the state to store with the cursor behind it.
    fn write(self: &Arc<Self>, frozen: &Frozen) -> io::Result<serde_json::Value> {
        let mut state = self.lock();
        let mut progress = frozen.progress.lock().unwrap_or_else(PoisonError::into_inner);
        self.look(&mut state)?;
        if progress.1 {
            self.rotate(&mut state)?;
            progress.1 = false;
        }
        if state.active.is_none() {
            // Another file than the one that has the beginning: a line is never split over two.
            progress.0 = memchr::memrchr(b'\n', &frozen.bytes[..progress.0]).map_or(0, |newline| newline + 1);
        }
        let active = self.open(&mut state)?;
        active.append(&frozen.bytes, &mut progress.0)?;
        let place = active.place();
        self.tidy(&mut state);
        Ok(self.stored(place)?)
    }

    /// A place as it stands in the cursor file.
    fn stored(&self, place: resume::Place) -> serde_json::Result<serde_json::Value> {
        serde_json::to_value(resume::Stored { place, path: Some(self.config.path.clone()) })
    }

    fn open<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Active> {
        let active = match state.active.take() {
            Some(active) => active,
            None => Active::open(&self.config, &self.metrics)?,
        };
        Ok(state.active.insert(active))
    }

    /// Notices, once a second, what others did to the file.
    fn look(&self, state: &mut State) -> io::Result<()> {
        if state.looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        state.looked = Some(Instant::now());
        if let Some(active) = &mut state.active
            && !active.still_there(&self.config.path, &self.metrics)?
        {
            self.leave(state)?;
            self.metrics.external_changes.fetch_add(1, Relaxed);
        }
        Ok(())
    }

    /// Leaves a file that the path does not name any more. The cursor is stored behind its lines, and nothing else will sync them.
    fn leave(&self, state: &mut State) -> io::Result<()> {
        if let Some(active) = &mut state.active {
            active.sync()?;
        }
        state.active = None;
        Ok(())
    }

    /// Rotates. What cannot be renamed is written on, and tried again later.
    fn rotate(&self, state: &mut State) -> io::Result<()> {
        let newest = state.newest;
        let active = self.open(state)?;
        if !active.still_there(&self.config.path, &self.metrics)? {
            self.leave(state)?;
            self.metrics.external_changes.fetch_add(1, Relaxed);
            return Ok(());
        }
        // Names are the order of backups: a clock that was set back must not put a newer one before an older one.
        let newest = match newest {
            Some(newest) => newest,
            None => backups::list(&self.config.path)?.first().map_or(i64::MIN, |backup| backup.time),
        };
        match active.rename_away(&self.config.path, now().div_euclid(1_000_000).max(newest.saturating_add(1))) {
            Ok(newest) => {
                self.metrics.rotations.fetch_add(1, Relaxed);
                let (rotated, newest) = (Some(Instant::now()), Some(newest));
                *state = State { rotated, newest, untidy: true, looked: state.looked, ..State::default() };
            }
            Err(error) => {
                tracing::warn!(path = %self.config.path.display(), %error, "The file cannot be rotated; lines go on into it until it can.");
                self.metrics.rotate_errors.fetch_add(1, Relaxed);
                state.rotate_failed = Some(Instant::now());
                if !self.config.path.exists() {
                    self.leave(state)?;
                }
            }
        }
        Ok(())
    }

    /// Has the backups looked through on a thread of their own, if there is something new.
    fn tidy(self: &Arc<Self>, state: &mut State) {
        if !state.untidy || self.tidying.swap(true, Relaxed) {
            return;
        }
        state.untidy = false;
        let inner = self.clone();
        let started = std::thread::Builder::new().name("file-backups".to_owned()).spawn(move || {
            // On Linux the niceness is the thread's own. Without it this is as good, only less polite.
            let _ = rustix::process::nice(10);
            let result = backups::tidy(&inner.config, &inner.metrics, now(), &inner.ended);
            if let Err(error) = result
                && !inner.ended.load(Relaxed)
            {
                tracing::warn!(path = %inner.config.path.display(), %error, "Backups could not be cleaned up; it is tried again.");
                inner.metrics.backup_errors.fetch_add(1, Relaxed);
                std::thread::sleep(LOOK_EVERY);
                inner.lock().untidy = true;
            }
            inner.tidying.store(false, Relaxed);
        });
        match started {
            Ok(tidier) => *self.tidier.lock().unwrap_or_else(PoisonError::into_inner) = Some(tidier),
            Err(_) => {
                self.tidying.store(false, Relaxed);
                state.untidy = true;
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match &mut self.lock().active {
            Some(active) => active.sync(),
            None => Ok(()),
        }
    }
}

impl Sink for FileSink {
    type Frozen = Lines;

    fn limits(&self) -> Limits {
        Limits { max_bytes: 1 << 20, max_records: u64::MAX, max_age: Duration::ZERO }
    }

    fn max_backoff(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn store_every(&self) -> Duration {
        SYNC_EVERY
    }

    fn resume(&self, reader: &mut Reader, state: Option<&serde_json::Value>) -> Result<Option<serde_json::Value>, ResumeError> {
        let stored: Option<resume::Stored> = state.and_then(|state| serde_json::from_value(state.clone()).ok());
        let (config, metrics) = (&self.inner.config, &self.inner.metrics);
        // Without a file, whatever stands at the path later was written from here on.
        let place = match stored {
            Some(stored) => resume::resume(config, metrics, reader, stored)?,
            None => resume::Place { inode: 0, born: 0, offset: 0 },
        };
        if !config.path.exists() {
            return Ok(self.inner.stored(place).ok());
        }
        // Here a last line that is torn and not ours is closed, and a second owner is refused.
        let mut held = self.inner.lock();
        let active = self.inner.open(&mut held).map_err(|error| ResumeError::Destination(At(&config.path, &error).to_string()))?;
        let place = active.place();
        Ok(self.inner.stored(place).ok())
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, _now: i64) -> Result<Step<Lines>, ReadError> {
        let state = self.inner.lock();
        let (mut size, limit) = (self.inner.size(&state), self.inner.limit(&state));
        let mut rotate = size > 0 && self.inner.too_old(&state);
        drop(state);
        let (mut bytes, mut records) = (Vec::new(), 0);
        let is_cut = |place: Cursor| cut.is_some_and(|cut| (place.position, place.sequence) >= (cut.end.position, cut.end.sequence));
        while (bytes.len() as u64) < limits.max_bytes && !is_cut(reader.cursor()) {
            match reader.peek()? {
                Some(Item::Record(record)) => {
                    let length = record.line.len() as u64 + 1;
                    if records == 0 && size > 0 && size + length > limit {
                        rotate = true;
                    }
                    size = if rotate && records == 0 { 0 } else { size };
                    // One line that is larger than the limit has a file of its own; otherwise a file ends before it is full.
                    if size > 0 && size + length > limit {
                        break;
                    }
                    if length > self.inner.config.max_bytes {
                        self.inner.metrics.oversized_lines.fetch_add(1, Relaxed);
                    }
                    bytes.extend_from_slice(record.line);
                    bytes.push(b'\n');
                    size += length;
                    records += 1;
                }
                Some(_) => {}
                None => break,
            }
            reader.advance();
        }
        if records == 0 {
            return Ok(Step::Skip);
        }
        let cut = rotate.then(|| Cut { end: reader.cursor(), intent: serde_json::json!("rotate") });
        let (length, progress) = (bytes.len() as u64, Mutex::new((0, rotate)));
        Ok(Step::Batch(Batch { frozen: Lines { inner: Arc::new(Frozen { bytes, progress }) }, records, bytes: length, cut }))
    }

    async fn send(&self, lines: &Lines) -> Outcome {
        let (inner, frozen) = (self.inner.clone(), lines.inner.clone());
        let result = tokio::task::spawn_blocking(move || {
            let result = inner.write(&frozen);
            if result.is_err() {
                inner.metrics.write_errors.fetch_add(1, Relaxed);
            }
            result
        });
        match result.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(state) => Outcome::Delivered { state: Some(state) },
            Err(error) => Outcome::Retry { why: At(&self.inner.config.path, &error).to_string(), after: None, shrink: false },
        }
    }

    fn settle(&self) -> io::Result<()> {
        self.inner.sync()
    }

    async fn check(&self) -> Result<(), Health> {
        let inner = self.inner.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let folder = super::active::folder_of(&inner.config.path);
            // A path without a root begins where the process stands.
            let here = |ancestor: &'_ Path| if ancestor.as_os_str().is_empty() { PathBuf::from(".") } else { ancestor.to_owned() };
            let found = folder.and_then(|folder| folder.ancestors().map(here).find(|ancestor| ancestor.exists()));
            let writable = found.is_some_and(|found| rustix::fs::access(found, rustix::fs::Access::WRITE_OK).is_ok());
            let file = inner.config.path.metadata().ok();
            let usable = file.as_ref().is_none_or(|file| file.is_file());
            if writable && usable {
                return Ok(());
            }
            let path = inner.config.path.display();
            Err(Health(format!("{path} cannot be written; make its folder writable for this process, or choose another filePath")))
        });
        checked.await.unwrap_or_else(|error| Err(Health(error.to_string())))
    }

    async fn close(&self) {
        let inner = self.inner.clone();
        let closed = tokio::task::spawn_blocking(move || {
            let result = inner.sync();
            inner.lock().active = None;
            inner.ended.store(true, Relaxed);
            let tidier = inner.tidier.lock().unwrap_or_else(PoisonError::into_inner).take();
            // That it panicked is in the process's log.
            drop(tidier.map(JoinHandle::join));
            result
        });
        if let Ok(Err(error)) = closed.await {
            tracing::warn!(path = %self.inner.config.path.display(), %error, "The file could not be synced at its end.");
        }
    }
}
