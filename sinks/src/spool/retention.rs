//! Which segment makes room at a spool's bound. A pure function, so that the policy can be read and tested in one place.
//!
//! - `hold` keeps the oldest segments its sink needs, up to three quarters of the bound; segments newer than those make room.
//! - `dropOldest` gives up the oldest.
//! - `detach` is not asked: a detached sink holds nothing at the bound.
//!
//! Where both kinds are behind, what only `dropOldest` needs goes first, then the oldest segment behind what `hold` keeps.

use super::WhenFull;

/// What a policy has to know about a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The position of its first frame.
    pub base: u64,
    /// The position after its last frame.
    pub end: u64,
}

/// What a policy has to know about a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Everything before it is delivered.
    pub position: u64,
    /// The sink's policy.
    pub when_full: WhenFull,
}

/// The segment to remove, as an index, when `segments` are over `bound` bytes. `keep` is the position from which on the spool itself
/// still needs its segments; they are never chosen. `None` if nothing can be removed.
pub fn victim(segments: &[Extent], holders: &[Holder], keep: u64, bound: u64) -> Option<usize> {
    let removable = |index: &usize| segments[*index].end <= keep;
    let held_from = holders.iter().filter(|holder| holder.when_full == WhenFull::Hold).map(|holder| holder.position).min();
    let Some(held_from) = held_from else {
        return (0..segments.len()).find(removable);
    };
    let mut held = 0;
    let mut newest_held = None;
    for index in 0..segments.len() {
        let segment = segments[index];
        if segment.end <= held_from {
            if removable(&index) {
                return Some(index);
            }
            continue;
        }
        held += segment.end - segment.base;
        if held > bound / 4 * 3 {
            // Behind what is held: the oldest that may go. If none may for now (not synced yet), the spool may be a quarter over its
            // bound before the newest of the held ones goes.
            let total: u64 = segments.iter().map(|segment| segment.end - segment.base).sum();
            return (index..segments.len()).find(removable).or(newest_held.filter(|_| total > bound / 4 * 5));
        }
        newest_held = Some(index).filter(removable).or(newest_held);
    }
    newest_held
}

#[cfg(test)]
mod tests {
    use super::*;
    use WhenFull::{DropOldest, Hold};

    fn segments(count: u64) -> Vec<Extent> {
        (0..count).map(|index| Extent { base: index * 10, end: index * 10 + 10 }).collect()
    }

    /// What it is about, how many segments, positions and policies of the sinks, what the spool itself keeps, the victim.
    type Case<'a> = (&'a str, u64, &'a [(u64, WhenFull)], u64, Option<usize>);

    #[test]
    fn the_policy_as_a_table() {
        let cases: [Case<'_>; 8] = [
            ("nobody needs anything", 9, &[], 80, Some(0)),
            ("dropOldest gives up the oldest", 9, &[(0, DropOldest)], 80, Some(0)),
            ("hold keeps the oldest six of eight", 9, &[(0, Hold)], 80, Some(6)),
            ("hold keeps what it needs, what lies before it goes first", 9, &[(0, DropOldest), (20, Hold)], 80, Some(0)),
            ("with hold at the start, dropOldest loses behind what is held", 9, &[(85, DropOldest), (0, Hold)], 80, Some(6)),
            ("two that hold: the slower one counts", 9, &[(30, Hold), (0, Hold)], 80, Some(6)),
            ("a hold that has caught up is like none", 9, &[(0, DropOldest), (85, Hold)], 80, Some(0)),
            ("what the spool itself needs stays", 9, &[], 0, None),
        ];
        for (what, count, holders, keep, expected) in cases {
            let holders: Vec<_> = holders.iter().map(|&(position, when_full)| Holder { position, when_full }).collect();
            assert_eq!(victim(&segments(count), &holders, keep, 80), expected, "{what}");
        }
    }
}
