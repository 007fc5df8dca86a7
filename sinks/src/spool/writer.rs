//! The one writer of a spool: records are gathered into frames, a commit makes them visible.

use super::damage::Register;
use super::flush;
use super::folder::OpenError;
use super::frame::{HEAD, Head, Kind, MAX_PAYLOAD, Seed};
use super::log::{Chunk, Disk, Settings, Shared, Visible};
use super::nudges::Nudges;
use super::options::{Durable, Options, Stalled};
use super::record::{TooLarge, put_record};
use super::recover::{self, Found, Opening};
use super::segment::{LogKind, Piece, Scan};
use super::{Commit, Damaged, ReadError, Spool, SpoolId};
use bytes::Bytes;
use std::fs::File;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A frame of records is closed when its payload has this size.
const FRAME: usize = 256 << 10;
/// Bytes in memory, not yet synced, above which the writer waits for the flusher.
const MAX_UNSYNCED: u64 = 8 << 20;
/// How long it waits before it says [`Stalled`].
const PATIENCE: Duration = Duration::from_secs(1);

/// The writing end of a spool. Dropping it leaves the spool as a kill would; [`Writer::close`] closes it.
pub struct Writer {
    shared: Arc<Shared>,
    flusher: Option<JoinHandle<()>>,
    seed: Seed,
    /// Whole frames and one open frame of records.
    buffer: Vec<u8>,
    /// The position of the buffer's first byte.
    start: u64,
    /// The open frame of records: where in the buffer, its first number.
    open: Option<(usize, u64)>,
    next: u64,
    nudges: Nudges,
    committed: Visible,
    /// The disk kept the writer waiting in vain since the last commit, which says so.
    given_up: bool,
}

impl Writer {
    /// Opens a spool's folder, or makes it.
    ///
    /// # Errors
    /// If the folder is in use, of another node or release, or the system refuses.
    pub fn open(folder: &Path, options: &Options) -> Result<(Self, Found), OpenError> {
        Self::open_on(folder, options, Disk::default())
    }

    pub(super) fn open_on(folder: &Path, options: &Options, disk: Disk) -> Result<(Self, Found), OpenError> {
        let settings = Settings {
            kind: LogKind::Spool,
            node: options.node.clone(),
            segments: 16,
            retain: true,
            spares: 0,
            min_free_percent: options.min_free_percent,
            disk,
        };
        let opening = Opening { boot: &options.boot, renew: options.renew.clone(), resume_at: 0 };
        let (shared, found) = recover::open(folder, settings, options.max_bytes, &opening, &mut |_, _| {})?;
        let shared = Arc::new(shared);
        let committed = shared.lock().last;
        let thread = shared.clone();
        let flusher = std::thread::Builder::new().name("spool-flush".to_owned()).spawn(move || flush::run(&thread));
        let flusher = flusher.map_err(super::folder::at(folder))?;
        let seed = Seed::of(&committed.id);
        let writer = Self {
            shared,
            flusher: Some(flusher),
            seed,
            buffer: Vec::new(),
            start: committed.position,
            open: None,
            next: committed.sequence,
            nudges: Nudges::default(),
            committed,
            given_up: false,
        };
        Ok((writer, found))
    }

    /// The handle that readers, cursors and metrics come from.
    pub fn spool(&self) -> Spool {
        Spool { shared: self.shared.clone() }
    }

    /// The spool's identity.
    pub fn id(&self) -> SpoolId {
        self.committed.id
    }

    /// The sequence number the next record will get.
    pub fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Takes a record, and gives its sequence number. It becomes visible with the next commit.
    ///
    /// # Errors
    /// If no frame can hold it; then nothing was taken.
    pub fn append(&mut self, time: i64, key: &[u8], labels: &[u8], line: &[u8]) -> Result<u64, TooLarge> {
        let (from, _) = *self.open.get_or_insert_with(|| {
            let from = self.buffer.len();
            self.buffer.extend_from_slice(&[0; HEAD]);
            (from, self.next)
        });
        put_record(&mut self.buffer, (time, self.nudges.next(time)), key, labels, line)?;
        let sequence = self.next;
        self.next += 1;
        if self.buffer.len() - from >= FRAME {
            self.close_frame();
            self.hand_over(None);
        }
        Ok(sequence)
    }

    /// Takes bytes that no sink will see, until a later commit's `partials` lies behind them. Gives the position of their frame.
    ///
    /// # Errors
    /// If no frame can hold them (32 MiB); then nothing was taken.
    pub fn append_hidden(&mut self, bytes: &[u8]) -> Result<u64, TooLarge> {
        if bytes.len() > MAX_PAYLOAD as usize {
            return Err(TooLarge { line: bytes.len(), key: 0, labels: 0 });
        }
        self.close_frame();
        let position = self.start + self.buffer.len() as u64;
        self.put_frame(Kind::Hidden, bytes);
        if self.buffer.len() >= FRAME {
            self.hand_over(None);
        }
        Ok(position)
    }

    /// Makes everything appended since the last commit visible, at once, as soon as it is on disk. `first`, `next` and a `time` that would
    /// go backwards are set here.
    ///
    /// # Errors
    /// If the disk does not take it just now. The commit is kept and must not be repeated; see [`Stalled`].
    pub fn commit(&mut self, mut commit: Commit) -> Result<(), Stalled> {
        self.close_frame();
        commit.first = self.committed.sequence;
        commit.next = self.next;
        commit.time = commit.time.max(self.committed.time);
        commit.damaged = self.declared();
        let position = self.start + self.buffer.len() as u64;
        // Serializing a commit cannot fail: its maps have text keys.
        let json = serde_json::to_vec(&commit).unwrap_or_default();
        self.put_frame(Kind::Commit, &json);
        self.committed = Visible {
            id: self.committed.id,
            position: self.start + self.buffer.len() as u64,
            sequence: self.next,
            time: commit.time,
            intake_position: commit.intake_position,
            keep: commit.partials.unwrap_or(position).min(position),
        };
        self.shared.metrics.commits.fetch_add(1, Relaxed);
        self.hand_over(Some(self.committed));
        self.given_up = false;
        self.retry()
    }

    /// Tries again to write what the disk did not take, and waits a moment for what is written but not synced.
    ///
    /// # Errors
    /// If the disk still does not take it.
    pub fn retry(&mut self) -> Result<(), Stalled> {
        let started = Instant::now();
        let mut state = self.shared.lock();
        loop {
            let result = self.shared.write_queued(&mut state);
            let waiting = state.queued - state.synced;
            if result.is_ok() && waiting < MAX_UNSYNCED {
                return Ok(());
            }
            if result.is_err() && waiting < MAX_UNSYNCED / 2 {
                // There is room in memory; the flusher tries again.
                return Ok(());
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            if left.is_zero() {
                let why = result.err().map_or_else(|| "fdatasync does not come back or fails".to_owned(), |error| error.to_string());
                return Err(Stalled { folder: self.shared.folder.path.display().to_string(), waiting, why });
            }
            state.kick = true;
            self.shared.wake.notify_one();
            state = self.shared.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The last commit that is certain to survive a power loss.
    pub fn durable(&self) -> Durable {
        let visible = *self.shared.visible.borrow();
        Durable { intake_position: visible.intake_position, next: visible.sequence, time: visible.time }
    }

    /// Whether a reader has met damage that no commit has declared.
    pub fn has_damage(&self) -> bool {
        self.register().is_open()
    }

    /// The records that readers found damaged since the last call, and before it in lives that ended too soon to say so. They have to be
    /// declared with the next commit, which says that they were.
    pub fn take_damage(&mut self) -> Vec<Damaged> {
        self.register().declare()
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.shared.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next commit names as declared.
    fn declared(&self) -> Vec<Damaged> {
        if self.register().is_empty() {
            return Vec::new();
        }
        let begins = self.shared.begins();
        // Whether the disk is certain to have the last commit.
        let is_durable = self.shared.visible.borrow().position >= self.committed.position;
        self.register().declared(&begins, is_durable)
    }

    /// The hidden frames between a position and the last commit on disk: partial sums to go on from. A damaged one ends the
    /// reading with `false`.
    ///
    /// # Errors
    /// If the disk cannot be read just now.
    pub fn hidden(&self, from: u64, each: &mut dyn FnMut(&[u8])) -> Result<bool, ReadError> {
        let (segments, to) = {
            let state = self.shared.lock();
            (state.segments.clone(), state.last.position)
        };
        let mut position = from;
        // Segments behind the commit hold only what is not committed yet.
        for segment in segments.iter().filter(|segment| segment.end > from && segment.base < to) {
            let path = self.shared.folder.segment(segment.base);
            let failed = |source| ReadError { folder: path.display().to_string(), position: segment.base, source };
            if segment.base > position {
                return Ok(false);
            }
            let mut scan = Scan::new(File::open(&path).map_err(failed)?, segment.base, &segment.id, position);
            let end = segment.end.min(to);
            while let Some(piece) = scan.next(end).map_err(failed)? {
                match piece {
                    Piece::Frame(head, payload) if head.kind == Kind::Hidden => each(payload),
                    Piece::Frame(..) => {}
                    Piece::Bad { .. } => return Ok(false),
                }
            }
            position = scan.position();
        }
        Ok(position >= to)
    }

    /// Waits until everything committed is on disk, and visible.
    ///
    /// # Errors
    /// If the disk does not take it within `patience`.
    pub fn flush(&self, patience: Duration) -> Result<(), Stalled> {
        let started = Instant::now();
        loop {
            let result = flush::sync(&self.shared);
            let state = self.shared.lock();
            let waiting = state.queued - state.synced;
            if result.is_ok() && waiting == 0 && !state.sync_failed {
                return Ok(());
            }
            drop(state);
            if started.elapsed() >= patience {
                let why = result.err().map_or_else(String::new, |error| error.to_string());
                return Err(Stalled { folder: self.shared.folder.path.display().to_string(), waiting, why });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until everything committed is on disk, then closes the spool so that the next start knows that nothing is missing. Records
    /// appended after the last commit are given up.
    ///
    /// # Errors
    /// If the disk does not take it within `patience`; the spool is then left as a kill would leave it.
    pub fn close(mut self, patience: Duration) -> Result<(), Stalled> {
        self.flush(patience)?;
        self.stop();
        if let Err(error) = self.shared.folder.mark_closed() {
            tracing::warn!(folder = %self.shared.folder.path.display(), %error, "The spool could not be marked as closed.");
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(flusher) = self.flusher.take() {
            // The flusher has no result; that it panicked is in the process's log.
            let _ = flusher.join();
        }
    }

    fn put_frame(&mut self, kind: Kind, payload: &[u8]) {
        let head = Head {
            kind,
            length: payload.len() as u32,
            count: 0,
            position: self.start + self.buffer.len() as u64,
            number: self.next,
            payload_crc: self.seed.sum(payload, b""),
        };
        self.buffer.extend_from_slice(&head.encode(self.seed));
        self.buffer.extend_from_slice(payload);
    }

    fn close_frame(&mut self) {
        let Some((from, number)) = self.open.take() else {
            return;
        };
        if number == self.next {
            self.buffer.truncate(from);
            return;
        }
        let payload = &self.buffer[from + HEAD..];
        let head = Head {
            kind: Kind::Records,
            length: payload.len() as u32,
            count: (self.next - number) as u32,
            position: self.start + from as u64,
            number,
            payload_crc: self.seed.sum(payload, b""),
        };
        self.shared.metrics.records.fetch_add(self.next - number, Relaxed);
        self.buffer[from..from + HEAD].copy_from_slice(&head.encode(self.seed));
    }

    /// Hands whole frames to the log. What the disk does not take stays in memory, and shows as [`Stalled`] at the next commit.
    fn hand_over(&mut self, visible: Option<Visible>) {
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.shared.metrics.appended_bytes.fetch_add(bytes.len() as u64, Relaxed);
        let chunk = Chunk { position: self.start, number: self.next, visible, bytes };
        self.start += chunk.bytes.len() as u64;
        let mut state = self.shared.lock();
        // A failure is counted there, and tried again by the flusher and at every commit.
        let _ = self.shared.append(&mut state, chunk);
        self.shared.wake.notify_one();
        // A window's lines come faster than a disk takes them, and until it has they are memory.
        let started = Instant::now();
        while state.written == state.queued && state.queued - state.synced >= MAX_UNSYNCED && !self.given_up {
            let left = PATIENCE.saturating_sub(started.elapsed());
            self.given_up = left.is_zero();
            state = self.shared.progress.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}
