//! What whoever runs the daemon asks it and its folder: which file `observe` reads, what a wrong setting is answered with, what its pages say of an entry.

use std::process::{Command, Output};

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows;
use flowlog_tests::program::flowlog;

/// `flowlog observe` beside a daemon.
fn observe(daemon: &Daemon) -> Output {
    let mut command = Command::new(flowlog());
    command.current_dir(daemon.path("")).env("FLOWLOG_STATE_DIR", daemon.state()).arg("observe").output().expect("flowlog observe")
}

#[test]
fn observe_without_a_file_reads_the_first_of_the_configuration() {
    let text = "flowLogs:\n- {name: traffic, sinks: [z, b], window: 0s}\n- {name: drops, filePath: drops.log, window: 0s}\n\
        sinks:\n  b: {type: file, filePath: b.log}\n  z: {type: file, filePath: z.log}\n";
    let daemon = Daemon::following(text).started();
    let first = |files: &[&str]| {
        let note = std::fs::read(daemon.state().join("daemon.json")).expect("a note");
        serde_json::from_slice::<serde_json::Value>(&note).expect("JSON")["files"] == serde_json::json!(files)
    };
    assert!(first(&["z.log", "b.log", "drops.log"]));
    daemon.feed(&format!("{}\n", flows::numbered(1)));
    daemon.wait("a line in each file", |daemon| {
        ["z.log", "drops.log"].iter().all(|file| daemon.path(file).metadata().is_ok_and(|file| file.len() > 0))
    });
    std::fs::write(daemon.path("drops.log"), "").expect("another file's lines away");
    let output = observe(&daemon);
    assert!(String::from_utf8_lossy(&output.stdout).contains("shop/odd-1"), "{output:?}");
    daemon.configure(&text.replacen("[z, b]", "[b, z]", 1));
    daemon.hang_up();
    daemon.wait("the files in their new order", |_| first(&["b.log", "z.log", "drops.log"]));
}

#[test]
fn what_is_wrong_with_the_settings_names_their_file_and_with_a_flag_the_flag() {
    let daemon = Daemon::following("flowLogs: []");
    std::fs::write(daemon.path("settings.yaml"), "clusterName: c\nlogLevel: warning\n").expect("settings");
    let daemon = daemon.with(&["--settings", "settings.yaml", "--flow-rows", "1", "--log-dir", "flows.jsonl/logs"]);
    let output = daemon.second();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    for part in ["settings.yaml:2:1: error: logLevel: `warning` is no level", "--flow-rows: 1 is not between"] {
        assert!(errors.contains(part), "{part} is missing in:\n{errors}");
    }
}

#[test]
fn a_folder_of_logs_that_cannot_be_used_is_an_error_and_no_panic() {
    let daemon = Daemon::following("flowLogs: []").with(&["--log-dir", "flows.jsonl/logs"]);
    let output = daemon.second();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("--log-dir flows.jsonl/logs: ") && !errors.contains("panicked"), "{errors}");
}

#[test]
fn an_entry_is_inactive_behind_its_end() {
    let text = "flowLogs:\n- {name: live, filePath: a.log, end: '2999-01-01T00:00:00Z'}\n- {name: over, filePath: b.log, end: '2020-01-01T00:00:00Z'}\n";
    let metrics = Daemon::following(text).started().metrics();
    for (name, up) in [("live", 1), ("over", 0)] {
        assert_eq!(metrics.sum("hubble_dynamic_exporter_up", &[&format!("name=\"{name}\"")]), up, "{name}");
    }
    for status in ["active", "inactive"] {
        assert_eq!(metrics.sum("hubble_dynamic_exporter_exporters_total", &[&format!("status=\"{status}\"")]), 1, "{status}");
    }
}

#[test]
fn an_entry_that_is_refused_at_the_start_is_a_problem_on_the_metrics_page() {
    let text = "flowLogs:\n- {name: a, filePath: a.log}\n- {name: b, filePath: b.log, fileGroup: no-such-group}\n";
    let mut daemon = Daemon::following(text);
    daemon.spawn();
    daemon.wait("its page", |daemon| daemon.page("/metrics").is_some());
    assert_eq!((daemon.metrics().sum("flowlog_problems", &[]), daemon.page("/readyz")), (1, None));
    daemon.configure(&text.replace(", fileGroup: no-such-group", ""));
    daemon.hang_up();
    daemon.wait("no problem", |daemon| daemon.metrics().sum("flowlog_problems", &[]) == 0);
}

#[test]
fn spool_ls_shows_how_far_each_sink_is() {
    // Nobody listens at the other sink's address.
    let text =
        "flowLogs:\n- {name: a, filePath: a.log, sinks: [away], window: 0s}\nsinks: {away: {type: loki, url: 'http://127.0.0.1:9'}}\n";
    let mut daemon = Daemon::following(text).started();
    daemon.feed(&(1..=3).map(|n| flows::numbered(n) + "\n").collect::<String>());
    let sent = |daemon: &Daemon| daemon.metrics().sum("flowlog_sink_records_sent_total", &[r#"sink="file""#]);
    daemon.wait("three lines in the file", |daemon| sent(daemon) >= 3);
    daemon.stop();
    let list = |more: &[&str]| {
        let output =
            Command::new(flowlog()).args(["spool", "ls", "--state-dir"]).arg(daemon.state()).args(more).output().expect("flowlog spool");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let text = list(&[]);
    assert!(
        text.contains("sink file takes 4 next, 0 records behind") && text.contains("sink away takes 1 next, 3 records behind"),
        "{text}"
    );
    let found: serde_json::Value = serde_json::from_str(&list(&["-o", "json"])).expect("JSON");
    let cursors = found[0]["cursors"].as_array().expect("cursors").iter();
    let cursors: Vec<_> = cursors.map(|cursor| (cursor["sink"].clone(), cursor["next"].clone(), cursor["behind"].clone())).collect();
    assert_eq!(cursors, [("away".into(), 1.into(), 3.into()), ("file".into(), 4.into(), 0.into())]);
}

#[test]
fn a_daemon_whose_destination_is_away_is_unhealthy_to_its_operator_and_ready_all_the_same() {
    let text =
        "flowLogs:\n- {name: all, filePath: all.log, sinks: [away], window: 0s}\nsinks:\n  away: {type: loki, url: 'http://127.0.0.1:9'}\n";
    let daemon = Daemon::following(text).started();
    daemon.feed(&format!("{}\n", flows::numbered(1)));
    daemon.wait("the sink to fail", |daemon| daemon.flowlog_status().0.contains("sink away: FAILING"));
    let (status, healthy) = daemon.flowlog_status();
    assert!(!healthy && status.contains("sink file: healthy") && !status.contains("PROBLEM"), "{status}");
    assert!(daemon.page("/readyz").is_some());
}
