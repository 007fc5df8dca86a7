//! Backups: which go, which are compressed. Runs on a thread of its own at low priority, one at a time, away from the lines.
//!
//! A backup is compressed to a name that no tailer's pattern matches, synced, renamed, and only then is the plain one removed; what a crash
//! leaves of that is done again. The newest backup stays plain.

use super::FileMetrics;
use super::active::folder_of;
use super::config::{Compress, FileConfig};
use super::names::{Form, parse};
use crate::spool::sync_folder;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// One backup, or what is left of a compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backup {
    /// Milliseconds since 1970.
    pub time: i64,
    pub form: Form,
    pub path: PathBuf,
    pub bytes: u64,
}

/// All backups of a file, newest first, each in all its forms.
pub(super) fn list(path: &Path) -> io::Result<Vec<Backup>> {
    let mut found = Vec::new();
    let Some(folder) = folder_of(path) else {
        return Ok(found);
    };
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some((time, form)) = entry.file_name().to_str().and_then(|name| parse(path, name)) {
            match entry.metadata() {
                Ok(data) => found.push(Backup { time, form, path: entry.path(), bytes: data.len() }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    found.sort_by_key(|backup| (std::cmp::Reverse(backup.time), backup.form));
    Ok(found)
}

/// What is to be done with the backups of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// To be removed: too many, too old, too large together. Oldest last.
    pub remove: Vec<PathBuf>,
    /// Removed without being counted as a backup: half-made, or there in a finished form too.
    pub clear: Vec<PathBuf>,
    pub compress: Vec<PathBuf>,
}

/// Decides by the settings alone. `now` in milliseconds since 1970; `backups` as [`list`] gives them.
pub(super) fn plan(config: &FileConfig, backups: &[Backup], now: i64) -> Plan {
    let mut plan = Plan::default();
    let mut kept: Vec<&Backup> = Vec::new();
    for backup in backups {
        let finished = kept.last().is_some_and(|last| last.time == backup.time);
        match backup.form {
            Form::Unfinished => plan.clear.push(backup.path.clone()),
            // The plain form sorts before the finished one of the same time, which has all of it.
            _ if finished => {
                if let Some(plain) = kept.pop() {
                    plan.clear.push(plain.path.clone());
                }
                kept.push(backup);
            }
            _ => kept.push(backup),
        }
    }
    let oldest = config.max_age.map(|age| now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
    let mut total: u64 = 0;
    for (index, backup) in kept.iter().enumerate() {
        total = total.saturating_add(backup.bytes);
        let too_many = config.max_backups > 0 && index >= config.max_backups;
        let too_old = oldest.is_some_and(|oldest| backup.time < oldest);
        let too_large = config.max_total_bytes.is_some_and(|limit| total > limit);
        if too_many || too_old || too_large {
            plan.remove.push(backup.path.clone());
        } else if index > 0 && backup.form == Form::Plain && config.compress != Compress::No {
            plan.compress.push(backup.path.clone());
        }
    }
    plan
}

/// Does it. Everything is tried; the first error is given back, and the rest is for the next time. Once `ended` is set, nothing more is begun and a
/// compression is left unfinished: two at work on the same backups would spoil each other's.
pub(super) fn tidy(config: &FileConfig, metrics: &FileMetrics, now: i64, ended: &AtomicBool) -> io::Result<()> {
    let plan = plan(config, &list(&config.path)?, now.div_euclid(1_000_000));
    let mut result = Ok(());
    for path in plan.clear.iter().chain(plan.remove.iter().rev()) {
        result = result.and(remove(path));
    }
    metrics.backups_removed.fetch_add(plan.remove.len() as u64, Relaxed);
    for path in &plan.compress {
        let compressed = compress(config, path, ended);
        metrics.backups_compressed.fetch_add(u64::from(compressed.is_ok()), Relaxed);
        result = result.and(compressed);
    }
    result
}

/// A file that can be read until it is over with reading.
struct Until<'e> {
    file: File,
    ended: &'e AtomicBool,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended.load(Relaxed) { Err(io::Error::other("the file has another writer now")) } else { self.file.read(buffer) }
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn compress(config: &FileConfig, plain: &Path, ended: &AtomicBool) -> io::Result<()> {
    let suffix = if config.compress == Compress::Zstd { Form::Zstd.suffix() } else { Form::Gzip.suffix() };
    let named = |suffixes: &[&str]| {
        let mut name = plain.as_os_str().to_owned();
        suffixes.iter().for_each(|suffix| name.push(suffix));
        PathBuf::from(name)
    };
    let (finished, temporary) = (named(&[suffix]), named(&[suffix, Form::Unfinished.suffix()]));
    let mut source = Until { file: File::open(plain)?, ended };
    let owner = source.file.metadata()?;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(owner.mode() & 0o7777).open(&temporary)?;
    let group = rustix::fs::Gid::from_raw(owner.gid());
    rustix::fs::fchown(&target, None, Some(group))?;
    rustix::fs::fchmod(&target, rustix::fs::Mode::from_raw_mode(owner.mode() & 0o7777))?;
    let mut target = BufWriter::with_capacity(1 << 20, target);
    match config.compress {
        Compress::Zstd => zstd::stream::copy_encode(&mut source, &mut target, 3)?,
        _ => {
            let mut encoder = flate2::write::GzEncoder::new(&mut target, flate2::Compression::new(6));
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?;
        }
    }
    target.flush()?;
    target.get_ref().sync_all()?;
    std::fs::rename(&temporary, &finished)?;
    if let Some(folder) = folder_of(plain) {
        sync_folder(folder)?;
    }
    remove(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn backup(time: i64, form: Form, bytes: u64) -> Backup {
        Backup { time, form, path: PathBuf::from(format!("{time}{}", form.suffix())), bytes }
    }

    #[test]
    fn backups_go_by_count_age_and_total_size_and_all_but_the_newest_are_compressed() {
        let base = FileConfig { compress: Compress::Gzip, max_backups: 0, ..FileConfig::new(PathBuf::from("e.log")) };
        let backups: Vec<Backup> = (0..5).map(|age| backup(100_000 - age * 1000, Form::Plain, 10)).collect();
        let names = |range: std::ops::Range<i64>| range.map(|age| PathBuf::from(format!("{}", 100_000 - age * 1000))).collect::<Vec<_>>();
        let cases = [
            ("no limit", base.clone(), names(0..0), names(1..5)),
            ("count", FileConfig { max_backups: 2, ..base.clone() }, names(2..5), names(1..2)),
            ("age", FileConfig { max_age: Some(Duration::from_millis(2500)), ..base.clone() }, names(3..5), names(1..3)),
            ("total", FileConfig { max_total_bytes: Some(45), ..base.clone() }, names(4..5), names(1..4)),
            ("plain", FileConfig { compress: Compress::No, ..base.clone() }, names(0..0), names(0..0)),
        ];
        for (what, config, remove, compress) in cases {
            assert_eq!(plan(&config, &backups, 100_000), Plan { remove, compress, clear: Vec::new() }, "{what}");
        }
    }

    #[test]
    fn what_a_crash_left_of_a_compression_is_done_again_or_cleared() {
        let config = FileConfig { compress: Compress::Zstd, ..FileConfig::new(PathBuf::from("e.log")) };
        let backups = [
            backup(5, Form::Plain, 1),
            backup(4, Form::Plain, 1),
            backup(4, Form::Unfinished, 1),
            backup(3, Form::Plain, 1),
            backup(3, Form::Zstd, 1),
        ];
        let plan = plan(&config, &backups, 10);
        assert_eq!(plan.clear, [PathBuf::from("4.tmp"), PathBuf::from("3")]);
        assert_eq!(plan.compress, [PathBuf::from("4")]);
        assert!(plan.remove.is_empty());
    }
}
