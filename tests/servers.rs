//! The servers that other tests lean on: each starts, is what it says, survives a kill with its ports, and ends with its test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use flowlog_tests::service::Service;

fn connects(port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(2)).is_ok()
}

fn status_of(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").expect("a request");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    reply.lines().next().unwrap_or_default().to_owned()
}

/// Starts a server, kills and restarts it, and sees it gone once dropped.
fn lives_and_dies(name: &str, path: &str) {
    let server = Service::start(name);
    let port = server.port();
    let folder = server.folder().to_owned();
    assert!(status_of(port, path).contains("200"), "{}", server.log());
    server.kill();
    assert!(!connects(port), "{name} was killed and still answers");
    server.restart();
    assert_eq!(server.port(), port, "a restart keeps the port");
    assert!(status_of(port, path).contains("200"), "{}", server.log());
    drop(server);
    assert!(!connects(port), "{name} outlived its test");
    assert!(!folder.exists(), "{name} left its folder");
}

#[test]
fn minio_starts_restarts_and_ends() {
    lives_and_dies("minio", "/minio/health/ready");
}

#[test]
fn versitygw_starts_restarts_and_ends() {
    lives_and_dies("versitygw", "/health");
}

#[test]
fn loki_starts_restarts_and_ends() {
    lives_and_dies("loki", "/ready");
}

#[test]
fn kafka_starts_restarts_and_ends() {
    let kafka = Service::start("kafka");
    let port: u16 = kafka.value("KAFKA_PLAIN").rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    assert!(connects(port));
    kafka.kill();
    assert!(!connects(port));
    kafka.restart();
    assert!(connects(port));
    drop(kafka);
    assert!(!connects(port), "Kafka outlived its test");
}

#[test]
fn a_server_ends_when_the_program_that_started_it_is_killed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = flowlog_tests::service::services().join("minio.sh");
    let mut owner = std::process::Command::new("sleep").arg("600").spawn().expect("sleep");
    let started = std::process::Command::new(script)
        .arg(folder.path())
        .env("SERVICE_OWNER", owner.id().to_string())
        .output()
        .expect("the start script");
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let ports = std::fs::read_to_string(folder.path().join("ports")).expect("ports");
    let port: u16 = ports.split_whitespace().next().and_then(|port| port.parse().ok()).expect("a port");
    assert!(connects(port));
    owner.kill().expect("a kill");
    owner.wait().expect("an end");
    for _ in 0..100 {
        if !folder.path().exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!connects(port), "the server outlived its owner");
}
