//! A real server (MinIO, Kafka, Loki …) on loopback, for as long as a test holds it.
//!
//! The servers are built and started by the scripts of `tests/services`. Ports are free ones, state is a temporary folder, and
//! everything ends with the test: by `Drop` when it passes or fails, by a watcher beside the server when the test program itself is killed.
//! A server that is not built is a failed test that names the command to build it, never a silent pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

/// A running server. Dropping it ends the server and removes its folder.
pub struct Service {
    name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Service {
    /// Starts `tests/services/<name>.sh` and waits until the server answers.
    pub fn start(name: &str) -> Service {
        Service::start_with(name, &[], &[])
    }

    /// The same with the script's further arguments (`promtail`: Loki's port and a file) and environment (`MINIO_CERTS`).
    pub fn start_with(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Service {
        let service = Service {
            name: name.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: environment.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            folder: tempfile::Builder::new().prefix(&format!("flowlog-{name}-")).tempdir().expect("a temporary folder"),
        };
        service.run();
        service
    }

    fn run(&self) {
        let script = services().join(format!("{}.sh", self.name));
        let output = Command::new(&script)
            .arg(self.folder.path())
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .env("SERVICE_OWNER", std::process::id().to_string())
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        assert!(
            output.status.success(),
            "{} did not start:\n{}{}",
            self.name,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Where the server keeps its state, its log and what it wrote about itself.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The first of the server's ports, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.ports()[0]
    }

    /// All its ports, in the order in which the start script took them.
    pub fn ports(&self) -> Vec<u16> {
        let text = self.read("ports");
        text.split_whitespace().map(|port| port.parse().expect("a port")).collect()
    }

    /// A value of the server's `env` file, such as `S3_ENDPOINT` or `KAFKA_PLAIN`.
    pub fn value(&self, key: &str) -> String {
        let text = self.read("env");
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.unwrap_or_else(|| panic!("{} says nothing of {key}:\n{text}", self.name)).to_owned()
    }

    /// The server's own log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// Waits until the server's log contains `text`; fails after a minute.
    pub fn wait_for_log(&self, text: &str) {
        for _ in 0..600 {
            if self.log().contains(text) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("{} never logged {text:?}:\n{}", self.name, self.log());
    }

    /// Ends the server at once, as a crash would; its state stays for [`Service::restart`].
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        for pid in self.pids() {
            while rustix::process::test_kill_process(pid).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }

    /// Starts it again on the same ports and data.
    pub fn restart(&self) {
        self.run();
    }

    /// Stops the server from answering without closing its connections, until [`Service::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused server go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            // A process that is gone already is what a kill wants; the others would show in the test.
            let _ = kill_process(pid, signal);
        }
    }

    fn pids(&self) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir(self.folder.path()) else {
            return Vec::new();
        };
        let files = entries.flatten().map(|entry| entry.path());
        let files =
            files.filter(|path| path.file_name().is_some_and(|name| name == "pid") || path.extension().is_some_and(|end| end == "pid"));
        files.filter_map(|path| Pid::from_raw(std::fs::read_to_string(path).ok()?.trim().parse().ok()?)).collect()
    }

    fn read(&self, file: &str) -> String {
        let path = self.folder.path().join(file);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("last lines of {}:\n{}", self.name, lines[lines.len().saturating_sub(15)..].join("\n"));
        }
        self.resume();
        self.kill();
    }
}

/// The folder of start scripts.
pub fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("services")
}

/// Where the built servers and clients stand: `$SERVICES_BIN`, else `~/.cache/flowlog-services`.
pub fn binaries() -> PathBuf {
    match std::env::var_os("SERVICES_BIN") {
        Some(folder) => folder.into(),
        None => Path::new(&std::env::var_os("HOME").unwrap_or_else(|| "/".into())).join(".cache/flowlog-services"),
    }
}

/// A program of the built servers (`hubble`, `kubectl`) or of the readers' Python (`python`); fails with the command that makes it.
pub fn program(name: &str) -> PathBuf {
    let (path, made_by) = match name {
        "python" => (binaries().join("venv/bin/python"), "tests/setup/install"),
        "hubble" | "hubble-relay" | "hubbled" => (binaries().join(name), "tests/services/build hubble"),
        "kubectl" | "kube-apiserver" | "etcd" => (binaries().join(name), "tests/services/build kube"),
        _ => (binaries().join(name), "tests/services/build"),
    };
    assert!(path.exists(), "{} is missing; run: {made_by}", path.display());
    path
}
