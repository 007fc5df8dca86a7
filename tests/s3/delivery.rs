//! From the spool to the archive: each record in exactly one object, whatever crashes, and a chain of manifests that an
//! auditor can follow from the archive alone.

use flowlog_sinks::s3::Options;
use flowlog_tests::s3::stub::{Fault, Stub};

use crate::drive::{Crash, Did, Drive, Log};
use crate::shared::{NOON, Place};
use flowlog_tests::s3::audit::{Archive, Audit, audit, read_folder};

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn archive_of(stub: &Stub) -> Archive {
    let state = stub.state();
    let newest = |versions: &Vec<flowlog_tests::s3::stub::Version>| {
        assert_eq!(versions.len(), 1, "nothing is stored twice under one name");
        versions[0].bytes.clone().expect("bytes")
    };
    state.objects.iter().map(|(key, versions)| (key.clone(), newest(versions))).collect()
}

pub fn numbers(audit: &Audit) -> Vec<u64> {
    let number = |line: &String| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["n"].as_u64();
    audit.lines.iter().map(|line| number(line).expect("a number")).collect()
}

#[test]
fn a_folder_and_a_bucket_hold_the_same_archive_and_every_record_once() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let local = Options::new(format!("file://{}", folder.path().join("audit").display()));
    for options in [&place.options, &local] {
        let mut log = Log::new();
        let mut drive = Drive::start(&log, options, NOON + 30 * MINUTE);
        for at in 0..6 {
            // 12:35, 12:55, 13:15, 13:35, 13:55, 14:15
            drive.now = NOON + (35 + at * 20) * MINUTE;
            log.commit(100, drive.now, |_| drive.now);
            drive.run();
        }
        drive.now += 2 * HOUR;
        drive.run();
        drive.stop();
        let archive = if options.url.starts_with("file") { read_folder(&folder.path().join("audit")) } else { archive_of(&stub) };
        let audit = audit(&archive);
        assert_eq!(numbers(&audit), (1..=600).collect::<Vec<u64>>());
        assert_eq!(audit.reasons(), ["start", "hour", "hour", "hour", "hour", "stop"]);
        let minutes =
            [("12:30", "12:30"), ("12:30", "13:00"), ("13:00", "14:00"), ("14:00", "15:00"), ("15:00", "16:00"), ("16:00", "16:00")];
        assert_eq!(audit.periods(), minutes.map(|(from, to)| (from.to_owned(), to.to_owned())));
        assert_eq!(audit.manifests[3]["totals"]["flows"], 600);
        let object = &audit.manifests[1]["objects"][0];
        let mode = if options.retention.is_some() { "GOVERNANCE".into() } else { serde_json::Value::Null };
        assert_eq!(object["retentionMode"], mode);
        assert_eq!(object["version"].is_string(), options.retention.is_some());
    }
}

#[test]
fn a_crash_between_upload_and_cursor_never_makes_a_second_object() {
    for crash in [Crash::BeforeSend, Crash::BeforeCursor] {
        let stub = Stub::start();
        let place = Place::at(&stub);
        let mut log = Log::new();
        let mut drive = Drive::start(&log, &place.options, NOON);
        log.commit(1000, NOON, |_| NOON);
        drive.run();
        // Ten minutes later the object is due, the process dies, and more is committed before it is back.
        drive.now = NOON + 11 * MINUTE;
        assert_eq!(drive.step(Some(crash)), Did::Waited);
        drop(drive);
        log.commit(500, NOON + 12 * MINUTE, |_| NOON);
        let mut drive = Drive::start(&log, &place.options, NOON + 13 * MINUTE);
        drive.run();
        drive.now = NOON + 40 * MINUTE;
        drive.run();
        drive.stop();
        let audit = audit(&archive_of(&stub));
        assert_eq!(numbers(&audit), (1..=1500).collect::<Vec<u64>>(), "{crash:?}");
        assert_eq!(audit.objects, 2, "{crash:?}");
    }
}

#[test]
fn crashes_and_faults_at_many_points_leave_each_number_in_one_object_and_one_chain() {
    let stub = Stub::start();
    let mut place = Place::at(&stub);
    place.options.object_records = 70;
    let mut log = Log::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let faults = [Fault::LoseAnswer, Fault::CutAfterBody, Fault::Answer(503, "SlowDown"), Fault::Answer(500, "InternalError")];
    let mut drive = Drive::start(&log, &place.options, NOON);
    let mut total = 0;
    for _ in 0..120 {
        let now = drive.now + i64::try_from(draw(300)).expect("a number") * SECOND;
        drive.now = now;
        let count = usize::try_from(draw(60)).expect("a number");
        log.commit(count, now, |_| now);
        total += count as u64;
        if draw(3) == 0 {
            stub.state().faults.push_back(faults[usize::try_from(draw(4)).expect("a number")]);
        }
        let crash = [None, Some(Crash::BeforeSend), Some(Crash::BeforeCursor)][usize::try_from(draw(3)).expect("a number")];
        drive.step(crash);
        if crash.is_some() {
            drop(drive);
            drive = Drive::start(&log, &place.options, now);
        }
    }
    stub.state().faults.clear();
    drive.now += 2 * HOUR;
    drive.run();
    drive.stop();
    let audit = audit(&archive_of(&stub));
    assert_eq!(numbers(&audit), (1..=total).collect::<Vec<u64>>());
}

/// Two starts, a crash between an object's upload and its cursor, objects, hours and stops; returns how many requests that took.
fn a_delivery_with_a_fault_at(fault_at: Option<(usize, Fault)>) -> usize {
    let stub = Stub::start();
    let place = Place::at(&stub);
    stub.state().fault_at = fault_at;
    let mut log = Log::new();
    let mut drive = Drive::start(&log, &place.options, NOON);
    drive.run_on();
    log.commit(10, NOON, |_| NOON);
    drive.now = NOON + 11 * MINUTE;
    drive.step(Some(Crash::BeforeCursor));
    drop(drive);
    let mut drive = Drive::start(&log, &place.options, NOON + 12 * MINUTE);
    drive.run_on();
    log.commit(10, NOON + 50 * MINUTE, |_| NOON);
    drive.now = NOON + 2 * HOUR;
    drive.run_on();
    drive.stop();
    let mut drive = Drive::start(&log, &place.options, NOON + 2 * HOUR + MINUTE);
    drive.run_on();
    drive.stop();
    let audit = audit(&archive_of(&stub));
    assert_eq!((numbers(&audit), audit.objects), ((1..=20).collect::<Vec<u64>>(), 2), "{fault_at:?}");
    assert!(stub.keys().iter().all(|key| !key.contains("conflict")), "{fault_at:?}: {:?}", stub.keys());
    stub.state().requests.len()
}

#[test]
fn one_odd_answer_at_any_request_of_a_delivery_makes_no_double_no_loss_and_no_standstill() {
    let faults = [
        Fault::LoseAnswer,
        Fault::CutAfterBody,
        Fault::Answer(200, "Odd"),
        Fault::Answer(403, "AccessDenied"),
        Fault::Answer(404, "NoSuchKey"),
        Fault::Answer(500, "InternalError"),
    ];
    let requests = a_delivery_with_a_fault_at(None);
    assert!(requests > 15, "{requests}");
    std::thread::scope(|scope| {
        for at in 0..requests {
            scope.spawn(move || {
                for fault in faults {
                    a_delivery_with_a_fault_at(Some((at, fault)));
                }
            });
        }
    });
}

#[test]
fn a_jumping_clock_and_shuffled_flow_times_make_no_more_objects_than_two() {
    let archived = |disorder: bool| {
        let stub = Stub::start();
        let place = Place::at(&stub);
        let mut log = Log::new();
        let mut drive = Drive::start(&log, &place.options, NOON);
        for at in 0..100_i64 {
            let jump = if disorder && (40..60).contains(&at) { 7 * HOUR } else { 0 };
            drive.now = NOON + at * 10 * SECOND + jump;
            // Flow times of two days round about, in no order.
            let shuffled = |n: usize| NOON + (i64::try_from(n).expect("a number") * 7919 % 2880 - 1440) * MINUTE;
            let now = drive.now;
            log.commit(1000, now, |n| if disorder { shuffled(n) } else { now });
            drive.run();
        }
        drive.now = NOON + 9 * HOUR;
        drive.run();
        drive.stop();
        let audit = audit(&archive_of(&stub));
        assert_eq!(numbers(&audit), (1..=100_000).collect::<Vec<u64>>());
        audit.objects
    };
    let (without, with) = (archived(false), archived(true));
    println!("{with} objects with a jumping clock and shuffled times, {without} without");
    assert!(with <= without + 2, "{with} objects with them, {without} without");
}

#[test]
fn starts_stops_and_a_new_id_stand_in_the_chain_also_when_the_state_is_gone() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let mut log = Log::new();
    log.commit(10, NOON, |_| NOON);
    let mut drive = Drive::start(&log, &place.options, NOON + MINUTE);
    drive.now = NOON + 20 * MINUTE;
    drive.run();
    drive.stop();
    // The daemon starts again under a new id of the same spool.
    log.open(Some("a test wants it"));
    let mut drive = Drive::start(&log, &place.options, NOON + 21 * MINUTE);
    log.commit(5, NOON + 22 * MINUTE, |_| NOON);
    drive.run();
    drive.now = NOON + 40 * MINUTE;
    drive.run();
    drive.stop();
    // The state folder is deleted: another spool, and a sink that knows nothing.
    let mut log = Log::new();
    log.commit(7, NOON + 45 * MINUTE, |_| NOON);
    let mut drive = Drive::start(&log, &place.options, NOON + 46 * MINUTE);
    drive.now = NOON + 58 * MINUTE;
    drive.run();
    drive.stop();
    let audit = audit(&archive_of(&stub));
    assert_eq!(audit.reasons(), ["start", "stop", "start", "renewed", "stop", "start", "stop"]);
    assert_eq!(numbers(&audit), (1..=10).chain(1..=5).chain(1..=7).collect::<Vec<u64>>());
    let gaps = serde_json::to_string(&audit.manifests).expect("JSON");
    assert!(!gaps.contains("manifest-state-lost"), "{gaps}");
}

#[test]
fn a_stop_while_the_server_is_away_is_told_by_the_next_start() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let mut log = Log::new();
    log.commit(10, NOON, |_| NOON);
    let mut drive = Drive::start(&log, &place.options, NOON + MINUTE);
    drive.now = NOON + 20 * MINUTE;
    drive.run();
    stub.state().faults.extend([Fault::Answer(503, "SlowDown"); 3]);
    drive.stop();
    let mut drive = Drive::start(&log, &place.options, NOON + 30 * MINUTE);
    drive.run();
    drive.stop();
    assert_eq!(audit(&archive_of(&stub)).reasons(), ["start", "stop", "start", "stop"]);
}

#[test]
fn records_gone_from_the_spool_before_their_object_was_sent_stand_in_the_manifests_as_a_gap() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let mut log = Log::new();
    let mut drive = Drive::start(&log, &place.options, NOON);
    drive.run();
    log.commit(10, NOON, |_| NOON);
    drive.now = NOON + 11 * MINUTE;
    assert_eq!(drive.step(Some(Crash::BeforeSend)), Did::Waited);
    drop(drive);
    log.spoil(1);
    log.commit(5, NOON + 12 * MINUTE, |_| NOON);
    let mut drive = Drive::start(&log, &place.options, NOON + 13 * MINUTE);
    drive.run();
    drive.now = NOON + 40 * MINUTE;
    drive.run();
    drive.stop();
    let audit = audit(&archive_of(&stub));
    assert_eq!((numbers(&audit), audit.lost), ((11..=15).collect::<Vec<u64>>(), 10));
}

#[test]
fn hours_in_which_no_daemon_ran_share_one_manifest_and_hours_in_which_one_did_have_their_own() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let mut log = Log::new();
    log.commit(10, NOON, |_| NOON);
    let mut drive = Drive::start(&log, &place.options, NOON + MINUTE);
    drive.now = NOON + 20 * MINUTE;
    drive.run();
    drop(drive);
    let mut drive = Drive::start(&log, &place.options, NOON + 5 * HOUR + 30 * MINUTE);
    drive.run();
    drive.now = NOON + 7 * HOUR + MINUTE;
    drive.run();
    drive.stop();
    let audit = audit(&archive_of(&stub));
    assert_eq!(audit.reasons(), ["start", "start", "hour", "hour", "hour", "stop"]);
    let minutes = [("12:01", "12:01"), ("12:01", "12:01"), ("12:01", "17:00"), ("17:00", "18:00"), ("18:00", "19:00"), ("19:00", "19:00")];
    assert_eq!(audit.periods(), minutes.map(|(from, to)| (from.to_owned(), to.to_owned())));
}
