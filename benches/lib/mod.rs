//! What the benches share: the description of the machine and seeded inputs.

pub mod events;
pub mod flows;

/// The machine in one line: processors and their model.
pub fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{processors} processors,{}", model.trim_start_matches(['\t', ':']))
}

/// How busy the machine is: the load averages.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", load.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}

/// Processor time that a process has had so far, read from its `/proc/PID/stat`, in seconds.
pub fn processor_seconds(stat: &str) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // Behind the name, which may hold blanks: fields 14 and 15 of proc(5).
    let ticks = text.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    ticks.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64
}
