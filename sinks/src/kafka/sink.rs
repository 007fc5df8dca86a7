//! From a cursor to a topic: enqueues each batch in order, waits for the brokers' word on every message.
//!
//! A batch is done when each of its records is stored or refused. While nothing moves for a while, [`KafkaSink::send`] says why and
//! is called again; what librdkafka holds by then goes on being delivered and is not enqueued twice.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::driver::{Batch, Health, Limits, Number, Outcome, Sink, Step};
use crate::spool::{Cut, Item, ReadError, Reader};

use super::batch::{Frozen, Running};
use super::config::Options;
use super::delivery::{Fate, Notes};
use super::errors::{Class, advice, classify};
use super::order::{Order, Stand};
use super::producer::{Current, Producers};

/// Batches on the way at once: so many that the producer's queue never runs dry between two, so few that memory stays small.
const BATCHES_AT_ONCE: usize = 4;
/// After so long without any message getting anywhere, the batch is reported as waiting.
const STALLED: Duration = Duration::from_secs(5);
/// Messages enqueued before other work on this thread gets a turn.
const MESSAGES_A_TURN: usize = 256;
/// How long a health check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// A Kafka sink of one flow log.
pub struct KafkaSink {
    options: Options,
    notes: Arc<Notes>,
    order: Arc<Order>,
    producers: Producers,
}

impl KafkaSink {
    /// A sink of these settings. Connects to nothing yet.
    pub fn new(options: Options) -> KafkaSink {
        let notes = Arc::new(Notes::default());
        let producers = Producers::new(options.clone(), notes.clone());
        KafkaSink { options, notes, order: Arc::default(), producers }
    }

    /// How often the producer was replaced because it was broken or a file had changed.
    pub fn producers_replaced(&self) -> u64 {
        self.producers.generation().saturating_sub(1)
    }

    /// Enqueues what is left of the attempt. On a stop it says why; what is enqueued stays so.
    async fn enqueue(&self, frozen: &Frozen, current: &Current, running: &mut Running) -> Result<(), Outcome> {
        let mut uid = frozen.uid();
        while running.enqueued < running.rows.len() {
            let place = running.enqueued;
            match current.producer.send(frozen.message(&self.options.topic, running, place, &mut uid)) {
                Ok(()) => {}
                Err((KafkaError::MessageProduction(Code::QueueFull), message)) => {
                    self.notes.want_room();
                    let room = self.notes.room.notified();
                    // Once more, since room may have come between the two lines before.
                    if current.producer.send(message).is_err() {
                        if tokio::time::timeout(STALLED, room).await.is_err() {
                            return Err(self.stalled().await);
                        }
                        continue;
                    }
                }
                Err((error, _)) => {
                    let code = error.rdkafka_error_code().unwrap_or(Code::InvalidArgument);
                    self.notes.keep_error(code, error.to_string());
                    running.attempt.note(place, Fate::Failed(classify(code)));
                    if classify(code) != Class::Suspect {
                        // The same would meet every message behind it. They have not been enqueued, so they are open when the attempt ends.
                        (place + 1..running.rows.len()).for_each(|rest| running.attempt.note(rest, Fate::Failed(classify(code))));
                        running.enqueued = running.rows.len();
                        frozen.set_enqueued(running.enqueued);
                        return Ok(());
                    }
                }
            }
            running.enqueued += 1;
            frozen.set_enqueued(running.enqueued);
            if running.enqueued.is_multiple_of(MESSAGES_A_TURN) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    /// Waits until every message of the attempt has its fate, as long as anything moves.
    async fn settle(&self, running: &Running) -> Result<(), Outcome> {
        while !running.attempt.is_settled() {
            let before = self.notes.fates.load(Ordering::Relaxed);
            let settled = running.attempt.settled.notified();
            if running.attempt.is_settled() {
                break;
            }
            if tokio::time::timeout(STALLED, settled).await.is_err() && self.notes.fates.load(Ordering::Relaxed) == before {
                return Err(self.stalled().await);
            }
        }
        Ok(())
    }

    /// An error with what can be done about it.
    fn said(&self, code: Code, text: String) -> String {
        let advice = advice(code, &self.options);
        if advice.is_empty() { text } else { format!("{advice}: {text}") }
    }

    async fn stalled(&self) -> Outcome {
        match self.check().await {
            Err(Health(why)) => Outcome::Retry { why, after: None, shrink: false },
            Ok(()) => self.retry("no broker has taken a message for 5 s"),
        }
    }

    /// A retry that tells what librdkafka last complained of and what can be done about it.
    fn retry(&self, otherwise: &str) -> Outcome {
        let why = match self.notes.error() {
            Some((code, text)) => self.said(code, text),
            None => otherwise.to_owned(),
        };
        Outcome::Retry { why, after: None, shrink: false }
    }

    /// One attempt over what is left. None when more is left and can go on at once.
    async fn step(&self, frozen: &Frozen) -> Option<Outcome> {
        let current = match self.producers.current().await {
            Ok(current) => current,
            Err(error) => {
                return Some(Outcome::Retry { why: error.to_string(), after: None, shrink: false });
            }
        };
        let Some(mut running) = frozen.run(current.generation) else {
            frozen.ticket.set(Stand::Done);
            let rejected = frozen.refused();
            return Some(if rejected.is_empty() { Outcome::Delivered { state: None } } else { Outcome::Partial { rejected } });
        };
        if running.enqueued == 0 && self.producers.is_outdated().await {
            // Once nothing is on the way any more, so that nothing has to be sent again for it.
            frozen.ticket.set(Stand::Waiting);
            frozen.ticket.first().await;
            self.producers.renew(current.generation).await;
            return None;
        }
        if running.enqueued < running.rows.len() {
            frozen.ticket.set(Stand::Waiting);
            frozen.ticket.turn(current.generation).await;
            if let Err(outcome) = self.enqueue(frozen, &current, &mut running).await {
                return Some(self.broken_or(outcome, &current).await);
            }
        }
        frozen.ticket.set(Stand::Enqueued(current.generation));
        if let Err(outcome) = self.settle(&running).await {
            return Some(self.broken_or(outcome, &current).await);
        }
        // Nothing younger may enter the queue before what has to come again.
        frozen.ticket.set(Stand::Waiting);
        match frozen.conclude() {
            None => None,
            Some(Class::Fatal) => {
                let outcome = self.retry("the producer is broken");
                self.producers.end(current.generation).await;
                Some(outcome)
            }
            Some(_) => {
                let outcome = self.retry("messages failed");
                // librdkafka keeps a topic's error until it asks again, which it would do in five minutes.
                let _ = self.check().await;
                Some(self.broken_or(outcome, &current).await)
            }
        }
    }

    /// Ends the producer if it is broken for good or was made from files that have changed since; the outcome stays.
    async fn broken_or(&self, outcome: Outcome, current: &Current) -> Outcome {
        let broken = current.producer.client().fatal_error().is_some();
        if broken || self.producers.is_outdated().await {
            tracing::warn!(topic = self.options.topic, broken, "replacing the Kafka producer");
            self.producers.end(current.generation).await;
        }
        outcome
    }
}

impl Sink for KafkaSink {
    type Frozen = Frozen;

    fn limits(&self) -> Limits {
        self.options.limits
    }

    fn in_flight(&self) -> usize {
        BATCHES_AT_ONCE
    }

    fn is_marked(&self) -> bool {
        true
    }

    fn freeze(&self, reader: &mut Reader, limits: &Limits, _cut: Option<&Cut>, _now: i64) -> Result<Step<Frozen>, ReadError> {
        let mut batch: Option<Frozen> = None;
        loop {
            let full =
                batch.as_ref().is_some_and(|batch| batch.len() as u64 >= limits.max_records || batch.bytes() as u64 >= limits.max_bytes);
            if full {
                break;
            }
            match reader.peek()? {
                None => break,
                // Two identities count separately; a batch belongs to one.
                Some(Item::Renewed { .. }) if batch.is_some() => break,
                Some(Item::Record(record)) => {
                    let new = || Frozen::new(record.spool, self.notes.clone(), self.order.ticket());
                    batch.get_or_insert_with(new).add(&record);
                }
                Some(Item::Commit(_) | Item::Gap(_) | Item::Renewed { .. }) => {}
            }
            reader.advance();
        }
        Ok(match batch {
            None => Step::Skip,
            Some(frozen) => Step::Batch(Batch { records: frozen.len() as u64, bytes: frozen.bytes() as u64, frozen, cut: None }),
        })
    }

    async fn send(&self, frozen: &Frozen) -> Outcome {
        loop {
            if let Some(outcome) = self.step(frozen).await {
                return outcome;
            }
        }
    }

    async fn check(&self) -> Result<(), Health> {
        let current = self.producers.current().await.map_err(|error| Health(error.to_string()))?;
        let topic = self.options.topic.clone();
        let asked = tokio::task::spawn_blocking(move || {
            let metadata = current.producer.client().fetch_metadata(Some(&topic), CHECK_TIMEOUT)?;
            let error = metadata.topics().first().and_then(|topic| topic.error()).map(Code::from);
            Ok::<_, KafkaError>(error)
        });
        match asked.await {
            Ok(Ok(None)) => Ok(()),
            Ok(Ok(Some(code))) => Err(Health(self.said(code, code.to_string()))),
            Ok(Err(error)) => {
                // The brokers' own complaint says more than that the question timed out.
                let (code, text) = self.notes.error().unwrap_or((error.rdkafka_error_code().unwrap_or(Code::Unknown), error.to_string()));
                Err(Health(self.said(code, text)))
            }
            Err(error) => Err(Health(error.to_string())),
        }
    }

    async fn reset(&self) {
        self.producers.end(self.producers.generation()).await;
    }

    fn numbers(&self) -> Vec<Number> {
        self.notes.statistics().numbers(self.producers_replaced())
    }

    async fn close(&self) {
        self.reset().await;
    }
}

#[cfg(test)]
#[path = "sink_tests.rs"]
mod tests;
