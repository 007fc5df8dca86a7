//! How soon a packet stands in `events.log`, and what the daemon costs where nothing happens.

use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{Lab, SERVER};
use flowlog_tests::skip;
use flowlog_tests::totals::Totals;

/// Length of a window, and what a line may take beyond it.
const PROMISED: Duration = Duration::from_millis(1000 + 300);
/// Other tests keep the processors busy: a round that they disturbed is done again.
const ROUNDS: u16 = 3;
const PACKETS: u16 = 5;

/// Sleeps until just behind the start of a second, where windows start: a packet sent then has a whole window before it.
fn wait_for_a_window_to_start() {
    let within = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").subsec_nanos();
    std::thread::sleep(Duration::from_nanos(u64::from(1_000_000_000 - within)) + Duration::from_millis(5));
}

/// Sends a datagram from a port of its own and waits for its line.
fn time_to_line(lab: &Lab, daemon: &Daemon, port: u16) -> Duration {
    let socket = lab.client.inside(move || UdpSocket::bind(("0.0.0.0", port)).expect("a socket")).join().expect("the client");
    let (file, wanted) = (daemon.path("events.log"), format!("\"source_port\":{port},"));
    wait_for_a_window_to_start();
    let sent = Instant::now();
    socket.send_to(&[1; 64], (SERVER, 5001)).expect("a datagram");
    while !std::fs::read_to_string(&file).unwrap_or_default().contains(&wanted) {
        assert!(sent.elapsed() < Duration::from_secs(30), "no line of port {port}");
        std::thread::sleep(Duration::from_millis(2));
    }
    sent.elapsed()
}

#[test]
fn a_packet_stands_in_the_log_300_ms_after_its_window() {
    if skip::lacks_root("a_packet_stands_in_the_log_300_ms_after_its_window") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let median = (0..ROUNDS).map(|round| {
        let mut times: Vec<Duration> = (0..PACKETS).map(|packet| time_to_line(&lab, &daemon, 4000 + round * PACKETS + packet)).collect();
        times.sort();
        println!("packets at the start of a window, until they stand in events.log: {times:?}");
        times[times.len() / 2]
    });
    let in_time = median.into_iter().any(|median| median <= PROMISED);
    daemon.finish();
    assert!(in_time, "no round of {ROUNDS} kept to {PROMISED:?}; the load average is {}", load_average());
}

fn load_average() -> String {
    std::fs::read_to_string("/proc/loadavg").expect("/proc").trim().to_owned()
}

/// Processor time of a process so far, in user space and in the kernel.
fn processor_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process");
    // The name in parentheses may hold anything; utime and stime are the 14th and 15th field.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks: u64 = fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

#[test]
fn an_idle_daemon_takes_one_percent_of_a_processor_at_most() {
    if skip::lacks_root("an_idle_daemon_takes_one_percent_of_a_processor_at_most") {
        return;
    }
    const WATCHED: Duration = Duration::from_secs(20);
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    // What a start does is over by then.
    std::thread::sleep(Duration::from_secs(2));
    let (begun, before) = (Instant::now(), processor_time(daemon.pid()));
    std::thread::sleep(WATCHED);
    let (took, watched) = (processor_time(daemon.pid()) - before, begun.elapsed());
    println!("{took:?} of processor time in {watched:?} without traffic");
    assert!(took * 100 <= watched, "{took:?} in {watched:?}");
    daemon.finish();
    assert_eq!(Totals::of(&daemon.lines()), Totals::default(), "there was no traffic");
}
