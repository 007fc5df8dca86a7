//! A server that refuses, fails, loses answers, forgets locks: each record ends in exactly one locked object, or the sink
//! says what to do.

use flowlog_sinks::s3::retention::{Mode, Period, Retention};
use flowlog_tests::s3::stub::{EXPIRED_TOKEN, Fault, KEY, Stub};

use crate::shared::{Place, key, wait};

#[test]
fn a_put_carries_signed_lock_headers_and_what_is_read_back_is_what_was_asked() {
    let stub = Stub::start();
    let mut place = Place::at(&stub);
    place.options.retention = Some(Retention { mode: Mode::Compliance, period: Period::Days(365) });
    place.options.legal_hold = true;
    place.write_credentials(KEY.0, KEY.1, Some("FwoGZXIvYXdzE+/="));
    for (first, lines) in [(1, vec![""]), (2, vec!["{\"a\":1}"]), (3, vec!["{\"long\":true}"; 200_000])] {
        let kept = place.keep(&place.store(), first, &lines).expect("a stored object");
        let state = stub.state();
        let version = state.objects[&kept.key].last().expect("a version");
        assert_eq!(version.headers["x-amz-object-lock-mode"], "COMPLIANCE");
        let lock = kept.lock.expect("a lock");
        assert_eq!(version.headers["x-amz-object-lock-retain-until-date"], lock.until_text());
        assert_eq!(lock.until % 86_400, 0, "rounded up to midnight");
        assert_eq!(version.headers["x-amz-object-lock-legal-hold"], "ON");
        assert!(kept.legal_hold && kept.version.as_deref() == Some(version.id.as_str()));
        let plain = zstd::decode_all(version.bytes.as_deref().expect("bytes")).expect("zstd");
        assert_eq!(plain, lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect::<Vec<u8>>());
    }
}

#[test]
fn an_upload_in_parts_is_locked_and_conditional_too() {
    let stub = Stub::start();
    let mut place = Place::at(&stub);
    place.options.single_put_bytes = 10;
    let kept = place.keep(&place.store(), 1, &["{\"part\":1}"; 1000]).expect("a stored object");
    assert!(kept.lock.is_some());
    let again = place.keep(&place.store(), 1, &["{\"part\":1}"; 1000]).expect("the same object");
    assert_eq!(again.version, kept.version);
    assert_eq!(stub.state().objects[&kept.key].len(), 1);
}

#[test]
fn whatever_happens_to_a_put_one_version_is_stored() {
    let faults = [
        vec![Fault::Answer(503, "SlowDown")],
        vec![Fault::Answer(500, "InternalError"), Fault::Answer(503, "ServiceUnavailable"), Fault::LoseAnswer],
        vec![Fault::CutAfterBody],
        vec![Fault::LoseAnswer],
        vec![Fault::Answer(429, "TooManyRequests")],
        vec![Fault::Answer(409, "ConditionalRequestConflict")],
        vec![Fault::CutAfterBody, Fault::LoseAnswer, Fault::Answer(503, "SlowDown")],
    ];
    for faults in faults {
        let stub = Stub::start();
        let place = Place::at(&stub);
        let store = place.store();
        stub.state().faults.extend(faults.clone());
        let mut attempts = 0;
        let kept = loop {
            attempts += 1;
            match place.keep(&store, 1, &["{\"a\":1}"]) {
                Ok(kept) => break kept,
                Err(failure) => assert!(attempts < 5, "{faults:?}: {failure}"),
            }
        };
        assert!(kept.lock.is_some() && kept.conflicts.is_empty(), "{faults:?}: {kept:?}");
        assert_eq!(stub.state().objects[&kept.key].len(), 1, "{faults:?}");
        assert_eq!(stub.keys().len(), 1, "{faults:?}");
    }
}

#[test]
fn other_bytes_under_the_name_are_a_declared_conflict_and_not_a_stuck_sink() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let first = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
    let second = place.keep(&place.store(), 1, &["two"]).expect("a stored object");
    let third = place.keep(&place.store(), 1, &["three"]).expect("a stored object");
    let staged = place.stage(1, &["one"]);
    assert_eq!(first.key, key(&staged, 0));
    assert_eq!((second.key.as_str(), &second.conflicts), (key(&staged, 1).as_str(), &vec![key(&staged, 0)]));
    assert_eq!((third.key.as_str(), third.conflicts.len()), (key(&staged, 2).as_str(), 2));
    let again = place.keep(&place.store(), 1, &["two"]).expect("the same object");
    assert_eq!((again.key, again.version), (second.key, second.version));
    assert!(stub.state().objects.values().all(|versions| versions.len() == 1), "nothing was overwritten");
}

#[test]
fn somebody_who_writes_the_key_between_look_and_put_is_a_conflict() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    stub.state().faults.push_back(Fault::Overtaken);
    let kept = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
    assert_eq!(kept.key, key(&place.stage(1, &["one"]), 1));
}

#[test]
fn a_taken_name_that_cannot_be_looked_at_gets_no_copy_beside_it() {
    for fault in [Fault::Answer(403, "AccessDenied"), Fault::Answer(503, "SlowDown"), Fault::CutAfterBody] {
        let stub = Stub::start();
        let place = Place::at(&stub);
        let store = place.store();
        stub.state().blind.extend([fault; 100]);
        for attempt in 0..3 {
            let failure = place.keep(&store, 1, &["one"]).expect_err("a refusal").to_string();
            assert!(failure.contains("looking at "), "{fault:?}, attempt {attempt}: {failure}");
        }
        stub.state().blind.clear();
        let kept = place.keep(&store, 1, &["one"]).expect("the object of the first attempt");
        assert_eq!((&kept.key, kept.conflicts.len()), (&key(&place.stage(1, &["one"]), 0), 0), "{fault:?}");
        assert_eq!((stub.keys(), stub.state().objects[&kept.key].len()), (vec![kept.key], 1), "{fault:?}");
    }
}

#[test]
fn an_object_hidden_by_a_delete_marker_is_stored_again_beside_it() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let hidden = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
    stub.state().hide(&hidden.key);
    let kept = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
    assert_eq!((kept.key, kept.conflicts), (key(&place.stage(1, &["one"]), 1), vec![hidden.key]));
}

#[test]
fn a_bucket_without_object_lock_gets_nothing() {
    let stub = Stub::start();
    for forgets in [false, true] {
        stub.state().lock_enabled = false;
        stub.state().forgets_locks = forgets;
        let place = Place::at(&stub);
        let failure = place.keep(&place.store(), 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains("has no Object Lock") && failure.contains("switch"), "{failure}");
        let health = wait(place.store().check()).expect_err("a warning").to_string();
        assert!(health.contains("has no Object Lock"), "{health}");
        assert_eq!(stub.keys(), Vec::<String>::new());
    }
}

#[test]
fn a_lock_the_server_forgets_fails_closed_and_heals_once_it_does_not() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let store = place.store();
    stub.state().forgets_locks = true;
    for _ in 0..3 {
        let failure = place.keep(&store, 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains("not locked as asked: asked GOVERNANCE until"), "{failure}");
        assert!(failure.contains("s3:GetObjectRetention"), "{failure}");
    }
    stub.state().forgets_locks = false;
    let kept = place.keep(&store, 1, &["one"]).expect("a stored object");
    assert!(kept.lock.is_some());
    assert_eq!(stub.state().objects[&kept.key].len(), 1);
}

#[test]
fn headers_changed_on_the_way_are_refused_and_nothing_is_stored() {
    for (fault, says) in [(Fault::StripLock, "SignatureDoesNotMatch"), (Fault::AddHeader, "take the proxy out")] {
        let stub = Stub::start();
        let place = Place::at(&stub);
        stub.state().faults.push_back(fault);
        let failure = place.keep(&place.store(), 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains(says), "{failure}");
        assert_eq!(stub.keys(), Vec::<String>::new());
    }
}

#[test]
fn refusals_say_what_to_do_and_end_when_it_is_done() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let store = place.store();
    let refused = |says: &str| {
        let failure = place.keep(&store, 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains(says), "{failure}");
    };
    stub.state().clock_ahead = 3600;
    refused("NTP");
    stub.state().clock_ahead = 0;
    place.write_credentials(KEY.0, KEY.1, Some(EXPIRED_TOKEN));
    refused("credentials have expired");
    place.write_credentials("other", KEY.1, None);
    refused("check key, secret and region");
    place.write_credentials(KEY.0, "wrong", None);
    refused("check key, secret and region");
    place.write_credentials(KEY.0, KEY.1, None);
    assert_eq!(stub.keys(), Vec::<String>::new());
    place.keep(&store, 1, &["one"]).expect("a stored object, without a restart");
}

#[test]
fn the_retention_counts_from_the_servers_clock() {
    let stub = Stub::start();
    let place = Place::at(&stub);
    let store = place.store();
    stub.state().clock_ahead = 800;
    let kept = place.keep(&store, 1, &["one"]).expect("a stored object");
    let offset = store.clock().offset_milliseconds().expect("a known clock");
    assert!((798_000..=801_000).contains(&offset), "{offset}");
    let now = jiff::Timestamp::now().as_second() + 800;
    let until = kept.lock.expect("a lock").until;
    assert!(until >= now + 86_400 && until <= now + 86_400 * 2 + 3_600, "{until} {now}");
}

#[test]
fn a_server_that_is_not_there_is_named_with_its_address() {
    let place = Place::new("http://127.0.0.1:9", "bucket", "k", "s");
    let failure = place.keep(&place.store(), 1, &["one"]).expect_err("a refusal").to_string();
    assert!(failure.contains("can't be reached") && failure.contains("127.0.0.1:9"), "{failure}");
}
