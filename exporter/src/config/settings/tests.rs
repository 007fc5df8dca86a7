//! The settings out of flags and file: what wins, and what is refused where.

use clap::{Args, Command};

use super::*;

#[test]
fn every_flag_of_the_daemon_is_a_key_of_the_file_and_the_other_way_round() {
    let command = DaemonArgs::augment_args(Command::new("run"));
    let plural = |flag: &str| match flag {
        "source" => "sources".to_owned(),
        "interface" => "interfaces".to_owned(),
        flag => flag
            .split('-')
            .enumerate()
            .map(|(n, part)| if n == 0 { part.to_owned() } else { part[..1].to_uppercase() + &part[1..] })
            .collect(),
    };
    let mut flags: Vec<String> = command.get_arguments().filter_map(|argument| argument.get_long()).map(plural).collect();
    let mut keys: Vec<String> = SETTINGS.iter().map(|key| key.name.to_owned()).collect();
    flags.sort();
    keys.sort();
    assert_eq!(flags, keys);
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file =
        b"sources: [\"jsonl:/a\", \"-\"]\nlisten: off\nlogLevel: off\nintakeMaxBytes: 64MiB\nnodeName: n1\nflowRows: 1024\nreportInterval: 1s\nattach: clsact\n";
    let flags = DaemonArgs { node_name: Some("n2".into()), ring_bytes: Some("64KiB".into()), ..DaemonArgs::default() };
    let settings = settings(&flags, Some(file)).unwrap();
    assert_eq!(settings.sources, [SourceSpec::JsonLines("/a".into()), SourceSpec::StandardInput]);
    assert_eq!((settings.listen, settings.intake_max_bytes, settings.flow_rows), (None, 64 << 20, 1024));
    assert_eq!((settings.node_name.as_deref(), settings.ring_bytes, settings.attach), (Some("n2"), Some(65_536), Attach::Clsact));
    assert_eq!((settings.cluster_name.as_str(), settings.disk_reserve_percent, settings.log_level.as_str()), ("default", 10, "off"));
    let default = super::settings(&DaemonArgs::default(), None).unwrap();
    assert_eq!((default.sources.as_slice(), default.listen), ([SourceSpec::Kernel].as_slice(), DEFAULT_LISTEN.parse().ok()));
}

#[test]
fn what_is_wrong_names_the_flag_or_the_line() {
    let flags =
        DaemonArgs { sources: vec!["karnel".into()], report_interval: Some("5".into()), flow_rows: Some(1), ..DaemonArgs::default() };
    let problems = settings(&flags, Some(b"stateDirr: /x\nlisten: somewhere\nlogLevel: warning\n")).unwrap_err().to_string();
    for part in [
        "--source: `karnel` is no source; write kernel",
        "--report-interval: `5` has no unit; write 5s",
        "--flow-rows: 1 is not between 64",
        "line 1: stateDirr: is not a known key; did you mean stateDir?",
        "line 2: listen: `somewhere` is no address",
        "line 3: logLevel: `warning` is no level; write off, error, warn, info, debug or trace",
    ] {
        assert!(problems.contains(part), "{part}\n{problems}");
    }
}

#[test]
fn an_address_of_either_kind_may_stand_in_brackets_and_one_of_ipv6_has_to() {
    for (text, address) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("[127.0.0.1]:1", "127.0.0.1:1"),
        ("[fd00::1]:1", "[fd00::1]:1"),
        // The port may be the end of the address as well.
        ("fd00::1:9965", ""),
        ("127.0.0.1", ""),
        ("[127.0.0.1]", ""),
        ("[127.0.0.1]:65536", ""),
        ("[localhost]:1", ""),
    ] {
        assert_eq!(super::address(text), address.parse().ok(), "{text}");
    }
}

#[test]
fn the_example_is_valid() {
    let settings = settings(&DaemonArgs::default(), Some(include_bytes!("../../../../configs/settings.yaml"))).unwrap();
    assert_eq!(settings.interfaces, ["eth0", "veth*", "lo"]);
    let filtered: Vec<bool> = settings.metrics.0.iter().map(|metric| metric.filters.is_some()).collect();
    assert_eq!((filtered, settings.warnings.is_empty()), (vec![false, false, true], true));
}
