//! From a cursor to Loki: sorts committed records into streams, cuts pushes, sends each stream in order.
//!
//! Promises one push in flight per stream, oldest first, and a batch that is done only when every entry of it is stored or refused with
//! a reason. Streams do not wait for each other within a batch. What a batch has got through is kept for its retries.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::driver::{Batch, Health, Limits, Number, Outcome, Sink, Step};
use crate::spool::{Cursor, Cut, Item, ReadError, Reader, Record, labels as pairs_of};

use super::answer::Answer;
use super::client::{Client, ClientError};
use super::config::Options;
use super::labels;
use super::push::{self, Push};
use super::walk::{Next, Walk};

/// Streams that may have a push in flight at once.
const STREAMS_AT_ONCE: usize = 8;
/// Pushes are never cut below this, whatever a server says of their size.
const MIN_PUSH_BYTES: usize = 64 << 10;
/// A stream counts as active for so long after its last record.
const ACTIVE_NS: i64 = 3600 * 1_000_000_000;
/// More active streams than this are worth a warning: a tenant's default is 5000 for all nodes together.
const MANY_STREAMS: usize = 500;
/// The name of the batch's time in a cut.
const NOW: &str = "now";
/// Streams remembered at most, which bounds the memory of the count.
const MAX_COUNTED: usize = 100_000;

/// A Loki sink of one flow log.
pub struct LokiSink {
    options: Options,
    client: Arc<Client>,
    /// Bytes at which a push is cut; smaller than configured once the server found a push too large.
    push_bytes: Arc<AtomicUsize>,
    streams: Mutex<HashMap<u64, i64>>,
    warned: AtomicBool,
}

/// A batch: pushes by stream, and what was refused before sending.
pub struct Frozen {
    lanes: Vec<Arc<Lane>>,
    refused: Vec<(u64, String)>,
}

/// The pushes of one stream, in order, and how far they have got.
struct Lane {
    pushes: Vec<Push>,
    progress: Mutex<Progress>,
}

struct Progress {
    push: usize,
    walk: Walk,
    refused: Vec<(u64, String)>,
}

impl LokiSink {
    /// A sink of these settings. Sends nothing.
    ///
    /// # Errors
    /// When the address or the TLS files can't be used.
    pub fn new(options: Options) -> Result<LokiSink, ClientError> {
        let client = Arc::new(Client::new(options.clone())?);
        let push_bytes = Arc::new(AtomicUsize::new(options.max_push_bytes));
        Ok(LokiSink { options, client, push_bytes, streams: Mutex::default(), warned: AtomicBool::new(false) })
    }

    /// Streams that had a record in the last hour (of commit times).
    pub fn active_streams(&self) -> usize {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The rate above which this Loki divides streams by itself, which shows repeats twice. `None` if it does not, or its `/config` page cannot be read here.
    pub async fn stream_sharding(&self) -> Option<String> {
        self.client.sharding().await
    }

    /// The text of the stream a record belongs to, and a short form of it to look up.
    fn stream_key(&self, record: &Record<'_>, key: &mut Vec<u8>) {
        key.clear();
        for label in &self.options.labels {
            let value = self.label_value(record, &label.path).unwrap_or_default();
            key.extend_from_slice(&value.len().to_le_bytes());
            key.extend_from_slice(value);
        }
    }

    fn label_value<'a>(&self, record: &Record<'a>, path: &str) -> Option<&'a [u8]> {
        pairs_of(record.labels).find(|(name, value)| *name == path.as_bytes() && labels::fits(value)).map(|(_, value)| value)
    }

    fn new_push(&self, record: &Record<'_>) -> Push {
        let own = self.options.labels.iter().filter_map(|label| {
            let value = self.label_value(record, &label.path)?;
            Some((label.name.as_str(), String::from_utf8_lossy(value)))
        });
        let own: Vec<_> = own.collect();
        let fixed = self.options.fixed.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = fixed.chain(own.iter().map(|(name, value)| (*name, value.as_ref()))).collect();
        Push::new(self.options.encoding, &all)
    }

    fn is_label(&self, path: &[u8], value: &[u8]) -> bool {
        labels::fits(value) && self.options.labels.iter().any(|label| label.path.as_bytes() == path)
    }

    /// Forgets the streams that had no record for an hour.
    fn forget_idle_streams(&self, commit_time: i64) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|_, last| commit_time.saturating_sub(*last) < ACTIVE_NS);
    }

    fn count_stream(&self, key: &[u8], commit_time: i64) {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.len() < MAX_COUNTED {
            streams.insert(hasher.finish(), commit_time);
        }
        if streams.len() > MANY_STREAMS && !self.warned.swap(true, Ordering::Relaxed) {
            let names: Vec<&str> = self.options.labels.iter().map(|label| label.name.as_str()).collect();
            tracing::warn!(
                streams = streams.len(),
                labels = names.join(","),
                "one node writes many Loki streams; each label value is one, use fewer labels"
            );
        }
    }
}

/// The lanes while they are being filled.
#[derive(Default)]
struct Filling {
    lanes: Vec<Vec<Push>>,
    by_key: HashMap<Vec<u8>, usize>,
    key: Vec<u8>,
    scratch: Vec<u8>,
    refused: Vec<(u64, String)>,
    records: u64,
    bytes: u64,
    commit_time: i64,
    /// The batch's time, and whether it decided about a record's timestamp.
    now: i64,
    is_timed: bool,
}

impl Filling {
    fn add(&mut self, sink: &LokiSink, record: &Record<'_>) {
        self.records += 1;
        self.commit_time = record.commit_time;
        self.is_timed |= push::is_timed_by(record, self.now);
        self.bytes += (record.line.len() + record.labels.len()) as u64;
        if let Err(why) = push::check(record, sink.options.max_line_bytes) {
            self.refused.push((record.sequence, why));
            return;
        }
        sink.stream_key(record, &mut self.key);
        let lane = match self.by_key.get(&self.key) {
            Some(lane) => *lane,
            None => {
                sink.count_stream(&self.key, record.commit_time);
                self.by_key.insert(self.key.clone(), self.lanes.len());
                self.lanes.push(Vec::new());
                self.lanes.len() - 1
            }
        };
        let pushes = &mut self.lanes[lane];
        let limit = sink.push_bytes.load(Ordering::Relaxed);
        let size = record.line.len() + record.labels.len() + 160;
        if pushes.last().is_none_or(|push| !push.is_empty() && push.bytes() + size > limit) {
            pushes.push(sink.new_push(record));
        }
        if let Some(push) = pushes.last_mut() {
            push.add(record, self.now, |path, value| sink.is_label(path, value), &mut self.scratch);
        }
    }

    fn finish(self) -> Batch<Frozen> {
        let lane = |pushes: Vec<Push>| {
            let walk = Walk::new(pushes.first().map_or(0, Push::len));
            Arc::new(Lane { pushes, progress: Mutex::new(Progress { push: 0, walk, refused: Vec::new() }) })
        };
        let lanes = self.lanes.into_iter().map(lane).collect();
        Batch { frozen: Frozen { lanes, refused: self.refused }, records: self.records, bytes: self.bytes, cut: None }
    }
}

impl Lane {
    /// Sends what is left of the lane.
    async fn deliver(&self, client: &Client, push_bytes: &AtomicUsize) -> Result<(), (String, Option<Duration>)> {
        while let Some((place, part)) = self.next_part() {
            let push = &self.pushes[place];
            let answer = match push.body(part.iter().copied()) {
                Ok(body) => client.push(body).await,
                Err(error) => Answer::TooLarge { why: error.to_string() },
            };
            match self.progress.lock().unwrap_or_else(PoisonError::into_inner).walk.answered(push, &part, answer) {
                Next::GoOn => {}
                Next::Smaller => {
                    let halved = (push.bytes() * part.len() / push.len().max(1) / 2).max(MIN_PUSH_BYTES);
                    if halved < push_bytes.fetch_min(halved, Ordering::Relaxed) {
                        tracing::info!(bytes = halved, "Loki found a push too large; pushes are cut smaller from now on");
                    }
                }
                Next::Wait { why, after } => return Err((why, after)),
            }
        }
        Ok(())
    }

    /// The push that is on and the entries of it to send next; none when the lane is through.
    fn next_part(&self) -> Option<(usize, Vec<usize>)> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let push = self.pushes.get(progress.push)?;
            let part = progress.walk.part(push);
            if !part.is_empty() {
                return Some((progress.push, part));
            }
            let refused: Vec<_> = progress.walk.refused(push).collect();
            progress.refused.extend(refused);
            progress.push += 1;
            progress.walk = Walk::new(self.pushes.get(progress.push).map_or(0, Push::len));
        }
    }
}

impl Sink for LokiSink {
    type Frozen = Frozen;

    fn limits(&self) -> Limits {
        self.options.limits
    }

    fn is_marked(&self) -> bool {
        true
    }

    /// Gives a cut where the batch's time decided about a timestamp, so that after a crash the same entries go again.
    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, now: i64) -> Result<Step<Frozen>, ReadError> {
        let place = |cursor: Cursor| (cursor.position, cursor.sequence);
        // One that lies behind us is of a batch that was marked as delivered.
        let cut = cut.filter(|cut| place(reader.cursor()) < place(cut.end));
        let now = cut.and_then(|cut| cut.intent[NOW].as_i64()).unwrap_or(now);
        let mut filling = Filling { now, ..Filling::default() };
        loop {
            let has_room = filling.records < limits.max_records && filling.bytes < limits.max_bytes;
            if !cut.map_or(has_room, |cut| place(reader.cursor()) < place(cut.end)) {
                break;
            }
            match reader.peek()? {
                None => break,
                // Two identities count separately; a batch belongs to one.
                Some(Item::Renewed { .. }) if filling.records > 0 => break,
                Some(Item::Record(record)) => filling.add(self, &record),
                Some(Item::Commit(_) | Item::Gap(_) | Item::Renewed { .. }) => {}
            }
            reader.advance();
        }
        if filling.records == 0 {
            return Ok(Step::Skip);
        }
        self.forget_idle_streams(filling.commit_time);
        let cut = filling.is_timed.then(|| Cut { end: reader.cursor(), intent: serde_json::json!({NOW: now}) });
        Ok(Step::Batch(Batch { cut, ..filling.finish() }))
    }

    async fn send(&self, frozen: &Frozen) -> Outcome {
        let places = Arc::new(Semaphore::new(STREAMS_AT_ONCE));
        let mut lanes = JoinSet::new();
        for lane in &frozen.lanes {
            let (lane, client, places, push_bytes) = (lane.clone(), self.client.clone(), places.clone(), self.push_bytes.clone());
            lanes.spawn(async move {
                let _place = places.acquire().await;
                lane.deliver(&client, &push_bytes).await
            });
        }
        let mut trouble: Option<(String, Option<Duration>)> = None;
        while let Some(joined) = lanes.join_next().await {
            let result = joined.unwrap_or_else(|error| Err((format!("a push ended early: {error}"), None)));
            if let Err((why, after)) = result {
                let longest = trouble.take().and_then(|(_, earlier)| earlier).max(after);
                trouble = Some((why, longest));
            }
        }
        if let Some((why, after)) = trouble {
            return Outcome::Retry { why, after, shrink: false };
        }
        let mut rejected = frozen.refused.clone();
        for lane in &frozen.lanes {
            rejected.extend(lane.progress.lock().unwrap_or_else(PoisonError::into_inner).refused.iter().cloned());
        }
        rejected.sort_unstable();
        if rejected.is_empty() { Outcome::Delivered { state: None } } else { Outcome::Partial { rejected } }
    }

    fn numbers(&self) -> Vec<Number> {
        let [rate, streams] = self.client.limited();
        let limited = |name, help, value| Number { name, help, is_counter: true, value };
        let active = "Streams that had a record in the last hour.";
        vec![
            Number { name: "flowlog_loki_active_streams", help: active, is_counter: false, value: self.active_streams() as u64 },
            limited("flowlog_loki_rate_limited_total", "Pushes that Loki put off for a rate limit (429).", rate),
            limited("flowlog_loki_stream_limited_total", "Pushes that Loki put off for its limit of active streams (429).", streams),
        ]
    }

    /// Pushes nothing: an empty push passes the same proxies, credentials and tenant as a full one and stores no line.
    async fn check(&self) -> Result<(), Health> {
        let empty = Push::new(self.options.encoding, &[("job", "flowlog")]);
        let body = empty.body(std::iter::empty()).map_err(|error| Health(error.to_string()))?;
        match self.client.push(body).await {
            Answer::Stored | Answer::Invalid { .. } | Answer::TooNew { .. } => {}
            Answer::TooLarge { why } | Answer::Later { why, .. } => return Err(Health(why)),
        }
        if let Some(rate) = self.stream_sharding().await {
            tracing::warn!(
                url = self.options.url,
                "this Loki divides streams above {rate} (limits_config.shard_streams): what has to be sent again after a crash or a lost answer lands in another \
                 shard, and queries show it twice, with the same flowlog_uid; switch shard_streams off for this tenant unless its streams stay below that"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
