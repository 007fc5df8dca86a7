//! Locked buckets on two real servers: what is locked can't be deleted or shortened, and what is read back is what was
//! asked. Servers refuse with different codes, so only the class of an answer is judged.

use flowlog_sinks::s3::Options;
use flowlog_sinks::s3::retention::{Mode, Period, Retention};
use flowlog_tests::s3::client::{Client, elements, object_path};
use flowlog_tests::service::{Service, binaries};
use flowlog_tests::skip::skip;

use crate::shared::{Place, key, wait};

/// The servers that are built; says SKIPPED for the others.
pub fn servers(test: &str) -> Vec<Service> {
    let built = ["minio", "versitygw"].into_iter().filter(|name| {
        let built = binaries().join(name).exists();
        if !built {
            skip(test, &format!("{name} is not built"), &format!("tests/services/build {name}"));
        }
        built
    });
    built.map(Service::start).collect()
}

pub fn client(server: &Service) -> Client {
    Client::new(&server.value("S3_ENDPOINT"), &server.value("S3_KEY"), &server.value("S3_SECRET"))
}

pub fn place(server: &Service, bucket: &str) -> Place {
    Place::new(&server.value("S3_ENDPOINT"), bucket, &server.value("S3_KEY"), &server.value("S3_SECRET"))
}

fn retention(mode: Mode, days: u32) -> Option<Retention> {
    Some(Retention { mode, period: Period::Days(days) })
}

#[test]
fn locked_versions_can_be_neither_deleted_nor_shortened_until_their_date() {
    for server in servers("locked::locked_versions_can_be_neither_deleted_nor_shortened_until_their_date") {
        let client = client(&server);
        client.make_bucket("locked", true);
        for (first, single_put_bytes) in [(1, 1 << 20), (2, 1)] {
            let mut place = place(&server, "locked");
            place.options = Options { retention: retention(Mode::Compliance, 30), single_put_bytes, ..place.options.clone() };
            let kept = place.keep(&place.store(), first, &["{\"a\":1}"; 5000]).expect("a stored object");
            let lock = kept.lock.expect("a lock");
            let version = kept.version.expect("a version");
            let path = object_path("locked", &kept.key);

            let read = client.request("GET", &path, &format!("retention=&versionId={version}"), &[], b"");
            assert_eq!(elements(&read.text(), "Mode"), ["COMPLIANCE"], "{}", read.text());
            let until = elements(&read.text(), "RetainUntilDate").remove(0);
            assert_eq!(until.parse::<jiff::Timestamp>().expect("a date").as_second(), lock.until);

            let deleted = client.request("DELETE", &path, &format!("versionId={version}"), &[], b"");
            assert!((400..500).contains(&deleted.status()), "{}: {}", deleted.status(), deleted.text());
            let bypass = [("x-amz-bypass-governance-retention", "true")];
            let deleted = client.request("DELETE", &path, &format!("versionId={version}"), &bypass, b"");
            assert!((400..500).contains(&deleted.status()), "{}: {}", deleted.status(), deleted.text());

            let shorter = b"<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode><RetainUntilDate>2026-12-01T00:00:00Z</RetainUntilDate></Retention>";
            let md5 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, <md5::Md5 as sha2::Digest>::digest(shorter));
            let query = format!("retention=&versionId={version}");
            let shortened = client.request("PUT", &path, &query, &[("content-md5", &md5)], shorter);
            assert!((400..500).contains(&shortened.status()), "{}: {}", shortened.status(), shortened.text());

            assert_eq!(zstd::decode_all(client.get("locked", &kept.key).as_slice()).expect("zstd").len(), 5000 * 8);
        }
    }
}

#[test]
fn sending_again_finds_what_is_there_and_other_bytes_get_a_name_of_their_own() {
    for server in servers("locked::sending_again_finds_what_is_there_and_other_bytes_get_a_name_of_their_own") {
        let client = client(&server);
        client.make_bucket("again", true);
        let place = place(&server, "again");
        let first = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
        let again = place.keep(&place.store(), 1, &["one"]).expect("the same object");
        assert_eq!((&again.key, &again.version), (&first.key, &first.version));
        let other = place.keep(&place.store(), 1, &["two"]).expect("a stored object");
        assert_eq!(other.key, key(&place.stage(1, &["one"]), 1));
        assert_eq!(client.versions("again").len(), 2);
    }
}

#[test]
fn an_upload_in_parts_never_overwrites() {
    for server in servers("locked::an_upload_in_parts_never_overwrites") {
        let client = client(&server);
        client.make_bucket("parts", true);
        let mut place = place(&server, "parts");
        place.options.single_put_bytes = 1;
        let first = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
        let again = place.keep(&place.store(), 1, &["one"]).expect("the same object");
        assert_eq!((&again.key, &again.version), (&first.key, &first.version));
        let other = place.keep(&place.store(), 1, &["two"]).expect("a stored object");
        assert_ne!(other.key, first.key);
        assert_eq!(client.versions("parts").len(), 2);
    }
}

#[test]
fn a_deleted_object_is_stored_again_and_the_hidden_version_stays() {
    for server in servers("locked::a_deleted_object_is_stored_again_and_the_hidden_version_stays") {
        let client = client(&server);
        client.make_bucket("hidden", true);
        let place = place(&server, "hidden");
        let first = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
        let deleted = client.request("DELETE", &object_path("hidden", &first.key), "", &[], b"");
        assert!(deleted.status() < 300, "{}", deleted.text());
        let again = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
        let shown = client.keys("hidden", "audit/flows");
        assert!(shown.contains(&again.key), "{shown:?}");
        assert!(client.versions("hidden").contains(&(first.key, first.version.expect("a version"))));
    }
}

#[test]
fn a_bucket_without_lock_and_unknown_credentials_are_refused_with_advice() {
    for server in servers("locked::a_bucket_without_lock_and_unknown_credentials_are_refused_with_advice") {
        let client = client(&server);
        client.make_bucket("plain", false);
        let unlocked = place(&server, "plain");
        let failure = unlocked.keep(&unlocked.store(), 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains("has no Object Lock"), "{failure}");
        assert_eq!(client.keys("plain", ""), Vec::<String>::new());

        let missing = place(&server, "missing");
        let failure = missing.keep(&missing.store(), 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains("create the bucket"), "{failure}");

        client.make_bucket("denied", true);
        let denied = place(&server, "denied");
        denied.write_credentials("nobody", "knows-me-here", None);
        let failure = denied.keep(&denied.store(), 1, &["one"]).expect_err("a refusal").to_string();
        assert!(failure.contains("check key, secret and region"), "{failure}");
        let health = wait(denied.store().check()).expect_err("a warning").to_string();
        assert!(health.contains("check key, secret and region"), "{health}");
    }
}

#[test]
fn a_good_bucket_passes_the_check_and_governance_and_legal_hold_are_read_back() {
    for server in servers("locked::a_good_bucket_passes_the_check_and_governance_and_legal_hold_are_read_back") {
        let client = client(&server);
        client.make_bucket("held", true);
        let mut place = place(&server, "held");
        place.options.legal_hold = true;
        let warnings = wait(place.store().check()).expect("a usable bucket");
        assert!(warnings.iter().any(|warning| warning.contains("no default retention")), "{warnings:?}");
        let kept = place.keep(&place.store(), 1, &["one"]).expect("a stored object");
        assert_eq!(kept.lock.expect("a lock").mode, Mode::Governance);
        assert!(kept.legal_hold);
    }
}
