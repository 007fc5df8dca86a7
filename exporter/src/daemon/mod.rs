//! What makes a process a daemon: its log, its privileges, what it tells systemd, the lock on its state.

pub mod logging;
pub mod notify_systemd;
pub mod privileges;
pub mod state;
