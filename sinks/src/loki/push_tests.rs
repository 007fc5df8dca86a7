//! What Loki's own message types read out of a push.

use super::*;
use crate::loki::stub_for_tests::{PushRequest, Timestamp};
use crate::spool::SpoolId;
use proptest::prelude::*;
use prost::Message;

const SPOOL: SpoolId = SpoolId([0x11; 16]);
/// Later than any record here.
const NOW: i64 = 4_000_000_000_000_000_000;

fn record<'a>(sequence: u64, time: i64, labels: &'a [u8], line: &'a [u8]) -> Record<'a> {
    Record { spool: SPOOL, sequence, time, nudge: 0, commit_time: time, key: b"", labels, line }
}

fn decode(push: &Push, chosen: &[usize]) -> PushRequest {
    let body = push.body(chosen.iter().copied()).unwrap();
    let plain = snap::raw::Decoder::new().decompress_vec(&body).unwrap();
    PushRequest::decode(&plain[..]).unwrap()
}

#[test]
fn a_push_reads_back_as_one_stream_with_sequence_uid_and_the_rest_as_metadata() {
    let blob =
        labels::blob(&[("verdict", "DROPPED"), ("source.pod_name", "web-1"), ("source.namespace", "shop"), ("drop_reason_desc", "")]);
    let mut push = Push::new(Encoding::Protobuf, &[("verdict", "DROPPED"), ("job", "flowlog")]);
    push.add(&record(1_000_007, 1_700_000_000_123_456_789, &blob, b"{\"a\":1}"), NOW, |path, _| path == b"verdict", &mut Vec::new());
    let request = decode(&push, &[0]);
    assert_eq!(request.streams.len(), 1);
    assert_eq!(request.streams[0].labels, r#"{job="flowlog", verdict="DROPPED"}"#);
    assert_eq!(request.streams[0].hash, 0);
    let entry = &request.streams[0].entries[0];
    assert_eq!(entry.timestamp, Some(Timestamp { seconds: 1_700_000_000, nanos: 123_456_789 }));
    assert_eq!(entry.line, "{\"a\":1}");
    let metadata: Vec<(&str, &str)> = entry.metadata.iter().map(|pair| (pair.name.as_str(), pair.value.as_str())).collect();
    assert_eq!(
        metadata,
        [
            ("flowlog_sequence", "1000007"),
            ("flowlog_uid", "11111111111111111111111111111111-00000000000001000007"),
            ("source_pod_name", "web-1"),
            ("source_namespace", "shop"),
        ]
    );
}

#[test]
fn json_says_the_same_as_protobuf() {
    let blob = labels::blob(&[("source.pod_name", "we\"b")]);
    let mut push = Push::new(Encoding::Json, &[("job", "flow\"log")]);
    push.add(&record(5, 1_700_000_000_000_000_000, &blob, b"{\"a\":\"\\n\"}"), NOW, |_, _| false, &mut Vec::new());
    push.add(&Record { nudge: 1, ..record(6, 1_700_000_000_000_000_000, b"", b"second") }, NOW, |_, _| false, &mut Vec::new());
    let body: serde_json::Value = serde_json::from_slice(&push.body(0..2).unwrap()).unwrap();
    let uid = |last: char| format!("11111111111111111111111111111111-0000000000000000000{last}");
    assert_eq!(
        body,
        serde_json::json!({"streams": [{"stream": {"job": "flow\"log"}, "values": [
            ["1700000000000000000", "{\"a\":\"\\n\"}", {"flowlog_sequence": "5", "flowlog_uid": uid('5'), "source_pod_name": "we\"b"}],
            ["1700000000000000001", "second", {"flowlog_sequence": "6", "flowlog_uid": uid('6')}],
        ]}]})
    );
}

#[test]
fn a_timestamp_is_the_flows_unless_it_is_ten_minutes_from_its_commit() {
    const SECOND: i64 = 1_000_000_000;
    let commit = 1_700_000_000 * SECOND;
    let timestamp = |time, nudge, commit_time, sequence| timestamp(&Record { nudge, commit_time, ..record(sequence, time, b"", b"") }, NOW);
    for (time, nudge, sequence, wanted) in [
        (commit, 0, 7, commit),
        (commit + 999_999, 0, 1, commit + 999_999),
        (commit - 1, 2, 1, commit + 1),
        (commit - 600 * SECOND, 0, 9, commit - 600 * SECOND),
        (commit - 600 * SECOND - 1, 5, 9, commit + 9),
        (commit + 600 * SECOND, 0, 9, commit + 600 * SECOND),
        (commit + 601 * SECOND, 0, 9, commit + 9),
        (0, 0, 1_000_000, commit),
        (i64::MIN, 0, 3, commit + 3),
        (i64::MAX, 0, 3, commit + 3),
    ] {
        assert_eq!(timestamp(time, nudge, commit, sequence), wanted, "{time} {nudge} {sequence}");
    }
    assert_eq!(timestamp(0, 0, 0, 0), 1);
    assert_eq!(timestamp(i64::MIN, 0, i64::MIN, u64::MAX), 1);
}

#[test]
fn a_commit_time_that_has_not_come_never_stands_for_a_flows_that_has() {
    const SECOND: i64 = 1_000_000_000;
    const HOUR: i64 = 3600 * SECOND;
    let now = 1_700_000_000 * SECOND;
    let of = |time, commit_time| Record { nudge: 3, commit_time, ..record(9, time, b"", b"") };
    for (time, commit, wanted) in [
        // The wall clock was ahead and was set back.
        (now, now + HOUR, now + 3),
        (now - 5 * SECOND, now + 9000 * HOUR, now - 5 * SECOND + 3),
        (now - 2 * HOUR, now + HOUR, now - 2 * HOUR + 3),
        (now, now + 601 * SECOND, now + 3),
        // It comes soon enough for Loki, or has come.
        (now - 5 * SECOND, now + 600 * SECOND, now + 600 * SECOND + 9),
        (now - 2 * HOUR, now, now + 9),
        (now - 2 * HOUR, now - HOUR, now - HOUR + 9),
        // The flow's time is the later one, or both are ahead alike.
        (now + 2 * HOUR, now + HOUR, now + HOUR + 9),
        (now + HOUR, now + HOUR, now + HOUR + 3),
    ] {
        assert_eq!(timestamp(&of(time, commit), now), wanted, "{time} {commit}");
        let is_timed = timestamp(&of(time, commit), i64::MAX) != wanted;
        assert_eq!(is_timed_by(&of(time, commit), now), is_timed, "{time} {commit}: what depends on now is known to");
    }
}

#[test]
fn entries_that_loki_would_refuse_or_cut_are_refused_with_the_reason() {
    let long = vec![b'x'; 101];
    assert!(check(&record(1, 0, b"", &long[..100]), 100).is_ok());
    assert!(check(&record(1, 0, b"", &long), 100).unwrap_err().contains("101 bytes"));
    assert!(check(&record(1, 0, b"", b"\xff"), 100).unwrap_err().contains("UTF-8"));
    let wide: Vec<(String, String)> = (0..127).map(|n| (format!("p{n}"), "v".to_owned())).collect();
    let wide: Vec<(&str, &str)> = wide.iter().map(|(path, value)| (path.as_str(), value.as_str())).collect();
    assert!(check(&record(1, 0, &labels::blob(&wide[..126]), b""), 100).is_ok());
    assert!(check(&record(1, 0, &labels::blob(&wide), b""), 100).unwrap_err().starts_with("129 values"));
    assert!(check(&record(1, 0, &labels::blob(&[("p", &"v".repeat(65_500))]), b""), 100).is_err());
}

proptest! {
    /// Any cut of any records gives the entries of those records, whatever they are pushed with: what makes a repeat invisible.
    #[test]
    fn an_entry_is_the_same_in_whichever_push_it_comes(
        lines in prop::collection::vec(".{0,80}", 1..20), first in 1u64..u64::MAX / 2, time in 0i64..4_000_000_000_000_000_000, cut in 0usize..20
    ) {
        let sequence = |place: usize| first + place as u64;
        let mut whole = Push::new(Encoding::Protobuf, &[("a", "b")]);
        let mut tail = Push::new(Encoding::Protobuf, &[("a", "b")]);
        let cut = cut % lines.len();
        for (place, line) in lines.iter().enumerate() {
            let record = record(sequence(place), time, b"", line.as_bytes());
            whole.add(&record, NOW, |_, _| false, &mut Vec::new());
            if place >= cut {
                tail.add(&record, NOW, |_, _| false, &mut vec![7; 3]);
            }
        }
        let all = decode(&whole, &(0..lines.len()).collect::<Vec<_>>());
        let rest = decode(&tail, &(0..lines.len() - cut).collect::<Vec<_>>());
        prop_assert_eq!(&all.streams[0].entries[cut..], &rest.streams[0].entries[..]);
        let last = decode(&whole, &[lines.len() - 1]);
        prop_assert_eq!(all.streams[0].entries.last(), last.streams[0].entries.last());
        for (place, (entry, line)) in all.streams[0].entries.iter().zip(&lines).enumerate() {
            prop_assert_eq!(&entry.line, line);
            prop_assert_eq!(whole.sequence(place), sequence(place));
        }
    }

    /// What has no usable time of its own keeps its order and its place among a million others.
    #[test]
    fn timestamps_made_of_the_commits_are_unique_among_any_million_records(a in any::<u64>(), apart in 1u64..1_000_000) {
        let commit_time = 1_700_000_000_000_000_000;
        prop_assume!(a.checked_add(apart).is_some());
        let [one, other] = [a, a + apart].map(|sequence| timestamp(&Record { commit_time, ..record(sequence, 0, b"", b"") }, NOW));
        prop_assert_ne!(one, other);
    }
}
