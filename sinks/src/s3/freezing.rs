//! From the spool to a frozen batch: an object with its cut, or a manifest with its bytes.

use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::chain::{Chain, Circumstances};
use super::cutting::{Cutting, Size, Taken};
use super::key::{Hour, hex};
use super::manifest::Reason;
use super::sink::{EVERY, Frozen, GRACE, Memory, S3Sink};
use crate::driver::{Batch, Limits, Step};
use crate::spool::{Cursor, Cut, Item, ReadError, Reader, SpoolId};

/// A manifest whose bytes will not change any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statement {
    /// Its text.
    pub(super) text: String,
    /// The last hour it covers, by its first nanosecond.
    pub(super) hour: i64,
    /// End of its period, Unix nanoseconds.
    pub(super) to: i64,
    /// The chain in front of it.
    pub(super) chain: Chain,
    /// The spool's id behind it, and the sequence number it starts with, if it is another.
    pub(super) renewed: Option<(SpoolId, u64)>,
}

/// What a cut's intent holds.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Intent {
    Object { key: String, first: u64, last: u64, sha256: String, plain_sha256: String },
    Manifest(Box<Statement>),
}

/// Why nothing could be frozen: the spool's disk or the staging folder's.
pub(super) enum Trouble {
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

impl S3Sink {
    pub(super) fn next_batch(
        &self,
        reader: &mut Reader,
        limits: &Limits,
        cut: Option<&Cut>,
        now: i64,
        memory: &mut Memory,
    ) -> Result<Step<Frozen>, Trouble> {
        let Some(chain) = memory.chain.clone() else {
            return Ok(Step::Wait(EVERY));
        };
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
                Taken::CloseObject => return self.close_object(cutting),
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
                Ok(()) => return self.close_object(cutting),
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
        Ok(Step::Wait(Duration::from_nanos(u64::try_from(wait).unwrap_or(0)).clamp(Duration::from_millis(10), EVERY)))
    }

    /// Freezes the open object; the batch ends with the last item taken.
    fn close_object(&self, cutting: Cutting) -> Result<Step<Frozen>, Trouble> {
        let end = cutting.to;
        let Some(open) = cutting.open else {
            return Ok(Step::Wait(EVERY));
        };
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
            frozen: Frozen::Object { staged: Box::new(staged), chain: Box::new(cutting.chain), also: None },
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
        let Some(statement) = self.statement(chain, reason, to, renewed, now) else {
            return Step::Wait(EVERY);
        };
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

    pub(super) fn statement(&self, chain: Chain, reason: Reason, to: i64, renewed: Option<(SpoolId, u64)>, now: i64) -> Option<Statement> {
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
    /// `None` when the spool holds nothing of it any more: what became of it is for the gap there to say, to whoever reads on from the same place.
    pub(super) fn repeat(&self, reader: &mut Reader, cut: &Cut, chain: Chain) -> Result<Option<Step<Frozen>>, Trouble> {
        let intent: Intent = serde_json::from_value(cut.intent.clone()).map_err(io::Error::other)?;
        let plain_sha256 = match intent {
            Intent::Manifest(statement) if statement.chain.number != chain.number => {
                // The archive is ahead of what we meant to say: our state is an old copy.
                return Ok(None);
            }
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
        let from = reader.cursor();
        let mut cutting = Cutting::new(from, chain);
        let path = self.staging.join("object.jsonl.zst");
        let size = Size { bytes: u64::MAX, records: u64::MAX, level: self.options.level };
        while reader.cursor() != cut.end {
            let taken = match reader.peek()? {
                None => break,
                Some(Item::Record(record)) if record.sequence >= cut.end.sequence => break,
                Some(item) => cutting.take(item, size, &path, Hour::of(self.started))?,
            };
            if taken != Taken::Yes {
                break;
            }
            reader.advance();
            cutting.to = reader.cursor();
        }
        if cutting.open.is_none() {
            reader.seek(&from);
            return Ok(None);
        }
        Ok(Some(match self.close_object(cutting)? {
            Step::Batch(Batch { frozen: Frozen::Object { staged, chain, .. }, records, bytes, cut }) => {
                if hex(&staged.plain_sha256) != plain_sha256 {
                    tracing::error!(
                        first = staged.sums.first,
                        "The spool no longer holds all records of an object that was about to be sent."
                    );
                }
                let frozen = Frozen::Object { staged, chain, also: Some(plain_sha256) };
                Step::Batch(Batch { records, bytes, cut, frozen })
            }
            other => other,
        }))
    }
}
