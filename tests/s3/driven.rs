//! The whole way on the real servers, under the real driver: the server is killed and comes back, the daemon's side is
//! stopped and comes back, and the archive holds every record once.

use std::sync::Arc;
use std::time::Duration;

use flowlog_sinks::driver::{DriverOptions, Running, start};
use flowlog_sinks::s3::{Options, Origin, S3Sink};
use flowlog_sinks::spool::WhenFull;
use flowlog_tests::reader;
use flowlog_tests::s3::client::Client;

use crate::delivery::numbers;
use crate::drive::Log;
use crate::locked::{client, place, servers};
use crate::shared::{runtime, wait};
use flowlog_tests::s3::audit::{Archive, audit};

fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).expect("a time")
}

fn drive(log: &Log, options: &Options) -> Running {
    let origin = Origin { cluster: "c 1".into(), log: "all".into(), node: "n".into(), daemon: "flowlog 0.1.0".into() };
    let sink = S3Sink::new(options.clone(), origin, log.folder.path().join("staging"), now()).expect("a sink");
    let _inside = runtime().enter();
    let options = DriverOptions { name: "audit".into(), when_full: WhenFull::Hold };
    start(&log.spool(), Arc::new(sink), options).expect("a driver")
}

fn archive_of(client: &Client, bucket: &str) -> Archive {
    let keys = client.keys(bucket, "audit");
    assert_eq!(client.versions(bucket).len(), keys.len(), "nothing is stored twice under one name");
    keys.into_iter().map(|key| (key.clone(), client.get(bucket, &key))).collect()
}

#[test]
fn every_record_arrives_once_although_server_and_daemon_go_and_come_back() {
    for server in servers("driven::every_record_arrives_once_although_server_and_daemon_go_and_come_back") {
        let client = client(&server);
        client.make_bucket("driven", true);
        let mut options = place(&server, "driven");
        options.options.object_records = 700;
        let mut log = Log::new();
        let mut driver = drive(&log, &options.options);
        for round in 0..12 {
            log.commit(1000, now(), |_| now());
            match round {
                3 | 7 => server.kill(),
                4 | 8 => server.restart(),
                5 | 9 => {
                    wait(driver.stop(Duration::from_millis(20 * round)));
                    driver = drive(&log, &options.options);
                }
                6 => {
                    // As a kill does it: no goodbye.
                    drop(driver);
                    driver = drive(&log, &options.options);
                }
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        assert_eq!(wait(driver.drain(Duration::from_secs(120))), None, "everything was delivered");
        let audit = audit(&archive_of(&client, "driven"));
        assert_eq!(numbers(&audit), (1..=12_000).collect::<Vec<u64>>());
        assert_eq!(*audit.reasons().last().expect("manifests"), "stop");

        // The same by clients that share no code with ours: boto3 and DuckDB.
        assert_eq!(reader::archive(&server, &["lines", "driven", "audit/flows/"]), audit.lines);
        let counted: u64 = reader::archive(&server, &["count", "driven", "audit/flows/"])
            .iter()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["lines"].as_u64().expect("a number"))
            .sum();
        assert_eq!(counted, 12_000);
        for version in reader::archive(&server, &["objects", "driven"]) {
            assert!(version.contains("\"mode\": \"GOVERNANCE\""), "{version}");
        }
    }
}
