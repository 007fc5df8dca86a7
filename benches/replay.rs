//! JSON in, filter, mask of nine paths, JSON out: `flowlog replay` over a million realistic flows, from its start to its end.
//!
//! Method: the flows lie in a file in the page cache; six namespaces are let in and one kind of pod is left out (`spec/hubble.md` §7.3); lines go to a
//! rotated file through the spool, synced as in a daemon, so the numbers are of the whole path and not of the codec alone (that is `flow_codec`). Flows a
//! second and core are the flows of the input over the processor seconds of the process; the clock says how long it took with all its threads; memory is
//! the most that was resident. Once a line per event (`window: 0`, as Hubble), once folded as by default.
//!
//!     cargo bench -p flowlog-benches --bench replay [-- flows]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use flowlog_benches::{children_seconds, flowlog, flows, load, machine};

const ENTRY: &str = r#"flowLogs:
  - name: bench
    filePath: out/events.log
    fileMaxSizeMb: 100
    includeFilters: [{source_pod: ["shop/", "payments/", "kube-system/", "search/", "batch/", "default/"]}]
    excludeFilters: [{destination_pod: ["/coredns"]}]
"#;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("replay") {
        return flowlog();
    }
    let count: u64 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("input.jsonl");
    let bytes = write(&input, count);
    println!("{}; {count} flows of {} bytes on average; {}", machine(), bytes / count, load());
    for (name, keys) in [
        (
            "a line per event",
            "    window: 0\n    fieldMask: [time, node_name, verdict, IP, l4, source.namespace, source.pod_name, destination.namespace, destination.pod_name]\n",
        ),
        (
            "folded by second",
            "    fieldMask: [time, node_name, verdict, IP, l4, source.namespace, source.pod_name, destination.namespace, destination.pod_name, extensions]\n",
        ),
    ] {
        std::fs::write(folder.path().join("flowlog.yaml"), format!("{ENTRY}{keys}")).expect("a configuration");
        let used = children_seconds();
        let start = Instant::now();
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["replay", "--config", "flowlog.yaml", "--state-dir", "state", "input.jsonl"]);
        let child = command.current_dir(folder.path()).stdin(Stdio::null()).spawn().expect("flowlog");
        let memory = wait(child);
        let (elapsed, used) = (start.elapsed().as_secs_f64(), children_seconds() - used);
        println!(
            "{name:<18} {:>9.0} flows/s/core  {:>9.0} flows/s on the clock  {used:>6.2} CPU s  {elapsed:>6.2} s  {memory:>4} MB resident at most  goal 600 k, 50 MB",
            count as f64 / used,
            count as f64 / elapsed,
        );
        for made in ["state", "out"] {
            std::fs::remove_dir_all(folder.path().join(made)).expect("its folders");
        }
    }
    println!("{}", load());
    ExitCode::SUCCESS
}

/// Writes that many flows; their bytes.
fn write(path: &Path, count: u64) -> u64 {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let (mut written, mut bytes) = (0, 0);
    while written < count {
        let lines = flows::lines(10_000.min(count - written), written);
        file.write_all(lines.as_bytes()).expect("room for the file");
        written += 10_000.min(count - written);
        bytes += lines.len() as u64;
    }
    file.flush().expect("room for the file");
    bytes
}

/// Waits for its end; the most memory it had resident, in megabytes.
fn wait(mut child: Child) -> u64 {
    let mut most = 0;
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        most = most.max(line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("its end") {
            assert!(status.success(), "replay: {status}");
            return most * 1024 / 1_000_000;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
