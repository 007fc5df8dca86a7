//! The daemon starts with the capabilities of the systemd unit, gives them up, and goes on attaching and sweeping without them.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use flowlog_tests::{program, skip};

const ADDRESS: &str = "127.0.0.1:9965";

/// A daemon in a network namespace of its own, which ends with it.
struct Daemon {
    process: Child,
    folder: tempfile::TempDir,
}

impl Daemon {
    /// Starts it with the unit's capabilities only.
    fn start(arguments: &str) -> Daemon {
        let unit =
            std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/systemd/flowlog.service")).expect("the unit");
        let capabilities = unit.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet=")).expect("a bounding set");
        let folder = tempfile::Builder::new().prefix("flowlog-privileges-").tempdir().expect("a folder");
        std::fs::write(folder.path().join("flowlog.yaml"), "flowLogs:\n  - name: all\n    filePath: events.log\n")
            .expect("a configuration");
        let bounding: String =
            capabilities.split(' ').map(|name| format!(",+{}", name.trim_start_matches("CAP_").to_lowercase())).collect();
        let line = format!(
            "ip link set lo up; exec setpriv --bounding-set=-all{bounding} --inh-caps=-all \
             {} run --config flowlog.yaml {arguments} --interface 'v*' --state-dir state --pin-dir {} --listen {ADDRESS} 2>daemon.log",
            program::flowlog().display(),
            pins(folder.path()),
        );
        let process = Command::new("unshare").args(["--net", "sh", "-ec", &line]).current_dir(folder.path()).spawn().expect("unshare");
        let daemon = Daemon { process, folder };
        daemon.wait("readiness", || daemon.page("/readyz").is_some());
        daemon
    }

    /// Runs a command line in the daemon's network namespace; its output where it succeeds.
    fn inside(&self, line: &str) -> Option<String> {
        let output =
            Command::new("nsenter").args(["--net", "-t", &self.process.id().to_string(), "sh", "-ec", line]).output().expect("nsenter");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn page(&self, path: &str) -> Option<String> {
        self.inside(&format!("curl -sf -m 5 http://{ADDRESS}{path}"))
    }

    /// Waits up to half a minute, then fails with the daemon's own log.
    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !done() {
            let log = || std::fs::read_to_string(self.folder.path().join("daemon.log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "waited for {what} in vain:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The capability sets of every thread, as (set, hexadecimal).
    fn sets(&self) -> Vec<(String, String)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("threads");
        let statuses = tasks.map(|task| std::fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default());
        let statuses: Vec<String> = statuses.collect();
        let lines = statuses.iter().flat_map(|status| status.lines()).filter_map(|line| line.split_once(":\t"));
        lines
            .filter(|(key, _)| ["CapEff", "CapPrm", "CapInh", "CapAmb"].contains(key))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn has_given_up_all_but(&self, kept: u64) {
        let sets = self.sets();
        assert!(sets.len() >= 4);
        for (set, value) in sets {
            let value = u64::from_str_radix(&value, 16).expect("a set");
            let allowed = if set == "CapEff" || set == "CapPrm" { kept } else { 0 };
            assert_eq!(value & !allowed, 0, "{set} keeps {value:x}");
        }
    }

    fn attaches_what_appears(&self) {
        self.inside("ip link add v0 type veth peer name w0; ip addr add 192.0.2.1/24 dev v0; ip link set v0 up; ip link set w0 up")
            .expect("a veth");
        self.wait("the new veth", || self.page("/metrics").is_some_and(|page| page.contains(r#"interface="v0""#)));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(pins(self.folder.path()));
    }
}

fn pins(folder: &Path) -> String {
    format!("/sys/fs/bpf/flowlog/{}", folder.file_name().and_then(|name| name.to_str()).expect("a name"))
}

/// What the design lets the daemon keep on this kernel: nothing with tcx, CAP_NET_ADMIN with clsact, CAP_BPF below 5.19.
fn kept(clsact: bool) -> u64 {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let net_admin = if clsact || version < (6, 6) { 1 << 12 } else { 0 };
    let bpf = if version < (5, 19) { 1 << 39 } else { 0 };
    net_admin | bpf
}

#[test]
fn the_units_capabilities_are_enough_to_start_and_given_up_afterwards() {
    if skip::lacks_root("the_units_capabilities_are_enough_to_start_and_given_up_afterwards") {
        return;
    }
    let daemon = Daemon::start("--interface lo");
    daemon.has_given_up_all_but(kept(false));
    daemon.attaches_what_appears();
    daemon.inside("ping -c 3 -i 0.2 127.0.0.1").expect("a ping");
    let rows = |page: &str| page.lines().find_map(|line| line.strip_prefix("flowlog_rows_made_total "))?.parse::<u64>().ok();
    daemon.wait("rows of the ping", || daemon.page("/metrics").is_some_and(|page| rows(&page) > Some(0)));
}

#[test]
fn with_clsact_the_first_interface_may_come_after_the_start() {
    if skip::lacks_root("with_clsact_the_first_interface_may_come_after_the_start") {
        return;
    }
    let daemon = Daemon::start("--attach clsact");
    daemon.has_given_up_all_but(kept(true));
    daemon.attaches_what_appears();
}
