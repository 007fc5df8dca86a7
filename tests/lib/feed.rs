//! What writes made-up requests into the file that a daemon follows.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::daemon::Daemon;
use crate::flows::request;

/// Requests written at a time.
const PIECE: u64 = 500;
/// Bytes after which the file is rotated, where it is.
const ROTATED_BYTES: u64 = 256 << 20;

/// Requests numbered from 0, each a microsecond later than the one before.
pub struct Feed {
    path: PathBuf,
    input: File,
    start: Timestamp,
    next: u64,
    backup: Option<PathBuf>,
}

impl Feed {
    /// Nothing written yet.
    pub fn new(daemon: &Daemon) -> Feed {
        let path = daemon.path("flows.jsonl");
        let input = File::options().append(true).open(&path).expect("the input");
        Feed { path, input, start: Timestamp::now(), next: 0, backup: None }
    }

    /// Writes so many more, with a pause after each piece.
    pub fn more(&mut self, count: u64, pause: Duration) {
        let end = self.next + count;
        while self.next < end {
            let numbers = self.next..(self.next + PIECE).min(end);
            self.next = numbers.end;
            let time = |n: u64| self.start + SignedDuration::from_micros(i64::try_from(n).expect("a small number"));
            let text: String = numbers.map(|n| request(time(n), n) + "\n").collect();
            self.input.write_all(text.as_bytes()).expect("flows");
            std::thread::sleep(pause);
        }
    }

    /// Writes so many a second for so long, as far as the machine can; the file is rotated now and then, and only the newest backup kept.
    pub fn at_rate(&mut self, a_second: u64, duration: Duration) {
        let (begun, first) = (Instant::now(), self.next);
        while begun.elapsed() < duration {
            let due = first + (begun.elapsed().as_secs_f64() * a_second as f64) as u64;
            self.more(due.saturating_sub(self.next), Duration::ZERO);
            std::thread::sleep(Duration::from_millis(5));
            if self.input.metadata().expect("the input").len() > ROTATED_BYTES {
                self.rotate();
            }
        }
    }

    fn rotate(&mut self) {
        let name = format!("flows-{}.jsonl", Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%3f"));
        let backup = self.path.with_file_name(name);
        fs::rename(&self.path, &backup).expect("a rotation");
        self.input = File::create_new(&self.path).expect("a new input");
        if let Some(old) = self.backup.replace(backup) {
            fs::remove_file(old).expect("an old backup");
        }
    }

    /// Requests so far.
    pub fn count(&self) -> u64 {
        self.next
    }
}
