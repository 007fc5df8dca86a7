//! The file being written: opened lazily, appended to in whole lines, renamed away.

use super::FileMetrics;
use super::config::FileConfig;
use super::{names, resume};
use crate::spool::sync_folder;
use rustix::fs::{CWD, FlockOperation, Gid, Mode, RenameFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

/// So much is written at once, in whole lines.
const CHUNK: usize = 256 << 10;

pub(super) struct Active {
    file: File,
    inode: u64,
    /// Where the next line goes.
    pub size: u64,
    /// What is certain to survive a power loss.
    synced: u64,
    /// When the file was begun, nanoseconds since 1970 UTC; 0 where the file system does not say.
    pub born: i64,
}

impl Active {
    /// Opens the file to append, and creates it and its folders where they are missing. A last line without its newline gets one.
    pub fn open(config: &FileConfig, metrics: &FileMetrics) -> io::Result<Self> {
        if let Some(folder) = config.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        }
        let existed = config.path.exists();
        let file = OpenOptions::new().read(true).append(true).create(true).mode(config.mode).open(&config.path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK { io::Error::other("another process is writing this file") } else { error.into() }
        })?;
        if !existed {
            if let Err(error) = give(&file, config) {
                // A later try must not take it for one that was there before.
                std::fs::remove_file(&config.path)?;
                return Err(error);
            }
            if let Some(folder) = folder_of(&config.path) {
                sync_folder(folder)?;
            }
        }
        let found = resume::identity(&file)?;
        // What stands there may be in memory only: a process before this one was killed, and its cursor is stored behind it next.
        let mut active = Self { file, inode: found.inode, size: found.offset, synced: 0, born: found.born };
        if active.ends_torn()? {
            active.write(b"\n")?;
            metrics.torn_lines_closed.fetch_add(1, Relaxed);
        }
        Ok(active)
    }

    /// Where the last line ended.
    pub fn place(&self) -> resume::Place {
        resume::Place { inode: self.inode, born: self.born, offset: self.size }
    }

    fn ends_torn(&self) -> io::Result<bool> {
        let mut last = [b'\n'];
        if self.size > 0 {
            self.file.read_at(&mut last, self.size - 1)?;
        }
        Ok(last != *b"\n")
    }

    /// Appends bytes; gives how many were taken.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.file).write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.size += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends whole lines from `progress` on, which says, also after an error, how far it got.
    pub fn append(&mut self, lines: &[u8], progress: &mut usize) -> io::Result<()> {
        while *progress < lines.len() {
            let rest = &lines[*progress..];
            let most = &rest[..rest.len().min(CHUNK)];
            let end = match memchr::memrchr(b'\n', most) {
                Some(newline) => newline + 1,
                None => memchr::memchr(b'\n', rest).map_or(rest.len(), |newline| newline + 1),
            };
            *progress += self.write(&rest[..end])?;
        }
        Ok(())
    }

    /// Makes everything written durable.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.synced >= self.size {
            return Ok(());
        }
        make_durable(&self.file, self.synced, self.size)?;
        self.synced = self.size;
        Ok(())
    }

    /// Whether the path still names this file, and the file is as long as it was left. One that was truncated goes on from its new end.
    pub fn still_there(&mut self, path: &Path, metrics: &FileMetrics) -> io::Result<bool> {
        match path.metadata() {
            Ok(found) if found.ino() == self.inode => {
                if found.len() < self.size {
                    metrics.external_changes.fetch_add(1, Relaxed);
                    self.size = found.len();
                    self.synced = self.synced.min(self.size);
                }
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Renames the file to a backup of its own, of this time or the next that is free, and makes that durable. The caller opens the next
    /// file. Gives the backup's time.
    pub fn rename_away(&mut self, path: &Path, mut milliseconds: i64) -> io::Result<i64> {
        self.sync()?;
        loop {
            let backup = names::backup(path, milliseconds);
            if taken(&backup) {
                milliseconds += 1;
                continue;
            }
            match rustix::fs::renameat_with(CWD, path, CWD, &backup, RenameFlags::NOREPLACE) {
                Ok(()) => {}
                Err(rustix::io::Errno::EXIST) => {
                    milliseconds += 1;
                    continue;
                }
                // A file system without it; nobody else makes names like these.
                Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => std::fs::rename(path, &backup)?,
                Err(error) => return Err(error.into()),
            }
            if let Some(folder) = folder_of(path) {
                sync_folder(folder)?;
            }
            return Ok(milliseconds);
        }
    }
}

/// Makes a file's bytes durable. After a failure the pages count as lost (Linux marks them clean): they are written again, with the same bytes in the same
/// place, before the next try.
pub(super) fn make_durable(file: &File, from: u64, to: u64) -> io::Result<()> {
    let result = rustix::fs::fdatasync(file);
    if result.is_err() {
        // Not through this descriptor, which can only append or only read, and whatever the file is called by now.
        let again = OpenOptions::new().write(true).open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        let mut buffer = vec![0; CHUNK];
        let mut at = from;
        while at < to {
            let want = buffer.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
            let count = file.read_at(&mut buffer[..want], at)?;
            if count == 0 {
                break;
            }
            again.write_all_at(&buffer[..count], at)?;
            at += count as u64;
        }
    }
    Ok(result?)
}

/// Gives a new file its mode and group, whatever the umask and the group of the process are.
fn give(file: &File, config: &FileConfig) -> io::Result<()> {
    rustix::fs::fchmod(file, Mode::from_raw_mode(config.mode))?;
    if let Some(group) = config.group {
        rustix::fs::fchown(file, None, Some(Gid::from_raw(group)))?;
    }
    Ok(())
}

/// Whether a backup of this name exists in any form.
fn taken(backup: &Path) -> bool {
    [names::Form::Plain, names::Form::Gzip, names::Form::Zstd].iter().any(|form| {
        let mut name = backup.as_os_str().to_owned();
        name.push(form.suffix());
        Path::new(&name).exists()
    })
}

/// The folder a path lies in.
pub(super) fn folder_of(path: &Path) -> Option<&Path> {
    let folder = path.parent()?;
    Some(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_in_a_file_before_counts_as_durable_once_it_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let config = FileConfig::new(folder.path().join("events.log"));
        std::fs::write(&config.path, "of a process that was killed\n").unwrap();
        let mut active = Active::open(&config, &FileMetrics::default()).unwrap();
        assert_eq!((active.synced, active.size), (0, 29));
        active.sync().unwrap();
        assert_eq!(active.synced, 29);
    }
}
