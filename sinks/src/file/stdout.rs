//! Lines to standard output, at least once: nobody can ask a pipe what it has.

use crate::driver::{Batch, Health, Limits, Outcome, Sink, Step};
use crate::spool::{Cursor, Cut, Item, ReadError, Reader};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Writes lines to standard output.
#[derive(Default)]
pub struct StdoutSink {
    closed: AtomicBool,
}

impl StdoutSink {
    /// Whether the reader of the output went away: nobody will take another line.
    pub fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Sink for StdoutSink {
    type Frozen = Arc<Vec<u8>>;

    fn limits(&self) -> Limits {
        Limits { max_bytes: 256 << 10, max_records: u64::MAX, max_age: Duration::ZERO }
    }

    fn max_backoff(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, cut: Option<&Cut>, _now: i64) -> Result<Step<Self::Frozen>, ReadError> {
        let (mut bytes, mut records) = (Vec::new(), 0);
        let is_cut = |place: Cursor| cut.is_some_and(|cut| place == cut.end);
        while (bytes.len() as u64) < limits.max_bytes && !is_cut(reader.cursor()) {
            match reader.peek()? {
                Some(Item::Record(record)) => {
                    bytes.extend_from_slice(record.line);
                    bytes.push(b'\n');
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
        let length = bytes.len() as u64;
        Ok(Step::Batch(Batch { frozen: Arc::new(bytes), records, bytes: length, cut: None }))
    }

    async fn send(&self, lines: &Self::Frozen) -> Outcome {
        let lines = lines.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut output = io::stdout().lock();
            output.write_all(&lines).and_then(|()| output.flush())
        });
        match written.await.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(()) => Outcome::Delivered { state: None },
            Err(error) => {
                self.closed.store(error.kind() == io::ErrorKind::BrokenPipe, Ordering::Relaxed);
                Outcome::Retry { why: format!("standard output: {error}"), after: None, shrink: false }
            }
        }
    }

    async fn check(&self) -> Result<(), Health> {
        Ok(())
    }
}
