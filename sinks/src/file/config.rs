//! The file sink's settings. Their keys in `flowlog.yaml` are named in the comments.

use std::path::PathBuf;
use std::time::Duration;

/// What happens to backups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compress {
    /// They stay as they are.
    #[default]
    No,
    /// `<name>.gz`.
    Gzip,
    /// `<name>.zst`.
    Zstd,
}

/// A file sink's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileConfig {
    /// `filePath`. Missing folders are created with mode 0755, at the first line.
    pub path: PathBuf,
    /// `fileMaxSizeMb` × 1 048 576. A file is rotated before the write that would exceed it. Default 10 MiB.
    pub max_bytes: u64,
    /// `fileMaxBackups`: how many backups are kept; 0 keeps all. Default 5.
    pub max_backups: usize,
    /// `fileMaxAge`: a file is rotated when it is this old, and a backup is removed this long after its rotation. Default: never.
    pub max_age: Option<Duration>,
    /// `fileMaxTotalMb` × 1 048 576: the oldest backups are removed while all of them together are larger. Default: no limit.
    pub max_total_bytes: Option<u64>,
    /// `fileCompress`. The newest backup stays plain, for tailers that have not read it to its end.
    pub compress: Compress,
    /// `fileMinRotateInterval`: a rotation that would follow the one before sooner waits, until the file has four times its size limit.
    /// Tailers that look for new files every few hundred milliseconds lose lines to a writer that rotates faster. Default 10 s.
    pub min_rotate_interval: Duration,
    /// `fileMode`. Default 0640.
    pub mode: u32,
    /// `fileGroup`, as a number; see [`group_id`]. Default: the process's.
    pub group: Option<u32>,
}

impl FileConfig {
    /// The defaults for a path.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            max_bytes: 10 << 20,
            max_backups: 5,
            max_age: None,
            max_total_bytes: None,
            compress: Compress::No,
            min_rotate_interval: Duration::from_secs(10),
            mode: 0o640,
            group: None,
        }
    }
}

/// There is no such group.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// Not in `/etc/group`.
    #[error("there is no group {0:?} in /etc/group; give a group that exists, or a number")]
    Unknown(String),
    /// `/etc/group` cannot be read.
    #[error("/etc/group: {0}")]
    Io(#[from] std::io::Error),
}

/// The number of a group, by name (from `/etc/group`) or number.
///
/// # Errors
/// If there is no such group.
pub fn group_id(name: &str) -> Result<u32, GroupError> {
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let groups = std::fs::read_to_string("/etc/group")?;
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1).and_then(|number| number.parse().ok())).flatten()
    });
    found.ok_or_else(|| GroupError::Unknown(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        assert_eq!(group_id("root").unwrap(), 0);
        assert_eq!(group_id("1234").unwrap(), 1234);
        assert!(group_id("no-such-group").unwrap_err().to_string().contains("no-such-group"));
    }
}
