//! A batch of messages: their bytes, and what came of each so far.
//!
//! Promises that a retry sends only what is not known to be stored, in order, and that a record the broker refused among others gets a
//! chance alone before it counts as refused.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;

use crate::spool::{Record, SpoolId};
use crate::uid::Uid;

use super::delivery::{Attempt, Fate, Notes};
use super::errors::Class;
use super::order::Ticket;

/// A flow time further from its commit than this may be refused by a broker (`message.timestamp.after.max.ms`, 1 h by default).
const MAX_DISTANCE_NS: u64 = 600 * 1_000_000_000;

/// One record of a batch.
#[derive(Clone, Copy, Debug)]
struct Row {
    sequence: u64,
    time: i64,
    commit_time: i64,
    key_end: usize,
    line_end: usize,
}

/// What is known of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Open,
    Suspect,
    Stored,
    Refused(String),
}

/// Records to be sent, and how far that has got.
pub struct Frozen {
    spool: SpoolId,
    rows: Vec<Row>,
    bytes: Vec<u8>,
    progress: Mutex<Progress>,
    notes: Arc<Notes>,
    pub(super) ticket: Ticket,
}

#[derive(Default)]
struct Progress {
    known: Vec<Known>,
    running: Option<Running>,
    /// How many suspects to try together.
    together: usize,
}

/// An attempt that has begun: which rows, how many of them are enqueued, with which producer.
#[derive(Clone)]
pub struct Running {
    /// What the callbacks note.
    pub attempt: Arc<Attempt>,
    /// The rows, by their place in the batch.
    pub rows: Arc<[usize]>,
    /// The producer they were given to.
    pub generation: u64,
    /// Whether these rows were refused among others and are tried again in smaller company.
    pub suspects: bool,
    /// Rows enqueued so far.
    pub enqueued: usize,
}

impl Frozen {
    /// An empty batch.
    pub fn new(spool: SpoolId, notes: Arc<Notes>, ticket: Ticket) -> Frozen {
        Frozen { spool, rows: Vec::new(), bytes: Vec::new(), progress: Mutex::default(), notes, ticket }
    }

    /// Appends a record.
    pub fn add(&mut self, record: &Record<'_>) {
        self.bytes.extend_from_slice(record.key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(record.line);
        let (sequence, time, commit_time) = (record.sequence, record.time, record.commit_time);
        self.rows.push(Row { sequence, time, commit_time, key_end, line_end: self.bytes.len() });
        self.progress.get_mut().unwrap_or_else(PoisonError::into_inner).known.push(Known::Open);
    }

    /// Where the uids of its messages are written.
    pub fn uid(&self) -> Uid {
        Uid::new(self.spool)
    }

    /// Records in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Bytes of keys and lines.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The message of a row, as the producer takes it.
    pub fn message<'a>(&'a self, topic: &'a str, running: &Running, place: usize, uid: &mut Uid) -> BaseRecord<'a, [u8], [u8], usize> {
        let at = running.rows.get(place).copied().unwrap_or_default();
        let row = &self.rows[at];
        let start = at.checked_sub(1).map_or(0, |before| self.rows[before].line_end);
        let far = row.time.abs_diff(row.commit_time) > MAX_DISTANCE_NS;
        // A broker that refused the flow's own time takes the commit's; the flow's stands in the line.
        let time = if running.suspects && far { row.commit_time } else { row.time };
        let mut number = itoa::Buffer::new();
        let headers = OwnedHeaders::new_with_capacity(3)
            .insert(Header { key: "flowlog-uid", value: Some(uid.of(self.spool, row.sequence)) })
            .insert(Header { key: "flowlog-sequence", value: Some(number.format(row.sequence)) })
            .insert(Header { key: "content-type", value: Some("application/json") });
        // 0 would mean "now" to librdkafka.
        let milliseconds = time.div_euclid(1_000_000).max(1);
        let message = BaseRecord::with_opaque_to(topic, running.attempt.opaque(place)).payload(&self.bytes[row.key_end..row.line_end]);
        let message = message.timestamp(milliseconds).headers(headers);
        if row.key_end > start { message.key(&self.bytes[start..row.key_end]) } else { message }
    }

    /// The attempt under way with the producer of this generation, or a new one over what is left; none when nothing is left.
    pub fn run(&self, generation: u64) -> Option<Running> {
        let mut progress = self.lock();
        if let Some(running) = progress.running.take() {
            if running.generation == generation {
                progress.running = Some(running.clone());
                return Some(running);
            }
            self.settle(&mut progress, &running);
        }
        let of = |wanted: Known| progress.known.iter().enumerate().filter(move |(_, known)| **known == wanted).map(|(at, _)| at);
        let mut rows: Vec<usize> = of(Known::Open).collect();
        let suspects = rows.is_empty();
        if suspects {
            rows.extend(of(Known::Suspect).take(progress.together.max(1)));
        }
        if rows.is_empty() {
            return None;
        }
        let running = Running { attempt: self.notes.attempt(rows.len()), rows: rows.into(), generation, suspects, enqueued: 0 };
        progress.running = Some(running.clone());
        Some(running)
    }

    /// Notes how many rows of the attempt are enqueued.
    pub fn set_enqueued(&self, enqueued: usize) {
        if let Some(running) = &mut self.lock().running {
            running.enqueued = enqueued;
        }
    }

    /// Ends the attempt under way and takes over what its callbacks noted. Says what has to happen next: the worst class among the
    /// failures that are no verdict on a record, if there is one.
    pub fn conclude(&self) -> Option<Class> {
        let mut progress = self.lock();
        let running = progress.running.take()?;
        self.settle(&mut progress, &running)
    }

    /// The records refused, with the reasons.
    pub fn refused(&self) -> Vec<(u64, String)> {
        let progress = self.lock();
        let refused = self.rows.iter().zip(&progress.known).filter_map(|(row, known)| match known {
            Known::Refused(why) => Some((row.sequence, why.clone())),
            _ => None,
        });
        refused.collect()
    }

    fn settle(&self, progress: &mut Progress, running: &Running) -> Option<Class> {
        self.notes.forget(&running.attempt);
        let alone = running.suspects && running.rows.len() == 1;
        let mut worst = None;
        let mut suspected = false;
        for (place, at) in running.rows.iter().enumerate() {
            progress.known[*at] = match running.attempt.fate(place) {
                Fate::Stored => Known::Stored,
                Fate::Failed(Class::Suspect) if alone => Known::Refused(self.verdict()),
                Fate::Failed(Class::Suspect) => {
                    suspected = true;
                    Known::Suspect
                }
                Fate::Failed(Class::Fatal) => {
                    worst = Some(Class::Fatal);
                    continue;
                }
                Fate::Open | Fate::Failed(Class::Retry) => {
                    worst = worst.or(Some(Class::Retry));
                    continue;
                }
            };
        }
        // Down to the guilty ones by halves, and up again behind them.
        progress.together = if suspected { running.rows.len() / 2 } else { progress.together.saturating_mul(2) };
        worst
    }

    fn verdict(&self) -> String {
        self.notes
            .error()
            .map_or_else(|| "refused by the broker".to_owned(), |(code, text)| format!("refused by the broker: {text} ({code:?})"))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if let Some(running) = &self.lock().running {
            self.notes.forget(&running.attempt);
        }
    }
}
