//! The few HTTP requests that tests make of servers on loopback, without a client of ours in between.

use std::process::Command;

/// GETs `path` (query included, already encoded) from a server on 127.0.0.1 and returns the body; fails on any status but 2xx.
pub fn get(port: u16, path: &str) -> String {
    get_with(port, path, &[])
}

/// The same with header lines.
pub fn get_with(port: u16, path: &str, headers: &[String]) -> String {
    let url = format!("http://127.0.0.1:{port}{path}");
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "30"]);
    for header in headers {
        command.args(["--header", header]);
    }
    let output = command.arg(&url).output().expect("curl");
    let body = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{url}: {}{body}", String::from_utf8_lossy(&output.stderr));
    body
}

/// Percent-encodes a query value.
pub fn encode(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    value.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
