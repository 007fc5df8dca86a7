//! After a kill: what of the spool stands in the file already.
//!
//! The cursor file has the inode and size of the file at the cursor. From there on the file's bytes are compared with the spool's own lines:
//! those that stand there are passed, a torn last line that is the beginning of the next one is completed in place, anything else is
//! closed with a newline and counted. A file that was renamed meanwhile (a kill inside a rotation, or somebody else) is found by its inode;
//! then the comparison goes on in the file that has the path now. Where the path was changed since, all that is about the old one: what
//! stands at the new path already was not written from here.

use super::FileMetrics;
use super::active::{folder_of, make_durable};
use super::config::FileConfig;
use crate::denied::At;
use crate::driver::ResumeError;
use crate::spool::{Item, ReadError, Reader};
use rustix::fs::{AtFlags, CWD, Statx, StatxFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;

/// Where a line ended: in which file, at which offset. A file's birth tells it from a later one that got the same inode number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Place {
    pub inode: u64,
    pub born: i64,
    pub offset: u64,
}

/// What stands in the cursor file: a place, and the path it was under.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Stored {
    #[serde(flatten)]
    pub place: Place,
    #[serde(default)]
    pub path: Option<PathBuf>,
}

/// How the comparison with a file ended.
enum End {
    /// At the file's end, between two lines.
    Between,
    /// At the file's end, this far into the reader's next line.
    Inside(usize),
    /// At other bytes than the reader's next line.
    Other,
}

/// Moves the reader past what stands in the file already. Gives where the last of it ended.
pub(super) fn resume(config: &FileConfig, metrics: &FileMetrics, reader: &mut Reader, stored: Stored) -> Result<Place, ResumeError> {
    let Stored { place, path: before } = stored;
    let path = &config.path;
    let mut files: Vec<(PathBuf, Place)> = Vec::new();
    // Where the path was changed since, what stands at the new one was not written from here, unless the file itself was moved there.
    let same = |found: &Place| (found.inode, found.born) == (place.inode, place.born);
    let moved = identify(path).map_err(failed(path))?.is_some_and(|found| same(&found));
    let at = before.filter(|_| !moved).unwrap_or_else(|| path.clone());
    match identify(&at).map_err(failed(&at))? {
        Some(found) if same(&found) => files.push((at, place)),
        current => {
            files.extend(find(&at, &same).map_err(failed(&at))?.map(|renamed| (renamed, place)));
            files.extend(current.map(|found| (at, Place { offset: 0, ..found })));
        }
    }
    let mut last = place;
    for (path, from) in files {
        match compare(&path, from.offset, reader)?.map_err(failed(&path))? {
            // Opening the file closes a last line that is not ours, if it is torn.
            End::Between | End::Other => {}
            End::Inside(taken) => {
                complete(&path, taken, reader)?;
                metrics.torn_lines_completed.fetch_add(1, Relaxed);
            }
        }
        last = identify(&path).map_err(failed(&path))?.unwrap_or(last);
        // What was passed may be in memory only, and the cursor is stored behind it next.
        File::open(&path).and_then(|file| make_durable(&file, from.offset, last.offset)).map_err(failed(&path))?;
    }
    Ok(last)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ResumeError {
    move |error| ResumeError::Destination(At(path, &error).to_string())
}

/// Which file a path names, and its size. The file need not be readable: others may lie beside ours.
fn identify(path: &Path) -> io::Result<Option<Place>> {
    match rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::BTIME) {
        Ok(found) => Ok(Some(place(&found))),
        Err(rustix::io::Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Which file this is, and its size.
pub(super) fn identity(file: &File) -> io::Result<Place> {
    let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    Ok(place(&found))
}

fn place(found: &Statx) -> Place {
    let born = if found.stx_mask & StatxFlags::BTIME.bits() == 0 { 0 } else { nanoseconds(found.stx_btime) };
    Place { inode: found.stx_ino, born, offset: found.stx_size }
}

fn nanoseconds(time: rustix::fs::StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

/// The file that is the wanted one beside the path, whatever it is called now.
fn find(path: &Path, wanted: &dyn Fn(&Place) -> bool) -> io::Result<Option<PathBuf>> {
    let Some(folder) = folder_of(path).filter(|folder| folder.exists()) else {
        return Ok(None);
    };
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && identify(&path)?.is_some_and(|found| wanted(&found)) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Passes the reader's lines as long as they stand in the file from `offset` on.
fn compare(path: &Path, offset: u64, reader: &mut Reader) -> Result<io::Result<End>, ReadError> {
    let open = || -> io::Result<(BufReader<File>, u64)> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset))?;
        Ok((BufReader::with_capacity(256 << 10, file), length.saturating_sub(offset)))
    };
    let (mut file, mut left) = match open() {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut found = Vec::new();
    while left > 0 {
        match reader.peek()? {
            Some(Item::Record(record)) => {
                let length = record.line.len() as u64 + 1;
                found.clear();
                if let Err(error) = (&mut file).take(length).read_to_end(&mut found) {
                    return Ok(Err(error));
                }
                let taken = found.len();
                let same = found.iter().eq(record.line.iter().chain(b"\n").take(taken));
                if !same {
                    return Ok(Ok(End::Other));
                }
                if (taken as u64) < length {
                    return Ok(Ok(if taken == 0 { End::Between } else { End::Inside(taken) }));
                }
                left -= length;
            }
            Some(_) => {}
            None => return Ok(Ok(End::Other)),
        }
        reader.advance();
    }
    Ok(Ok(End::Between))
}

/// Completes the reader's next line, of which the file has `taken` bytes at its end.
fn complete(path: &Path, taken: usize, reader: &mut Reader) -> Result<(), ResumeError> {
    if let Some(Item::Record(record)) = reader.peek()? {
        let rest: Vec<u8> = record.line.iter().chain(b"\n").skip(taken).copied().collect();
        let mut file = OpenOptions::new().append(true).open(path).map_err(failed(path))?;
        // A failure on the way is found at the next try: a longer beginning of the same line.
        file.write_all(&rest).map_err(failed(path))?;
        reader.advance();
    }
    Ok(())
}
