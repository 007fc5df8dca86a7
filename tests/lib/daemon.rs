//! The daemon under test: started in a namespace, asked over its port, killed, stopped, restarted on the same state, and detached at the end.
//!
//! State, lines and its own log lie in a temporary folder, pins in a folder of bpffs of its own; neither outlives the value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::lab::Namespace;
use crate::program::flowlog;

/// Where it listens in a namespace of its own: every port is free there.
const ADDRESS: &str = "127.0.0.1:9965";
/// How long a test waits for anything before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A flow log of everything, in `events.log`.
pub const EVERYTHING: &str = "flowLogs:\n  - name: all\n    filePath: events.log\n";

/// A daemon and its folder.
pub struct Daemon {
    folder: tempfile::TempDir,
    /// `None`: that of the test, where the servers are.
    namespace: Option<String>,
    address: String,
    arguments: Vec<String>,
    prefix: Vec<String>,
    configuration: PathBuf,
    process: Option<Child>,
}

impl Daemon {
    /// A daemon for a namespace, not started yet, on its interfaces `ra` and `rb`.
    pub fn new(namespace: &Namespace, configuration: &str) -> Daemon {
        let daemon = Daemon::at(Some(namespace.name().to_owned()), ADDRESS.to_owned(), configuration);
        daemon.with(&["--interface", "ra", "--interface", "rb"])
    }

    /// A daemon beside the servers, not started yet, that follows its `flows.jsonl` and watches no interface.
    pub fn following(configuration: &str) -> Daemon {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let daemon = Daemon::at(None, free.to_string(), configuration);
        std::fs::write(daemon.path("flows.jsonl"), "").expect("an input");
        daemon.with(&["--source", "jsonl:flows.jsonl"])
    }

    /// Appends lines to the input it follows, each with its newline.
    pub fn feed(&self, lines: &str) {
        let input = std::fs::File::options().append(true).open(self.path("flows.jsonl"));
        input.expect("its input").write_all(lines.as_bytes()).expect("a line");
    }

    fn at(namespace: Option<String>, address: String, configuration: &str) -> Daemon {
        let folder = tempfile::Builder::new().prefix("flowlog-e2e-").tempdir().expect("a folder");
        let configured = folder.path().join("flowlog.yaml");
        let daemon =
            Daemon { folder, namespace, address, arguments: Vec::new(), prefix: Vec::new(), configuration: configured, process: None };
        daemon.configure(configuration);
        daemon
    }

    /// Further arguments of `flowlog run`.
    pub fn with(mut self, arguments: &[&str]) -> Daemon {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Has its configuration at another path below its folder.
    pub fn configured_at(mut self, path: &str, text: &str) -> Daemon {
        self.configuration = self.path(path);
        std::fs::create_dir_all(self.configuration.parent().expect("a folder")).expect("a folder");
        self.configure(text);
        self
    }

    /// Runs it through another program, as `unshare --mount …`.
    pub fn through(mut self, prefix: &[&str]) -> Daemon {
        self.prefix = prefix.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Starts it and waits until it is ready.
    pub fn started(mut self) -> Daemon {
        self.start();
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(&mut self) {
        self.spawn();
        self.wait("readiness", |daemon| daemon.page("/readyz").is_some());
    }

    /// Starts it, and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        let log = std::fs::File::options().create(true).append(true).open(self.path("daemon.log")).expect("a log");
        // Tests share their disk with builds, which may have filled most of it.
        let reserve = ["--disk-reserve-percent", "0"];
        let child = self
            .command("run")
            .args(["--listen", &self.address, "--node-name", "lab"])
            .args(reserve)
            .args(&self.arguments)
            .stderr(log)
            .spawn();
        self.process = Some(child.expect("the daemon starts"));
    }

    /// Runs another `flowlog run` on the same state to its end.
    pub fn second(&self) -> Output {
        self.command("run").args(["--listen", "off"]).args(&self.arguments).output().expect("a second daemon")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = self.program(&self.prefix, word);
        command.arg("--pin-dir").arg(self.pins()).arg("--config").arg(&self.configuration);
        command
    }

    /// `flowlog` where the daemon runs, on its state.
    fn program(&self, prefix: &[String], word: &str) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(namespace) = &self.namespace {
            words.extend(["nsenter".into(), format!("--net=/run/netns/{namespace}").into()]);
        }
        words.extend(prefix.iter().map(OsString::from));
        words.push(flowlog().into());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(word).arg("--state-dir").arg(self.state());
        command.current_dir(self.folder.path());
        command
    }

    /// Writes its configuration, as an editor that renames does.
    pub fn configure(&self, text: &str) {
        let new = self.configuration.with_extension("new");
        std::fs::write(&new, text).expect("a configuration");
        std::fs::rename(&new, &self.configuration).expect("a rename");
    }

    /// A path below its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// The folder of its pins.
    pub fn pins(&self) -> PathBuf {
        Path::new("/sys/fs/bpf/flowlog").join(self.folder.path().file_name().expect("a name"))
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    /// What it said on standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }

    /// A page of its port; `None` when it does not answer, or not with 200.
    pub fn page(&self, path: &str) -> Option<String> {
        let address = self.address.clone();
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        let namespace = match &self.namespace {
            Some(name) => Some(std::fs::File::open(format!("/run/netns/{name}")).ok()?),
            None => None,
        };
        let answer = std::thread::spawn(move || -> std::io::Result<String> {
            use std::os::fd::AsFd;
            if let Some(namespace) = namespace {
                rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))?;
            }
            let mut connection = TcpStream::connect(address)?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            connection.write_all(request.as_bytes())?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer)
        });
        let answer = answer.join().expect("a thread").ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.lines().next()?.contains(" 200 ").then(|| body.to_owned())
    }

    /// Its metrics now.
    pub fn metrics(&self) -> Metrics {
        Metrics::parse(&self.page("/metrics").expect("metrics"))
    }

    /// What `flowlog status` prints, and whether it calls the daemon healthy.
    pub fn flowlog_status(&self) -> (String, bool) {
        let output = self.program(&[], "status").output().expect("flowlog status");
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.success())
    }

    /// Its `/status`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.page("/status").expect("a status")).expect("JSON")
    }

    /// Waits until something is so; fails after a minute with the daemon's own log.
    pub fn wait(&self, what: &str, done: impl Fn(&Daemon) -> bool) {
        self.wait_for(what, PATIENCE, done);
    }

    /// The same with another patience.
    pub fn wait_for(&self, what: &str, patience: Duration, done: impl Fn(&Daemon) -> bool) {
        let deadline = Instant::now() + patience;
        while !done(self) {
            assert!(Instant::now() < deadline, "waited for {what} in vain");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("SIGKILL");
            process.wait().expect("its end");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.pid().try_into().expect("a pid")).expect("a pid"), signal).expect("a signal");
    }

    /// Sends it SIGHUP.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Stops it where it is, until it is thawed.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it by SIGTERM; says how long that took. Fails when it ends badly.
    pub fn stop(&mut self) -> Duration {
        let mut process = self.process.take().expect("it runs");
        let begun = Instant::now();
        let pid = Pid::from_raw(process.id().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, Signal::TERM).expect("SIGTERM");
        let status = process.wait().expect("its end");
        assert!(status.success(), "{status} after SIGTERM");
        begun.elapsed()
    }

    /// Takes the kernel side away, so that its last counts are delivered under the configuration.
    pub fn detach(&self) {
        let output = self.command("detach").output().expect("flowlog detach");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && text.contains("nothing of"), "detach: {text}");
        assert!(!self.pins().exists(), "pins are left in {}", self.pins().display());
    }

    /// Stops it and takes the kernel side away: then its lines are all there will be.
    pub fn finish(&mut self) {
        self.stop();
        self.detach();
    }

    /// The lines of `events.log`, its backups first, in the order in which they were written.
    pub fn lines(&self) -> Vec<Value> {
        self.lines_in(self.folder.path(), "events")
    }

    /// The same of another file, by its folder and stem. Backups may be compressed.
    pub fn lines_in(&self, folder: &Path, stem: &str) -> Vec<Value> {
        let parse = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{stem}: {error}: {line}"));
        texts(folder, stem).iter().map(parse).collect()
    }

    /// The lines of `events.log` as they stand there, its backups first.
    pub fn texts(&self) -> Vec<String> {
        self.texts_of("events")
    }

    /// The same of another file, by its stem.
    pub fn texts_of(&self, stem: &str) -> Vec<String> {
        texts(self.folder.path(), stem)
    }

    /// Asserts that its spools are whole and in sequence, and returns the records of each identity of one flow log: spool, first, last.
    pub fn verified(&self, flow_log: &str) -> Vec<(String, u64, u64)> {
        let output =
            Command::new(flowlog()).args(["spool", "verify", "-o", "json", "--state-dir"]).arg(self.state()).arg(flow_log).output();
        let output = output.expect("flowlog spool");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_str(&text).expect("JSON");
        let number = |value: &Value| value.as_u64().expect("a number");
        let ranges = found[0]["ranges"].as_array().expect("ranges").iter();
        ranges.map(|range| (range["spool"].as_str().expect("an id").to_owned(), number(&range["first"]), number(&range["last"]))).collect()
    }
}

/// The lines of a file with its backups before it, in the order in which they were written. Backups may be compressed.
fn texts(folder: &Path, stem: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with(&format!("{stem}-")) && (name.ends_with(".log") || name.ends_with(".log.zst"))
    });
    files.sort();
    // What a kill left beside its finished compression.
    files.dedup_by(|compressed, plain| compressed.with_extension("") == *plain);
    files.push(folder.join(format!("{stem}.log")));
    let mut lines = Vec::new();
    for file in files {
        let Some(text) = text_of(&file) else { continue };
        assert!(text.is_empty() || text.ends_with('\n'), "{} ends within a line", file.display());
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

/// A file's text, of a compressed one too; `None` if it is not there.
fn text_of(file: &Path) -> Option<String> {
    let bytes = std::fs::read(file).ok()?;
    let compressed = file.extension().is_some_and(|extension| extension == "zst");
    let bytes = if compressed { zstd::decode_all(bytes.as_slice()).expect("a whole compression") } else { bytes };
    Some(String::from_utf8(bytes).expect("UTF-8"))
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("last lines of the daemon:\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if self.pins().exists() {
            let _ = self.command("detach").output();
            let _ = std::fs::remove_dir_all(self.pins());
        }
    }
}

/// The samples of a page of metrics.
#[derive(Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Metrics {
        let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        Metrics(samples.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect())
    }

    /// The sum of the samples of a family whose labels contain all of these, as `term="rows"`.
    pub fn sum(&self, family: &str, labels: &[&str]) -> u64 {
        let fits = |series: &str| {
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            name == family && labels.iter().all(|label| rest.contains(label))
        };
        let found: Vec<f64> = self.0.iter().filter(|(series, _)| fits(series)).map(|(_, value)| *value).collect();
        assert!(!found.is_empty(), "no sample of {family} with {labels:?}");
        found.iter().sum::<f64>() as u64
    }
}
