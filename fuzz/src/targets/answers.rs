//! What servers and buckets tell sinks: manifests, Loki's answers, S3's answers, locks and keys. The first byte says which.

use flowlog_sinks::loki::answer::{classify, oldest_acceptable};
use flowlog_sinks::s3::failure::Failure;
use flowlog_sinks::s3::key::manifest_number;
use flowlog_sinks::s3::manifest::Manifest;
use flowlog_sinks::s3::retention::{Clock, Lock};

/// Reads the input as what its first byte says.
pub fn run(input: &[u8]) {
    let Some((which, bytes)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(bytes);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match which % 4 {
        0 => manifest(bytes),
        1 => {
            classify(first.parse().unwrap_or(400), rest.lines().next(), rest);
            oldest_acceptable(rest);
        }
        2 => {
            let failure = Failure::of_status("reading", first.parse().unwrap_or(400), rest);
            failure.after();
        }
        _ => {
            Clock::default().learn(first);
            manifest_number(first);
            if let Some(lock) = Lock::parse(first, rest) {
                let again = Lock::parse(first, &lock.until_text());
                assert!(
                    again.is_some_and(|again| again.covers(&lock) && lock.covers(&again)),
                    "{first} until {rest} changes when it is written"
                );
            }
        }
    }
}

/// A manifest is written in one form: what is read and written again is the same to the byte.
fn manifest(bytes: &[u8]) {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) else { return };
    let written = manifest.bytes().expect("a manifest is JSON");
    let again: Manifest = serde_json::from_slice(&written).expect("a manifest reads back");
    assert_eq!(again.bytes().expect("a manifest is JSON"), written, "a manifest changes when it is written again");
}
