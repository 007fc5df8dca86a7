//! The whole daemon on real packets across a router of network namespaces: what it costs the machine, and what it costs the traffic.
//!
//! Prints memory at 100 000 flows (its own and the kernel's maps), its processor time at 8 000 new flows a second and at as many as a sender makes, and the
//! rate of one TCP connection through two watched interfaces with and without it, turn by turn in one run. `-- memory`, `-- processor` and `-- iperf3` print
//! one of these alone.

use std::net::UdpSocket;
use std::path::Path;
use std::time::{Duration, Instant};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{Lab, SERVER};
use flowlog_tests::skip;
use rustix::process::{Pid, Signal, kill_process};

/// Pairs of iperf3 runs, without the daemon and with it.
const IPERF3_PAIRS: usize = 25;

const CONFIGURATION: &str = "flowLogs:
  - name: all
    filePath: events.log
    fileMaxSizeMb: 1000
    foldBy: service
    fieldMask: [time, verdict, IP, l4, source.namespace, source.pod_name, destination.namespace, destination.pod_name, extensions]
";

fn main() {
    if skip::lacks_root("daemon") {
        return;
    }
    println!("machine: {}; {}", flowlog_benches::machine(), flowlog_benches::load());
    let wanted = |part: &str| {
        let mut named = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        named.peek().is_none() || named.any(|argument| argument == part)
    };
    if wanted("memory") {
        memory();
    }
    if wanted("processor") {
        processor_time(8_000, Duration::from_secs(10));
        processor_time(200_000, Duration::from_secs(4));
    }
    if wanted("iperf3") {
        throughput();
    }
}

/// A daemon on the router's two interfaces with room for a million flows.
fn daemon(lab: &Lab) -> Daemon {
    Daemon::new(&lab.router, CONFIGURATION).with(&["--flow-rows", "1048576", "--ring-bytes", "16MiB"]).started()
}

fn memory() {
    const FLOWS: u32 = 100_000;
    let lab = Lab::new();
    let daemon = Daemon::new(&lab.router, CONFIGURATION).with(&["--flow-rows", "131072"]).started();
    let (before, maps) = (kilobytes(daemon.pid(), "VmRSS:"), kernel_maps(daemon.pid()));
    lab.client.inside(move || new_flows(FLOWS, 20_000, Duration::from_secs(5))).join().expect("the client");
    daemon.wait("every flow to have a row", |daemon| daemon.metrics().sum("flowlog_rows", &[]) >= u64::from(FLOWS));
    std::thread::sleep(Duration::from_secs(3));
    println!(
        "memory at {FLOWS} flows: {:.1} MB resident ({:.1} MB before them, {:.1} MB at the peak), {:.1} MB of kernel maps for 131 072 rows",
        kilobytes(daemon.pid(), "VmRSS:") / 1e3,
        before / 1e3,
        kilobytes(daemon.pid(), "VmHWM:") / 1e3,
        maps / 1e6
    );
}

fn processor_time(rate: u32, time: Duration) {
    let lab = Lab::new();
    let daemon = daemon(&lab);
    let records = daemon.metrics().sum("flowlog_ring_records_total", &[]);
    let (started, before) = (Instant::now(), processor_seconds(daemon.pid()));
    let flows = rate * time.as_secs() as u32;
    lab.client.inside(move || new_flows(flows, rate, time)).join().expect("the client");
    // What was reported last is still on its way.
    std::thread::sleep(Duration::from_secs(2));
    let (elapsed, seconds) = (started.elapsed().as_secs_f64(), processor_seconds(daemon.pid()) - before);
    let reports = daemon.metrics().sum("flowlog_ring_records_total", &[]) - records;
    println!(
        "daemon at {:.0} new flows/s: {:.1} % of one core, {:.2} µs per event ({reports} events in {elapsed:.1} s)",
        f64::from(flows) / (elapsed - 2.0),
        seconds / elapsed * 100.0,
        seconds / reports as f64 * 1e6,
    );
}

/// Sends one datagram on each of so many tuples, at a rate as far as it can be had.
fn new_flows(flows: u32, rate: u32, most: Duration) {
    let started = Instant::now();
    let mut socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    for number in 0..flows {
        let port = 1024 + (number % 50_000) as u16;
        if port == 1024 {
            socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        }
        let _ = socket.send_to(&[0; 18], (SERVER, port));
        if number % 256 == 0 {
            let due = Duration::from_secs_f64(f64::from(number) / f64::from(rate));
            std::thread::sleep(due.saturating_sub(started.elapsed()));
            if started.elapsed() > most * 4 {
                return;
            }
        }
    }
}

/// Two labs alike, one of them watched. Runs go back and forth between them, since the same run differs from one minute to the next by more than what is
/// measured here; while it is the other's turn the daemon is stopped.
fn throughput() {
    let (watched, bare) = (Lab::new(), Lab::new());
    for lab in [&watched, &bare] {
        for (namespace, interface) in [(&lab.client, "eth0"), (&lab.server, "eth0"), (&lab.router, "ra"), (&lab.router, "rb")] {
            namespace.sh(&format!("ethtool -K {interface} tso on gso on gro on"));
        }
    }
    let mut daemon = daemon(&watched);
    let pid = Pid::from_raw(daemon.pid().cast_signed()).expect("a process");
    let mut pairs: Vec<[f64; 2]> = Vec::new();
    for _ in 0..IPERF3_PAIRS {
        kill_process(pid, Signal::STOP).expect("it stops");
        let without = iperf3(&bare);
        kill_process(pid, Signal::CONT).expect("it goes on");
        pairs.push([without, iperf3(&watched)]);
    }
    daemon.finish();
    let median = |of: &dyn Fn(&[f64; 2]) -> f64| {
        let mut all: Vec<f64> = pairs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        (all[all.len() / 2], all[all.len() / 4], all[all.len() * 3 / 4])
    };
    let (ratio, low, high) = median(&|pair| pair[1] / pair[0] * 100.0);
    println!(
        "iperf3, one TCP connection through both interfaces, {IPERF3_PAIRS} pairs: {:.1} Gbit/s without, {:.1} with; with / without {ratio:.1} % \
         (half of the pairs between {low:.1} and {high:.1})",
        median(&|pair| pair[0]).0,
        median(&|pair| pair[1]).0,
    );
}

/// Gbit/s of two seconds.
fn iperf3(lab: &Lab) -> f64 {
    let mut server = lab.server.command("iperf3").args(["-s", "-1"]).stdout(std::process::Stdio::null()).spawn().expect("iperf3 starts");
    lab.server.sh("for i in $(seq 100); do ss -Hltn sport = :5201 | grep -q . && exit; sleep 0.1; done; exit 1");
    let report = lab.client.sh(&format!("iperf3 -J -c {SERVER} -t 2"));
    server.wait().expect("iperf3 ends");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    report["end"]["sum_received"]["bits_per_second"].as_f64().expect("a rate") / 1e9
}

fn kilobytes(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the daemon runs");
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Bytes of kernel memory behind the maps that a process has open.
fn kernel_maps(pid: u32) -> f64 {
    let mut maps = std::collections::BTreeMap::new();
    for file in std::fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fdinfo")).expect("procfs").flatten() {
        let text = std::fs::read_to_string(file.path()).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).and_then(|value| value.trim().parse::<u64>().ok());
        if let (Some(id), Some(bytes)) = (field("map_id:"), field("memlock:")) {
            maps.insert(id, bytes);
        }
    }
    maps.values().sum::<u64>() as f64
}

fn processor_seconds(pid: u32) -> f64 {
    flowlog_benches::processor_seconds(&format!("/proc/{pid}/stat"))
}
