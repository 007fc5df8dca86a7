//! What these tests share: credentials in a file, staged objects, and the place they go to.

use std::fs;
use std::path::{Path, PathBuf};

use flowlog_sinks::s3::Options;
use flowlog_sinks::s3::failure::Failure;
use flowlog_sinks::s3::key::Layout;
use flowlog_sinks::s3::object::{Arrived, Open, Staged};
use flowlog_sinks::s3::retention::{Mode, Period, Retention};
use flowlog_sinks::s3::store::{Kept, Store};
use flowlog_tests::s3::stub::{KEY, Stub};

/// 2026-11-21T12:00:00Z, Unix nanoseconds.
pub const NOON: i64 = 1_795_262_400_000_000_000;
/// The spool's id in object-level tests.
pub const ID: [u8; 16] = [7; 16];

/// A folder for staged objects and credentials, and the options of a sink that uses them.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub options: Options,
}

impl Place {
    /// Objects go to `bucket` at `endpoint`, locked for a day in GOVERNANCE.
    pub fn new(endpoint: &str, bucket: &str, id: &str, secret: &str) -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let credentials = folder.path().join("credentials");
        let place = Place {
            options: Options {
                endpoint: Some(endpoint.to_owned()),
                credentials_file: Some(credentials),
                retention: Some(Retention { mode: Mode::Governance, period: Period::Days(1) }),
                ..Options::new(format!("s3://{bucket}/audit"))
            },
            folder,
        };
        place.write_credentials(id, secret, None);
        place
    }

    /// The same for the stub.
    pub fn at(stub: &Stub) -> Place {
        Place::new(&stub.endpoint, "bucket", KEY.0, KEY.1)
    }

    pub fn write_credentials(&self, id: &str, secret: &str, token: Option<&str>) {
        let mut text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n");
        if let Some(token) = token {
            text.push_str(&format!("aws_session_token = {token}\n"));
        }
        let path = self.options.credentials_file.as_ref().expect("a credentials file");
        fs::write(path, text).expect("a credentials file");
    }

    pub fn store(&self) -> Store {
        Store::new(&self.options).expect("options that can be used").0
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn stage(&self, first: u64, lines: &[&str]) -> Staged {
        stage(&self.path(&format!("object-{first}")), first, lines)
    }

    /// Keeps an object of `lines` from sequence number `first` on.
    pub fn keep(&self, store: &Store, first: u64, lines: &[&str]) -> Result<Kept, Failure> {
        let staged = self.stage(first, lines);
        wait(store.keep(|conflict| key(&staged, conflict), &staged, None))
    }
}

pub fn stage(path: &Path, first: u64, lines: &[&str]) -> Staged {
    let record = |at: usize| Arrived { sequence: first + at as u64, time: NOON, committed: NOON, line: lines[at].as_bytes() };
    let mut open = Open::create(path, 3, record(0)).expect("a staged object");
    for at in 1..lines.len() {
        open.push(record(at)).expect("a staged record");
    }
    open.finish().expect("a finished object")
}

pub fn layout() -> Layout {
    Layout { prefix: "audit".into(), cluster: "c 1".into(), log: "all".into(), node: "n".into() }
}

pub fn key(staged: &Staged, conflict: u32) -> String {
    layout().object_key(staged.sums.hour, ID, staged.sums.first, staged.sums.last, conflict)
}

/// The runtime of all tests.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"))
}

/// Runs to the end.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    runtime().block_on(future)
}
