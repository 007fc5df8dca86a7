use super::*;
use crate::spool::Commit;

const NOON: i64 = 1_795_262_400_000_000_000;
const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;

fn object(first: u64, last: u64) -> Object {
    Object {
        key: format!("k{first}"),
        version: None,
        etag: None,
        first,
        last,
        records: last + 1 - first,
        bytes: 1,
        sha256: String::new(),
        plain_bytes: 1,
        plain_sha256: String::new(),
        first_time: String::new(),
        last_time: String::new(),
        first_commit: String::new(),
        last_commit: String::new(),
        retention_mode: None,
        retain_until: None,
        legal_hold: false,
        conflicts: Vec::new(),
    }
}

fn manifest_of(chain: &Chain, reason: Reason, to: i64) -> (Manifest, Vec<u8>) {
    let origin = Origin { cluster: "c".into(), log: "l".into(), node: "n".into(), daemon: "d".into() };
    let layout = Layout { prefix: String::new(), cluster: "c".into(), log: "l".into(), node: "n".into() };
    let around = Circumstances { origin: &origin, layout: &layout, place: "s3://b", now: to, clock_offset_ms: Some(-3) };
    let manifest = chain.manifest(reason, to, around);
    let bytes = manifest.bytes().unwrap();
    (manifest, bytes)
}

#[test]
fn a_manifest_is_due_when_something_of_a_later_hour_is_seen() {
    let at = |hours: i64| Hour::of(NOON + hours * HOUR);
    let empty = Chain::new(SpoolId([1; 16]), 1, NOON + 20 * MINUTE);
    let mut full = empty.clone();
    full.note_object(object(1, 9));
    // Seen, started, what the chain holds; the period's end in hours after noon.
    let cases = [
        (0, 0, &empty, None),
        (-5, 0, &empty, None),
        (1, 0, &empty, Some(1)),
        (1, 0, &full, Some(1)),
        (5, 0, &empty, Some(1)),
        (5, 0, &full, Some(1)),
        (5, 4, &empty, Some(4)),
        (5, 1, &empty, Some(1)),
        (5, 9, &empty, Some(5)),
        (5, 4, &full, Some(1)),
        (49, 0, &empty, Some(1)),
        (50, 0, &empty, Some(50)),
        (50, 0, &full, Some(1)),
    ];
    for (seen, started, chain, end) in cases {
        let expected = end.map(|end| NOON + end * HOUR);
        assert_eq!(chain.due(at(seen), at(started)), expected, "seen {seen}, started {started}");
    }
}

#[test]
fn a_manifest_accounts_for_every_sequence_number_and_the_next_goes_on_behind_it() {
    let mut chain = Chain::new(SpoolId([1; 16]), 1, NOON);
    chain.note_object(object(1, 40));
    chain.note_object(object(1, 40));
    chain.note_gap(&Gap { cause: "spool-full".into(), sequences: Some((41, 51)), ..Gap::default() });
    let totals = serde_json::json!({"flows": 50});
    chain.note_commit(&Commit { next: 51, time: NOON + MINUTE, totals, config_hash: [2; 32], ..Commit::default() });
    let (manifest, bytes) = manifest_of(&chain, Reason::Hour, NOON + HOUR);
    assert_eq!((manifest.number, manifest.first, manifest.next, manifest.records), (1, 1, 51, 40));
    assert_eq!(manifest.config_hash.as_deref(), Some("02".repeat(32).as_str()));
    assert_eq!(
        manifest.key,
        "manifests/v1/cluster=c/log=l/node=n/dt=2026-11-21/01010101010101010101010101010101-00000000000000000001.json"
    );
    assert_eq!(serde_json::from_slice::<Manifest>(&bytes).unwrap(), manifest);

    let behind = chain.behind("stored-as", &bytes, NOON + HOUR);
    let (next, _) = manifest_of(&behind, Reason::Stop, NOON);
    assert_eq!((next.number, next.first, next.next, next.objects.len(), next.gaps.len()), (2, 51, 51, 0, 0));
    assert_eq!((&next.from, &next.to), (&manifest.to, &manifest.to), "a period never ends before it begins");
    let previous = next.previous.unwrap();
    assert_eq!((previous.key.as_str(), previous.sha256), ("stored-as", manifest::sha256(&bytes)));
    assert_eq!(next.totals, serde_json::json!({"flows": 50}));

    let mut again = behind.clone();
    again.note_object(object(1, 40));
    assert_eq!(again, behind, "an object that a manifest lists is not listed again");

    let mut renewed = behind.renewed(SpoolId([9; 16]), 1);
    renewed.note_object(object(1, 40));
    assert_eq!(renewed.objects.len(), 1, "the same numbers of another spool are other records");
    let renewed = behind.renewed(SpoolId([9; 16]), 1);
    let (first, _) = manifest_of(&renewed, Reason::Start, NOON + HOUR);
    assert_eq!((first.number, first.first, first.previous_spool), (2, 1, Some(SpoolId([1; 16]))));
}

#[test]
fn a_lost_or_old_state_goes_on_behind_the_newest_manifest_of_the_archive() {
    let mut before = Chain::new(SpoolId([1; 16]), 1, NOON);
    before.note_object(object(1, 40));
    let (last, bytes) = manifest_of(&before, Reason::Hour, NOON + HOUR);

    let other_spool = Chain::new(SpoolId([2; 16]), 1, NOON).resume_behind(&last, "key", &bytes);
    assert_eq!((other_spool.number, other_spool.first, other_spool.next), (2, 1, 1));
    assert_eq!((other_spool.previous_spool, other_spool.to), (Some(SpoolId([1; 16])), NOON + HOUR));
    assert!(other_spool.gaps.is_empty());

    let lost = Chain::new(SpoolId([1; 16]), 61, NOON).resume_behind(&last, "key", &bytes);
    assert_eq!((lost.first, lost.next), (41, 61));
    assert_eq!(lost.gaps, [serde_json::json!({"cause": UNLISTED, "sequences": [41, 61]})]);

    let mut old = Chain::new(SpoolId([1; 16]), 1, NOON);
    old.note_object(object(1, 20));
    old.note_object(object(21, 40));
    old.note_object(object(41, 50));
    let old = old.resume_behind(&last, "key", &bytes);
    assert_eq!((old.first, old.next, old.objects.len()), (41, 51, 1), "what is listed already is not listed again");
    assert!(old.gaps.is_empty());
}

#[test]
fn the_newest_manifest_is_the_one_with_the_highest_number_whatever_its_day() {
    let layout = Layout { prefix: "p".into(), cluster: "c".into(), log: "l".into(), node: "n".into() };
    let key = |hours: i64, id: u8, number| layout.manifest_key(Hour::of(NOON + hours * HOUR), [id; 16], number, 0);
    let keys = vec![key(0, 3, 7), key(-48, 1, 9), key(24, 2, 8), "p/other".to_owned()];
    assert_eq!(newest(&keys), Some((9, &keys[1])));
    assert_eq!(newest(&[]), None);
}
