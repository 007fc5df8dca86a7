//! A push: entries of one stream, encoded once, and the body made of any part of them.
//!
//! Promises that an entry's bytes are a pure function of its record (and of the record's commit time, which the spool keeps, and of the batch's time where
//! the cut keeps it), so that a repeat is the same entry to Loki whichever push it comes in. The body of a part is a concatenation of encoded entries, which
//! is why singling out a refused entry or halving a push costs no second encoding.
//!
//! **The timestamp** is the flow's time, to the nanosecond, and as many nanoseconds more as make it another than that of the records before: the spool says
//! how many, so that neither a crash nor another cut of the batch changes it. Records on either side of a restart are told apart by their metadata, which Loki
//! 3.7 counts in. Where a flow's time is more than 10 minutes from its commit's (an old recording, a wrong clock), the commit's stands for it, with the last
//! six digits of the sequence number below the millisecond. But a commit time that has not come yet never stands for a flow's that has: commit times never
//! go backwards, so behind a wall clock that was ahead and was set right they stay ahead, for as long as it was, while the flows' times are right.

use std::io::Write;

use prost::encoding::{encode_varint, encoded_len_varint};

use crate::spool::{Record, labels as pairs_of};
use crate::uid::Uid;

use super::config::Encoding;
use super::labels;

/// Beyond this distance between flow time and commit time the latter counts. Loki takes 10 minutes into the future, one hour back.
const MAX_DISTANCE_NS: i64 = 10 * 60 * 1_000_000_000;
/// The part of such a timestamp that the sequence number takes.
const SEQUENCE_DIGITS: i64 = 1_000_000;
/// Loki's default bound on one entry's metadata, bytes of names and values.
const MAX_METADATA_BYTES: usize = 64 << 10;
/// Loki's default bound on one entry's metadata, pairs.
const MAX_METADATA_PAIRS: usize = 128;

/// Name of the metadata entry that holds the record's uid.
pub const UID: &str = "flowlog_uid";
/// Name of the metadata entry that holds the record's sequence number.
pub const SEQUENCE: &str = "flowlog_sequence";

/// One entry in [`Push::entries`].
#[derive(Clone, Copy, Debug)]
struct Entry {
    sequence: u64,
    timestamp: i64,
    /// Where its bytes end.
    end: usize,
}

/// Entries of one stream, oldest first.
#[derive(Debug)]
pub struct Push {
    encoding: Encoding,
    /// The stream's labels as this encoding writes them.
    stream: Vec<u8>,
    entries: Vec<u8>,
    index: Vec<Entry>,
    uid: Option<Uid>,
}

/// Whether the time of the batch, `now`, decides about the record's timestamp. A batch with such a record has to keep its time.
pub fn is_timed_by(record: &Record<'_>, now: i64) -> bool {
    let after = |a: i64, b: i64| a > b.saturating_add(MAX_DISTANCE_NS);
    after(record.commit_time, record.time) && after(record.commit_time, now)
}

/// The nanoseconds since 1970 under which an entry is found in a batch of the time `now`, see the top of this file.
pub fn timestamp(record: &Record<'_>, now: i64) -> i64 {
    let Record { time, nudge, commit_time, sequence, .. } = *record;
    let timestamp = if time.abs_diff(commit_time) <= MAX_DISTANCE_NS.unsigned_abs() || is_timed_by(record, now) {
        time.saturating_add(i64::from(nudge))
    } else {
        let digits = i64::try_from(sequence % SEQUENCE_DIGITS.unsigned_abs()).unwrap_or(0);
        (commit_time.div_euclid(SEQUENCE_DIGITS)).saturating_mul(SEQUENCE_DIGITS).saturating_add(digits)
    };
    // Loki answers 500 to the timestamp 0; a clock before 1970 is wrong anyway.
    timestamp.max(1)
}

/// Why an entry is refused before it is sent: Loki would refuse it, or cut it.
///
/// # Errors
/// A sentence with the numbers, for the quarantine file.
pub fn check(record: &Record<'_>, max_line_bytes: usize) -> Result<(), String> {
    if record.line.len() > max_line_bytes {
        return Err(format!("the line is {} bytes long, Loki takes {max_line_bytes}", record.line.len()));
    }
    if std::str::from_utf8(record.line).is_err() {
        return Err("the line is not UTF-8".to_owned());
    }
    let (mut bytes, mut count) = (0, 2);
    for (path, value) in pairs_of(record.labels) {
        bytes += path.len() + value.len();
        count += 1;
    }
    bytes += UID.len() + SEQUENCE.len() + 53 + 20;
    if bytes > MAX_METADATA_BYTES || count > MAX_METADATA_PAIRS {
        return Err(format!("{count} values of {bytes} bytes beside the line, Loki takes {MAX_METADATA_PAIRS} of {MAX_METADATA_BYTES}"));
    }
    Ok(())
}

impl Push {
    /// An empty push for a stream of these labels.
    pub fn new(encoding: Encoding, stream_labels: &[(&str, &str)]) -> Push {
        let mut stream = Vec::new();
        match encoding {
            Encoding::Protobuf => write_selector(stream_labels, &mut stream),
            Encoding::Json => {
                let map: serde_json::Map<String, serde_json::Value> =
                    stream_labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
                // Writing a map of texts into memory can't fail.
                let _ = serde_json::to_writer(&mut stream, &map);
            }
        }
        Push { encoding, stream, entries: Vec::new(), index: Vec::new(), uid: None }
    }

    /// Appends a record to a push of the time `now`. `is_label` says of a path and value whether it stands in the stream's labels already.
    pub fn add(&mut self, record: &Record<'_>, now: i64, is_label: impl Fn(&[u8], &[u8]) -> bool, scratch: &mut Vec<u8>) {
        let timestamp = timestamp(record, now);
        let uid = self.uid.get_or_insert_with(|| Uid::new(record.spool));
        let uid = uid.of(record.spool, record.sequence);
        let mut number = itoa::Buffer::new();
        let sequence = number.format(record.sequence);
        let rest = pairs_of(record.labels).filter(|(path, value)| !value.is_empty() && !is_label(path, value));
        match self.encoding {
            Encoding::Protobuf => add_protobuf(&mut self.entries, scratch, timestamp, record.line, uid, sequence, rest),
            Encoding::Json => add_json(&mut self.entries, timestamp, record.line, uid, sequence, rest),
        }
        self.index.push(Entry { sequence: record.sequence, timestamp, end: self.entries.len() });
    }

    /// Entries in it.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes of its body before compression, about.
    pub fn bytes(&self) -> usize {
        self.entries.len() + self.stream.len() + 32
    }

    /// The sequence number of an entry.
    pub fn sequence(&self, entry: usize) -> u64 {
        self.index[entry].sequence
    }

    /// The timestamp of an entry, nanoseconds since 1970.
    pub fn timestamp(&self, entry: usize) -> i64 {
        self.index[entry].timestamp
    }

    /// The body of a request that holds these entries, compressed where the encoding is.
    ///
    /// # Errors
    /// When it is larger than snappy's 4 GiB, which [`Push::bytes`] keeps far away.
    pub fn body(&self, chosen: impl Iterator<Item = usize> + Clone) -> Result<Vec<u8>, snap::Error> {
        let bytes_of = |entry: usize| &self.entries[entry.checked_sub(1).map_or(0, |before| self.index[before].end)..self.index[entry].end];
        match self.encoding {
            Encoding::Protobuf => {
                let size: usize = chosen.clone().map(|entry| bytes_of(entry).len()).sum();
                let inner = 1 + encoded_len_varint(self.stream.len() as u64) + self.stream.len() + size;
                let mut body = Vec::with_capacity(inner + 16);
                body.push(FIELD_1);
                encode_varint(inner as u64, &mut body);
                put(FIELD_1, &self.stream, &mut body);
                chosen.for_each(|entry| body.extend_from_slice(bytes_of(entry)));
                snap::raw::Encoder::new().compress_vec(&body)
            }
            Encoding::Json => {
                let mut body = Vec::with_capacity(self.bytes() + 64);
                body.extend_from_slice(b"{\"streams\":[{\"stream\":");
                body.extend_from_slice(&self.stream);
                body.extend_from_slice(b",\"values\":[");
                for (place, entry) in chosen.enumerate() {
                    if place > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(bytes_of(entry));
                }
                body.extend_from_slice(b"]}]}");
                Ok(body)
            }
        }
    }
}

// The messages of Loki's `push.proto`, as far as clients fill them, all fields length-delimited but the numbers of a timestamp:
// PushRequest { 1: streams }, Stream { 1: labels, 2: entries }, Entry { 1: timestamp, 2: line, 3: metadata }, Timestamp { 1: seconds,
// 2: nanos }, Pair { 1: name, 2: value }. Written by hand, since prost's own types would copy each line twice; the tests read it with prost.
const FIELD_1: u8 = 0x0a;
const FIELD_2: u8 = 0x12;
const FIELD_3: u8 = 0x1a;
const NUMBER_1: u8 = 0x08;
const NUMBER_2: u8 = 0x10;

fn put(field: u8, bytes: &[u8], into: &mut Vec<u8>) {
    into.push(field);
    encode_varint(bytes.len() as u64, into);
    into.extend_from_slice(bytes);
}

fn put_pair(name: &[u8], value: &[u8], into: &mut Vec<u8>) {
    let size = 2 + encoded_len_varint(name.len() as u64) + name.len() + encoded_len_varint(value.len() as u64) + value.len();
    into.push(FIELD_3);
    encode_varint(size as u64, into);
    put(FIELD_1, name, into);
    put(FIELD_2, value, into);
}

fn add_protobuf<'a>(
    entries: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
    timestamp: i64,
    line: &[u8],
    uid: &str,
    sequence: &str,
    rest: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    scratch.clear();
    let seconds = timestamp.div_euclid(1_000_000_000).unsigned_abs();
    let nanoseconds = timestamp.rem_euclid(1_000_000_000).unsigned_abs();
    scratch.push(FIELD_1);
    encode_varint((2 + encoded_len_varint(seconds) + encoded_len_varint(nanoseconds)) as u64, scratch);
    scratch.push(NUMBER_1);
    encode_varint(seconds, scratch);
    scratch.push(NUMBER_2);
    encode_varint(nanoseconds, scratch);
    put(FIELD_2, line, scratch);
    put_pair(SEQUENCE.as_bytes(), sequence.as_bytes(), scratch);
    put_pair(UID.as_bytes(), uid.as_bytes(), scratch);
    let mut name = Vec::new();
    for (path, value) in rest {
        name.clear();
        labels::metadata_name(path, &mut name);
        put_pair(&name, String::from_utf8_lossy(value).as_bytes(), scratch);
    }
    put(FIELD_2, scratch, entries);
}

fn add_json<'a>(
    entries: &mut Vec<u8>,
    timestamp: i64,
    line: &[u8],
    uid: &str,
    sequence: &str,
    rest: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) {
    // Writing into memory can't fail; the results say nothing.
    let _ = write!(entries, "[\"{timestamp}\",");
    let _ = serde_json::to_writer(&mut *entries, &String::from_utf8_lossy(line));
    let _ = write!(entries, ",{{\"{SEQUENCE}\":\"{sequence}\",\"{UID}\":\"{uid}\"");
    for (path, value) in rest {
        entries.extend_from_slice(b",\"");
        labels::metadata_name(path, entries);
        entries.extend_from_slice(b"\":");
        let _ = serde_json::to_writer(&mut *entries, &String::from_utf8_lossy(value));
    }
    entries.extend_from_slice(b"}]");
}

/// `{a="b", c="d"}`, sorted by name as Prometheus does, so that equal label sets are equal text.
fn write_selector(stream_labels: &[(&str, &str)], into: &mut Vec<u8>) {
    let mut sorted = stream_labels.to_vec();
    sorted.sort_unstable();
    into.push(b'{');
    for (place, (name, value)) in sorted.iter().enumerate() {
        if place > 0 {
            into.extend_from_slice(b", ");
        }
        into.extend_from_slice(name.as_bytes());
        into.push(b'=');
        labels::quote(value, into);
    }
    into.push(b'}');
}

#[cfg(test)]
#[path = "push_tests.rs"]
mod tests;
