//! A daemon that follows a JSONL file instead of the kernel, for tests that are about lines: no root, no namespace, a port of its own.
//!
//! Its input, state, files and log lie in a temporary folder that goes with it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::flowlog;

/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon and its folder.
pub struct JsonlDaemon {
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl JsonlDaemon {
    /// Starts one under a configuration, with further arguments of `flowlog run`, and waits until it listens.
    pub fn start(configuration: &str, arguments: &[&str]) -> JsonlDaemon {
        let folder = tempfile::Builder::new().prefix("flowlog-jsonl-").tempdir().expect("a folder");
        let mut daemon = JsonlDaemon { folder, process: None };
        std::fs::write(daemon.path("flowlog.yaml"), configuration).expect("a configuration");
        std::fs::write(daemon.path("input.jsonl"), "").expect("an input");
        let log = std::fs::File::create(daemon.path("daemon.log")).expect("a log");
        let mut command = Command::new(flowlog());
        command.arg("run").arg("--config").arg(daemon.path("flowlog.yaml")).arg("--state-dir").arg(daemon.path("state"));
        command.arg("--source").arg(format!("jsonl:{}", daemon.path("input.jsonl").display()));
        command.args(["--listen", "127.0.0.1:0", "--node-name", "n1", "--disk-reserve-percent", "0"]).args(arguments);
        let started = command.current_dir(daemon.folder.path()).stdout(log.try_clone().expect("a log")).stderr(log).spawn();
        daemon.process = Some(started.expect("the daemon starts"));
        daemon.wait("its port", |daemon| daemon.listens_on().is_some());
        daemon
    }

    /// A path below its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its folder, with everything that it wrote.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Appends lines to its input, each with its newline.
    pub fn feed(&self, lines: &str) {
        let input = std::fs::OpenOptions::new().append(true).open(self.path("input.jsonl"));
        input.expect("its input").write_all(lines.as_bytes()).expect("a line");
    }

    fn listens_on(&self) -> Option<u16> {
        let text = std::fs::read_to_string(self.path("state/daemon.json")).ok()?;
        let running: Value = serde_json::from_str(&text).ok()?;
        running["listen"].as_str()?.rsplit(':').next()?.parse().ok()
    }

    /// The port of its pages.
    pub fn port(&self) -> u16 {
        self.listens_on().expect("it listens")
    }

    /// Waits until something is so; fails after a minute with the daemon's own log.
    pub fn wait(&self, what: &str, done: impl Fn(&JsonlDaemon) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let log = || std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited for {what} in vain: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it by SIGTERM. Fails when it ends badly.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let pid = rustix::process::Pid::from_raw(process.id().try_into().expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
        let status = process.wait().expect("its end");
        assert!(status.success(), "{status} after SIGTERM");
    }
}

impl Drop for JsonlDaemon {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It has ended already, or ends now.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
