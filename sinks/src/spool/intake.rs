//! The intake: raw bytes of a source, numbered by position, between the kernel's ring (or another source) and everything else.
//!
//! One append is one write, straight from the caller's memory, with a small header that says where the bytes come from; the cost is the
//! copy into the page cache and one CRC-32C. The intake never blocks and never drops: at its bound it answers [`Appended::Full`], and the
//! source keeps its events. Several readers follow at their own pace, and hold what they have not released.
//!
//! A crash between an append and the release of the ring is recognised: bytes that a frame already holds, by ring identity, number and
//! position, are not stored twice.

use super::flush;
use super::folder::OpenError;
use super::frame::{HEAD, Head, Kind, MAX_PAYLOAD, Seed};
use super::intake_reader::IntakeReader;
use super::log::{Disk, Settings, Shared};
use super::recover::{self, Found, Opening};
use super::retention::Holder;
use super::segment::LogKind;
use super::{SpoolMetrics, WhenFull};
use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of an [`Origin`] in front of the raw bytes of a frame.
pub const ORIGIN: usize = 48;

/// Where the raw bytes of a frame come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// When they were taken, nanoseconds since 1970 UTC. Raised to the frame's before where it would go backwards.
    pub arrival: i64,
    /// What has to be added to a time of the boot clock to get nanoseconds since 1970 UTC.
    pub clock_offset: i64,
    /// The instance of the ring (or file) the bytes were in: random, stays with the ring.
    pub ring_id: [u8; 16],
    /// Where in the ring the bytes begin. Counts the ring's bytes and never wraps.
    pub ring_position: u64,
    /// Which ring of the instance.
    pub ring: u32,
    /// The layout version of the events.
    pub layout: u16,
    /// What kind of source, in the exporter's numbering.
    pub source: u8,
}

impl Origin {
    fn encode(&self) -> [u8; ORIGIN] {
        let mut bytes = [0; ORIGIN];
        bytes[..8].copy_from_slice(&self.arrival.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.clock_offset.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.ring_id);
        bytes[32..40].copy_from_slice(&self.ring_position.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.ring.to_le_bytes());
        bytes[44..46].copy_from_slice(&self.layout.to_le_bytes());
        bytes[46] = self.source;
        bytes
    }
}

/// Splits the payload of an intake frame into its origin and the raw bytes; `None` if it is too short.
pub fn split_origin(payload: &[u8]) -> Option<(Origin, &[u8])> {
    let (head, bytes) = payload.split_first_chunk::<ORIGIN>()?;
    let long = |at: usize| head[at..at + 8].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    let origin = Origin {
        arrival: long(0) as i64,
        clock_offset: long(8) as i64,
        ring_id: std::array::from_fn(|index| head[16 + index]),
        ring_position: long(32),
        ring: long(40) as u32,
        layout: u16::from_le_bytes([head[44], head[45]]),
        source: head[46],
    };
    Some((origin, bytes))
}

/// How an intake is opened.
#[derive(Clone, Debug)]
pub struct IntakeOptions {
    /// The node's name. A folder written on another node is refused.
    pub node: String,
    /// This boot of the machine, see [`super::boot_id`].
    pub boot: String,
    /// The most the intake may take on disk, in bytes. Default 256 MiB.
    pub max_bytes: u64,
    /// The highest intake position that any spool's last commit names: positions go on behind it, even if the intake lost its end.
    pub resume_at: u64,
}

impl IntakeOptions {
    /// The defaults for a node in this boot.
    pub fn new(node: &str, boot: &str) -> Self {
        Self { node: node.to_owned(), boot: boot.to_owned(), max_bytes: 256 << 20, resume_at: 0 }
    }
}

/// What came of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// Stored; readers see it at once.
    Stored {
        /// The position of the frame.
        position: u64,
        /// Bytes of the ring between the last frame of this ring and these bytes: lost, on their way here or on this disk.
        missing: u64,
    },
    /// The intake has all of it already.
    Already,
    /// The intake is at its bound. The bytes stay in the ring; try again once readers got on.
    Full,
}

/// The writing end of the intake. Dropping it leaves it as a kill would.
pub struct Intake {
    shared: Arc<Shared>,
    flusher: Option<JoinHandle<()>>,
    seed: Seed,
    arrival: i64,
    /// Where each ring's bytes end in the intake.
    rings: HashMap<([u8; 16], u32), u64>,
}

impl Intake {
    /// Opens the intake's folder, or makes it.
    ///
    /// # Errors
    /// If the folder is in use, of another node or release, or the system refuses.
    pub fn open(folder: &Path, options: &IntakeOptions) -> Result<(Self, Found), OpenError> {
        Self::open_on(folder, options, Disk::default())
    }

    pub(super) fn open_on(folder: &Path, options: &IntakeOptions, disk: Disk) -> Result<(Self, Found), OpenError> {
        let settings = Settings {
            kind: LogKind::Intake,
            node: options.node.clone(),
            segments: 8,
            retain: false,
            spares: 2,
            min_free_percent: 0,
            disk,
        };
        let opening = Opening { boot: &options.boot, renew: None, resume_at: options.resume_at };
        let (mut rings, mut arrival) = (HashMap::new(), i64::MIN);
        let (shared, found) = recover::open(folder, settings, options.max_bytes, &opening, &mut |head, payload| {
            if let Some((origin, bytes)) = split_origin(payload).filter(|_| head.kind == Kind::Raw) {
                let end = origin.ring_position.saturating_add(bytes.len() as u64);
                let known: &mut u64 = rings.entry((origin.ring_id, origin.ring)).or_default();
                *known = end.max(*known);
                arrival = arrival.max(origin.arrival);
            }
        })?;
        let shared = Arc::new(shared);
        let seed = Seed::of(&shared.lock().id);
        let thread = shared.clone();
        let flusher = std::thread::Builder::new().name("intake-flush".to_owned()).spawn(move || flush::run(&thread));
        let flusher = flusher.map_err(super::folder::at(folder))?;
        Ok((Self { shared, flusher: Some(flusher), seed, arrival, rings }, found))
    }

    /// Appends raw bytes, at most 16 MiB, as one frame.
    ///
    /// # Errors
    /// If the disk does not take them just now (a full disk). Nothing was stored; the bytes stay in the ring.
    pub fn append(&mut self, origin: &Origin, bytes: &[u8]) -> io::Result<Appended> {
        let ring = (origin.ring_id, origin.ring);
        let mut origin = *origin;
        let mut bytes = bytes;
        let mut missing = 0;
        if let Some(known) = self.rings.get(&ring) {
            missing = origin.ring_position.saturating_sub(*known);
            let already = usize::try_from(known.saturating_sub(origin.ring_position)).unwrap_or(usize::MAX);
            bytes = bytes.get(already..).unwrap_or(&[]);
            origin.ring_position = origin.ring_position.max(*known);
        }
        if bytes.is_empty() {
            return Ok(Appended::Already);
        }
        if bytes.len() > MAX_PAYLOAD as usize / 2 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Nobody else takes room: it can only have become more by the time the bytes are written.
        if (HEAD + ORIGIN + bytes.len()) as u64 > self.room() {
            self.shared.metrics.full.fetch_add(1, Relaxed);
            return Ok(Appended::Full);
        }
        Ok(Appended::Stored { position: self.store(origin, bytes)?, missing })
    }

    /// Says once more where the bytes of each ring of an instance end, in a frame without bytes for each, so that the frames that brought them may go and
    /// [`Intake::ring_end`] still knows after a start. Beyond the bound too: it is a few hundred bytes, and what could make room may wait for them.
    ///
    /// # Errors
    /// If the disk does not take them just now.
    pub fn repeat_ends(&mut self, origin: &Origin) -> io::Result<()> {
        let ends: Vec<(u32, u64)> =
            self.rings.iter().filter(|((ring_id, _), _)| *ring_id == origin.ring_id).map(|((_, ring), end)| (*ring, *end)).collect();
        for (ring, ring_position) in ends {
            self.store(Origin { ring, ring_position, ..*origin }, &[])?;
        }
        Ok(())
    }

    /// Writes a frame, and gives its position.
    fn store(&mut self, mut origin: Origin, bytes: &[u8]) -> io::Result<u64> {
        origin.arrival = origin.arrival.max(self.arrival);
        let encoded = origin.encode();
        let length = (ORIGIN + bytes.len()) as u64;
        let mut state = self.shared.lock();
        let position = state.written;
        let head =
            Head { kind: Kind::Raw, length: length as u32, count: 0, position, number: 0, payload_crc: self.seed.sum(&encoded, bytes) };
        let head_bytes = head.encode(self.seed);
        let parts = [IoSlice::new(&head_bytes), IoSlice::new(&encoded), IoSlice::new(bytes)];
        self.shared.write(&mut state, &parts, length + HEAD as u64)?;
        state.queued = state.written;
        state.last.position = state.written;
        let wake = state.written - state.synced >= flush::SOON || state.synced == position;
        drop(state);
        if wake {
            self.shared.wake.notify_one();
        }
        self.shared.metrics.appended_bytes.fetch_add(length, Relaxed);
        self.shared.tail.advance(head.end());
        self.arrival = origin.arrival;
        self.rings.insert((origin.ring_id, origin.ring), origin.ring_position + bytes.len() as u64);
        Ok(position)
    }

    /// Bytes until the bound, headers included.
    pub fn room(&self) -> u64 {
        self.shared.max_bytes.load(Relaxed).saturating_sub(self.shared.lock().on_disk())
    }

    /// Where the bytes of a ring end in the intake: what the ring may release, and, compared with the ring's own consumer position, whether
    /// the intake has lost something.
    pub fn ring_end(&self, ring_id: &[u8; 16], ring: u32) -> Option<u64> {
        self.rings.get(&(*ring_id, ring)).copied()
    }

    /// The newest arrival in the intake, nanoseconds since 1970 UTC; far in the past for an empty one.
    pub fn arrival(&self) -> i64 {
        self.arrival
    }

    /// The position after the last frame.
    pub fn end(&self) -> u64 {
        self.shared.tail.position()
    }

    /// The handle that readers and metrics come from.
    pub fn readers(&self) -> IntakeReaders {
        IntakeReaders { shared: self.shared.clone() }
    }

    /// Waits until everything is on disk, then closes the intake so that the next start knows that nothing is missing.
    ///
    /// # Errors
    /// If the disk does not take it within `patience`; the intake is then left as a kill would leave it.
    pub fn close(mut self, patience: Duration) -> io::Result<()> {
        let started = Instant::now();
        while let Err(error) = flush::sync(&self.shared) {
            if started.elapsed() >= patience {
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stop();
        self.shared.folder.mark_closed()
    }

    fn stop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_all();
        if let Some(flusher) = self.flusher.take() {
            // The flusher has no result; that it panicked is in the process's log.
            let _ = flusher.join();
        }
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Makes readers of an intake. Cheap to clone.
#[derive(Clone)]
pub struct IntakeReaders {
    shared: Arc<Shared>,
}

impl IntakeReaders {
    /// A reader from this position on (a commit's intake position, or [`Intake::end`] for a flow log that is new). Until it is released,
    /// nothing from there on is given up. `name` tells readers apart; one of the same name takes the other's place.
    pub fn reader(&self, name: &str, position: u64) -> IntakeReader {
        self.shared.lock().holders.insert(name.to_owned(), Holder { position, when_full: WhenFull::Hold });
        IntakeReader::new(self.shared.clone(), name, position)
    }

    /// What the intake counts.
    pub fn metrics(&self) -> &SpoolMetrics {
        &self.shared.metrics
    }

    /// The position of the oldest frame that is kept.
    pub fn begin(&self) -> u64 {
        self.shared.lock().segments.front().map_or_else(|| self.shared.tail.position(), |segment| segment.base)
    }

    /// The position after the last frame.
    pub fn end(&self) -> u64 {
        self.shared.tail.position()
    }
}
