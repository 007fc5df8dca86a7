//! The chain of manifests as far as it is written, and what the next manifest will say.
//!
//! It is the sink's state: the driver stores it together with the cursor after every delivery, so it always describes
//! exactly what lies before the cursor. Everything here is a plain function of that state and of what is read.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::Origin;
use super::key::{Hour, Layout, hex, manifest_number};
use super::manifest::{self, Manifest, Object, Previous, Reason, SCHEMA};
use crate::spool::{Commit, Gap, SpoolId};

/// Hours without records that are closed one by one; more in a row (a clock that jumped, a long stop) share a manifest.
const EMPTY_HOURS_MAX: i64 = 48;

/// The chain's head, and what has come after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Chain {
    /// The number of the next manifest.
    pub number: u64,
    /// The last manifest.
    pub previous: Option<Previous>,
    /// The spool that is read now.
    pub spool: SpoolId,
    /// The spool before it.
    pub previous_spool: Option<SpoolId>,
    /// End of the last manifest's period, Unix nanoseconds.
    pub to: i64,
    /// The first sequence number no manifest covers.
    pub first: u64,
    /// The first sequence number that is not accounted for yet.
    pub next: u64,
    /// Objects stored since the last manifest.
    pub objects: Vec<Object>,
    /// Gaps met since the last manifest, as they stand in it.
    pub gaps: Vec<Value>,
    /// Totals at the last commit read.
    pub totals: Value,
    /// Configuration at the last commit read.
    pub config_hash: Option<String>,
    /// Time of the last commit read, Unix nanoseconds.
    pub committed: i64,
}

/// What is written into a manifest beside the chain.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// Whose records.
    pub origin: &'a Origin,
    /// Where keys begin.
    pub layout: &'a Layout,
    /// The place, as stated in manifests.
    pub place: &'a str,
    /// Now by the node's clock, Unix nanoseconds.
    pub now: i64,
    /// The place's clock minus the node's.
    pub clock_offset_ms: Option<i64>,
}

impl Chain {
    /// A chain without manifests, for a spool read from `next` on, at `now` (Unix nanoseconds).
    pub fn new(spool: SpoolId, next: u64, now: i64) -> Self {
        Self {
            number: 1,
            previous: None,
            spool,
            previous_spool: None,
            to: now,
            first: next,
            next,
            objects: Vec::new(),
            gaps: Vec::new(),
            totals: Value::Null,
            config_hash: None,
            committed: i64::MIN,
        }
    }

    /// Continues behind `last`, the newest manifest found in the place, when this node's own state is gone or older.
    ///
    /// Sequence numbers of the same spool that were delivered but stand in no manifest are declared as a gap of the
    /// manifests; the objects themselves are in the bucket. What `last` lists already is not listed again.
    pub fn resume_behind(mut self, last: &Manifest, key: &str, bytes: &[u8]) -> Self {
        self.number = last.number + 1;
        self.previous = Some(Previous { key: key.to_owned(), sha256: manifest::sha256(bytes) });
        let to = last.to.parse::<jiff::Timestamp>().ok();
        let to = to.and_then(|to| i64::try_from(to.as_nanosecond()).ok());
        self.to = to.unwrap_or(self.to);
        if last.spool != self.spool {
            self.previous_spool = Some(last.spool);
            return self;
        }
        self.previous_spool = last.previous_spool;
        self.objects.retain(|object| object.first >= last.next);
        let listed = self.objects.first().map_or(self.next, |object| object.first);
        if last.next < listed {
            let unlisted = Gap { cause: UNLISTED.to_owned(), sequences: Some((last.next, listed)), ..Gap::default() };
            self.gaps.push(manifest::gap(&unlisted));
        }
        self.first = last.next;
        self.next = self.next.max(last.next);
        self
    }

    /// The hour whose manifest is next.
    pub fn hour(&self) -> Hour {
        Hour::of(self.to)
    }

    /// Takes note of a commit.
    pub fn note_commit(&mut self, commit: &Commit) {
        self.next = self.next.max(commit.next);
        self.gaps.extend(commit.gaps.iter().map(manifest::gap));
        if !commit.totals.is_null() {
            self.totals = commit.totals.clone();
        }
        self.config_hash = Some(hex(&commit.config_hash));
        self.committed = self.committed.max(commit.time);
    }

    /// Takes note of a loss.
    pub fn note_gap(&mut self, gap: &Gap) {
        if let Some((_, next)) = gap.sequences {
            self.next = self.next.max(next);
        }
        self.gaps.push(manifest::gap(gap));
    }

    /// Takes note of an object; again is no harm, also when a manifest lists it already: a stop manifest lists what landed at the last moment, and the
    /// next process, whose cursor is still in front of it, sends it once more.
    pub fn note_object(&mut self, object: Object) {
        self.next = self.next.max(object.last + 1);
        if object.last < self.first {
            return;
        }
        if self.objects.last().is_none_or(|last| last.first != object.first) {
            self.objects.push(object);
        }
    }

    /// Where the next manifest's period ends if it is due because something of hour `seen` was met, or because the clock
    /// shows that hour; `None` when it is not due. `started` is the hour in which this process started: hours that ended
    /// before it and hold nothing share one manifest, since nobody was there to see them.
    pub fn due(&self, seen: Hour, started: Hour) -> Option<i64> {
        let open = self.hour();
        if seen <= open {
            return None;
        }
        let is_empty = self.objects.is_empty() && self.gaps.is_empty();
        let unwatched = started.min(seen);
        let first_end = open.end();
        if unwatched > open.next() && is_empty {
            return Some(unwatched.start());
        }
        let hours = (seen.start() - first_end) / 3_600_000_000_000;
        if is_empty && hours > EMPTY_HOURS_MAX { Some(seen.start()) } else { Some(first_end) }
    }

    /// The next manifest, with its period ending at `to`.
    pub fn manifest(&self, reason: Reason, to: i64, around: Circumstances<'_>) -> Manifest {
        let to = to.max(self.to);
        let last_covered = Hour::of(if to > self.to { to - 1 } else { to });
        Manifest {
            schema: SCHEMA.to_owned(),
            key: around.layout.manifest_key(last_covered, self.spool.0, self.number, 0),
            place: around.place.to_owned(),
            number: self.number,
            reason,
            previous: self.previous.clone(),
            cluster: around.origin.cluster.clone(),
            log: around.origin.log.clone(),
            node: around.origin.node.clone(),
            spool: self.spool,
            previous_spool: self.previous_spool,
            from: manifest::time_text(self.to),
            to: manifest::time_text(to),
            first: self.first,
            next: self.next,
            records: self.objects.iter().map(|object| object.records).sum(),
            objects: self.objects.clone(),
            gaps: self.gaps.clone(),
            totals: self.totals.clone(),
            config_hash: self.config_hash.clone(),
            daemon: around.origin.daemon.clone(),
            written: manifest::time_text(around.now),
            clock_offset_ms: around.clock_offset_ms,
        }
    }

    /// The chain behind a manifest that was stored as `key`, with its period ending at `to`.
    pub fn behind(&self, key: &str, bytes: &[u8], to: i64) -> Self {
        Self {
            number: self.number + 1,
            previous: Some(Previous { key: key.to_owned(), sha256: manifest::sha256(bytes) }),
            to: to.max(self.to),
            first: self.next,
            objects: Vec::new(),
            gaps: Vec::new(),
            ..self.clone()
        }
    }

    /// The chain once the spool has another id, in which sequence numbers start at `first`.
    pub fn renewed(&self, id: SpoolId, first: u64) -> Self {
        Self { spool: id, previous_spool: Some(self.spool), first, next: first, ..self.clone() }
    }
}

/// The cause of a gap in the manifests alone: the objects are there, the entries were lost with the state folder.
pub const UNLISTED: &str = "manifest-state-lost";

/// The newest manifest among `keys` with its number: that with the highest number, and among several the greatest key.
pub fn newest(keys: &[String]) -> Option<(u64, &String)> {
    keys.iter().filter_map(|key| Some((manifest_number(key)?, key))).max()
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
