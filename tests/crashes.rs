//! Killed at any moment and started again, the daemon says everything once.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{self, CLIENT, Lab, SERVER};
use flowlog_tests::totals::{Totals, assert_each_once};
use flowlog_tests::{scale, skip};
use serde_json::Value;

/// Small files, so that kills fall into rotations too.
const ROTATING: &str =
    "flowLogs:\n  - name: all\n    filePath: events.log\n    fileMaxSizeMb: 1\n    fileMaxBackups: 10000\n    fileMinRotateInterval: 0s\n";

/// Nothing is missing and nothing is there twice, in the spool, in the files and in the sums.
fn assert_whole(daemon: &Daemon, lab: &Lab, before: lab::Counters) {
    let ranges = daemon.verified("all");
    let lines = daemon.lines();
    assert_each_once(&lines);
    let [(_, _, last)] = ranges.as_slice() else { panic!("one identity all along: {ranges:?}") };
    // The first ones may have been let go of; as all numbers begin with 1, the last one says how many there were.
    assert_eq!(*last, lines.len() as u64, "as many lines as records");
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}

/// Moments that look random and are the same in every run.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((state >> 33) % 900)
    })
}

#[test]
fn killed_at_random_moments_under_load_it_says_everything_once() {
    if skip::lacks_root("killed_at_random_moments_under_load_it_says_everything_once") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, ROTATING).started();
    let load = lab::load(&lab);
    for moment in moments(7).take(scale::of("kills") as usize) {
        std::thread::sleep(moment);
        daemon.kill();
        // Sometimes the next one is killed while it starts.
        daemon.spawn();
        if moment.as_millis() % 3 == 0 {
            std::thread::sleep(moment / 10);
            daemon.kill();
            daemon.spawn();
        }
    }
    daemon.wait("readiness", |daemon| daemon.page("/readyz").is_some());
    for worker in load {
        worker.stop();
    }
    std::thread::sleep(Duration::from_millis(500));
    daemon.finish();
    assert_whole(&daemon, &lab, before);
}

#[test]
fn the_kernel_counts_on_while_the_daemon_is_down() {
    if skip::lacks_root("the_kernel_counts_on_while_the_daemon_is_down") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, ROTATING).started();
    let load = lab::load(&lab);
    std::thread::sleep(Duration::from_secs(1));
    daemon.kill();
    std::thread::sleep(Duration::from_secs(scale::of("down_seconds")));
    daemon.start();
    for worker in load {
        worker.stop();
    }
    std::thread::sleep(Duration::from_millis(500));
    daemon.finish();
    assert_whole(&daemon, &lab, before);
}

#[test]
fn a_connection_that_outlives_the_daemon_and_its_state_keeps_its_direction() {
    if skip::lacks_root("a_connection_that_outlives_the_daemon_and_its_state_keeps_its_direction") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, ROTATING).started();
    let _connections = lab::connections(&lab.server, 5002);
    let (write, written) = std::sync::mpsc::channel::<()>();
    let client = lab.client.inside(move || {
        let mut connection = TcpStream::connect((SERVER, 5002)).expect("a connection");
        let datagrams = UdpSocket::bind((CLIENT, 4001)).expect("a socket");
        for () in written {
            connection.write_all(&[2; 1000]).expect("a write");
            datagrams.send_to(&[1; 100], (SERVER, 5002)).expect("a datagram");
        }
    });
    let flows = |daemon: &Daemon| -> Vec<Value> {
        let flows = daemon.lines().into_iter().map(|line| line["flow"].clone());
        flows.filter(|flow| flow["verdict"] == "FORWARDED" && flow["l4"].get("ICMPv4").is_none()).collect()
    };
    write.send(()).expect("the client");
    daemon.wait("the first lines", |daemon| flows(daemon).len() >= 3);
    daemon.kill();
    std::fs::remove_dir_all(daemon.state()).expect("the state");
    let before = flows(&daemon).len();
    daemon.start();
    write.send(()).expect("the client");
    drop(write);
    client.join().expect("the client");
    daemon.finish();
    let all = flows(&daemon);
    assert!(all.len() > before, "lines of both lives: {before} of {}", all.len());
    for flow in all {
        assert_eq!(flow["is_reply"], flow["IP"]["source"] == SERVER, "{flow}");
    }
}
