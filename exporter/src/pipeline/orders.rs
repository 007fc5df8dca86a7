//! What a running flow log is told: heard between two frames, and while the disk does not take a commit.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::log::CompiledLog;

/// What a running flow log can be told.
pub enum Command {
    /// Go on under another configuration from the next commit on.
    Change(Arc<CompiledLog>),
    /// Cut now what there is, commit, and end. The next life goes on with what is open.
    Stop,
    /// Nothing will come any more: decide what is open, end the window, commit, and end.
    End,
}

/// What the engine was told and has not done yet.
pub struct Orders {
    commands: Receiver<Command>,
    /// The configuration to go on under.
    pub change: Option<Arc<CompiledLog>>,
    /// Since when it is to end.
    pub stop: Option<Instant>,
    /// Nothing comes after the end: what is open has to be decided.
    pub ended: bool,
    /// The disk did not take the last commit in time: nothing may follow it.
    pub given_up: bool,
}

impl Orders {
    /// None yet, and the end of the channel that gives them.
    #[must_use]
    pub fn new() -> (Self, Sender<Command>) {
        let (sender, commands) = channel();
        (Self { commands, change: None, stop: None, ended: false, given_up: false }, sender)
    }

    /// Hears what there is to hear, for at most this long.
    pub fn hear(&mut self, wait: Duration) {
        match self.commands.recv_timeout(wait) {
            Ok(Command::Change(log)) => self.change = Some(log),
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody is left who could tell.
            Ok(Command::End) => {
                self.ended = true;
                self.stop.get_or_insert_with(Instant::now);
            }
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => {
                if self.stop.is_some() {
                    std::thread::sleep(wait);
                }
                self.stop.get_or_insert_with(Instant::now);
            }
        }
    }
}
