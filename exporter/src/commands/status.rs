//! `flowlog status`: what the daemon on a state folder is doing. Exits 1 when it is unhealthy, which a sink that fails is too, or not running.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::{Failure, print};
use crate::cli::{OutputFormat, StatusArgs};
use crate::config::settings::DEFAULT_STATE_DIR;
use crate::daemon::state::{self, Running};

/// Runs the command.
///
/// # Errors
/// When no daemon runs, or it is unhealthy.
pub fn run(arguments: &StatusArgs) -> Result<(), Failure> {
    let folder = arguments.state_dir.clone().unwrap_or_else(|| DEFAULT_STATE_DIR.into());
    let Some(running) = read_note(&folder)? else {
        return Err(Failure::Runtime(format!(
            "no flowlog runs on {}; start it with `flowlog run`, or name its folder with --state-dir",
            folder.display()
        )));
    };
    let Some(address) = &running.listen else {
        return Err(Failure::Runtime(format!("flowlog runs as process {} with --listen off, so it cannot be asked", running.pid)));
    };
    if address.starts_with("https://") {
        return Err(Failure::Runtime(format!(
            "flowlog runs as process {} and answers on {address} to TLS clients only: curl --cacert CA --cert CERT --key KEY {address}/status",
            running.pid
        )));
    }
    let status = ask(address)
        .map_err(|error| Failure::Runtime(format!("flowlog runs as process {} and does not answer on {address}: {error}", running.pid)))?;
    match arguments.output {
        OutputFormat::Json => print(&format!("{status}\n"))?,
        OutputFormat::Text => print(&describe(&running, &status))?,
    }
    match status["healthy"].as_bool() {
        Some(true) => Ok(()),
        _ => Err(Failure::Runtime("unhealthy, see above".to_owned())),
    }
}

fn read_note(folder: &Path) -> Result<Option<Running>, Failure> {
    state::running(folder).map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", folder.join("daemon.json").display())))
}

/// One request of HTTP/1.0, whose answer ends with the connection.
fn ask(address: &str) -> std::io::Result<Value> {
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(format!("GET /status HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok(serde_json::from_str(body)?)
}

fn describe(running: &Running, status: &Value) -> String {
    let mut text = format!("process {}, configuration {}\n", running.pid, running.config.display());
    for problem in status["problems"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let _ = writeln!(text, "PROBLEM {problem}");
    }
    for log in status["flowLogs"].as_array().into_iter().flatten() {
        let totals = &log["totals"];
        let _ = writeln!(
            text,
            "flow log {}: {} inputs, {} filtered, {} lines, {} bytes spooled",
            log["name"].as_str().unwrap_or_default(),
            totals["inputs"],
            totals["filtered"],
            totals["lines"],
            log["spoolBytes"]
        );
        for (cause, count) in log["lost"].as_object().into_iter().flatten() {
            let _ = writeln!(text, "  lost {count}: {cause}");
        }
        for sink in log["sinks"].as_array().into_iter().flatten() {
            let healthy = if sink["healthy"] == true { "healthy" } else { "FAILING" };
            let _ = writeln!(
                text,
                "  sink {}: {healthy}, {} sent, {} behind, {} rejected, {} gaps",
                sink["name"].as_str().unwrap_or_default(),
                sink["sent"],
                sink["lagRecords"],
                sink["rejected"],
                sink["gaps"]
            );
            if let Some(why) = sink["why"].as_str() {
                let _ = writeln!(text, "    {why}");
            }
        }
    }
    text
}
