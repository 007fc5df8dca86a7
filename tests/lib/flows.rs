//! Made-up flows for tests of what comes after them.

/// A line as flowlog writes it; `n` makes it unique and gives its time.
pub fn line(n: usize, verdict: &str, namespace: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a time after 1970")
        .as_secs();
    let time = utc(now - 600 + n as u64 / 1000);
    let time = format!("{time}.{:03}000001Z", n % 1000);
    format!(
        r#"{{"flow":{{"time":"{time}","verdict":"{verdict}","IP":{{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}},"l4":{{"TCP":{{"source_port":{n},"destination_port":80}}}},"source":{{"namespace":"{namespace}"}},"destination":{{"namespace":"db"}},"node_name":"node-1"}},"node_name":"node-1","time":"{time}"}}"#
    )
}

/// Seconds since 1970 as `YYYY-MM-DDTHH:MM:SS`.
fn utc(seconds: u64) -> String {
    let output = std::process::Command::new("date")
        .args(["-u", "-d", &format!("@{seconds}"), "+%Y-%m-%dT%H:%M:%S"])
        .output()
        .expect("date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
