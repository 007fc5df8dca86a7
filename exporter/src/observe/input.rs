//! Where lines come from: a file with its rotated predecessors, oldest first; standard input; a file that is followed over its rotations.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::progress::Progress;
use crate::sources::jsonl::{Follower, backups};
use crate::sources::recorded::{self, Place};

/// How often a followed file is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// What is done with pieces of input.
pub trait Consumer {
    /// Whole lines.
    fn chunk(&mut self, lines: &[u8], first: Place<'_>) -> ControlFlow<()>;

    /// Everything that was there has been read; only what is written from now on follows.
    fn caught_up(&mut self) -> ControlFlow<()>;
}

/// Reads an input to its end. `progress`: tell how far it is, if somebody may be waiting.
///
/// # Errors
/// When it can't be read.
pub fn read(path: &Path, progress: bool, consumer: &mut dyn Consumer) -> Result<(), String> {
    let files = rotated_set(path)?;
    let mut progress = Progress::over(&files, progress);
    let mut stopped = false;
    for file in files {
        let read = recorded::chunks(&file, &mut |chunk, first| {
            progress.advance(chunk.len());
            let flow = consumer.chunk(chunk, first);
            stopped = flow.is_break();
            flow
        });
        if read.is_err() || stopped {
            progress.finish();
            return read.map_err(|error| error.to_string());
        }
    }
    progress.finish();
    Ok(())
}

/// The backups of a path, oldest first, and the path itself.
fn rotated_set(path: &Path) -> Result<Vec<PathBuf>, String> {
    if path == Path::new("-") {
        return Ok(vec![path.to_owned()]);
    }
    // Asked first, so that a name that is wrong is an error and not a set of backups.
    std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut files = backups(path).map_err(|error| format!("cannot read the folder of {}: {error}", path.display()))?;
    files.push(path.to_owned());
    Ok(files)
}

/// Reads an input and goes on with what is appended to it, over rotations, until the consumer stops.
///
/// # Errors
/// When it can't be read.
pub fn follow(path: &Path, consumer: &mut dyn Consumer) -> Result<(), String> {
    if path == Path::new("-") {
        return read(path, false, consumer);
    }
    std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut follower = Follower::new(path, None);
    let mut line = 1;
    loop {
        let chunk = follower.look().map_err(|error| error.to_string())?;
        let flow = match &chunk {
            Some(chunk) => {
                let first = Place { path, line };
                line += memchr::memchr_iter(b'\n', chunk.bytes).count() as u64;
                consumer.chunk(chunk.bytes, first)
            }
            None => consumer.caught_up(),
        };
        if flow.is_break() {
            return Ok(());
        }
        if chunk.is_none() {
            std::thread::sleep(PAUSE);
        }
    }
}
