//! One producer after the other: made when first needed, replaced when broken or when a file it was made from has changed.
//!
//! Librdkafka reads its files when a producer is made, and never again: a rotated certificate or password takes a new producer. Promises that while the new
//! files can't be used (a certificate is there and its key not yet), the producer made from those before goes on.
//!
//! Promises that a replaced producer's messages are purged before the next producer starts, and not left to arrive behind newer ones.
//! Making and purging a producer may block for a second, so both run aside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{Producer as _, PurgeConfig, ThreadedProducer};
use tokio::sync::Mutex;

use crate::secret::{SecretError, SecretSource};
use crate::tls::TlsVersion;

use super::config::Options;
use super::delivery::{Callbacks, Notes};

/// A producer and its place in the line of producers.
#[derive(Clone)]
pub struct Current {
    /// Grows by one with each producer.
    pub generation: u64,
    /// The producer.
    pub producer: Arc<ThreadedProducer<Callbacks>>,
}

/// Why there is no producer.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The password can't be read.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// librdkafka refuses the settings or the files.
    #[error("no producer: {0}")]
    Kafka(#[from] KafkaError),
}

/// What a producer was made from besides its settings: the TLS files and the password.
type Made = (TlsVersion, Option<SecretSource>);

/// The line of producers of one sink.
pub struct Producers {
    options: Options,
    notes: Arc<Notes>,
    state: Mutex<State>,
    /// How many were made.
    made: AtomicU64,
}

struct State {
    current: Option<(Current, Made)>,
    /// Changed files that no producer could be made from.
    unusable: Option<Made>,
}

impl Producers {
    /// None yet.
    pub fn new(options: Options, notes: Arc<Notes>) -> Producers {
        Producers { options, notes, state: Mutex::new(State { current: None, unusable: None }), made: AtomicU64::new(0) }
    }

    /// The producer in use; makes one if there is none.
    ///
    /// # Errors
    /// When none can be made.
    pub async fn current(&self) -> Result<Current, ProducerError> {
        let mut state = self.state.lock().await;
        if let Some((current, _)) = &state.current {
            return Ok(current.clone());
        }
        let made = self.made_from();
        let producer = self.make().await?;
        Ok(self.put(&mut state, producer, made))
    }

    async fn make(&self) -> Result<Arc<ThreadedProducer<Callbacks>>, ProducerError> {
        let config = self.options.client_config()?;
        Ok(Arc::new(create(config, self.notes.clone()).await?))
    }

    /// Puts a producer made from the files as they are now in place of the one of this generation. Call it when nothing is on the way there. Where none can
    /// be made, the one before stays until the files change again.
    pub async fn renew(&self, generation: u64) {
        let mut state = self.state.lock().await;
        if state.current.as_ref().is_none_or(|(current, _)| current.generation != generation) {
            return;
        }
        let made = self.made_from();
        match self.make().await {
            Ok(producer) => {
                let before = state.current.take();
                self.put(&mut state, producer, made);
                drop(state);
                if let Some((before, _)) = before {
                    purge(before).await;
                }
            }
            Err(error) => {
                tracing::warn!(topic = self.options.topic, %error, "changed files can't be used; the Kafka producer made from those before stays in use");
                state.unusable = Some(made);
            }
        }
    }

    /// The producer's generation, 0 before the first; one less is how often it was replaced.
    pub fn generation(&self) -> u64 {
        self.made.load(Relaxed)
    }

    /// Ends the producer of this generation, if it is still in use. Messages it has not delivered fail.
    pub async fn end(&self, generation: u64) {
        let ended = {
            let mut state = self.state.lock().await;
            match &state.current {
                Some((current, _)) if current.generation == generation => state.current.take(),
                _ => None,
            }
        };
        if let Some((current, _)) = ended {
            purge(current).await;
        }
    }

    /// Whether a file that the producer was made from has changed since.
    pub async fn is_outdated(&self) -> bool {
        let state = self.state.lock().await;
        let now = self.made_from();
        state.current.as_ref().is_some_and(|(_, made)| *made != now) && state.unusable.as_ref() != Some(&now)
    }

    fn put(&self, state: &mut State, producer: Arc<ThreadedProducer<Callbacks>>, made: Made) -> Current {
        let current = Current { generation: self.made.fetch_add(1, Relaxed) + 1, producer };
        *state = State { current: Some((current.clone(), made)), unusable: None };
        current
    }

    fn made_from(&self) -> Made {
        let password = self.options.sasl.as_ref().and_then(|sasl| sasl.password.read().ok());
        (self.options.tls.version(), password.map(SecretSource::Given))
    }
}

/// Ends a producer. Messages it has not delivered fail.
async fn purge(current: Current) {
    let ending = tokio::task::spawn_blocking(move || {
        current.producer.purge(PurgeConfig::default().queue().inflight());
        drop(current);
    });
    // The purge is what has to be over before a new producer starts; a panic in librdkafka's glue would only leave a thread behind.
    let _ = ending.await;
}

async fn create(config: ClientConfig, notes: Arc<Notes>) -> Result<ThreadedProducer<Callbacks>, KafkaError> {
    let making = tokio::task::spawn_blocking(move || config.create_with_context(Callbacks(notes)));
    making.await.unwrap_or_else(|error| Err(KafkaError::ClientCreation(error.to_string())))
}
