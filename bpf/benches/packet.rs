//! Kernel time a packet: `sudo -E cargo bench -p flowlog-bpf`. Prints machine and method with the numbers.
//!
//! Frames go through the ingress program by BPF_PROG_TEST_RUN in a network namespace of its own, eight times a flow and
//! call, flows in turn; the kernel measures the loop, whose own cost is included. Beside it the sweep runs at the
//! daemon's pace and the ring is drained. One sender, then two at once. The mean is over all runs; the median is of
//! groups of 2 400 runs, so that what other load on the machine costs shows as the difference.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use flowlog_bpf::probe::{Probe, Segmentation, Way};
use flowlog_bpf::{Kernel, Options, Selection};

const TIMES: u32 = 8;
const GROUP: u32 = 300;

fn main() -> Result<(), Box<dyn Error>> {
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: needs root for BPF; run `sudo -E cargo bench -p flowlog-bpf`");
        return Ok(());
    }
    let namespace = format!("fl-bench-{}", std::process::id());
    run(&["ip", "netns", "add", &namespace])?;
    let result = measure_inside(&namespace);
    run(&["ip", "netns", "del", &namespace])?;
    result
}

fn run(line: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(line[0]).args(&line[1..]).status()?;
    if status.success() { Ok(()) } else { Err(format!("{line:?} failed").into()) }
}

fn measure_inside(namespace: &str) -> Result<(), Box<dyn Error>> {
    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
    run(&["ip", "-n", namespace, "link", "set", "lo", "up"])?;
    let file = std::fs::File::open(format!("/run/netns/{namespace}"))?;
    move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network))?;
    machine();
    println!("{:>8} {:>8} {:>12} {:>12} {:>10} {:>14}", "flows", "senders", "packets", "mean ns", "median ns", "sweep ms/s");
    for (flows, senders) in [(300, 1), (300, 2), (7_000, 1), (60_000, 1), (60_000, 2)] {
        measure(flows, senders)?;
    }
    Ok(())
}

fn machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown").trim_start_matches([' ', '\t', ':']);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    println!("machine: {model}, {cpus} CPUs, Linux {}, load {}", kernel.trim(), load.trim());
    if read("/proc/sys/kernel/bpf_stats_enabled").trim() == "1" {
        println!(
            "kernel.bpf_stats_enabled is on: every run below costs two readings of the clock more; sysctl -w kernel.bpf_stats_enabled=0"
        );
    }
    println!(
        "method: BPF_PROG_TEST_RUN of the ingress program on IPv4/UDP frames of 60 bytes, {TIMES} runs a flow and call, flows in turn,"
    );
    println!("        3 s each, loop overhead included; sweep at the daemon's pace, ring drained");
}

fn frame(flow: u32) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[12] = 8;
    frame[14] = 0x45;
    frame[17] = 46;
    frame[23] = 17;
    frame[26..30].copy_from_slice(&(0x0a00_0000 + flow / 1000).to_be_bytes());
    frame[30..34].copy_from_slice(&[10, 9, 8, 7]);
    frame[34..36].copy_from_slice(&(1000 + (flow % 1000) as u16).to_be_bytes());
    frame[37] = 53;
    frame[39] = 26;
    frame
}

fn measure(flows: u32, senders: u32) -> Result<(), Box<dyn Error>> {
    let options = Options {
        pins: PathBuf::from(format!("/sys/fs/bpf/flowlog-bench-{}", std::process::id())),
        interfaces: Selection::Named(vec!["lo".into()]),
        ..Options::default()
    };
    let mut kernel = Kernel::start(&options)?.kernel;
    let probe = Probe::of(&kernel)?;
    let mut rings = kernel.take_rings();
    let (packets, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let groups: Mutex<Vec<f64>> = Mutex::new(Vec::new());
    let mut sweep_time = Duration::ZERO;
    std::thread::scope(|scope| {
        for sender in 0..senders {
            let (probe, groups, packets, done) = (&probe, &groups, &packets, &done);
            scope.spawn(move || {
                let (mut own, mut flow) = (Vec::new(), sender * flows / senders);
                while !done.load(Ordering::Relaxed) {
                    let mut spent = 0;
                    for _ in 0..GROUP {
                        let Ok(one) = probe.run(Way::In, &frame(flow), TIMES, Segmentation::default()) else { return };
                        spent += one.as_nanos() as u64;
                        flow = (flow + 1) % flows;
                    }
                    packets.fetch_add(u64::from(GROUP * TIMES), Ordering::Relaxed);
                    own.push(spent as f64 / f64::from(GROUP));
                }
                groups.lock().unwrap_or_else(PoisonError::into_inner).extend(own);
            });
        }
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            std::thread::sleep(kernel.sweep_period());
            let start = Instant::now();
            let swept = kernel.sweep();
            sweep_time += start.elapsed();
            if swept.is_err() {
                break;
            }
            for ring in &mut rings {
                while let Some(end) = ring.peek(1 << 20).map(|batch| batch.end()) {
                    ring.release(end);
                }
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut groups = groups.into_inner().unwrap_or_else(PoisonError::into_inner);
    groups.sort_by(f64::total_cmp);
    let mean = groups.iter().sum::<f64>() / groups.len().max(1) as f64;
    let median = groups.get(groups.len() / 2).copied().unwrap_or(f64::NAN);
    let sweep = sweep_time.as_secs_f64() * 1000.0 / 3.0;
    println!("{flows:>8} {senders:>8} {:>12} {mean:>12.1} {median:>10.1} {sweep:>14.2}", packets.into_inner());
    kernel.detach()?.remove()?;
    Ok(())
}
