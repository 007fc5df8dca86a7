//! Follows a JSONL file over its rotations: Hubble's own exported flow log, or any file whose lines are appended whole.
//!
//! Promises: every complete line is handed out once and in order, over rename rotations (also several between two looks, also with compressed backups), over
//! restarts from a remembered [`Position`], and over a truncation in place. A line without its newline is handed out when its file is finished, never before.
//! It does not look at what a line says.
//!
//! A file is known by the hash of its first line, not by its inode: inodes are reused, and a compressed backup has another one. One that begins with the same
//! line as one that was finished before is told from it by a number. The writer's backups are
//! recognised by lumberjack's names, `<stem>-<UTC time>.<extension>` with an optional `.gz` or `.zst`, whose order is the order of rotation.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// Bytes of the first line that are hashed: enough to hold a time stamp and a uuid, little enough to read at every look.
const FINGERPRINT_BYTES: u64 = 4096;
/// Bytes handed out at a time, rounded up to a whole line.
const CHUNK_BYTES: usize = 256 * 1024;
/// A line longer than this is handed out in pieces, each of which will fail to decode and be counted. With a chunk on top it fits a frame of the intake, 16
/// MiB.
const LINE_BYTES: usize = 15 * 1024 * 1024;
/// Finished files that are remembered, to tell one that begins alike from them.
const REMEMBERED: usize = 256;

/// Where reading goes on after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The first half of the SHA-256 of the file's first line.
    pub file: [u8; 16],
    /// How many files that begin with the same line were finished before it.
    pub again: u32,
    /// Bytes of it that were handed out (before compression).
    pub offset: u64,
    /// Newlines among them.
    pub lines: u64,
}

impl Position {
    /// The position behind these bytes.
    #[must_use]
    pub fn behind(self, bytes: &[u8]) -> Self {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        Self { offset: self.offset + bytes.len() as u64, lines: self.lines + lines, ..self }
    }
}

/// A piece of the input: whole lines, each with its newline.
#[derive(Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Where `bytes` begin.
    pub position: Position,
    /// Whole lines. The last one may lack its newline if the file ended so.
    pub bytes: &'a [u8],
}

/// Why a source can't be read now. Reading is tried again at the next look.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct SourceError {
    path: PathBuf,
    source: io::Error,
}

/// A follower of one path.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    open: Option<OpenFile>,
    /// Not yet found again after a restart.
    resume: Option<Position>,
    /// The remembered file was not found any more: what it still held is gone.
    pub lost_track: u64,
    /// The files read to their end, the newest last.
    finished: VecDeque<([u8; 16], u32)>,
    buffer: Vec<u8>,
}

struct OpenFile {
    reader: Box<dyn Source>,
    /// What of it was handed out.
    position: Position,
    inode: u64,
    /// Set for a backup: its name's time, so that the next one is found.
    rotated: Option<String>,
    /// Bytes read but not handed out: a line without its end.
    torn: Vec<u8>,
}

trait Source: Read + Send {}
impl<T: Read + Send> Source for T {}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFile").field("rotated", &self.rotated).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows `path`, from `resume` or, without it, from the oldest backup that is there.
    #[must_use]
    pub fn new(path: &Path, resume: Option<Position>) -> Self {
        Self { path: path.to_owned(), open: None, resume, lost_track: 0, finished: VecDeque::new(), buffer: Vec::new() }
    }

    /// The next whole lines, if there are any. `None`: look again later.
    ///
    /// # Errors
    /// When the folder or a file can't be read. Nothing is skipped; call again.
    pub fn look(&mut self) -> Result<Option<Chunk<'_>>, SourceError> {
        let path = self.path.clone();
        self.advance().map_err(|source| SourceError { path, source })?;
        let Some(open) = &mut self.open else { return Ok(None) };
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let position = open.position;
        open.position = position.behind(&self.buffer);
        Ok(Some(Chunk { position, bytes: &self.buffer }))
    }

    /// Fills `buffer` with whole lines, changing files as needed.
    fn advance(&mut self) -> io::Result<()> {
        self.buffer.clear();
        loop {
            if self.open.is_none() && !self.open_first()? {
                return Ok(());
            }
            let Some(open) = &mut self.open else { return Ok(()) };
            open.read_lines(&mut self.buffer)?;
            if !self.buffer.is_empty() || !self.finished()? {
                return Ok(());
            }
            // One more read: the writer may have appended between the last read and its rotation.
            let Some(open) = &mut self.open else { return Ok(()) };
            open.read_lines(&mut self.buffer)?;
            if self.buffer.is_empty() {
                std::mem::swap(&mut self.buffer, &mut open.torn);
            }
            if !self.buffer.is_empty() {
                return Ok(());
            }
            self.open_next()?;
        }
    }

    /// Whether the open file will not grow any more.
    fn finished(&self) -> io::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        if open.rotated.is_some() {
            return Ok(true);
        }
        match std::fs::metadata(&self.path) {
            Ok(now) => Ok(now.ino() != open.inode || now.len() < open.position.offset),
            // Renamed away, and its successor not made yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn open_first(&mut self) -> io::Result<bool> {
        let backups = all_backups(&self.path)?;
        if let Some(resume) = self.resume.take() {
            for candidate in backups.iter().map(Some).chain([None]) {
                if let Some(mut open) = self.open_file(candidate)?
                    && open.position.file == resume.file
                {
                    open.go_on(resume)?;
                    self.open = Some(open);
                    return Ok(true);
                }
            }
            self.lost_track += 1;
            tracing::warn!(path = %self.path.display(), "the file that was being read is gone; going on with the oldest one there is");
        }
        for candidate in backups.iter().map(Some).chain([None]) {
            if let Some(open) = self.open_file(candidate)? {
                self.open = Some(open);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Leaves the open file for the one written after it.
    fn open_next(&mut self) -> io::Result<()> {
        let Some(done) = self.open.take() else { return Ok(()) };
        if self.finished.len() == REMEMBERED {
            self.finished.pop_front();
        }
        self.finished.push_back((done.position.file, done.position.again));
        let backups = all_backups(&self.path)?;
        let from = match &done.rotated {
            Some(time) => backups.partition_point(|backup| backup.time <= *time),
            // The active file was renamed: it is one of the backups, known by its first line.
            None => {
                let mut found = None;
                for (at, backup) in backups.iter().enumerate().rev() {
                    if self.open_file(Some(backup))?.is_some_and(|file| file.position.file == done.position.file) {
                        found = Some(at + 1);
                        break;
                    }
                }
                found.unwrap_or(backups.len())
            }
        };
        for candidate in backups[from..].iter().map(Some).chain([None]) {
            if let Some(mut open) = self.open_file(candidate)? {
                let before = self.finished.iter().filter(|(file, _)| *file == open.position.file).map(|(_, again)| again + 1).max();
                open.position.again = before.unwrap_or_default();
                let active = candidate.is_none() && done.rotated.is_none() && open.position.file == done.position.file;
                if active && std::fs::metadata(&self.path)?.len() >= done.position.offset {
                    // Another inode, the same text: a copy took its place. A shorter one is a file that begins alike.
                    open.go_on(done.position)?;
                }
                self.open = Some(open);
                break;
            }
        }
        Ok(())
    }

    /// Opens a backup, or the active file; `None` if it is gone or has no whole first line yet.
    fn open_file(&self, backup: Option<&Backup>) -> io::Result<Option<OpenFile>> {
        let path = backup.map_or(&self.path, |backup| &backup.path);
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let inode = file.metadata()?.ino();
        let Some(fingerprint) = fingerprint(decompressed(path, file.try_clone()?)?)? else { return Ok(None) };
        file.seek(SeekFrom::Start(0))?;
        let reader = decompressed(path, file)?;
        let position = Position { file: fingerprint, ..Position::default() };
        Ok(Some(OpenFile { reader, position, inode, rotated: backup.map(|backup| backup.time.clone()), torn: Vec::new() }))
    }
}

/// Reads a file, or what is compressed in it.
fn decompressed(path: &Path, file: File) -> io::Result<Box<dyn Source>> {
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => Box::new(MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    })
}

impl OpenFile {
    /// Goes on where this file, or its text in another one, was left.
    fn go_on(&mut self, position: Position) -> io::Result<()> {
        let mut before = BufReader::new((&mut self.reader).take(position.offset));
        let mut lines = 0;
        loop {
            let bytes = before.fill_buf()?;
            let length = bytes.len();
            if length == 0 {
                self.position = Position { lines, ..position };
                return Ok(());
            }
            lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
            before.consume(length);
        }
    }

    /// Reads up to [`CHUNK_BYTES`] and moves the whole lines among them to `lines`.
    fn read_lines(&mut self, lines: &mut Vec<u8>) -> io::Result<()> {
        let start = self.torn.len();
        (&mut self.reader).take(CHUNK_BYTES as u64).read_to_end(&mut self.torn)?;
        let whole = match memchr::memrchr(b'\n', &self.torn[start..]) {
            Some(at) => start + at + 1,
            None if self.torn.len() > LINE_BYTES => self.torn.len(),
            None => return Ok(()),
        };
        lines.extend_from_slice(&self.torn[..whole]);
        self.torn.drain(..whole);
        Ok(())
    }
}

#[derive(Clone, Debug)]
struct Backup {
    time: String,
    path: PathBuf,
}

/// The backups of a path, oldest first.
///
/// # Errors
/// When the folder can't be read.
pub fn backups(path: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(all_backups(path)?.into_iter().map(|backup| backup.path).collect())
}

/// The backups of the path, oldest first; a file and its `.gz` count once, the plain one wins.
fn all_backups(path: &Path) -> io::Result<Vec<Backup>> {
    let (Some(folder), Some(stem)) = (path.parent(), path.file_stem().and_then(|stem| stem.to_str())) else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let extension = path.extension().and_then(|extension| extension.to_str()).map(|extension| format!(".{extension}")).unwrap_or_default();
    let mut backups: Vec<Backup> = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(backups),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        if let Some(time) = plain.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')).and_then(|rest| rest.strip_suffix(&extension))
            && is_backup_time(time)
        {
            backups.push(Backup { time: time.to_owned(), path: entry.path() });
        }
    }
    // `x.log` sorts before `x.log.gz`.
    backups.sort_by(|a, b| (&a.time, &a.path).cmp(&(&b.time, &b.path)));
    backups.dedup_by(|later, earlier| later.time == earlier.time);
    Ok(backups)
}

/// `2026-11-20T17-17-47.473`.
fn is_backup_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd-dd-dd.ddd";
    text.len() == SHAPE.len()
        && text.bytes().zip(SHAPE).all(|(byte, shape)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == *shape })
}

/// The hash of the first line, `None` while it has no end and is short enough to still get one.
fn fingerprint(head: impl Read) -> io::Result<Option<[u8; 16]>> {
    let mut line = Vec::new();
    BufReader::new(head.take(FINGERPRINT_BYTES)).read_until(b'\n', &mut line)?;
    if line.last() != Some(&b'\n') && (line.len() as u64) < FINGERPRINT_BYTES {
        return Ok(None);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&Sha256::digest(&line)[..16]);
    Ok(Some(hash))
}

#[cfg(test)]
mod tests;
