//! Prints what spool and intake cost on this machine: `cargo run --release -p flowlog-sinks --example spool-speed [FOLDER] [MIB]`.
//!
//! Spool: records of 760 bytes, a commit each 4 000, fdatasync in groups; then the same read back and checked. Intake: 100-byte events in
//! batches of 256 KiB, two readers that keep up. Disk: plain writes of 256 KiB with one fdatasync at the end, as the disk's own limit.

use flowlog_sinks::spool::{Appended, Commit, Intake, IntakeOptions, Item, Options, Origin, WhenFull, Writer};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into).join("flowlog-spool-speed");
    let mib: u64 = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name\t: ")).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism()?;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("machine: {model}, {cores} cores, load {}; {mib} MiB in {}", load.trim(), folder.display());
    for _ in 0..3 {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        disk(&folder, mib)?;
        spool(&folder.join("spool"), mib)?;
        intake(&folder.join("intake"), mib)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn rate(mib: u64, time: Duration) -> f64 {
    mib as f64 * 1.048_576 / time.as_secs_f64()
}

fn disk(folder: &Path, mib: u64) -> Result<()> {
    let block = vec![7; 256 << 10];
    let mut file = std::fs::File::create(folder.join("disk"))?;
    let started = Instant::now();
    for _ in 0..mib * 4 {
        file.write_all(&block)?;
    }
    let written = started.elapsed();
    file.sync_data()?;
    println!("disk:   {:.0} MB/s written, {:.0} MB/s with its fdatasync", rate(mib, written), rate(mib, started.elapsed()));
    std::fs::remove_file(folder.join("disk"))?;
    Ok(())
}

fn spool(folder: &Path, mib: u64) -> Result<()> {
    let options = Options { max_bytes: 64 << 30, min_free_percent: 0, ..Options::new("bench", "bench") };
    let (mut writer, _) = Writer::open(folder, &options)?;
    let (mut reader, _) = writer.spool().reader("bench", WhenFull::Hold)?;
    let line = [b'x'; 760];
    let records = (mib << 20) / 800;
    let started = Instant::now();
    for number in 0..records {
        writer.append(1, b"6|10.0.0.1:443", b"", &line)?;
        if number % 4000 == 3999 {
            while writer.commit(Commit::default()).is_err() || writer.retry().is_err() {}
        }
    }
    writer.commit(Commit::default())?;
    let written = started.elapsed();
    writer.flush(Duration::from_secs(600))?;
    let synced = started.elapsed();
    let started = Instant::now();
    let mut read = 0_u64;
    while let Some(item) = reader.peek()? {
        read += u64::from(matches!(item, Item::Record(_)));
        reader.advance();
    }
    let back = started.elapsed();
    println!(
        "spool:  {:.0} MB/s written, {:.0} MB/s until all is synced, {:.0} ns a record; {:.0} MB/s read back and checked ({read} of {records} records)",
        rate(mib, written),
        rate(mib, synced),
        written.as_nanos() as f64 / records as f64,
        rate(mib, back)
    );
    Ok(())
}

fn intake(folder: &Path, mib: u64) -> Result<()> {
    let (mut intake, _) = Intake::open(folder, &IntakeOptions::new("bench", "bench"))?;
    let batch = vec![7; 256 << 10];
    let (mut position, mut appending, mut reading) = (0, Duration::ZERO, Duration::ZERO);
    let (mut one, mut two) = (intake.readers().reader("one", 0), intake.readers().reader("two", 0));
    for _ in 0..mib / 16 {
        let started = Instant::now();
        for _ in 0..64 {
            let origin = Origin { ring_id: [1; 16], ring_position: position, ..Origin::default() };
            match intake.append(&origin, &batch)? {
                Appended::Stored { .. } => position += batch.len() as u64,
                other => return Err(format!("the intake answered {other:?}").into()),
            }
        }
        appending += started.elapsed();
        let started = Instant::now();
        for reader in [&mut one, &mut two] {
            while reader.take()?.is_some() {}
            reader.release(reader.position());
        }
        reading += started.elapsed();
    }
    let events = position as f64 / 100.0;
    println!(
        "intake: {:.1} ns a 100-byte event appended ({:.0} MB/s), {:.1} ns to read and check it",
        appending.as_nanos() as f64 / events,
        position as f64 / 1e6 / appending.as_secs_f64(),
        reading.as_nanos() as f64 / events / 2.0
    );
    Ok(())
}
