//! tcpdump on an interface, as the second witness of what passed there and when.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::lab::Namespace;

/// A running tcpdump and its file.
pub struct Capture {
    process: Child,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

/// A frame of TCP or UDP over IPv4 as tcpdump read it.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Nanoseconds since 1970.
    pub time: i128,
    /// Where from and to, `02:00:00:00:01:02`.
    pub ethernet: [String; 2],
    /// Where from and to.
    pub address: [String; 2],
    /// Where from and to.
    pub port: [u16; 2],
    /// TCP flags in tcpdump's letters, as `S.`; empty for UDP.
    pub flags: String,
}

impl Capture {
    /// Begins on an interface; it captures when this returns.
    pub fn begin(namespace: &Namespace, interface: &str) -> Capture {
        let folder = tempfile::Builder::new().prefix("flowlog-capture-").tempdir().expect("a folder");
        let file = folder.path().join("frames.pcap");
        let process = namespace
            .command("tcpdump")
            .args(["-i", interface, "-n", "-U", "--immediate-mode", "--time-stamp-precision=nano", "-Z", "root", "-w"])
            .arg(&file)
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("tcpdump starts");
        let deadline = Instant::now() + Duration::from_secs(20);
        // The file's header is written once the socket is open.
        while std::fs::metadata(&file).map_or(0, |found| found.len()) == 0 {
            assert!(Instant::now() < deadline, "tcpdump does not capture");
            std::thread::sleep(Duration::from_millis(20));
        }
        Capture { process, file, _folder: folder }
    }

    /// Ends it and reads what passed.
    pub fn frames(mut self) -> Vec<Frame> {
        let pid = Pid::from_raw(self.process.id().try_into().expect("a pid")).expect("a pid");
        kill_process(pid, Signal::INT).expect("SIGINT");
        self.process.wait().expect("its end");
        let mut command = Command::new("tcpdump");
        let output =
            command.args(["-nn", "-tt", "-e", "--time-stamp-precision=nano", "-r"]).arg(&self.file).arg("ip and (tcp or udp)").output();
        let output = output.expect("tcpdump");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().map(|line| Frame::parse(line).unwrap_or_else(|| panic!("not as expected of tcpdump: {line}"))).collect()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Frame {
    /// As in `1732204123.123456789 02:… > 02:…, ethertype IPv4 (0x0800), length 74: 10.77.1.2.43210 > 10.77.2.2.5002: Flags [S], …`.
    fn parse(line: &str) -> Option<Frame> {
        let (head, body) = line.split_once(": ")?;
        let (time, ethernet) = head.split_once(' ')?;
        let (from, rest) = ethernet.split_once(" > ")?;
        let (seconds, nanoseconds) = time.split_once('.')?;
        let (ends, detail) = body.split_once(": ")?;
        let ends: Vec<(&str, &str)> = ends.split(" > ").filter_map(|end| end.rsplit_once('.')).collect();
        let [(source, source_port), (destination, destination_port)] = ends.as_slice() else { return None };
        let flags = detail.strip_prefix("Flags [").and_then(|rest| rest.split_once(']')).map_or("", |(flags, _)| flags);
        Some(Frame {
            time: seconds.parse::<i128>().ok()? * 1_000_000_000 + nanoseconds.parse::<i128>().ok()?,
            ethernet: [from.to_owned(), rest.split(',').next()?.to_owned()],
            address: [(*source).to_owned(), (*destination).to_owned()],
            port: [source_port.parse().ok()?, destination_port.parse().ok()?],
            flags: flags.to_owned(),
        })
    }
}
