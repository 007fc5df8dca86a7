//! The daemon is killed while it sends.

use std::time::{Duration, Instant};

use flowlog_tests::feed::Feed;
use flowlog_tests::scale;
use jiff::{Timestamp, ToSpan};

use crate::destinations::{Batches, SMALL, Servers, assert_each_once, wait_until_delivered};

/// Flows between two kills at most: some more than a sink sends meanwhile, so that a kill always falls between a send and an answer.
const FLOWS_A_KILL: u64 = 10_000;
/// Batches that Kafka may have on the way at once.
const ON_THE_WAY: u64 = 4;

/// Moments that look random and are the same in every run.
fn moments(seed: u64) -> impl Iterator<Item = Duration> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(200 + (state >> 33) % 900)
    })
}

#[test]
fn killed_at_random_moments_while_sending_it_leaves_no_gap_anywhere_and_repeats_only_what_was_on_the_way() {
    let (servers, kills, start) = (Servers::shared(), scale::of("sink_kills"), Timestamp::now() - 1.minute());
    let mut daemon = servers.daemon("crashes", Batches::Small).started();
    let mut feed = Feed::new(&daemon);
    for moment in moments(11).take(kills as usize) {
        let (begun, last) = (Instant::now(), feed.count() + FLOWS_A_KILL);
        while begun.elapsed() < moment && feed.count() < last {
            feed.more(500, Duration::from_millis(20));
        }
        daemon.kill();
        daemon.start();
    }
    feed.more(500, Duration::ZERO);
    wait_until_delivered(&daemon, ("crashes", "events"), feed.count(), &["search", "stream", "audit"]);
    daemon.stop();

    let lines = daemon.texts();
    let [(_, _, last)] = daemon.verified("crashes")[..] else { panic!("one identity all along") };
    assert_eq!(last, lines.len() as u64, "as many lines as records");
    assert_each_once(&lines, feed.count());
    let repeats = servers.assert_hold("crashes", &lines, start) as u64;
    println!("{kills} kills in {} records: {repeats} of them repeated in Kafka, none elsewhere", lines.len());
    assert!(repeats <= kills * ON_THE_WAY * SMALL, "{repeats} repeats in Kafka are more than can have been on the way");
}
