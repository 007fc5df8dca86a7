//! The manifest: a statement of what was stored, chained to the one before by key and SHA-256.
//!
//! It is written once and locked, so it holds everything a later verification needs: from the bucket alone it must be
//! possible to say whether an object, a manifest or a stretch of sequence numbers is missing, altered, or was declared
//! lost. The arithmetic: `next - first` = records of all objects + sequence numbers of all gaps.
//!
//! Bytes: JSON in the canonical form of RFC 8785 (keys sorted, no spaces) with integers only, and a newline. Times are
//! RFC 3339 texts, since nanoseconds exceed what JSON readers take for exact. A reader has to ignore unknown keys; a
//! change of meaning gets another `schema`.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::key::hex;
use super::object::Staged;
use super::store::Kept;
use crate::spool::{Gap, SpoolId};

/// The form of the manifests this release writes.
pub const SCHEMA: &str = "flowlog.manifest/1";

/// A manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: String,
    /// The key it is meant for; in a conflict it lies under that key with `.conflict-<n>`.
    pub key: String,
    /// The place it is meant for, like `s3://bucket`.
    pub place: String,
    /// Counts up by one in the chain, from 1, also across spool ids.
    pub number: u64,
    /// Why it was written now.
    pub reason: Reason,
    /// The manifest before; none for the first of a chain.
    pub previous: Option<Previous>,
    /// The cluster's name.
    pub cluster: String,
    /// The flow log's name.
    pub log: String,
    /// The node's name.
    pub node: String,
    /// The spool its sequence numbers count in.
    pub spool: SpoolId,
    /// The spool before that one, if the chain knows of one.
    pub previous_spool: Option<SpoolId>,
    /// Begin of the period, by commit time; the previous manifest's `to`.
    pub from: String,
    /// End of the period, exclusive.
    pub to: String,
    /// The first sequence number covered; the previous manifest's `next` when that is of the same spool.
    pub first: u64,
    /// The sequence number after the last one covered; equal to `first` when there were none.
    pub next: u64,
    /// Records in all objects.
    pub records: u64,
    /// What was stored, in the order of sequence numbers.
    pub objects: Vec<Object>,
    /// Declared losses and unobserved time, in the order in which they stand in the spool.
    pub gaps: Vec<Value>,
    /// The cumulative accounting totals at the last commit covered, as the daemon counts them.
    pub totals: Value,
    /// SHA-256 of the configuration at the last commit covered; none before the first.
    pub config_hash: Option<String>,
    /// The daemon's version.
    pub daemon: String,
    /// When it was written, by the node's clock.
    pub written: String,
    /// The place's clock minus the node's in milliseconds, if known.
    pub clock_offset_ms: Option<i64>,
}

/// Why a manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A UTC hour of commit time has ended.
    Hour,
    /// The daemon has started.
    Start,
    /// The daemon stops.
    Stop,
    /// The spool got a new id.
    Renewed,
}

/// The link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Previous {
    /// Where it lies.
    pub key: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// An object that was stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its version.
    pub version: Option<String>,
    /// Its ETag.
    pub etag: Option<String>,
    /// Its first sequence number.
    pub first: u64,
    /// Its last sequence number.
    pub last: u64,
    /// Its records.
    pub records: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Bytes of its lines with their newlines.
    pub plain_bytes: u64,
    /// SHA-256 of its lines with their newlines, hexadecimal.
    pub plain_sha256: String,
    /// Least flow time.
    pub first_time: String,
    /// Greatest flow time.
    pub last_time: String,
    /// Time of its first commit.
    pub first_commit: String,
    /// Time of its last commit.
    pub last_commit: String,
    /// The retention's mode, as read back.
    pub retention_mode: Option<String>,
    /// The retention's end, as read back.
    pub retain_until: Option<String>,
    /// Whether it has a legal hold, as read back.
    pub legal_hold: bool,
    /// Keys under which other bytes were found when it was stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<String>,
}

impl Object {
    /// The entry for `staged`, stored as `kept`.
    pub fn new(staged: &Staged, kept: &Kept) -> Self {
        let sums = &staged.sums;
        Self {
            key: kept.key.clone(),
            version: kept.version.clone(),
            etag: kept.etag.clone(),
            first: sums.first,
            last: sums.last,
            records: sums.records,
            bytes: kept.bytes,
            sha256: kept.sha256.clone(),
            plain_bytes: sums.plain_bytes,
            plain_sha256: hex(&staged.plain_sha256),
            first_time: time_text(sums.flow_times.0),
            last_time: time_text(sums.flow_times.1),
            first_commit: time_text(sums.commit_times.0),
            last_commit: time_text(sums.commit_times.1),
            retention_mode: kept.lock.map(|lock| lock.mode.as_str().to_owned()),
            retain_until: kept.lock.map(|lock| lock.until_text()),
            legal_hold: kept.legal_hold,
            conflicts: kept.conflicts.clone(),
        }
    }
}

impl Manifest {
    /// The bytes to store.
    ///
    /// # Errors
    /// None in practice; serde's.
    pub fn bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut out = canonical(&serde_json::to_value(self)?).into_bytes();
        out.push(b'\n');
        Ok(out)
    }
}

/// A gap as it stands in a manifest: as in the spool, with times as texts.
pub fn gap(gap: &Gap) -> Value {
    let mut out = serde_json::to_value(gap).unwrap_or_default();
    for (name, time) in [("first", gap.first), ("last", gap.last)] {
        if let (Some(time), Some(slot)) = (time, out.get_mut(name)) {
            *slot = Value::String(time_text(time));
        }
    }
    out
}

/// SHA-256 of a manifest's bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Unix nanoseconds as RFC 3339, UTC, always with nine digits: texts sort as times do.
pub fn time_text(unix_nanoseconds: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(unix_nanoseconds)).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ").to_string()
}

/// The canonical form of RFC 8785, for values without fractions.
pub fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write_canonical(value, &mut out);
    out
}

fn write_canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push('{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_canonical(value, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn canonical_bytes_do_not_depend_on_the_order_of_keys() {
        let a: Value = serde_json::from_str(r#"{"b": [1, {"y": null, "x": "ü\n\u001f"}], "a": true, "é": -1, "z": {}}"#).unwrap();
        assert_eq!(canonical(&a), "{\"a\":true,\"b\":[1,{\"x\":\"ü\\n\\u001f\",\"y\":null}],\"z\":{},\"é\":-1}");
        let surrogates = json!({"\u{e000}": 1, "\u{10000}": 2});
        assert_eq!(canonical(&surrogates), "{\"\u{10000}\":2,\"\u{e000}\":1}", "UTF-16 order, as RFC 8785 §3.2.3 wants");
    }

    #[test]
    fn times_are_texts_that_sort() {
        assert_eq!(time_text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(time_text(1_795_262_400_123_456_789), "2026-11-21T12:00:00.123456789Z");
        assert_eq!(time_text(-1), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn gaps_keep_what_the_spool_says_of_them() {
        let lost = Gap { cause: "spool-full".into(), records: Some(3), sequences: Some((4, 7)), first: Some(0), ..Gap::default() };
        let expected = json!({"cause": "spool-full", "records": 3, "sequences": [4, 7], "first": "1970-01-01T00:00:00.000000000Z"});
        assert_eq!(canonical(&gap(&lost)), canonical(&expected));
    }
}
