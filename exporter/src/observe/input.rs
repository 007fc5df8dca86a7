//! Where lines come from: a file with its rotated predecessors, oldest first; standard input; a file that is followed over its rotations.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::block::{Block, Purpose, Work};
use super::threads;
use crate::sources::jsonl::{Follower, backups};

/// How often a followed file is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes what came of the input, in its order.
pub trait Consumer {
    /// What it wants to be done with what is read next.
    fn purpose(&self) -> Purpose;

    /// The next block.
    fn take(&mut self, block: &mut Block) -> ControlFlow<()>;

    /// Everything that was there has been read; only what is written from now on follows.
    fn caught_up(&mut self) -> ControlFlow<()>;
}

/// Reads an input to its end. `progress`: tell how far it is, if somebody may be waiting.
///
/// # Errors
/// When it can't be read.
pub fn read(path: &Path, progress: bool, work: &Arc<Work>, consumer: &mut dyn Consumer) -> Result<(), String> {
    let files = rotated_set(path)?;
    threads::read(files, progress, work, consumer.purpose(), &mut |block| consumer.take(block))
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
pub fn follow(path: &Path, work: &Arc<Work>, consumer: &mut dyn Consumer) -> Result<(), String> {
    if path == Path::new("-") {
        return read(path, false, work, consumer);
    }
    std::fs::metadata(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let mut follower = Follower::new(path, None);
    let mut block = Block { path: path.into(), ..Block::new(&work.style) };
    loop {
        let chunk = follower.look().map_err(|error| error.to_string())?;
        let flow = match &chunk {
            Some(chunk) => {
                block.lines.clear();
                block.lines.extend_from_slice(chunk.bytes);
                block.purpose = consumer.purpose();
                work.on(&mut block, 1);
                let flow = consumer.take(&mut block);
                block.number += 1;
                block.line += memchr::memchr_iter(b'\n', chunk.bytes).count() as u64;
                flow
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
