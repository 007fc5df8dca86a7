//! What goes wrong around the daemon: nothing stops, what is lost is declared, and it recovers by itself.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{Lab, SERVER, Tmpfs};
use flowlog_tests::skip;
use flowlog_tests::totals::{Totals, assert_each_once};

/// Sends datagrams, each to a port of its own.
fn send(lab: &Lab, first: u16, count: u16) {
    let work = move || {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        (first..first + count).for_each(|port| drop(socket.send_to(&[1; 64], (SERVER, port))));
    };
    lab.client.inside(work).join().expect("the client");
}

#[test]
fn a_second_daemon_on_the_same_state_refuses_and_sigterm_ends_the_first() {
    if skip::lacks_root("a_second_daemon_on_the_same_state_refuses_and_sigterm_ends_the_first") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    let second = daemon.second();
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{text}");
    assert!(text.contains("in use by another flowlog") && text.contains("--state-dir"), "{text}");
    send(&lab, 30_000, 20);
    println!("SIGTERM took {:?}", daemon.stop());
    daemon.detach();
    assert!(Totals::of(&daemon.lines()).forwarded >= 20);
}

#[test]
fn a_full_disk_under_the_state_folder_is_waited_for() {
    if skip::lacks_root("a_full_disk_under_the_state_folder_is_waited_for") {
        return;
    }
    let lab = Lab::new();
    let before = lab.counters();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).with(&["--disk-reserve-percent", "0"]);
    let disk = Tmpfs::mount(&daemon.state(), "64m");
    daemon.start();
    send(&lab, 30_000, 100);
    daemon.wait("the first lines", |daemon| daemon.lines().len() >= 100);
    disk.fill();
    send(&lab, 31_000, 2000);
    std::thread::sleep(Duration::from_secs(3));
    disk.free();
    send(&lab, 34_000, 100);
    daemon.wait("readiness", |daemon| daemon.page("/readyz").is_some());
    daemon.finish();
    let lines = daemon.lines();
    assert_each_once(&lines);
    daemon.verified("all");
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}

#[test]
fn another_boot_and_a_restored_copy_get_new_numbers_and_say_so() {
    if skip::lacks_root("another_boot_and_a_restored_copy_get_new_numbers_and_say_so") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, EVERYTHING).started();
    send(&lab, 30_000, 50);
    daemon.wait("the first lines", |daemon| daemon.lines().len() >= 50);
    // A crash of the machine: the daemon had no time to say that it stopped.
    daemon.kill();
    let boot = daemon.path("boot_id");
    std::fs::write(&boot, "01234567-89ab-cdef-0123-456789abcdef\n").expect("a boot id");
    let mount = format!("mount --bind {} /proc/sys/kernel/random/boot_id; exec \"$0\" \"$@\"", boot.display());
    let mut daemon = daemon.through(&["unshare", "--mount", "--propagation", "unchanged", "sh", "-ec", &mount]).started();
    send(&lab, 31_000, 50);
    daemon.wait("more lines", |daemon| daemon.lines().len() >= 100);
    daemon.kill();
    let ranges = daemon.verified("all");
    assert_eq!(ranges.len(), 2, "{ranges:?}");

    // A restored copy: the same bytes in other files.
    let copy = Command::new("sh")
        .arg("-ec")
        .arg(format!("cd {}; cp -a state copy; rm -rf state; mv copy state", daemon.path("").display()))
        .status();
    assert!(copy.expect("sh").success());
    daemon.start();
    send(&lab, 32_000, 50);
    daemon.finish();
    let after = daemon.verified("all");
    let (last, _, _) = after.last().expect("an identity");
    assert!(ranges.iter().all(|(known, _, _)| known != last), "{ranges:?} {after:?}");
    let lines = daemon.lines();
    assert_each_once(&lines);
    let totals = Totals::of(&lines);
    println!("{ranges:?} {after:?} {totals:?}");
    assert_eq!(totals.causes.iter().filter(|cause| *cause == "spool-renewed").count(), 2, "{totals:?}");
}
