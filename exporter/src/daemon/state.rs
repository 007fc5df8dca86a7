//! The state folder: who owns it, what lies where, and the note a running daemon leaves for `flowlog status` and `flowlog observe`.
//!
//! ```text
//! <state>/lock                     held by the daemon while it runs; a second one refuses to start
//! <state>/daemon.json              where it listens and what it writes; there while it runs
//! <state>/started.json             how it was started last, for `flowlog detach`
//! <state>/intake/                  raw events
//! <state>/logs/<flow log>/         its spool, one cursor a sink, quarantine files
//! ```
//! Names of flow logs are percent-encoded, so that any name is one folder and no two names are the same folder.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Why a state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process holds it.
    #[error("state folder {path} is in use by another flowlog; stop that one, or give this one a folder of its own with --state-dir")]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// It can't be made, read or written.
    #[error("state folder {path}: {source}; make it writable for this user, or choose another with --state-dir")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

/// What a running daemon says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Where `/status` is served, if anywhere.
    pub listen: Option<String>,
    /// The configuration it follows.
    pub config: PathBuf,
    /// The files it writes lines to, in the order of the configuration.
    pub files: Vec<PathBuf>,
}

/// A state folder that is ours while this lives.
#[derive(Debug)]
pub struct State {
    folder: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder where needed and takes it.
    ///
    /// # Errors
    /// When another process has it, or the folder can't be written.
    pub fn take(folder: &Path) -> Result<Self, StateError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io(folder))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(io(&path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { folder: folder.to_owned(), _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::InUse { path: folder.to_owned() }),
            Err(error) => Err(io(&path)(error.into())),
        }
    }

    /// The folder of the intake.
    #[must_use]
    pub fn intake(&self) -> PathBuf {
        self.folder.join("intake")
    }

    /// The folder of one flow log.
    #[must_use]
    pub fn log(&self, name: &str) -> PathBuf {
        log_folder(&self.folder, name)
    }

    /// Leaves the note.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn announce(&self, running: &Running) -> io::Result<()> {
        let mut text = serde_json::to_vec(running)?;
        text.push(b'\n');
        let temporary = self.folder.join("daemon.json.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(&temporary, self.folder.join("daemon.json"))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // A note that stays behind is recognised by its process being gone.
        let _ = fs::remove_file(self.folder.join("daemon.json"));
    }
}

/// The folder of one flow log below a state folder.
#[must_use]
pub fn log_folder(state: &Path, name: &str) -> PathBuf {
    state.join("logs").join(encode(name))
}

/// Flow logs that have a folder, by name.
///
/// # Errors
/// When the folder can't be read.
pub fn logs(state: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(state.join("logs")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(decode) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The note of the daemon that runs on this folder; `None` when none does.
///
/// # Errors
/// When the note is there and can't be read.
pub fn running(state: &Path) -> io::Result<Option<Running>> {
    let text = match fs::read(state.join("daemon.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let running: Running = serde_json::from_slice(&text)?;
    let alive = Path::new("/proc").join(running.pid.to_string()).exists();
    Ok(alive.then_some(running))
}

fn encode(name: &str) -> String {
    let mut folder = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || (byte == b'.' && at > 0) {
            folder.push(char::from(byte));
        } else {
            folder.push_str(&format!("%{byte:02X}"));
        }
    }
    folder
}

fn decode(folder: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(folder.len());
    let mut rest = folder.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (hex, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_owner_is_refused_and_told_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::take(folder.path()).unwrap();
        let error = State::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains("in use") && error.contains("--state-dir"), "{error}");
        drop(first);
        State::take(folder.path()).unwrap();
    }

    #[test]
    fn every_name_of_a_flow_log_has_a_folder_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["all-l7", "a/b", "..", ".x", "ü", "a%2Fb"] {
            fs::create_dir_all(log_folder(folder.path(), name)).unwrap();
        }
        let names: Vec<String> = logs(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["..", ".x", "a%2Fb", "a/b", "all-l7", "ü"]);
    }

    #[test]
    fn the_note_of_a_daemon_that_is_gone_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::take(folder.path()).unwrap();
        state.announce(&Running { pid: std::process::id(), listen: Some("127.0.0.1:9".into()), ..Running::default() }).unwrap();
        assert_eq!(running(folder.path()).unwrap().unwrap().pid, std::process::id());
        // Linux's largest process number is 2^22.
        state.announce(&Running { pid: 1 << 30, ..Running::default() }).unwrap();
        assert_eq!(running(folder.path()).unwrap(), None);
    }
}
