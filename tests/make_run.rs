//! `make run`, as a newcomer types it: live flows on the terminal, and nothing left in the kernel afterwards.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use flowlog_tests::{flows, skip};

/// Both stories use the one folder `target/run`.
static FOLDER: Mutex<()> = Mutex::new(());

fn tools_run(command: &mut Command) -> (Output, String) {
    let _alone = FOLDER.lock().unwrap_or_else(PoisonError::into_inner);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let output = command.env("LISTEN", format!("127.0.0.1:{port}")).env("INTERFACES", "lo").env("SECONDS_TO_RUN", "10").output();
    let output = output.expect("tools/run starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output, text)
}

fn script() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/run")
}

#[test]
fn shows_live_flows_says_where_things_are_and_leaves_nothing_behind() {
    if skip::lacks_root("shows_live_flows_says_where_things_are_and_leaves_nothing_behind") {
        return;
    }
    let (output, text) = tools_run(&mut Command::new(script()));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("no program, link, pin or qdisc is left behind"), "{text}");
    for place in ["flowlog.yaml", "events.log", "/metrics", "daemon.log"] {
        assert!(text.contains(place), "{place} is not named:\n{text}");
    }
    assert!(text.contains("127.0.0.1") && text.contains("FORWARDED"), "no flow was printed:\n{text}");

    // A line of a former run is none of the next one's.
    let log = text.lines().find_map(|line| line.strip_prefix("flows")).expect("a path").trim();
    let mut log = std::fs::File::options().append(true).open(log).expect("the flows");
    writeln!(log, "{}", flows::numbered(7)).expect("a line");
    let (output, text) = tools_run(&mut Command::new(script()));
    assert!(output.status.success() && text.contains("FORWARDED"), "{text}");
    assert!(!text.contains("odd-7"), "{text}");
}

#[test]
fn without_privilege_it_names_the_capabilities_and_shows_recorded_flows() {
    if skip::lacks_root("without_privilege_it_names_the_capabilities_and_shows_recorded_flows") {
        return;
    }
    let (output, text) =
        tools_run(Command::new("setpriv").args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]).arg(script()));
    assert!(output.status.success(), "{text}");
    assert!(text.contains("CAP_NET_ADMIN CAP_PERFMON CAP_BPF"), "{text}");
    assert!(text.contains(r#"{"flow":{"#), "no recorded flow was printed:\n{text}");
}
