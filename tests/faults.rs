//! What goes wrong around the daemon: nothing stops, what is lost is declared, and it recovers by itself.

use std::time::Duration;

use flowlog_tests::daemon::{Daemon, EVERYTHING};
use flowlog_tests::lab::{self, Lab, Tmpfs, send, sh};
use flowlog_tests::skip;
use flowlog_tests::totals::{Totals, assert_each_once};

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
    let mut daemon = Daemon::new(&lab.router, EVERYTHING);
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

/// Files, spool and intake begin new files all the time, so that whatever keeps them from it is met within seconds.
const RESTLESS: &str = "flowLogs:
  - name: all
    filePath: out/events.log
    fileMaxSizeMb: 1
    fileMaxBackups: 10000
    fileMinRotateInterval: 0s
    fileCompress: zstd
    spoolMaxBytes: 8MiB
    window: 0s
";

/// A fault that comes over a running daemon under load, and goes again: nothing stops, and nothing is lost.
fn passes(lab: &Lab, daemon: &mut Daemon, fault: impl FnOnce(&Daemon), relief: impl FnOnce(&Daemon)) {
    let before = lab.counters();
    daemon.start();
    let load = lab::load(lab);
    std::thread::sleep(Duration::from_secs(1));
    fault(daemon);
    std::thread::sleep(Duration::from_secs(4));
    relief(daemon);
    daemon.wait("readiness", |daemon| daemon.page("/readyz").is_some());
    daemon.wait("the file", |daemon| daemon.metrics().sum("flowlog_sink_healthy", &[]) == 1);
    lab::stop_all(load);
    std::thread::sleep(Duration::from_millis(500));
    daemon.finish();
    let lines = daemon.lines_in(&daemon.path("out"), "events");
    println!(
        "{} lines; {} warnings and errors",
        lines.len(),
        daemon.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
    );
    assert_each_once(&lines);
    daemon.verified("all");
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}

#[test]
fn a_daemon_that_may_open_no_file_waits_until_it_may() {
    if skip::lacks_root("a_daemon_that_may_open_no_file_waits_until_it_may") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, RESTLESS).with(&["--intake-max-bytes", "1MiB"]);
    let limit = |daemon: &Daemon, files: u64| sh(&format!("prlimit --pid {} --nofile={files}:", daemon.pid()));
    passes(&lab, &mut daemon, |daemon| drop(limit(daemon, 3)), |daemon| drop(limit(daemon, 1024)));
    assert!(daemon.log().contains("Too many open files"), "the fault was met: {}", daemon.log());
}

#[test]
fn a_disk_that_turns_read_only_is_waited_for() {
    if skip::lacks_root("a_disk_that_turns_read_only_is_waited_for") {
        return;
    }
    let lab = Lab::new();
    let mut daemon = Daemon::new(&lab.router, RESTLESS).with(&["--intake-max-bytes", "1MiB"]);
    // The kernel does not remount read-only what is open for writing. So a view that is read-only already is laid over it: what is open can still be written,
    // and nothing can be made, renamed or removed. The view is made beside, where the daemon cannot open a file through it before it is read-only.
    let cover = |daemon: &Daemon| {
        let view = tempfile::tempdir().expect("a folder");
        let view = view.path().display();
        for folder in [daemon.state(), daemon.path("out")] {
            let folder = folder.display();
            sh(&format!(
                "mount --bind {folder} {view} && mount -o remount,bind,ro {view} && mount --bind {view} {folder} && umount {view}"
            ));
        }
    };
    let uncover = |daemon: &Daemon| {
        for folder in [daemon.state(), daemon.path("out")] {
            sh(&format!("umount --lazy {}", folder.display()));
        }
    };
    passes(&lab, &mut daemon, cover, uncover);
    assert!(daemon.log().contains("Read-only file system"), "the fault was met: {}", daemon.log());
}
