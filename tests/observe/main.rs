//! `flowlog observe` as a user sees it, and beside the real `hubble observe` on the same input: same bytes, same success.

mod commands;
mod made_up;
mod random;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use flowlog_tests::service::{binaries, program};
use flowlog_tests::{flows, program as ours, scale, skip};
use serde_json::Value;

use crate::random::Random;

/// Variables that change what either command prints.
const VARIABLES: [&str; 6] = ["HUBBLE_ALLOWLIST", "HUBBLE_DENYLIST", "HUBBLE_COMPAT", "HUBBLE_CONFIG", "NO_COLOR", "FLOWLOG_STATE_DIR"];

fn command(program: PathBuf, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    VARIABLES.iter().for_each(|variable| {
        command.env_remove(variable);
    });
    // Far from UTC: no output may depend on it.
    command.env("TZ", "Asia/Kathmandu").arg("observe").args(arguments);
    command
}

fn observe(arguments: &[&str], input: &str) -> Output {
    let arguments: Vec<String> = ["--input-file", "-"].iter().chain(arguments).map(|&argument| argument.to_owned()).collect();
    let mut child =
        command(ours::flowlog(), &arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn vectors() -> Vec<Value> {
    let all = include_str!("../data/hubble-vectors.jsonl").lines();
    all.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|case| case["kind"] == "cli").collect()
}

#[test]
fn every_format_prints_what_upstream_printed() {
    let cases = vectors();
    assert_eq!(cases.len(), 15);
    for case in cases {
        let input = format!("{}\n", case["input"].as_str().unwrap());
        for (format, arguments) in [
            ("compact", &["-o", "compact"][..]),
            ("compact_names", &["--print-node-name", "--print-policy-names"]),
            ("dict", &["-o", "dict"]),
            ("table", &["-o", "table"]),
            ("json", &["-o", "json"]),
        ] {
            let output = observe(arguments, &input);
            assert_eq!(text(&output.stdout), case[format].as_str().unwrap(), "{format}: {input}");
            assert!(output.status.success(), "{input}");
            assert_eq!(!output.stderr.is_empty(), case["warned"], "{input}{}", text(&output.stderr));
        }
    }
}

/// Runs both programs on a file; what differs, if anything does.
fn difference(hubble: &Path, file: &Path, arguments: &[String], variables: &[(&str, &str)]) -> Option<String> {
    let arguments: Vec<String> =
        ["--input-file".to_owned(), file.display().to_string()].into_iter().chain(arguments.iter().cloned()).collect();
    let run = |program: PathBuf| command(program, &arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output();
    let theirs = run(hubble.to_owned()).expect("hubble starts");
    let ours = run(ours::flowlog()).expect("flowlog starts");
    if theirs.stdout == ours.stdout && theirs.status.success() == ours.status.success() {
        return None;
    }
    let (their_lines, our_lines) = (String::from_utf8_lossy(&theirs.stdout), String::from_utf8_lossy(&ours.stdout));
    let at = their_lines.lines().zip(our_lines.lines()).position(|(their, our)| their != our);
    let line = |lines: &str| at.and_then(|at| lines.lines().nth(at)).unwrap_or_default().to_owned();
    Some(format!(
        "{variables:?} {arguments:?}\nhubble: {}, {} bytes: {}\n{}flowlog: {}, {} bytes: {}\n{}",
        theirs.status,
        theirs.stdout.len(),
        line(&their_lines),
        String::from_utf8_lossy(&theirs.stderr),
        ours.status,
        ours.stdout.len(),
        line(&our_lines),
        String::from_utf8_lossy(&ours.stderr),
    ))
}

#[test]
fn random_command_lines_print_what_the_real_command_prints() {
    if !binaries().join("hubble").exists() {
        return skip::skip("random_command_lines_print_what_the_real_command_prints", "hubble is not built", "tests/services/build hubble");
    }
    let hubble = program("hubble");
    let seed = std::env::var("FLOWLOG_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut differences, mut printed, mut refused) = (Vec::new(), 0, 0);
    for n in 0..scale::of("observe_command_lines") {
        let file = folder.path().join(format!("{n}.jsonl"));
        std::fs::write(&file, made_up::lines(&mut random)).unwrap();
        let (arguments, variables) = (commands::line(&mut random), commands::environment(&mut random));
        differences.extend(difference(&hubble, &file, &arguments, &variables));
        // That the command lines are worth something: enough of them print, and enough are refused.
        let all: Vec<String> = ["--input-file".to_owned(), file.display().to_string()].into_iter().chain(arguments).collect();
        if n < 50 {
            let output = command(ours::flowlog(), &all).output().unwrap();
            printed += u32::from(!output.stdout.is_empty());
            refused += u32::from(!output.status.success());
        }
        std::fs::remove_file(&file).unwrap();
    }
    assert!(differences.is_empty(), "seed {seed}: {} differ\n{}", differences.len(), differences.join("\n\n"));
    assert!(printed >= 10 && refused >= 3, "{printed} of 50 printed, {refused} were refused");
}

#[test]
fn a_rotated_set_is_read_oldest_first_whatever_it_is_compressed_with() {
    let folder = tempfile::tempdir().unwrap();
    let start = "2026-01-02T03:04:05Z".parse().unwrap();
    let line = |n: u16| format!("{}\n", flows::line(start, n, "FORWARDED", "shop"));
    let path = folder.path().join("events.log");
    std::fs::write(&path, line(4)).unwrap();
    std::fs::write(folder.path().join("events-2026-11-20T17-17-47.473.log"), line(3)).unwrap();
    std::fs::write(folder.path().join("events-2026-11-20T17-17-47.472.log.zst"), zstd::encode_all(line(2).as_bytes(), 1).unwrap()).unwrap();
    let mut gzip = Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(line(1).as_bytes()).unwrap();
    std::fs::write(folder.path().join("events-2026-11-20T17-17-47.471.log.gz"), gzip.wait_with_output().unwrap().stdout).unwrap();
    let run = |more: &[&str]| {
        let arguments: Vec<&str> = ["observe", "--input-file", path.to_str().unwrap(), "-o", "json"].iter().chain(more).copied().collect();
        let output = ours::run(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    assert_eq!(run(&[]), (1..=4).map(line).collect::<String>());
    assert_eq!(run(&["--last", "2"]), [3, 4].map(line).concat());
    assert_eq!(run(&["--first", "1"]), line(1));
}

#[test]
fn a_long_input_comes_out_in_its_order_with_its_warnings_however_it_is_stored_and_printed() {
    let start = "2026-01-02T03:04:05Z".parse().unwrap();
    // Some twenty blocks of input, which several threads work on.
    let lines: Vec<String> = (1..=20_000).map(|n| flows::line(start, n, "FORWARDED", "shop")).collect();
    let mut input = String::new();
    for (n, line) in lines.iter().enumerate() {
        match n {
            5_000 => input.push_str(&format!("{}\n", &line[..line.len() / 2])),
            9_000 | 15_000 => input.push_str(&format!("{{\"unheard_of\":1}}\n{line}\n")),
            _ => input.push_str(&format!("{line}\n")),
        }
    }
    let good: Vec<&String> = lines.iter().enumerate().filter(|(n, _)| *n != 5_000).map(|(_, line)| line).collect();
    let folder = tempfile::tempdir().unwrap();
    let (plain, zstd) = (folder.path().join("plain.jsonl"), folder.path().join("packed.jsonl.zst"));
    std::fs::write(&plain, &input).unwrap();
    std::fs::write(&zstd, zstd::encode_all(input.as_bytes(), 1).unwrap()).unwrap();
    let run = |path: &Path, more: &[&str]| {
        let arguments: Vec<String> = ["--input-file", path.to_str().unwrap()].iter().chain(more).map(|&word| word.to_owned()).collect();
        let output = command(ours::flowlog(), &arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        (text(&output.stdout).to_owned(), text(&output.stderr).to_owned())
    };
    for path in [&plain, &zstd] {
        let (printed, said) = run(path, &["-o", "json"]);
        assert!(printed.lines().eq(good.iter().copied()), "{} lines", printed.lines().count());
        let said: Vec<&str> = said.lines().collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains(":5001: the line ends in the middle") && said[1].contains(":9001: unknown field"), "{said:?}");
    }
    let (printed, said) = run(&plain, &["-o", "json", "--first", "6000"]);
    assert!(printed.lines().eq(good[..6000].iter().copied()) && said.lines().count() == 1, "{said}");
    let (printed, said) = run(&plain, &["-o", "json", "--last", "3"]);
    assert!(printed.lines().eq(good[good.len() - 3..].iter().copied()) && said.lines().count() == 2, "{said}");
    let (printed, _) = run(&plain, &["-o", "dict"]);
    assert!(printed.starts_with("  TIMESTAMP: "));
    assert_eq!(printed.lines().filter(|line| *line == "------------").count(), good.len() - 1);
    let (printed, _) = run(&plain, &["-o", "table"]);
    assert_eq!((printed.lines().count(), printed.matches("TIMESTAMP").count()), (good.len() + 1, 1));
    let (printed, _) = run(&plain, &["-o", "compact", "--verdict", "DROPPED"]);
    assert_eq!(printed, "");
}

#[test]
fn printed_filters_are_read_back_and_the_variables_and_flags_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let input = format!(
        "{}\n{}\n",
        r#"{"flow":{"verdict":"DROPPED","source":{"namespace":"a","pod_name":"x"}}}"#, r#"{"flow":{"verdict":"FORWARDED"}}"#
    );
    let filters = observe(&["-n", "a", "--verdict", "DROPPED", "--not", "--port", "80", "--print-raw-filters"], "");
    let file = folder.path().join("filters.yaml");
    std::fs::write(&file, &filters.stdout).unwrap();
    let path = file.to_str().unwrap();
    let again = observe(&["--config", path, "--print-raw-filters"], "");
    assert_eq!(text(&again.stdout), text(&filters.stdout));
    let printed = observe(&["--config", path, "-o", "json"], &input);
    assert_eq!(text(&printed.stdout).lines().count(), 1);
    // A flag stands before what the file says.
    let printed = observe(&["--config", path, "--allowlist", r#"{"verdict":["FORWARDED"]}"#, "-o", "json"], &input);
    assert!(text(&printed.stdout).contains("FORWARDED"), "{printed:?}");
}

#[test]
fn a_line_that_cannot_be_read_is_named_and_its_neighbours_are_printed() {
    let output = observe(&[], "{\"flow\":{}}\n{\"flow\":\n{\"flow\":{}}");
    assert_eq!(text(&output.stdout).lines().count(), 2);
    assert!(text(&output.stderr).contains("-:2: "), "{}", text(&output.stderr));
    assert!(observe(&["-s"], "{\"flow\":\n").stderr.is_empty());
}

#[test]
fn what_steers_a_terminal_is_neutralised() {
    let output = observe(&[], "{\"flow\":{\"Summary\":\"\\u001b[2J\\r\"}}\n");
    assert_eq!(text(&output.stdout), "N/A:  (unknown) <>  (unknown) UNKNOWN VERDICT_UNKNOWN (^[[2J\\r)\n");
}

#[test]
fn following_survives_rotations() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.log");
    let start = "2026-01-02T03:04:05Z".parse().unwrap();
    let line = |n: u16| format!("{}\n", flows::line(start, n, "FORWARDED", "shop"));
    std::fs::write(&path, line(1) + &line(2)).unwrap();
    let arguments = ["--input-file", path.to_str().unwrap(), "--follow", "--last", "1", "-o", "json"].map(str::to_owned);
    let mut child = command(ours::flowlog(), &arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || format!("{}\n", lines.next().unwrap().unwrap());
    assert_eq!(next(), line(2));
    for n in 3..6 {
        std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap().write_all(line(n).as_bytes()).unwrap();
        assert_eq!(next(), line(n));
        std::fs::rename(&path, folder.path().join(format!("events-2026-11-20T17-17-47.00{n}.log"))).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
