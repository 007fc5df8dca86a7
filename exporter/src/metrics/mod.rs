//! Numbers about flowlog itself and about the flows it sees, and the port that shows them.

pub mod accounting;
pub mod hubble;
pub mod listener;
pub mod text;
pub mod tls;
