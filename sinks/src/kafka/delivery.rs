//! What librdkafka's callbacks note down: one byte per message, no allocation, no wait.
//!
//! A message carries a number (the attempt and its place in it) and no pointer, so a callback that comes late, from a producer that has
//! been replaced or for a batch that is gone, finds nothing and changes nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::Notify;

use super::errors::{Class, classify};
use super::statistics::Statistics;

// A message's number is an attempt and a place in one word.
const _: () = assert!(usize::BITS == 64, "flowlog needs a 64-bit machine");

/// An error older than this explains nothing that happens now.
const ERROR_LASTS: Duration = Duration::from_secs(60);

/// What came of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Open,
    /// The broker has it.
    Stored,
    /// It failed.
    Failed(Class),
}

impl Fate {
    fn to_byte(self) -> u8 {
        match self {
            Fate::Open => 0,
            Fate::Stored => 1,
            Fate::Failed(Class::Retry) => 2,
            Fate::Failed(Class::Suspect) => 3,
            Fate::Failed(Class::Fatal) => 4,
        }
    }

    fn from_byte(byte: u8) -> Fate {
        match byte {
            0 => Fate::Open,
            1 => Fate::Stored,
            3 => Fate::Failed(Class::Suspect),
            4 => Fate::Failed(Class::Fatal),
            _ => Fate::Failed(Class::Retry),
        }
    }
}

/// Messages that were given to one producer together.
#[derive(Debug)]
pub struct Attempt {
    /// Its number, never 0.
    pub number: u32,
    fates: Box<[AtomicU8]>,
    /// Messages without a fate, including those not yet enqueued.
    outstanding: AtomicUsize,
    /// Told when the last message has its fate.
    pub settled: Notify,
}

impl Attempt {
    /// Whether every message has its fate.
    pub fn is_settled(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }

    /// What came of the message at this place.
    pub fn fate(&self, place: usize) -> Fate {
        self.fates.get(place).map_or(Fate::Open, |fate| Fate::from_byte(fate.load(Ordering::Acquire)))
    }

    /// Notes a fate; the first one counts.
    pub fn note(&self, place: usize, fate: Fate) {
        let Some(cell) = self.fates.get(place) else {
            return;
        };
        if cell.compare_exchange(0, fate.to_byte(), Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
        if self.outstanding.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.settled.notify_one();
        }
    }

    /// The number that the message at this place carries through librdkafka.
    pub fn opaque(&self, place: usize) -> usize {
        (self.number as usize) << 32 | (place & 0xffff_ffff)
    }
}

/// What all producers of one sink write to.
#[derive(Debug, Default)]
pub struct Notes {
    attempts: RwLock<HashMap<u32, Arc<Attempt>>>,
    last_attempt: Mutex<u32>,
    /// Set while somebody waits for room in the producer's queue.
    wants_room: AtomicBool,
    /// Told when a message has left the queue and somebody wanted room.
    pub room: Notify,
    /// Messages that have got a fate, ever: grows as long as anything moves.
    pub fates: AtomicU64,
    /// Whether `last_error` holds anything, so that the good case takes no lock.
    has_error: AtomicBool,
    last_error: Mutex<Option<(Instant, RDKafkaErrorCode, String)>>,
    statistics: Mutex<Statistics>,
}

impl Notes {
    /// A new attempt of that many messages.
    pub fn attempt(&self, messages: usize) -> Arc<Attempt> {
        let number = {
            let mut last = self.last_attempt.lock().unwrap_or_else(PoisonError::into_inner);
            *last = last.wrapping_add(1).max(1);
            *last
        };
        let fates = (0..messages).map(|_| AtomicU8::new(0)).collect();
        let attempt = Arc::new(Attempt { number, fates, outstanding: AtomicUsize::new(messages), settled: Notify::new() });
        self.attempts.write().unwrap_or_else(PoisonError::into_inner).insert(number, attempt.clone());
        attempt
    }

    /// Takes no more notes for this attempt.
    pub fn forget(&self, attempt: &Attempt) {
        self.attempts.write().unwrap_or_else(PoisonError::into_inner).remove(&attempt.number);
    }

    /// Says that somebody waits for [`Notes::room`]. Try once more to enqueue after this and before waiting.
    pub fn want_room(&self) {
        self.wants_room.store(true, Ordering::SeqCst);
    }

    /// The error that explains best why nothing arrives, if there was one in the last minute and no message was stored since.
    pub fn error(&self) -> Option<(RDKafkaErrorCode, String)> {
        let (when, code, text) = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        (when.elapsed() < ERROR_LASTS).then_some((code, text))
    }

    /// Keeps an error to be shown. That no broker can be reached does not replace the reason why, nor that one broker said something.
    pub fn keep_error(&self, code: RDKafkaErrorCode, text: String) {
        // A broker that refuses a certificate says so when the handshake is over for us; what librdkafka then reports is a failure of transport.
        let of_tls = ["SSL routines", "SSL alert", "certificate"].iter().any(|word| text.contains(word));
        let code = if of_tls && code == RDKafkaErrorCode::BrokerTransportFailure { RDKafkaErrorCode::SSL } else { code };
        let said = |code| match code {
            RDKafkaErrorCode::AllBrokersDown => 0,
            RDKafkaErrorCode::BrokerTransportFailure => 1,
            _ => 2,
        };
        if said(code) < 2 && self.error().is_some_and(|(earlier, _)| said(earlier) > said(code)) {
            return;
        }
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), code, text));
        self.has_error.store(true, Ordering::Release);
    }

    /// The newest statistics.
    pub fn statistics(&self) -> Statistics {
        *self.statistics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, opaque: usize, failure: Option<RDKafkaErrorCode>) {
        let (number, place) = ((opaque >> 32) as u32, opaque & 0xffff_ffff);
        if let Some(attempt) = self.attempts.read().unwrap_or_else(PoisonError::into_inner).get(&number) {
            attempt.note(place, failure.map_or(Fate::Stored, |code| Fate::Failed(classify(code))));
        }
        if failure.is_none() && self.has_error.swap(false, Ordering::AcqRel) {
            *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.fates.fetch_add(1, Ordering::Relaxed);
        if self.wants_room.swap(false, Ordering::SeqCst) {
            self.room.notify_one();
        }
    }
}

/// The callbacks of one producer.
#[derive(Clone, Debug)]
pub struct Callbacks(pub Arc<Notes>);

impl ClientContext for Callbacks {
    /// Only librdkafka's errors and warnings, and those as a debug matter: what counts comes back as an outcome.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(target: "librdkafka", ?level, facility, text);
    }

    fn stats_raw(&self, json: &[u8]) {
        if let Some(statistics) = Statistics::parse(json) {
            *self.0.statistics.lock().unwrap_or_else(PoisonError::into_inner) = statistics;
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.keep_error(code, reason.to_owned());
        }
    }
}

impl ProducerContext for Callbacks {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let failure = result.as_ref().err().map(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown));
        if let Some(code) = failure
            && !matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight)
        {
            self.0.keep_error(code, code.to_string());
        }
        self.0.settle(opaque, failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_are_noted_once_and_the_last_one_settles_the_attempt() {
        let notes = Notes::default();
        let attempt = notes.attempt(3);
        notes.settle(attempt.opaque(0), None);
        notes.settle(attempt.opaque(2), Some(RDKafkaErrorCode::MessageSizeTooLarge));
        notes.settle(attempt.opaque(2), None);
        notes.settle(attempt.opaque(7), None);
        assert!(!attempt.is_settled());
        notes.settle(attempt.opaque(1), Some(RDKafkaErrorCode::Fatal));
        assert!(attempt.is_settled());
        assert_eq!(
            [0, 1, 2, 3].map(|place| attempt.fate(place)),
            [Fate::Stored, Fate::Failed(Class::Fatal), Fate::Failed(Class::Suspect), Fate::Open]
        );
    }

    #[test]
    fn the_reason_why_no_broker_is_reached_stays_until_a_message_is_stored() {
        let notes = Notes::default();
        let attempt = notes.attempt(1);
        notes.keep_error(RDKafkaErrorCode::AllBrokersDown, "down".into());
        notes.keep_error(RDKafkaErrorCode::Authentication, "who are you".into());
        notes.keep_error(RDKafkaErrorCode::AllBrokersDown, "down".into());
        assert_eq!(notes.error(), Some((RDKafkaErrorCode::Authentication, "who are you".into())));
        notes.settle(attempt.opaque(0), None);
        assert_eq!(notes.error(), None);
    }

    #[test]
    fn a_late_callback_for_a_forgotten_attempt_changes_nothing() {
        let notes = Notes::default();
        let old = notes.attempt(1);
        notes.forget(&old);
        let new = notes.attempt(1);
        notes.settle(old.opaque(0), None);
        assert!(!old.is_settled() && !new.is_settled());
        assert_ne!(old.opaque(0), new.opaque(0));
    }
}
