//! The whole daemon before real servers: what it reads reaches a file, Loki, Kafka and a locked bucket once and in order, whatever is killed.
//!
//! The input is a file of made-up flows; everything is read back by clients that share no code with the sinks, and held against
//! `events.log`.

mod arrivals;
mod crashes;
mod destinations;
mod memory;
mod outages;
mod secrets;
