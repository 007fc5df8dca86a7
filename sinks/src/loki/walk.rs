//! The way through one push: all of it at first, and after a refusal in parts, until it is known which entry is at fault.
//!
//! Promises that it ends, that each entry is either stored or refused with Loki's reason, in order, and that a failure in between costs
//! no progress: what was stored is not sent again by a retry. To send an entry twice is harmless (see [`super::push`]), so a refused part
//! is simply sent again in halves, though Loki has kept its valid entries.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::answer::{Answer, oldest_acceptable};
use super::push::Push;

/// An entry that is this far ahead of Loki's clock is waited for, one that is further ahead is refused, nanoseconds: what waits holds up what comes after it.
const MAX_AHEAD_NS: i64 = 3600 * 1_000_000_000;
/// How far ahead of its clock Loki takes entries by default, nanoseconds.
const GRACE_NS: i64 = 600 * 1_000_000_000;
/// The longest pause before an entry that is too new is offered again.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// After so many answers in a row that may be due to size, the part is halved.
const REFUSALS_BEFORE_HALVING: u32 = 4;

/// How far a push has got.
#[derive(Debug)]
pub struct Walk {
    /// Every entry before it is stored or refused.
    next: usize,
    /// Entries to send at once.
    length: usize,
    /// Answers in a row that may be due to size.
    refusals: u32,
    /// Entries refused, with the reason.
    refused: BTreeMap<usize, String>,
}

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on with the next part.
    GoOn,
    /// Go on with smaller parts, and cut later pushes smaller too.
    Smaller,
    /// Stop for now and try again.
    Wait {
        /// What happened.
        why: String,
        /// How long to wait at least.
        after: Option<Duration>,
    },
}

impl Walk {
    /// At the start of a push of that many entries.
    pub fn new(entries: usize) -> Walk {
        Walk { next: 0, length: entries.max(1), refusals: 0, refused: BTreeMap::new() }
    }

    /// The entries to send next; none at the end.
    pub fn part(&mut self, push: &Push) -> Vec<usize> {
        while self.next < push.len() {
            let part: Vec<usize> = self.range(push).filter(|entry| !self.refused.contains_key(entry)).collect();
            if !part.is_empty() {
                return part;
            }
            self.next = self.range(push).end;
        }
        Vec::new()
    }

    /// Takes note of the answer to the entries that [`Walk::part`] gave.
    pub fn answered(&mut self, push: &Push, part: &[usize], answer: Answer) -> Next {
        match answer {
            Answer::Stored => {
                self.pass(push);
                Next::GoOn
            }
            Answer::Invalid { why } => {
                let oldest = oldest_acceptable(&why).unwrap_or(i64::MIN);
                let too_old: Vec<usize> = part.iter().copied().filter(|entry| push.timestamp(*entry) < oldest).collect();
                if too_old.is_empty() {
                    self.narrow(push, part, why);
                } else {
                    // Loki named the limit, so there is no need to search; the rest goes again to learn whether that was all.
                    self.refused.extend(too_old.into_iter().map(|entry| (entry, why.clone())));
                }
                Next::GoOn
            }
            Answer::TooNew { why, now } => {
                let too_far = |entry: &usize| push.timestamp(*entry) > now.saturating_add(MAX_AHEAD_NS);
                let hopeless: Vec<usize> = part.iter().copied().filter(too_far).collect();
                match part {
                    _ if !hopeless.is_empty() => self.refused.extend(hopeless.into_iter().map(|entry| (entry, why.clone()))),
                    [entry] => return Next::Wait { why: too_early(&why), after: Some(pause(push.timestamp(*entry), now)) },
                    _ => self.narrow(push, part, why),
                }
                Next::GoOn
            }
            Answer::TooLarge { why } => {
                self.narrow(push, part, why);
                Next::Smaller
            }
            Answer::Later { why, after, size_may_matter } => {
                self.refusals += 1;
                if size_may_matter && self.refusals.is_multiple_of(REFUSALS_BEFORE_HALVING) && part.len() > 1 {
                    self.length = (self.length.min(push.len() - self.next) / 2).max(1);
                }
                Next::Wait { why, after }
            }
        }
    }

    /// The sequence numbers refused, with the reasons.
    pub fn refused<'a>(&'a self, push: &'a Push) -> impl Iterator<Item = (u64, String)> + 'a {
        self.refused.iter().map(|(entry, why)| (push.sequence(*entry), why.clone()))
    }

    fn range(&self, push: &Push) -> Range<usize> {
        self.next..self.next.saturating_add(self.length).min(push.len())
    }

    /// The current range is settled.
    fn pass(&mut self, push: &Push) {
        self.next = self.range(push).end;
        self.length = self.length.saturating_mul(2).min(push.len());
        self.refusals = 0;
    }

    /// Halves the range, or refuses the one entry it has come down to.
    fn narrow(&mut self, push: &Push, part: &[usize], why: String) {
        if let [entry] = part {
            self.refused.insert(*entry, why);
            self.pass(push);
        } else {
            self.length = (self.range(push).len() / 2).max(1);
        }
    }
}

fn too_early(why: &str) -> String {
    format!("Loki takes this entry once its time has come; compare this node's clock and Loki's: {why}")
}

/// How long until Loki takes an entry of this timestamp, if its grace is the default.
fn pause(timestamp: i64, now: i64) -> Duration {
    let left = timestamp.saturating_sub(now).saturating_sub(GRACE_NS);
    Duration::from_nanos(u64::try_from(left).unwrap_or(0)).clamp(Duration::from_secs(1), MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loki::config::Encoding;
    use crate::spool::{Record, SpoolId};
    use proptest::prelude::*;

    const MILLISECOND: i64 = 1_000_000;
    const START: i64 = 1_700_000_000_000 * MILLISECOND;

    fn push(entries: u64) -> Push {
        let mut push = Push::new(Encoding::Protobuf, &[("a", "b")]);
        for place in 0..entries {
            let time = START + i64::try_from(place).unwrap() * MILLISECOND;
            let record = Record {
                spool: SpoolId([1; 16]),
                sequence: place + 1,
                time,
                nudge: 0,
                commit_time: time,
                key: b"",
                labels: b"",
                line: b"line",
            };
            push.add(&record, time, |_, _| false, &mut Vec::new());
        }
        push
    }

    fn invalid(why: &str) -> Answer {
        Answer::Invalid { why: why.to_owned() }
    }

    /// Walks through `push` against a server given as a function, and returns what was stored, what was refused and the requests it took.
    fn walk(push: &Push, mut server: impl FnMut(&[usize]) -> Answer) -> (Vec<usize>, Vec<u64>, usize) {
        let mut walk = Walk::new(push.len());
        let mut stored = Vec::new();
        let mut requests = 0;
        loop {
            let part = walk.part(push);
            if part.is_empty() {
                return (stored, walk.refused(push).map(|(sequence, _)| sequence).collect(), requests);
            }
            requests += 1;
            assert!(requests < 10_000, "no end");
            let answer = server(&part);
            if answer == Answer::Stored {
                stored.extend(&part);
            }
            walk.answered(push, &part, answer);
        }
    }

    #[test]
    fn a_push_that_is_stored_takes_one_request() {
        assert_eq!(walk(&push(1000), |_| Answer::Stored), ((0..1000).collect(), vec![], 1));
    }

    #[test]
    fn one_bad_entry_among_a_thousand_is_found_in_a_few_requests() {
        let (stored, refused, requests) = walk(&push(1000), |part| if part.contains(&700) { invalid("bad") } else { Answer::Stored });
        assert_eq!(refused, [701]);
        assert_eq!(stored.len(), 999);
        assert!(requests <= 40, "{requests}");
    }

    #[test]
    fn entries_older_than_the_named_limit_are_refused_without_a_search() {
        let why = "entry too far behind, entry timestamp is: 2023-11-14T22:13:20Z, oldest acceptable timestamp is: 2023-11-14T22:13:20.5Z";
        let (stored, refused, requests) = walk(&push(1000), |part| if part[0] < 500 { invalid(why) } else { Answer::Stored });
        assert_eq!(refused, (1..=500).collect::<Vec<_>>());
        assert_eq!(stored, (500..1000).collect::<Vec<_>>());
        assert_eq!(requests, 2);
    }

    /// A Loki whose clock shows this moves on by 20 s with each wait, and stores of a push what it takes.
    fn walk_beside(push: &Push, mut now: i64) -> (Vec<usize>, Vec<u64>, u32) {
        let mut walk = Walk::new(push.len());
        let (mut stored, mut waits) = (Vec::new(), 0);
        loop {
            let part = walk.part(push);
            if part.is_empty() {
                return (stored, walk.refused(push).map(|(sequence, _)| sequence).collect(), waits);
            }
            let is_early = |entry: &usize| push.timestamp(*entry) > now + GRACE_NS;
            let answer = if part.iter().any(is_early) {
                Answer::TooNew { why: "has timestamp too new".into(), now }
            } else {
                stored.extend(&part);
                Answer::Stored
            };
            if let Next::Wait { after, .. } = walk.answered(push, &part, answer) {
                assert!(after.is_some_and(|after| (1..=60).contains(&after.as_secs())), "{after:?}");
                now += 20_000 * MILLISECOND;
                waits += 1;
                assert!(waits < 1000, "no end");
            }
        }
    }

    #[test]
    fn an_entry_that_is_too_new_is_waited_for_and_one_that_is_far_ahead_is_refused() {
        let entries = push(100);
        let all: Vec<usize> = (0..100).collect();
        assert_eq!(walk_beside(&entries, START), (all.clone(), vec![], 0));
        // Loki is 11 minutes behind, so after a minute it takes the first, and soon all of them.
        assert_eq!(walk_beside(&entries, START - GRACE_NS - 60_000 * MILLISECOND), (all, vec![], 4));
        // The last fifty are more than an hour ahead.
        let (stored, refused, _) = walk_beside(&entries, START + 49 * MILLISECOND - MAX_AHEAD_NS);
        assert_eq!((stored, refused), ((0..50).collect(), (51..=100).collect()));
    }

    #[test]
    fn a_push_above_the_servers_size_goes_in_parts_and_says_so() {
        let entries = push(100);
        let mut walk = Walk::new(100);
        let part = walk.part(&entries);
        assert_eq!(walk.answered(&entries, &part, Answer::TooLarge { why: "big".into() }), Next::Smaller);
        assert_eq!(walk.part(&entries).len(), 50);
    }

    #[test]
    fn a_single_entry_that_is_too_large_is_refused() {
        let (stored, refused, _) =
            walk(&push(3), |part| if part.contains(&1) { Answer::TooLarge { why: "big".into() } } else { Answer::Stored });
        assert_eq!((stored, refused), (vec![0, 2], vec![2]));
    }

    #[test]
    fn a_rate_limit_that_never_lets_the_whole_pass_is_met_with_halves_and_keeps_what_passed() {
        let entries = push(64);
        let limited = || Answer::Later { why: "rate".into(), after: None, size_may_matter: true };
        let (stored, refused, requests) = walk(&entries, |part| if part.len() > 20 { limited() } else { Answer::Stored });
        assert_eq!((stored, refused.len()), ((0..64).collect(), 0));
        assert!(requests < 40, "{requests}");
    }

    #[test]
    fn a_failure_that_says_nothing_of_size_sends_the_same_again() {
        let entries = push(64);
        let mut walk = Walk::new(64);
        for _ in 0..20 {
            let part = walk.part(&entries);
            assert_eq!(part.len(), 64);
            let answer = Answer::Later { why: "down".into(), after: Some(Duration::from_secs(3)), size_may_matter: false };
            assert_eq!(walk.answered(&entries, &part, answer), Next::Wait { why: "down".into(), after: Some(Duration::from_secs(3)) });
        }
    }

    proptest! {
        /// Whatever is bad, exactly that is refused and all else stored, in order.
        #[test]
        fn exactly_the_bad_entries_are_refused(entries in 1u64..200, bad in prop::collection::btree_set(0usize..200, 0..12), largest in 1usize..300) {
            let push = push(entries);
            let count = push.len();
            let (stored, refused, _) = walk(&push, |part| {
                if part.len() > largest {
                    Answer::TooLarge { why: "big".into() }
                } else if part.iter().any(|entry| bad.contains(entry)) {
                    invalid("bad")
                } else {
                    Answer::Stored
                }
            });
            let wanted: Vec<u64> = bad.iter().filter(|entry| **entry < count).map(|entry| *entry as u64 + 1).collect();
            prop_assert_eq!(&refused, &wanted);
            prop_assert_eq!(stored, (0..count).filter(|entry| !bad.contains(entry)).collect::<Vec<_>>());
        }
    }
}
