//! Loki: each record is one entry of one stream, pushed oldest first, once as far as any log query can tell.
//!
//! Promises
//! - that a record's labels, timestamp, line and metadata are a pure function of the record and its commit, so that what is sent again
//!   (after a lost answer, a restart, a different cut) is the same entry and Loki keeps one of the two;
//! - that a push holds one stream only: of a push with several, Loki answers for the last one and loses the others behind a 204;
//! - that a stream has one push in flight, oldest first, and that an entry Loki refuses is singled out with the reason and never silently lost.
//!
//! Does not promise the first of these of a Loki that divides busy streams by itself ([`sharding`]): there a repeat is shown twice, and [`sink`] warns of
//! it. Nor that `count_over_time` agrees right after entries were sent again: Loki removes the repeats from log queries at once, from metric queries only after
//! the next flush.
//!
//! Read in this order: [`config`], [`labels`] (what becomes a label), [`push`] (the entries and their bytes), [`answer`] (what a reply
//! means), [`client`] (HTTP), [`walk`] (through one push), [`sink`].

pub mod answer;
pub mod client;
pub mod config;
pub mod labels;
pub mod push;
pub mod sharding;
pub mod sink;
#[cfg(test)]
mod stub_for_tests;
pub mod walk;

pub use config::Options;
pub use sink::LokiSink;
