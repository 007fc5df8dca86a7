//! A log's folder: who owns it, whose it is, and whether it is still the folder it was.
//!
//! ```text
//! lock       held by the owner (flock)          <20 digits>.seg   segments, named by their base
//! id.json    the identity, see below            cursors/          one file a sink
//! running    the boot id of an owner that has   corrupt/          what could not be read, at most 64 MiB
//!            not closed the log                 quarantine/       what sinks refused for good
//! damaged.json  records that readers found damaged (`damage`)
//! ```
//!
//! A log keeps its identity only while nothing suggests that numbers given out may be missing here. It gets a new one when the folder is
//! new, when `running` names another boot (the machine went down with the log open, so its last frames may not have reached the disk),
//! when a cursor or the live ring is ahead of what is here, and when the id file is not the very file that was written (its inode number
//! and birth time stand in it): a folder restored from a copy. A rolled-back snapshot of a running machine cannot be recognised.

use super::SpoolId;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, StatxFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The most that `corrupt/` may hold, in bytes.
const MAX_CORRUPT: u64 = 64 << 20;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another part of this one, has the folder.
    #[error("{0} is in use by another process; stop it first, or give this one another state folder")]
    InUse(PathBuf),
    /// The folder was written on another node.
    #[error("{folder} belongs to node {found:?}, this is {expected:?}; move the folder away, or start with --node-name {found:?}")]
    OtherNode {
        /// The folder.
        folder: PathBuf,
        /// The node it was written on.
        found: String,
        /// The node of this process.
        expected: String,
    },
    /// A segment is of another release.
    #[error("{path}: {source}")]
    Format {
        /// The segment.
        path: PathBuf,
        /// What is wrong.
        source: super::segment::HeadError,
    },
    /// The system refused.
    #[error("{}", crate::denied::At(path, source))]
    Io {
        /// The file or folder concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a log has a new identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Renewal {
    /// The folder is new.
    New,
    /// The machine went down while the log was open.
    Reboot,
    /// This cursor, or the caller's knowledge (the live ring), is ahead of what the folder holds.
    Behind(String),
    /// The id file is not the file that was written: a restored copy.
    Copied,
    /// The id file cannot be read.
    Unreadable,
}

/// What the id file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub id: SpoolId,
    pub node: String,
    pub why: Renewal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<SpoolId>,
    inode: u64,
    /// Birth time, seconds and nanoseconds; absent where the file system has none.
    born: Option<(i64, u32)>,
}

/// A locked folder.
pub(super) struct Folder {
    pub path: PathBuf,
    _lock: File,
}

pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        for folder in [path.to_owned(), path.join("cursors"), path.join("corrupt"), path.join("quarantine")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(at(&folder))?;
        }
        let lock_path = path.join("lock");
        let lock =
            std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path).map_err(at(&lock_path))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(path.to_owned())),
            Err(error) => Err(at(&lock_path)(error.into())),
        }
    }

    /// The path of the segment with this base.
    pub fn segment(&self, base: u64) -> PathBuf {
        self.path.join(format!("{base:020}.seg"))
    }

    /// Reads the id file: the identity and whether it is the file that was written. `None` if there is none.
    pub fn identity(&self) -> Result<Option<(Identity, bool)>, OpenError> {
        let path = self.path.join("id.json");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let mut text = String::new();
        let whole = file.read_to_string(&mut text).is_ok();
        let unreadable =
            || Identity { id: SpoolId::default(), node: String::new(), why: Renewal::Unreadable, previous: None, inode: 0, born: None };
        if !whole {
            return Ok(Some((unreadable(), false)));
        }
        let identity: Identity = match serde_json::from_str(&text) {
            Ok(identity) => identity,
            Err(_) => return Ok(Some((unreadable(), false))),
        };
        let same = birth(&file).map_err(at(&path))? == (identity.inode, identity.born);
        Ok(Some((identity, same)))
    }

    /// Writes a new id file, durably. The file says itself which file it is.
    pub fn write_identity(&self, id: SpoolId, node: &str, why: Renewal, previous: Option<SpoolId>) -> Result<(), OpenError> {
        let (path, temporary) = (self.path.join("id.json"), self.path.join("id.json.tmp"));
        let write = || -> io::Result<()> {
            let mut file = create(&temporary)?;
            let (inode, born) = birth(&file)?;
            let identity = Identity { id, node: node.to_owned(), why, previous, inode, born };
            file.write_all(&serde_json::to_vec(&identity)?)?;
            file.sync_all()?;
            std::fs::rename(&temporary, &path)?;
            sync_folder(&self.path)
        };
        write().map_err(at(&path))
    }

    /// The boot id in `running`, if an owner has not closed the log.
    pub fn running(&self) -> Option<String> {
        std::fs::read_to_string(self.path.join("running")).ok().map(|text| text.trim().to_owned())
    }

    /// Marks the log as open in this boot, durably.
    pub fn mark_running(&self, boot: &str) -> Result<(), OpenError> {
        let path = self.path.join("running");
        replace(&path, boot.as_bytes()).map_err(at(&path))
    }

    /// Marks the log as closed. Call it when every frame is on disk.
    pub fn mark_closed(&self) -> io::Result<()> {
        std::fs::remove_file(self.path.join("running"))?;
        sync_folder(&self.path)
    }

    /// Moves a file into `corrupt/`.
    pub fn set_aside(&self, path: &Path) -> io::Result<()> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.make_room(path.metadata()?.len())?;
        std::fs::rename(path, self.path.join("corrupt").join(format!("{}-{name}", now())))
    }

    /// Keeps a copy of a file's bytes from an offset on in `corrupt/`, as far as the bound allows.
    pub fn keep_copy(&self, path: &Path, offset: u64) -> io::Result<()> {
        let mut source = File::open(path)?;
        let length = source.metadata()?.len().saturating_sub(offset).min(MAX_CORRUPT);
        if length == 0 {
            return Ok(());
        }
        self.make_room(length)?;
        io::Seek::seek(&mut source, io::SeekFrom::Start(offset))?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut copy = create(&self.path.join("corrupt").join(format!("{}-{name}-at-{offset}", now())))?;
        io::copy(&mut source.take(length), &mut copy)?;
        Ok(())
    }

    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files: Vec<(PathBuf, u64)> = Vec::new();
        for entry in std::fs::read_dir(self.path.join("corrupt"))? {
            let entry = entry?;
            files.push((entry.path(), entry.metadata()?.len()));
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        for (path, length) in files {
            if total + bytes <= MAX_CORRUPT {
                break;
            }
            std::fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }

    /// Bytes free for us on the disk, and its size.
    pub fn disk(&self) -> io::Result<(u64, u64)> {
        let disk = rustix::fs::statvfs(&self.path)?;
        Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
    }
}

fn birth(file: &File) -> io::Result<(u64, Option<(i64, u32)>)> {
    let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::BTIME)?;
    let has_birth = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok((found.stx_ino, has_birth.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec))))
}

/// Creates a file of ours, mode 0600; one of the same name is emptied.
pub(super) fn create(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Puts a file with this content in place of another, durably and at once.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(rustix::fs::fsync(folder)?)
}

/// The id of this boot of the machine.
///
/// # Errors
/// If `/proc` does not tell.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Nanoseconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
