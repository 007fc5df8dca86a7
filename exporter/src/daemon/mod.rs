//! What makes a process a daemon: its life from start to stop, its flow logs and sinks, its log, privileges and state folder.

pub mod identities;
pub mod last_start;
pub mod life;
pub mod logging;
pub mod manager;
pub mod metrics_reader;
pub mod network_sinks;
pub mod notify_systemd;
pub mod pages;
pub mod privileges;
pub mod retiring;
pub mod running_log;
pub mod sinks;
pub mod start;
pub mod state;
