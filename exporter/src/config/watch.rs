//! Notices when the configuration file changes, and hands over what it says.
//!
//! Watches the folder, not the file: a ConfigMap is swapped by a link beside it, editors save by renaming, and a watch on the file itself goes
//! deaf with its inode. Whatever happens in the folder only says "look": the file is read whole and acted on if its content differs. A slow
//! poll looks too, for file systems that report nothing, and becomes a faster one when the kernel has no watch left to give.
//! A file found empty or missing gets a second look after a second, since editors truncate before they write.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Checked, Hash, MAX_TEXT_BYTES, Problems, canonical, read};

/// What was seen.
#[derive(Debug)]
pub enum Update {
    /// A new content that is valid, or the old one again where a reload was asked for.
    Accepted(Box<Checked>),
    /// A new content that is not; whatever runs goes on.
    Rejected {
        /// SHA-256 of the content.
        hash: Hash,
        /// All that is wrong with it.
        problems: Problems,
    },
    /// The file is gone or cannot be read; whatever runs goes on.
    Unreadable(io::Error),
    /// The kernel gives no watch, as when `fs.inotify.max_user_instances` is used up; from now on the file is polled.
    Polling(notify::Error),
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two looks without any event.
    pub poll: Duration,
    /// The same where there is no watch.
    pub poll_without_watch: Duration,
    /// Silence after an event before the file is read.
    pub quiet: Duration,
    /// Before a file found empty or missing counts as such.
    pub second_look: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing {
            poll: Duration::from_secs(5),
            poll_without_watch: Duration::from_secs(2),
            quiet: Duration::from_millis(100),
            second_look: Duration::from_secs(1),
        }
    }
}

/// Ends the watch when dropped.
#[derive(Debug)]
pub struct Watch {
    wake: SyncSender<Wake>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Reads the file again and hands it over even if it is the same: for SIGHUP, and to try again what could not be built.
    pub fn reload(&self) {
        // A full channel means that a look is due anyway, and this one must not get lost.
        let _ = self.wake.send(Wake::Reload);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.wake.send(Wake::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wake {
    Changed,
    Reload,
    Stop,
}

/// Starts to watch a file. `applied` is the hash of the content that runs already; anything else is handed over at once.
///
/// # Errors
/// The thread cannot be started.
pub fn watch(path: &Path, strict: bool, applied: Option<Hash>, timing: Timing) -> io::Result<(Watch, Receiver<Update>)> {
    let (wake, wakes) = mpsc::sync_channel(16);
    let (updates, received) = mpsc::channel();
    let observer = Observer {
        path: path.to_owned(),
        strict,
        timing,
        updates,
        wake: wake.clone(),
        wakes,
        seen: applied.map(Seen::Text),
        watcher: None,
        polling: false,
    };
    let thread = std::thread::Builder::new().name("config-watch".into()).spawn(move || observer.run())?;
    Ok((Watch { wake, thread: Some(thread) }, received))
}

/// What the file was when last looked at.
#[derive(PartialEq, Eq)]
enum Seen {
    Text(Hash),
    Unreadable(io::ErrorKind),
}

struct Observer {
    path: PathBuf,
    strict: bool,
    timing: Timing,
    updates: Sender<Update>,
    wake: SyncSender<Wake>,
    wakes: Receiver<Wake>,
    seen: Option<Seen>,
    watcher: Option<RecommendedWatcher>,
    /// Whether it has been said that there is no watch.
    polling: bool,
}

/// The receiver is gone, or the watch was dropped.
struct Stop;

impl Observer {
    fn run(mut self) {
        while self.turn().is_ok() {}
    }

    /// Watches anew, looks, and sleeps until there is a reason to look again.
    fn turn(&mut self) -> Result<(), Stop> {
        // A folder that was removed and made again, or a link that leads elsewhere now, needs a new watch; the look below covers the gap.
        self.watch_folders()?;
        self.look(false)?;
        let until = Instant::now() + if self.watcher.is_some() { self.timing.poll } else { self.timing.poll_without_watch };
        loop {
            match self.wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) | Ok(Wake::Stop) => return Err(Stop),
                Ok(wake) => {
                    let reload = self.settle(wake == Wake::Reload)?;
                    self.look(reload)?;
                }
            }
        }
    }

    /// Waits until nothing happens for a moment, ten moments at most. True if a reload was asked for.
    fn settle(&mut self, mut reload: bool) -> Result<bool, Stop> {
        let latest = Instant::now() + self.timing.quiet * 10;
        while Instant::now() < latest {
            match self.wakes.recv_timeout(self.timing.quiet) {
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) | Ok(Wake::Stop) => return Err(Stop),
                Ok(wake) => reload |= wake == Wake::Reload,
            }
        }
        Ok(reload)
    }

    fn watch_folders(&mut self) -> Result<(), Stop> {
        let name = self.path.file_name().map(ToOwned::to_owned);
        let target = self.path.canonicalize().ok();
        let target_name = target.as_deref().and_then(Path::file_name).map(ToOwned::to_owned);
        let wake = self.wake.clone();
        let heard = move |event: notify::Result<Event>| {
            // An error may hide anything, and so may a queue that overflowed.
            let about_it = event.map_or(true, |event| {
                let ours = |path: &PathBuf| match path.file_name() {
                    file @ Some(_) if file == name.as_deref() || file == target_name.as_deref() => true,
                    // ConfigMaps: `..data`, and the folders it leads to.
                    Some(file) => file.as_encoded_bytes().starts_with(b".."),
                    None => true,
                };
                // Reading is an event too, and ours must not wake us.
                !event.kind.is_access() && (event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(ours))
            });
            if about_it {
                let _ = wake.try_send(Wake::Changed);
            }
        };
        let folder = parent(&self.path);
        let watched = notify::recommended_watcher(heard).and_then(|mut watcher| {
            watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            if let Some(target) =
                target.as_deref().map(parent).filter(|target| !folder.canonicalize().is_ok_and(|folder| target.starts_with(folder)))
            {
                watcher.watch(&target, RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        match watched {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.polling = false;
            }
            Err(error) => {
                self.watcher = None;
                // A missing folder is not a missing watch; the look says that the file is not there.
                if !self.polling && !is_missing(&error) {
                    self.polling = true;
                    self.updates.send(Update::Polling(error)).map_err(|_| Stop)?;
                }
            }
        }
        Ok(())
    }

    /// Reads the file and hands it over if it is new, or if `again`.
    fn look(&mut self, mut again: bool) -> Result<(), Stop> {
        let mut text = self.read();
        let until = Instant::now() + self.timing.second_look;
        while unfinished(&text) && self.seen.as_ref() != Some(&seen(&text)) {
            match self.wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return Err(Stop),
                Ok(wake) => again |= wake == Wake::Reload,
                Err(RecvTimeoutError::Timeout) => {
                    text = self.read();
                    break;
                }
            }
            text = self.read();
        }
        let now = seen(&text);
        if self.seen.as_ref() == Some(&now) && !again {
            return Ok(());
        }
        self.seen = Some(now);
        let update = match text {
            Err(error) => Update::Unreadable(error),
            Ok(text) => match read(&text, self.strict) {
                Ok(checked) => Update::Accepted(Box::new(checked)),
                Err(problems) => Update::Rejected { hash: canonical::sha256(&text), problems },
            },
        };
        self.updates.send(update).map_err(|_| Stop)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        std::fs::File::open(&self.path)?.take(MAX_TEXT_BYTES as u64 + 1).read_to_end(&mut text)?;
        Ok(text)
    }
}

fn is_missing(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::PathNotFound => true,
        notify::ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

/// Empty or missing, as a file is for a moment while it is written.
fn unfinished(text: &io::Result<Vec<u8>>) -> bool {
    text.as_ref().map_or(true, |text| text.iter().all(u8::is_ascii_whitespace))
}

fn seen(text: &io::Result<Vec<u8>>) -> Seen {
    match text {
        Ok(text) => Seen::Text(canonical::sha256(text)),
        Err(error) => Seen::Unreadable(error.kind()),
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests;
