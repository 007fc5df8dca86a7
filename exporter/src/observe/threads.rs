//! Input through several threads and out again in its order: one thread reads, one a processor works, the caller takes.
//!
//! A fixed number of blocks goes round, so memory is bounded and a slow output holds up the reading. Block n is worked on by thread n modulo their number, and
//! taken from there, which keeps the order without sorting.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::block::{Block, Purpose, Work};
use super::progress::Progress;
use crate::sources::recorded;

/// Blocks for each working thread.
const BLOCKS: usize = 4;

/// Reads these files to their ends, and hands out each block when it was worked on, until it is told to stop.
///
/// # Errors
/// When a file can't be read.
pub fn read(
    files: Vec<PathBuf>,
    progress: bool,
    work: &Arc<Work>,
    purpose: Purpose,
    take: &mut dyn FnMut(&mut Block) -> ControlFlow<()>,
) -> Result<(), String> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let (free, free_blocks) = sync_channel(workers * BLOCKS);
    let (mut to_workers, mut from_workers) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let (to_worker, blocks) = sync_channel(BLOCKS);
        let (done, from_worker) = sync_channel(BLOCKS);
        let work = Arc::clone(work);
        std::thread::spawn(move || run(&work, &blocks, &done));
        to_workers.push(to_worker);
        from_workers.push(from_worker);
    }
    for _ in 0..workers * BLOCKS {
        // There is room for each of them.
        let _ = free.try_send(Block { purpose, ..Block::new(&work.style) });
    }
    // It may hang in a pipe when nothing more is wanted of it, so nobody waits for it then.
    let reader = std::thread::spawn(move || feed(files, progress, &free_blocks, &to_workers));
    for from_worker in from_workers.iter().cycle() {
        let Ok(mut block) = from_worker.recv() else { break };
        if take(&mut block).is_break() {
            return Ok(());
        }
        let _ = free.try_send(block);
    }
    drop(free);
    reader.join().unwrap_or_else(|_| Err("the thread that reads the input failed".to_owned()))
}

/// Works on blocks until there are no more.
fn run(work: &Work, blocks: &Receiver<Block>, done: &SyncSender<Block>) {
    for mut block in blocks {
        work.on(&mut block, 1);
        if done.send(block).is_err() {
            return;
        }
    }
}

/// Reads files into blocks until nobody takes them any more.
fn feed(files: Vec<PathBuf>, progress: bool, free: &Receiver<Block>, workers: &[SyncSender<Block>]) -> Result<(), String> {
    let mut progress = Progress::over(&files, progress);
    let mut number = 0;
    for file in files {
        let path: Arc<Path> = file.as_path().into();
        let mut stopped = false;
        let read = recorded::chunks(&file, &mut |chunk, first| {
            progress.advance(chunk.len());
            let sent = free.recv().ok().and_then(|mut block| {
                block.lines.clear();
                block.lines.extend_from_slice(chunk);
                (block.number, block.path, block.line) = (number, Arc::clone(&path), first.line);
                let worker = workers.get(number as usize % workers.len().max(1))?;
                number += 1;
                worker.send(block).ok()
            });
            stopped = sent.is_none();
            if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if read.is_err() || stopped {
            progress.finish();
            return read.map_err(|error| error.to_string());
        }
    }
    progress.finish();
    Ok(())
}
