//! Spool, delivery, destinations and evidence. Knows bytes and sequence numbers, never what a flow is.

pub mod secret;
pub mod tls;
