//! The file sink behind its driver, as an operator and a tailer see it.

use super::*;
use crate::driver::{DriverOptions, Running, start};
use crate::spool::{Commit, Options, WhenFull, Writer};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

struct Bench {
    folder: tempfile::TempDir,
    writer: Writer,
    runtime: tokio::runtime::Runtime,
    config: FileConfig,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = Writer::open(&folder.path().join("spool"), &Options::new("n", "b")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        // Pacing is off where it is the lines that matter, and tested by itself.
        let config = FileConfig { min_rotate_interval: Duration::ZERO, ..FileConfig::new(folder.path().join("logs/deep/events.log")) };
        Self { folder, writer, runtime, config }
    }

    fn logs(&self) -> PathBuf {
        self.folder.path().join("logs/deep")
    }

    fn start(&self) -> (Running, Arc<FileSink>) {
        let sink = Arc::new(FileSink::new(self.config.clone()));
        let options = DriverOptions { name: "file".to_owned(), when_full: WhenFull::DropOldest };
        let _entered = self.runtime.enter();
        (start(&self.writer.spool(), sink.clone(), options).unwrap(), sink)
    }

    /// Commits lines, each of this many bytes with its newline.
    fn write(&mut self, count: usize, bytes: usize) {
        for _ in 0..count {
            let line = format!("{:0>width$}", self.writer.next_sequence(), width = bytes - 1);
            self.writer.append(0, b"", b"", line.as_bytes()).unwrap();
        }
        self.writer.commit(Commit::default()).unwrap();
    }

    /// Waits until everything committed is in the file, all of it through this driver.
    fn settle(&self, running: &Running) {
        self.writer.flush(Duration::from_secs(30)).unwrap();
        while running.metrics().records_sent.load(Relaxed) + 1 < self.writer.next_sequence() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A life in which one record is written, its cursor is stored, and that ends as a kill would end it.
    fn deliver_one(&mut self) {
        let (running, _) = self.start();
        self.write(1, 10);
        self.settle(&running);
        while self.writer.spool().cursors().unwrap().first().is_none_or(|(_, stored)| stored.cursor.sequence < 2) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn drain(&self, running: Running) {
        while self.writer.durable().next < self.writer.next_sequence() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.runtime.block_on(running.drain(Duration::from_secs(60))), None);
    }

    /// All lines of all files, oldest backup first.
    fn lines(&self) -> Vec<u64> {
        let mut text = String::new();
        let mut backups = backups::list(&self.config.path).unwrap();
        backups.reverse();
        for backup in backups {
            let file = File::open(&backup.path).unwrap();
            match backup.form {
                names::Form::Plain => text += &std::fs::read_to_string(&backup.path).unwrap(),
                names::Form::Gzip => drop(flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap()),
                names::Form::Zstd => drop(zstd::Decoder::new(file).unwrap().read_to_string(&mut text).unwrap()),
                names::Form::Unfinished => {}
            }
        }
        text += &std::fs::read_to_string(&self.config.path).unwrap();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

#[test]
fn a_file_is_rotated_before_the_write_that_would_exceed_it() {
    let mut bench = Bench::new();
    bench.config.max_bytes = 1000;
    bench.config.max_backups = 0;
    assert!(!bench.logs().exists());
    let (running, sink) = bench.start();
    bench.write(35, 100);
    bench.drain(running);
    assert_eq!(bench.lines(), (1..=35).collect::<Vec<_>>());
    assert_eq!(sink.metrics().rotations.load(Relaxed), 3);
    let sizes: Vec<u64> = backups::list(&bench.config.path).unwrap().iter().map(|backup| backup.bytes).collect();
    assert_eq!((sizes, bench.config.path.metadata().unwrap().len()), (vec![1000; 3], 500));
    assert_eq!(bench.config.path.metadata().unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_line_over_the_limit_has_a_file_of_its_own() {
    let mut bench = Bench::new();
    bench.config.max_bytes = 1000;
    let (running, sink) = bench.start();
    bench.write(2, 100);
    bench.write(1, 3000);
    bench.write(2, 100);
    bench.drain(running);
    let sizes: Vec<u64> = backups::list(&bench.config.path).unwrap().iter().map(|backup| backup.bytes).collect();
    assert_eq!((sizes, sink.metrics().oversized_lines.load(Relaxed)), (vec![3000, 200], 1));
    assert_eq!(bench.lines(), [1, 2, 3, 4, 5]);
}

#[test]
fn backups_are_compressed_counted_and_removed_and_the_newest_stays_plain() {
    for compress in [Compress::Gzip, Compress::Zstd] {
        let mut bench = Bench::new();
        bench.config = FileConfig { max_bytes: 1000, max_backups: 4, compress, ..bench.config };
        let (running, sink) = bench.start();
        // One rotation after another, so that each is tidied up.
        for rotation in 0..8 {
            bench.write(10, 100);
            bench.settle(&running);
            while sink.metrics().backups_compressed.load(Relaxed) + 1 < rotation
                || sink.metrics().backups_removed.load(Relaxed) + 4 < rotation
            {
                std::thread::sleep(Duration::from_millis(1));
                bench.write(0, 100);
            }
        }
        bench.drain(running);
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let forms = || backups::list(&bench.config.path).unwrap().iter().map(|backup| backup.form).collect::<Vec<_>>();
        let form = if compress == Compress::Gzip { names::Form::Gzip } else { names::Form::Zstd };
        while forms() != [names::Form::Plain, form, form, form] {
            assert!(std::time::Instant::now() < deadline, "{:?}", forms());
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(bench.lines(), (31..=80).collect::<Vec<_>>());
    }
}

#[test]
fn rotations_are_paced_up_to_four_times_the_limit() {
    let mut bench = Bench::new();
    bench.config.max_bytes = 1000;
    bench.config.max_backups = 0;
    bench.config.min_rotate_interval = Duration::from_secs(3600);
    let (running, _) = bench.start();
    bench.write(120, 100);
    bench.drain(running);
    let sizes: Vec<u64> = backups::list(&bench.config.path).unwrap().iter().rev().map(|backup| backup.bytes).collect();
    assert_eq!(sizes, [1000, 4000, 4000]);
    assert_eq!(bench.lines(), (1..=120).collect::<Vec<_>>());
}

#[test]
fn somebody_elses_rename_removal_and_truncation_are_noticed() {
    let mut bench = Bench::new();
    let (running, sink) = bench.start();
    let mut write_and_wait = |what: &str| {
        // The path is looked at once a second.
        std::thread::sleep(Duration::from_millis(1100));
        bench.write(1, 10);
        bench.settle(&running);
        (what.to_owned(), std::fs::read_to_string(&bench.config.path).unwrap().len())
    };
    let path = write_and_wait("first");
    assert_eq!(path.1, 10);
    let file = bench_path(&sink);
    std::fs::rename(&file, file.with_extension("old")).unwrap();
    assert_eq!(write_and_wait("renamed").1, 10);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(write_and_wait("removed").1, 10);
    assert_eq!(write_and_wait("grown").1, 20);
    File::options().write(true).open(&file).unwrap().set_len(0).unwrap();
    assert_eq!(write_and_wait("truncated").1, 10);
    assert_eq!(sink.metrics().external_changes.load(Relaxed), 3);
    bench.drain(running);
}

fn bench_path(sink: &FileSink) -> PathBuf {
    sink.config().path.clone()
}

#[test]
fn a_second_writer_of_the_file_is_refused_and_the_lines_wait() {
    let mut bench = Bench::new();
    std::fs::create_dir_all(bench.logs()).unwrap();
    let other = File::create(&bench.config.path).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let (running, _) = bench.start();
    bench.write(1, 10);
    while running.metrics().retries.load(Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(other);
    bench.drain(running);
    assert_eq!(bench.lines(), [1]);
}

#[test]
fn a_torn_line_is_completed_if_it_is_ours_and_closed_if_it_is_not() {
    for (torn, expected, completed, closed) in [
        ("0000", "000000001\n000000002\n", 1, 0),
        ("000000002", "000000001\n000000002\n", 1, 0),
        ("what", "000000001\nwhat\n000000002\n", 0, 1),
        ("000000002\n", "000000001\n000000002\n", 0, 0),
        ("", "000000001\n000000002\n", 0, 0),
    ] {
        let mut bench = Bench::new();
        bench.deliver_one();
        bench.write(1, 10);
        std::io::Write::write_all(&mut File::options().append(true).open(&bench.config.path).unwrap(), torn.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        let (running, sink) = bench.start();
        bench.drain(running);
        let metrics = sink.metrics();
        assert_eq!(std::fs::read_to_string(&bench.config.path).unwrap(), expected, "{torn:?}");
        assert_eq!((metrics.torn_lines_completed.load(Relaxed), metrics.torn_lines_closed.load(Relaxed)), (completed, closed), "{torn:?}");
    }
}

#[test]
fn after_a_rename_the_old_file_is_found_beside_one_that_cannot_be_read() {
    let mut bench = Bench::new();
    bench.deliver_one();
    bench.write(1, 10);
    let renamed = bench.logs().join("z.log");
    std::fs::rename(&bench.config.path, &renamed).unwrap();
    std::fs::write(&bench.config.path, "").unwrap();
    // A line that the process before wrote and stored no cursor for.
    std::io::Write::write_all(&mut File::options().append(true).open(&renamed).unwrap(), b"000000002\n").unwrap();
    // Root too can only write this one.
    std::os::unix::fs::symlink("/sys/bus/platform/uevent", bench.logs().join("a.log")).unwrap();
    bench.write(1, 10);
    bench.writer.flush(Duration::from_secs(30)).unwrap();
    let (running, _) = bench.start();
    bench.drain(running);
    assert_eq!(std::fs::read_to_string(&bench.config.path).unwrap(), "000000003\n");
}

/// A tailer that knows files by their first line (Vector).
#[derive(Default)]
struct ByFirstLine {
    offsets: BTreeMap<String, u64>,
    text: String,
}

/// A tailer that follows one path, and reads a file that lost the path to its end (Promtail).
#[derive(Default)]
struct ByPath {
    file: Option<(File, u64)>,
    text: String,
}

/// A tailer that knows files by their inode (Fluent Bit).
#[derive(Default)]
struct ByInode {
    offsets: BTreeMap<u64, u64>,
    text: String,
}

fn plain_files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    // Backups by their time, then the file itself.
    found.sort_by_key(|path| (path.file_name().unwrap() == "events.log", path.clone()));
    found
}

fn read_from(path: &Path, offset: &mut u64, text: &mut String) {
    // Meanwhile compressed: it was read to its end before, as the newest backup.
    let Ok(mut file) = File::open(path) else {
        return;
    };
    file.seek(SeekFrom::Start(*offset)).unwrap();
    *offset += file.read_to_string(text).unwrap() as u64;
}

impl ByFirstLine {
    fn look(&mut self, folder: &Path) {
        for path in plain_files(folder) {
            let all = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some((first, _)) = all.split_once('\n') {
                read_from(&path, self.offsets.entry(first.to_owned()).or_default(), &mut self.text);
            }
        }
    }
}

impl ByPath {
    fn look(&mut self, path: &Path) {
        loop {
            if let Some((file, _)) = &mut self.file {
                file.read_to_string(&mut self.text).unwrap();
            }
            let now = path.metadata().ok().map(|found| found.ino());
            match (&self.file, now) {
                (Some((_, inode)), Some(now)) if *inode == now => return,
                (_, None) => return,
                (_, Some(now)) => self.file = File::open(path).ok().map(|file| (file, now)),
            }
        }
    }
}

impl ByInode {
    fn look(&mut self, folder: &Path) {
        // One that is compressed meanwhile was read to its end before, as the newest backup.
        let there = |path: PathBuf| path.metadata().ok().map(|found| (path, found.ino()));
        let files: Vec<(PathBuf, u64)> = plain_files(folder).into_iter().filter_map(there).collect();
        self.offsets.retain(|known, _| files.iter().any(|(_, inode)| inode == known));
        for (path, inode) in files {
            read_from(&path, self.offsets.entry(inode).or_default(), &mut self.text);
        }
    }
}

/// Lets three tailers follow this many rotations. Pacing is off: the tailers look after every rotation instead, so that what is tested is
/// the writer, not their speed.
fn follow(compress: Compress, max_backups: usize) {
    let rotations = std::env::var("FLOWLOG_ROTATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut bench = Bench::new();
    bench.config = FileConfig { max_bytes: 100, max_backups, compress, ..bench.config };
    let folder = bench.logs();
    let (running, sink) = bench.start();
    let (mut first_line, mut path, mut inode) = (ByFirstLine::default(), ByPath::default(), ByInode::default());
    let mut last = 0;
    while sink.metrics().rotations.load(Relaxed) < rotations {
        // Ten lines fill a file; between three and nine at a time, at most one rotation follows.
        bench.write(3 + last % 7, 10);
        last += 3 + last % 7;
        bench.settle(&running);
        first_line.look(&folder);
        path.look(&bench.config.path);
        inode.look(&folder);
    }
    bench.drain(running);
    let expected: String = (1..bench.writer.next_sequence()).map(|sequence| format!("{sequence:09}\n")).collect();
    assert!(first_line.text == expected, "the tailer by first line lost or repeated lines");
    assert!(path.text == expected, "the tailer by path lost or repeated lines");
    // Where files are removed, a new one may get the inode of one that is gone; a tailer by inode alone cannot tell.
    assert!(inode.text == expected || max_backups > 0, "the tailer by inode lost or repeated lines");
}

#[test]
fn three_kinds_of_tailers_follow_rotations_without_loss_or_repetition() {
    follow(Compress::No, 0);
}

#[test]
fn tailers_follow_while_backups_are_compressed_and_removed() {
    follow(Compress::Zstd, 3);
}

/// A small disk of its own; `None` (and the test says SKIPPED) where this user may not mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let status = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(path).status();
        status.is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[test]
fn on_a_full_disk_lines_wait_and_all_of_them_arrive_once_there_is_room() {
    let mut bench = Bench::new();
    let Some(disk) = SmallDisk::mount(&bench.logs()) else {
        let test = "file::tests::on_a_full_disk_lines_wait_and_all_of_them_arrive_once_there_is_room";
        crate::skip_line::write(test, "mounting a small disk needs root", "sudo -E make test");
        return;
    };
    let ballast = disk.0.join("ballast");
    std::fs::write(&ballast, vec![0; 900 << 10]).unwrap();
    let (running, sink) = bench.start();
    bench.write(5000, 100);
    bench.writer.flush(Duration::from_secs(30)).unwrap();
    while sink.metrics().write_errors.load(Relaxed) < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::remove_file(&ballast).unwrap();
    bench.drain(running);
    assert_eq!(bench.lines(), (1..=5000).collect::<Vec<_>>());
}
