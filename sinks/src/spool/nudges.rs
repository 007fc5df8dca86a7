//! Tells records of the same time apart, for destinations that order by time and take equal times for one.
//!
//! A record's time plus its nudge differs from that of at least [`REMEMBERED`] records before it. It is drawn when the record is written and stored with it,
//! so that it is a pure function of the spool: no crash and no other cut of a batch changes it. What was written before a start is not remembered.

use std::collections::HashMap;

/// Records that are remembered at least, twice as many at most.
const REMEMBERED: usize = 64 << 10;

type Times = HashMap<i64, i64, foldhash::fast::FixedState>;

/// The times that records have been given.
#[derive(Debug, Default)]
pub(super) struct Nudges {
    /// A time that is taken, and where to look for a free one behind it.
    young: Times,
    old: Times,
}

impl Nudges {
    /// The nudge of the next record.
    pub fn next(&mut self, time: i64) -> u32 {
        if self.young.len() >= REMEMBERED {
            self.old = std::mem::take(&mut self.young);
        }
        let mut free = time;
        while let Some(&behind) = self.young.get(&free).or_else(|| self.old.get(&free)) {
            free = behind;
        }
        let Some(behind) = free.checked_add(1) else { return 0 };
        self.young.insert(free, behind);
        // The next one of this time need not go the same way.
        if free != time {
            self.young.insert(time, behind);
        }
        // No two times lie further apart than there are records remembered.
        u32::try_from(free.abs_diff(time)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_times_go_up_by_a_nanosecond_and_give_way_to_what_is_there() {
        let mut nudges = Nudges::default();
        let given: Vec<i64> = [5, 5, 6, 5, 9, 6].into_iter().map(|time| time + i64::from(nudges.next(time))).collect();
        assert_eq!(given, [5, 6, 7, 8, 9, 10]);
        assert_eq!((nudges.next(i64::MAX), nudges.next(i64::MIN)), (0, 0));
    }

    #[test]
    fn any_number_of_one_time_is_told_apart_in_no_time() {
        let mut nudges = Nudges::default();
        for number in 0..300_000 {
            assert_eq!(nudges.next(1_700_000_000_000_000_000), number);
        }
    }

    proptest! {
        #[test]
        fn no_two_records_have_the_same(times in prop::collection::vec(0i64..200, 1..400)) {
            let mut nudges = Nudges::default();
            let mut given: Vec<i64> = times.iter().map(|time| time + i64::from(nudges.next(*time))).collect();
            given.sort_unstable();
            prop_assert!(given.is_sorted_by(|a, b| a < b));
        }
    }
}
