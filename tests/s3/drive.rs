//! A spool, the sink, and a driver that crashes where a test wants it to.

use std::os::unix::fs::FileExt;

use flowlog_sinks::driver::{Outcome, Sink, Step};
use flowlog_sinks::s3::{Options, Origin, S3Sink};
use flowlog_sinks::spool::{self, Commit, Reader, Spool, Stored, WhenFull, Writer};
use flowlog_tests::s3::audit::read_folder;

use crate::shared::{runtime, wait};

/// What a call of [`Drive::step`] came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Did {
    /// Nothing is due.
    Waited,
    /// Something was delivered, and the cursor stored.
    Delivered,
    /// The server did not take it; the reason.
    Retried(String),
}

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// After the cut is stored, before anything is sent.
    BeforeSend,
    /// After the server has it, before the cursor is stored.
    BeforeCursor,
}

/// A spool with its writer.
pub struct Log {
    pub folder: tempfile::TempDir,
    writer: Option<Writer>,
}

impl Log {
    pub fn new() -> Log {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = Log { folder, writer: None };
        log.open(None);
        log
    }

    /// Opens the spool, or opens it again under a new id, as a daemon's start does.
    pub fn open(&mut self, renew: Option<&str>) {
        self.writer = None;
        let options = spool::Options { renew: renew.map(str::to_owned), ..spool::Options::new("n", "boot") };
        let (writer, _) = Writer::open(&self.folder.path().join("spool"), &options).expect("a spool");
        self.writer = Some(writer);
    }

    pub fn spool(&self) -> Spool {
        self.writer.as_ref().expect("an open spool").spool()
    }

    /// Turns a bit of the record of this number on the disk, as a bad disk does.
    pub fn spoil(&self, number: u64) {
        let line = format!("{{\"n\":{number},");
        let mut spoiled = 0;
        for (name, mut bytes) in read_folder(&self.folder.path().join("spool")) {
            if let Some(at) = bytes.windows(line.len()).position(|window| window == line.as_bytes()) {
                bytes[at] ^= 1;
                let file = std::fs::OpenOptions::new().write(true).open(self.folder.path().join("spool").join(name)).expect("a segment");
                file.write_all_at(&bytes[at..=at], at as u64).expect("a turned bit");
                spoiled += 1;
            }
        }
        assert_eq!(spoiled, 1, "{line} lies in one segment");
    }

    /// Commits `count` records at `time`, each with a flow time of its own, and waits until they can be read.
    pub fn commit(&mut self, count: usize, time: i64, flow_time: impl Fn(usize) -> i64) {
        let writer = self.writer.as_mut().expect("an open spool");
        for at in 0..count {
            let line = format!("{{\"n\":{},\"time\":{}}}", writer.next_sequence(), flow_time(at));
            writer.append(flow_time(at), b"key", b"", line.as_bytes()).expect("a record");
        }
        let totals = serde_json::json!({"flows": writer.next_sequence() - 1});
        writer.commit(Commit { time, totals, ..Commit::default() }).expect("a commit");
        let next = writer.next_sequence();
        while writer.durable().next < next {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// The sink at work on a log, since some start of the daemon.
pub struct Drive {
    pub sink: S3Sink,
    spool: Spool,
    reader: Reader,
    stored: Stored,
    /// What the daemon takes for now, Unix nanoseconds.
    pub now: i64,
}

impl Drive {
    /// Starts the daemon's sink at `now`.
    pub fn start(log: &Log, options: &Options, now: i64) -> Drive {
        let origin = Origin { cluster: "c 1".into(), log: "all".into(), node: "n".into(), daemon: "flowlog 0.1.0".into() };
        let spool = log.spool();
        let sink = S3Sink::new(options.clone(), origin, log.folder.path().join("staging"), now).expect("a sink");
        let mut attempts = 0;
        let (mut reader, stored) = spool.reader("audit", WhenFull::Hold).expect("a reader");
        let _inside = runtime().enter();
        while let Err(error) = sink.resume(&mut reader, stored.state.as_ref()) {
            attempts += 1;
            assert!(attempts < 5, "a sink that takes up its work: {error}");
        }
        Drive { sink, spool, reader, stored, now }
    }

    /// Freezes and sends once.
    pub fn step(&mut self, crash: Option<Crash>) -> Did {
        let start = self.reader.cursor();
        let cut = self.stored.cuts.first().cloned();
        let limits = self.sink.limits();
        let batch = match self.sink.freeze(&mut self.reader, &limits, cut.as_ref(), self.now).expect("a readable spool") {
            Step::Batch(batch) => batch,
            Step::Wait(_) => {
                self.reader.seek(&start);
                return Did::Waited;
            }
            Step::Skip => panic!("the sink skips nothing"),
        };
        if let Some(cut) = batch.cut {
            assert_eq!(cut.end, self.reader.cursor(), "the cut ends where the reader stands");
            self.stored.cuts = vec![cut];
            self.spool.store("audit", &self.stored).expect("a stored cut");
        }
        if crash == Some(Crash::BeforeSend) {
            return Did::Waited;
        }
        match wait(self.sink.send(&batch.frozen)) {
            Outcome::Delivered { state } if crash.is_none() => {
                self.stored = Stored { cursor: self.reader.cursor(), state, ..Stored::default() };
                self.spool.store("audit", &self.stored).expect("a stored cursor");
                Did::Delivered
            }
            Outcome::Delivered { .. } => Did::Waited,
            Outcome::Retry { why, .. } => {
                self.reader.seek(&start);
                Did::Retried(why)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Goes on until nothing is due; returns how many batches were delivered.
    pub fn run(&mut self) -> usize {
        let mut delivered = 0;
        loop {
            match self.step(None) {
                Did::Waited => return delivered,
                Did::Delivered => delivered += 1,
                Did::Retried(why) => panic!("{why}"),
            }
        }
    }

    /// Goes on until nothing is due, though the server may fail a few times.
    pub fn run_on(&mut self) {
        let mut failures = 0;
        loop {
            match self.step(None) {
                Did::Waited => return,
                Did::Delivered => {}
                Did::Retried(why) => {
                    failures += 1;
                    assert!(failures < 5, "{why}");
                }
            }
        }
    }

    /// Ends the daemon in good order.
    pub fn stop(self) {
        wait(self.sink.close());
    }
}
