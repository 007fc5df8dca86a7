//! The intake's published end: where readers may read to, and where they wait for more. Appending costs one atomic store unless a reader
//! is waiting.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Tail {
    position: AtomicU64,
    waiting: AtomicUsize,
    lock: Mutex<()>,
    more: Condvar,
}

impl Tail {
    pub fn new(position: u64) -> Self {
        Self { position: AtomicU64::new(position), ..Self::default() }
    }

    pub fn position(&self) -> u64 {
        self.position.load(Ordering::SeqCst)
    }

    /// Publishes a new end.
    pub fn advance(&self, position: u64) {
        self.position.store(position, Ordering::SeqCst);
        // Either this sees the reader waiting, or the reader, who counts itself before it looks, sees the new position.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.more.notify_all();
        }
    }

    /// Waits until the end is behind `position`, at most this long. Whether it is.
    pub fn wait(&self, position: u64, timeout: Duration) -> bool {
        if self.position() > position {
            return true;
        }
        let guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // A wake-up may be for an advance that was seen already: one that came between the look at it and the wait.
        drop(self.more.wait_timeout_while(guard, timeout, |()| self.position() <= position));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.position() > position
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_reader_that_waits_is_woken_by_every_advance() {
        let tail = Arc::new(Tail::new(0));
        let writer = tail.clone();
        let thread = std::thread::spawn(move || {
            for position in 1..=1000 {
                writer.advance(position);
                while writer.waiting.load(Ordering::SeqCst) == 0 && position < 1000 {
                    std::thread::yield_now();
                }
            }
        });
        let mut seen = 0;
        while seen < 1000 {
            assert!(tail.wait(seen, Duration::from_secs(60)));
            seen = tail.position();
        }
        thread.join().unwrap();
    }
}
