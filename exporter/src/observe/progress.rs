//! How far a long input has been read: a line on standard error, if that is a terminal and the output goes elsewhere.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Nothing is shown of what is done sooner than this.
const SILENCE: Duration = Duration::from_secs(1);
const INTERVAL: Duration = Duration::from_millis(200);

/// The progress of one command.
#[derive(Debug)]
pub struct Progress {
    /// Bytes to read, as far as the sizes of the files tell: what is compressed has none.
    total: u64,
    done: u64,
    shown: Option<Instant>,
    next: Instant,
    on: bool,
}

impl Progress {
    /// Over these files. `wanted` is false where nothing may be shown.
    pub fn over(files: &[PathBuf], wanted: bool) -> Self {
        let on = wanted && io::stderr().is_terminal() && !io::stdout().is_terminal();
        let plain = files.iter().filter(|file| !matches!(file.extension().and_then(|e| e.to_str()), Some("gz" | "zst")));
        let total = plain.filter_map(|file| std::fs::metadata(file).ok()).map(|metadata| metadata.len()).sum();
        Self { total, done: 0, shown: None, next: Instant::now() + SILENCE, on }
    }

    /// This much more was read.
    pub fn advance(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if !self.on {
            return;
        }
        let now = Instant::now();
        if now < self.next {
            return;
        }
        (self.next, self.shown) = (now + INTERVAL, Some(now));
        let megabytes = self.done / 1_000_000;
        let text = match (self.done * 100).checked_div(self.total) {
            Some(percent @ 0..=100) => bar(percent, megabytes),
            _ => format!("{megabytes} MB read"),
        };
        // Nothing better can be done about a standard error that fails.
        let _ = write!(io::stderr(), "\r{text}\x1b[K");
    }

    /// Takes the line away.
    pub fn finish(&mut self) {
        if self.shown.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn bar(percent: u64, megabytes: u64) -> String {
    let filled = (percent / 5) as usize;
    format!("[{}{}] {percent} % ({megabytes} MB)", "=".repeat(filled), " ".repeat(20 - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_always_as_long() {
        assert_eq!(bar(0, 0), "[                    ] 0 % (0 MB)");
        assert_eq!(bar(52, 7), "[==========          ] 52 % (7 MB)");
        assert_eq!(bar(100, 9), "[====================] 100 % (9 MB)");
    }
}
