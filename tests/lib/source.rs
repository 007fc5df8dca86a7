//! A flow log that somebody else writes, as Hubble does on a Cilium node: numbered lines, rotated by renaming.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::flows::numbered;

/// Lines that are appended between two pauses.
const BATCH: u64 = 10;

/// A writer of numbered lines, from 0 on.
pub struct Source {
    written: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Source {
    /// Starts to write about so many lines a second to `hubble.log` in a folder, and renames it away after each `per_file` of them.
    pub fn start(folder: &Path, a_second: u64, per_file: u64) -> Source {
        let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended, folder) = (Arc::clone(&written), Arc::clone(&stop), folder.to_owned());
        let pause = Duration::from_micros(1_000_000 * BATCH / a_second);
        let thread = std::thread::spawn(move || {
            let path = folder.join("hubble.log");
            let mut file = std::fs::File::create(&path).expect("hubble.log");
            while !ended.load(Ordering::Relaxed) {
                let from = count.load(Ordering::Relaxed);
                let mut text: String = (from..from + BATCH).map(|number| numbered(number) + "\n").collect();
                file.write_all(text.as_bytes()).expect("lines");
                text.clear();
                count.store(from + BATCH, Ordering::Relaxed);
                if (from + BATCH).is_multiple_of(per_file) {
                    let rotation = (from + BATCH) / per_file;
                    let name = format!(
                        "hubble-2026-01-{:02}T{:02}-{:02}-{:02}.000.log",
                        1 + rotation / 86400,
                        rotation / 3600 % 24,
                        rotation / 60 % 60,
                        rotation % 60
                    );
                    std::fs::rename(&path, folder.join(name)).expect("a rotation");
                    file = std::fs::File::create_new(&path).expect("a new hubble.log");
                }
                std::thread::sleep(pause);
            }
        });
        Source { written, stop, thread: Some(thread) }
    }

    /// Lines written so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ends it and says how many lines there are.
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the source");
        }
        self.written()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
