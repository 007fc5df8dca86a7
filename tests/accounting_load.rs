//! Guarantee 1 while iperf3 sends what it can and ring, table and intake are too small and the file is stalled.

use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::lab::{self, Lab, SERVER, Tmpfs, Worker};
use flowlog_tests::totals::{Totals, assert_each_once, assert_metrics_account_for};
use flowlog_tests::{scale, skip};

/// An iperf3 server for one client.
fn iperf_server(lab: &Lab, port: u16) -> Child {
    let mut command = lab.server.command("iperf3");
    let server = command.args(["-s", "-1", "-p", &port.to_string()]).stdout(Stdio::null()).spawn().expect("iperf3 starts");
    lab.server.sh(&format!("for i in $(seq 100); do ss -Hltn sport = :{port} | grep -q . && exit; sleep 0.1; done; exit 1"));
    server
}

/// A client of it, for so many seconds.
fn iperf_client(lab: &Lab, port: u16, seconds: u64, arguments: &[&str]) -> Child {
    let mut command = lab.client.command("iperf3");
    command.args(["-c", SERVER, "-p", &port.to_string(), "-t", &seconds.to_string(), "--format", "m"]).args(arguments);
    command.stdout(Stdio::piped()).spawn().expect("iperf3 starts")
}

/// The last line but the empty ones and the farewell: what it measured.
fn measured(client: Child) -> String {
    let output = client.wait_with_output().expect("iperf3 ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    text.lines().rfind(|line| line.contains("sec")).unwrap_or_default().to_owned()
}

#[test]
fn iperf3_beside_200_short_connections_with_everything_too_small_loses_detail_and_no_packet() {
    if skip::lacks_root("iperf3_beside_200_short_connections_with_everything_too_small_loses_detail_and_no_packet") {
        return;
    }
    let seconds = scale::of("iperf_seconds");
    let lab = Lab::new();
    lab.client.sh("sysctl -qw net.ipv4.ip_local_port_range='10000 65000' net.ipv4.tcp_tw_reuse=1");
    let before = lab.counters();
    let daemon = Daemon::new(&lab.router, "flowLogs:\n  - name: all\n    filePath: out/events.log\n    fileMaxSizeMb: 10000\n");
    let mut daemon =
        daemon.with(&["--ring-bytes", "64KiB", "--flow-rows", "1024", "--intake-max-bytes", "1MiB", "--report-interval", "1s"]);
    let out = Tmpfs::mount(&daemon.path("out"), "2g");
    out.fill();
    daemon.start();
    let servers = [5201, 5202].map(|port| iperf_server(&lab, port));
    let service = lab::connections(&lab.server, 5002);
    let short: Vec<Worker> = (0..200)
        .map(|_| {
            Worker::start(&lab.client, || {
                std::thread::sleep(Duration::from_millis(200));
                let Ok(mut connection) = TcpStream::connect((SERVER, 5002)) else { return 0 };
                u64::from(std::io::Write::write_all(&mut connection, &[5; 500]).is_ok())
            })
        })
        .collect();
    let stream = iperf_client(&lab, 5201, seconds, &[]);
    let datagrams = iperf_client(&lab, 5202, seconds, &["--udp", "--bitrate", "0"]);
    println!("TCP {}\nUDP {}", measured(stream), measured(datagrams));
    let connections: u64 = short.into_iter().map(Worker::stop).sum();
    service.stop();
    servers.into_iter().for_each(|mut server| assert!(server.wait().expect("iperf3 ends").success()));

    let counted = lab.at_rest().since(before);
    assert_metrics_account_for(&daemon, counted);
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("flowlog_sink_healthy", &[]), 0, "the file is on a full disk");
    println!(
        "{counted:?}, {connections} short connections, ring full {} times, {} packets folded for want of a row, intake full {} times",
        metrics.sum("flowlog_ring_full_total", &[]),
        metrics.sum("flowlog_interface_packets_total", &[r#"term="folded""#]),
        metrics.sum("flowlog_intake_full_total", &[])
    );
    out.free();
    daemon.wait("the file to catch up", |daemon| daemon.metrics().sum("flowlog_sink_healthy", &[]) == 1);
    daemon.finish();
    let lines = daemon.lines_in(&daemon.path("out"), "events");
    assert_each_once(&lines);
    Totals::of(&lines).assert_account_for(lab.counters().since(before));
}
