//! What passed an interface before the programs were attached: its own counters less ours, once the two can be compared.
//!
//! The device and the programs count one packet at different times, and in between it may wait, in the backlog of a busy processor for instance. So an
//! interface is looked at again and again. When neither of them has moved for a while, nothing is between them and the difference is exact. On an interface
//! that never rests, bounds are kept: what was received is counted by most devices before the programs see it, so that the least difference ever seen is
//! nearest; what is transmitted is counted after them, so that the greatest is.

use crate::LinkCounters;

/// How long neither may move before the difference is exact, nanoseconds.
const QUIET_NS: u64 = 50_000_000;
/// After this long the bounds have to do, nanoseconds.
const PATIENCE_NS: u64 = 1_000_000_000;

/// One reading of both, with ours read before and after theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Nanoseconds of the boot clock.
    pub(crate) at: u64,
    pub(crate) ours_before: LinkCounters,
    pub(crate) theirs: LinkCounters,
    pub(crate) ours_after: LinkCounters,
}

/// A comparison that is not finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    began: u64,
    /// The first of the looks that are all alike.
    alike: Look,
    /// The best that is known so far.
    unobserved: LinkCounters,
}

impl Comparison {
    pub(crate) fn new(first: Look) -> Self {
        Self { began: first.at, alike: first, unobserved: differences(&first) }
    }

    /// What went unobserved, as far as it is known.
    pub(crate) fn unobserved(&self) -> LinkCounters {
        self.unobserved
    }

    /// Looks once more. Whether what went unobserved is settled.
    pub(crate) fn look(&mut self, look: Look) -> bool {
        let before = self.alike;
        let (theirs, ours) = (look.theirs, look.ours_after);
        if theirs != before.theirs || ours != before.ours_after || ours != look.ours_before {
            self.alike = look;
        } else if look.at.saturating_sub(before.at) >= QUIET_NS {
            self.unobserved = theirs.less(ours);
            return true;
        }
        let new = differences(&look);
        if new.received.packets < self.unobserved.received.packets {
            self.unobserved.received = new.received;
        }
        if new.transmitted.packets > self.unobserved.transmitted.packets {
            self.unobserved.transmitted = new.transmitted;
        }
        look.at.saturating_sub(self.began) >= PATIENCE_NS
    }
}

/// The most that may have been received unobserved, and the least that must have been transmitted so.
fn differences(look: &Look) -> LinkCounters {
    LinkCounters { received: look.theirs.less(look.ours_before).received, transmitted: look.theirs.less(look.ours_after).transmitted }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Count;

    const MILLISECOND: u64 = 1_000_000;

    fn counters(received: u64, transmitted: u64) -> LinkCounters {
        let count = |packets| Count { packets, bytes: packets * 100 };
        LinkCounters { received: count(received), transmitted: count(transmitted) }
    }

    fn look(at: u64, theirs: (u64, u64), ours: (u64, u64)) -> Look {
        let (theirs, ours) = (counters(theirs.0, theirs.1), counters(ours.0, ours.1));
        Look { at: at * MILLISECOND, ours_before: ours, theirs, ours_after: ours }
    }

    #[test]
    fn what_waits_between_the_device_and_the_programs_is_not_unobserved() {
        // Three of ten received ones came before the programs; one of the ten waits in the backlog at the first look.
        let mut comparison = Comparison::new(look(0, (10, 4), (6, 4)));
        assert_eq!(comparison.unobserved(), counters(4, 0));
        assert!(!comparison.look(look(20, (10, 4), (7, 4))));
        assert_eq!(comparison.unobserved(), counters(3, 0));
        assert!(!comparison.look(look(60, (10, 4), (7, 4))));
        assert!(comparison.look(look(70, (10, 4), (7, 4))));
        assert_eq!(comparison.unobserved(), counters(3, 0));
    }

    #[test]
    fn on_an_interface_that_never_rests_the_nearest_bounds_count() {
        let mut comparison = Comparison::new(look(0, (100, 100), (80, 80)));
        for at in 1..10 {
            // Between one and three are always on their way.
            let (moved, waiting) = (at * 1000, 1 + at % 3);
            assert!(!comparison.look(look(at * 100, (100 + moved, 100 + moved - waiting), (90 + moved - waiting, 90 + moved))));
        }
        assert!(comparison.look(look(1000, (20_100, 20_099), (20_089, 20_090))));
        assert_eq!(comparison.unobserved(), counters(11, 20));
    }
}
