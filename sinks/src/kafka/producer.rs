//! One producer after the other: made when first needed, replaced when broken or when a file it was made from has changed.
//!
//! Promises that a replaced producer's messages are purged before the next producer starts, and not left to arrive behind newer ones.
//! Making and purging a producer may block for a second, so both run aside.

use std::sync::Arc;

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
}

struct State {
    current: Option<(Current, Made)>,
    generation: u64,
}

impl Producers {
    /// None yet.
    pub fn new(options: Options, notes: Arc<Notes>) -> Producers {
        Producers { options, notes, state: Mutex::new(State { current: None, generation: 0 }) }
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
        let config = self.options.client_config()?;
        let producer = Arc::new(create(config, self.notes.clone()).await?);
        state.generation += 1;
        let current = Current { generation: state.generation, producer };
        state.current = Some((current.clone(), made));
        Ok(current)
    }

    /// The producer's generation, 0 before the first; one less is how often it was replaced.
    pub async fn generation(&self) -> u64 {
        self.state.lock().await.generation
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
            let ending = tokio::task::spawn_blocking(move || {
                current.producer.purge(PurgeConfig::default().queue().inflight());
                drop(current);
            });
            // The purge is what has to be over before a new producer starts; a panic in librdkafka's glue would only leave a thread behind.
            let _ = ending.await;
        }
    }

    /// Whether a file that the producer was made from has changed since.
    pub async fn is_outdated(&self) -> bool {
        match &self.state.lock().await.current {
            Some((_, made)) => *made != self.made_from(),
            None => false,
        }
    }

    fn made_from(&self) -> Made {
        let password = self.options.sasl.as_ref().and_then(|sasl| sasl.password.read().ok());
        (self.options.tls.version(), password.map(SecretSource::Given))
    }
}

async fn create(config: ClientConfig, notes: Arc<Notes>) -> Result<ThreadedProducer<Callbacks>, KafkaError> {
    let making = tokio::task::spawn_blocking(move || config.create_with_context(Callbacks(notes)));
    making.await.unwrap_or_else(|error| Err(KafkaError::ClientCreation(error.to_string())))
}
