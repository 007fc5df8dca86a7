//! `kill -9` of a process that writes a spool and its rotated file, at random moments, restarted each time: in the end each line stands in
//! the files once, in order, whatever was torn. Rotation and compression happen all the time, so kills fall into them too.
//!
//! Its own harness: called with a folder it is the process that gets killed. `KILLS` sets how many.

use flowlog_sinks::driver::{DriverOptions, start};
use flowlog_sinks::file::{Compress, FileConfig, FileSink};
use flowlog_sinks::spool::{Commit, Options, WhenFull, Writer};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next() {
        Some(folder) if Path::new(&folder).is_absolute() => child(Path::new(&folder), arguments.next().is_some()),
        _ => {
            let kills = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
            parent(kills)?;
            println!("kill -9 at {kills} random moments: each line once and in order ... ok");
            Ok(())
        }
    }
}

/// Writes lines until it is killed, or, with `last`, delivers what there is and ends.
fn child(folder: &Path, last: bool) -> Result<()> {
    let (mut writer, found) = Writer::open(&folder.join("spool"), &Options::new("n", "b"))?;
    if found.last.is_some() && found.renewal.is_some() {
        return Err(format!("a kill is no reason for a new identity: {:?}", found.renewal).into());
    }
    let config = FileConfig {
        max_bytes: 60_000,
        max_backups: 0,
        compress: Compress::Zstd,
        min_rotate_interval: Duration::ZERO,
        ..FileConfig::new(folder.join("events.log"))
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build()?;
    let options = DriverOptions { name: "file".to_owned(), when_full: WhenFull::Hold };
    let entered = runtime.enter();
    let running = start(&writer.spool(), Arc::new(FileSink::new(config)), options)?;
    drop(entered);
    if !last {
        return write_for_ever(&mut writer);
    }
    writer.flush(Duration::from_secs(60))?;
    if let Some(gap) = runtime.block_on(running.drain(Duration::from_secs(300))) {
        return Err(format!("not delivered: {gap:?}").into());
    }
    std::fs::write(folder.join("next"), writer.next_sequence().to_string())?;
    Ok(())
}

fn write_for_ever(writer: &mut Writer) -> Result<()> {
    loop {
        for _ in 0..200 {
            let sequence = writer.next_sequence();
            let line = format!("{sequence} {}", "x".repeat((sequence % 301) as usize));
            writer.append(0, b"", b"", line.as_bytes())?;
        }
        writer.commit(Commit { intake_position: writer.next_sequence(), ..Commit::default() })?;
        // Not faster than files of this size can be rotated durably, so that kills fall into rotations and not into a backlog.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn parent(kills: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = std::env::current_exe()?;
    // A cheap generator is random enough for moments.
    let mut random = u64::from(std::process::id()) | 1;
    for _ in 0..kills {
        let mut process = Command::new(&program).arg(folder.path()).stderr(Stdio::inherit()).spawn()?;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        std::thread::sleep(Duration::from_millis(20 + random % 400));
        if let Some(status) = process.try_wait()? {
            return Err(format!("the writer ended by itself: {status}").into());
        }
        process.kill()?;
        process.wait()?;
    }
    let status = Command::new(&program).arg(folder.path()).arg("last").status()?;
    if !status.success() {
        return Err(format!("the last run failed: {status}").into());
    }
    let next: u64 = std::fs::read_to_string(folder.path().join("next"))?.parse()?;
    let text = read_all(folder.path())?;
    let mut expected = 1;
    for line in text.lines() {
        let sequence: u64 = line.split(' ').next().unwrap_or_default().parse().map_err(|_| format!("a torn line: {line:?}"))?;
        let whole = line.len() == sequence.to_string().len() + 1 + (sequence % 301) as usize;
        if sequence != expected || !whole {
            return Err(format!("line {sequence} where {expected} should be, whole: {whole}").into());
        }
        expected += 1;
    }
    if expected != next || next < 1000 {
        return Err(format!("{} lines of {} arrived", expected - 1, next - 1).into());
    }
    println!("{} lines, {} files", next - 1, files(folder.path())?.len());
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    found.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("events")));
    // Where both are there, the compressed form is whole.
    let compressed: Vec<PathBuf> = found.iter().filter(|path| path.extension().is_some_and(|e| e == "zst")).cloned().collect();
    found.retain(|path| path.extension().is_none_or(|extension| extension != "tmp"));
    found.retain(|path| !compressed.contains(&PathBuf::from(format!("{}.zst", path.display()))));
    found.sort_by_key(|path| (path.file_name().is_some_and(|name| name == "events.log"), path.clone()));
    Ok(found)
}

fn read_all(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for path in files(folder)? {
        let file = std::fs::File::open(&path)?;
        if path.extension().is_some_and(|extension| extension == "zst") {
            zstd::Decoder::new(file)?.read_to_string(&mut text)?;
        } else {
            std::io::BufReader::new(file).read_to_string(&mut text)?;
        }
    }
    Ok(text)
}
