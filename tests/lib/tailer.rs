//! Tailers as people have them, reduced to how they tell one file from another: by its first line, by its path and an offset, by its inode.
//!
//! Each looks every few milliseconds and reads whole lines.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::thread::{Gid, Uid};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(3);
/// How long a file that is not found is remembered: one that is renamed during a look is in none of the names of that look.
const REMEMBER: Duration = Duration::from_millis(100);

/// How a tailer tells files apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knows {
    /// By the first line, among the live file and its backups, as Vector does.
    FirstLine,
    /// By the path of the live file and how far it has read it: one that is shorter than that is a new one, and the rest of the old one is in the newest
    /// backup.
    PathAndOffset,
    /// By the inode, among the live file and its backups, as Fluent Bit does.
    Inode,
}

/// A tailer at work.
pub struct Tailer {
    stop: Arc<AtomicBool>,
    files: Arc<AtomicU64>,
    thread: JoinHandle<Vec<String>>,
}

impl Tailer {
    /// Starts one on a live file, as this user and group where they are given.
    pub fn start(live: &Path, knows: Knows, user: Option<(u32, u32)>) -> Tailer {
        let (stop, files) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, met, live) = (Arc::clone(&stop), Arc::clone(&files), live.to_owned());
        let thread = std::thread::spawn(move || {
            if let Some((user, group)) = user {
                become_user(user, group);
            }
            let mut reading = Reading { live, offsets: HashMap::new(), offset: 0, files: met, lines: Vec::new() };
            loop {
                let last = ended.load(Ordering::Acquire);
                match knows {
                    Knows::PathAndOffset => reading.look_at_path(),
                    Knows::FirstLine | Knows::Inode => reading.look_at_all(knows),
                }
                if last {
                    return reading.lines;
                }
                std::thread::sleep(LOOK);
            }
        });
        Tailer { stop, files, thread }
    }

    /// Files it has met so far.
    pub fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Has it look once more, and takes what it has read.
    pub fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("the tailer")
    }
}

/// The thread is that user from here on, without privileges and without further groups.
fn become_user(user: u32, group: u32) {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    rustix::thread::set_thread_groups(&[]).expect("setgroups");
    rustix::thread::set_thread_res_gid(group, group, group).expect("setresgid");
    rustix::thread::set_thread_res_uid(user, user, user).expect("setresuid");
}

struct Reading {
    live: PathBuf,
    /// How far each file has been read, by what it is known by, and when it was last seen.
    offsets: HashMap<String, (u64, Instant)>,
    /// How far the live file has been read.
    offset: u64,
    /// Files it has begun to read.
    files: Arc<AtomicU64>,
    lines: Vec<String>,
}

impl Reading {
    /// The backups that are not compressed, oldest first.
    fn backups(&self) -> Vec<PathBuf> {
        let stem = format!("{}-", self.live.file_stem().and_then(|stem| stem.to_str()).expect("a stem"));
        let entries = std::fs::read_dir(self.live.parent().expect("a folder")).expect("the folder").flatten();
        let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        found.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&stem) && name.ends_with(".log")
        });
        found.sort();
        found
    }

    fn look_at_path(&mut self) {
        let Ok(file) = File::open(&self.live) else { return };
        let length = file.metadata().expect("metadata").len();
        if length < self.offset {
            // The newest backup may be the file before this one only if nothing was renamed meanwhile; the next look tells.
            let Some(old) = self.backups().pop() else { return };
            let old = File::open(old).expect("the newest backup");
            self.read(old, self.offset);
            self.offset = 0;
        }
        self.offset += self.read(file, self.offset);
    }

    fn look_at_all(&mut self, knows: Knows) {
        let now = Instant::now();
        for path in self.backups().into_iter().chain([self.live.clone()]) {
            // What goes away between the list and the look was read before.
            let Ok(file) = File::open(&path) else { continue };
            let Some(name) = name(&file, knows) else { continue };
            let (from, _) = self.offsets.get(&name).copied().unwrap_or((0, now));
            let read = self.read(file, from);
            self.offsets.insert(name, (from + read, now));
        }
        // Names of files that are gone come back as names of others.
        self.offsets.retain(|_, (_, seen)| now.duration_since(*seen) < REMEMBER);
    }

    /// Reads whole lines from an offset on; gives their bytes.
    fn read(&mut self, mut file: File, from: u64) -> u64 {
        file.seek(SeekFrom::Start(from)).expect("a seek");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("text");
        self.files.fetch_add(u64::from(from == 0 && !text.is_empty()), Ordering::Relaxed);
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        self.lines.extend(text[..whole].lines().map(str::to_owned));
        whole as u64
    }
}

/// What a file is known by; `None` while it has no first line.
fn name(file: &File, knows: Knows) -> Option<String> {
    if knows == Knows::Inode {
        return Some(file.metadata().expect("metadata").ino().to_string());
    }
    let mut first = String::new();
    BufReader::new(file).read_line(&mut first).expect("a line");
    first.ends_with('\n').then_some(first)
}
