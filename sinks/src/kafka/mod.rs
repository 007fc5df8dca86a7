//! Kafka: each record is one message, in order per key, none missing.
//!
//! Promises
//! - that nothing is given up: no time-out inside librdkafka drops a message (`message.timeout.ms=0`), since the spool owns its life;
//! - that the client's own retries neither repeat nor reorder within a partition (`enable.idempotence`, `acks=all`);
//! - that records are enqueued in the order of the spool, also by several batches on the way at once.
//!
//! Does not promise that a message is there once: after a crash between send and acknowledgement, or when a broken producer had to be
//! replaced, what was not acknowledged is sent again. A repeat carries the same `flowlog-uid`, by which a consumer recognises it.
//! Transactions would prevent it at one transaction in flight per producer and a round trip each. Messages that a broker refused (no
//! permission, batch too large) come again too, and a later message of their key may have passed meanwhile; `flowlog-sequence` tells.
//!
//! Read in this order: [`config`] and [`properties`] (what librdkafka is told), [`errors`] (what a failure means), [`delivery`] (what the
//! callbacks note down), [`producer`] (one producer after the other), [`batch`], [`sink`].

pub mod batch;
pub mod config;
pub mod delivery;
pub mod errors;
#[cfg(test)]
mod mock_for_tests;
pub mod order;
pub mod producer;
pub mod properties;
pub mod sink;
pub mod statistics;

pub use config::Options;
pub use sink::KafkaSink;
