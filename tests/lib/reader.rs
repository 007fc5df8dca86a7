//! Reading S3 and Kafka back with clients that share no code with ours: the scripts of `tests/readers`, as they describe themselves.

use std::path::Path;
use std::process::Command;

use crate::service::{Service, program};

/// `tests/readers/archive.py` against an S3 server; returns the lines it printed.
pub fn archive(server: &Service, arguments: &[&str]) -> Vec<String> {
    let keys = ["S3_ENDPOINT", "S3_KEY", "S3_SECRET"];
    run("archive.py", Command::new(program("python")).envs(keys.map(|key| (key, server.value(key)))), arguments)
}

/// `tests/readers/topics.py` against a Kafka server's plain listener; returns the lines it printed.
pub fn topics(server: &Service, arguments: &[&str]) -> Vec<String> {
    let broker = server.value("KAFKA_PLAIN");
    let arguments: Vec<&str> = std::iter::once(broker.as_str()).chain(arguments.iter().copied()).collect();
    run("topics.py", &mut Command::new(program("python")), &arguments)
}

fn run(script: &str, python: &mut Command, arguments: &[&str]) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("readers").join(script);
    let output = python.arg(path).args(arguments).output().expect("Python");
    assert!(output.status.success(), "{script} {arguments:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}
