//! The arrival clock: Unix time that never goes backwards and never stands still.
//!
//! Windows are cut on it, so a wall clock that is set back by an hour must neither reopen old windows nor freeze the present one. It follows the wall clock
//! forward at once; when that is set back, it goes on at the pace of the boot clock until the wall clock has caught up. What a flow's own `time` says comes
//! from the wall clock as it is, through the offset that is stamped beside the arrival.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::time::{ClockId, clock_gettime};

/// What three readings take at most where nothing came between them, nanoseconds.
const AT_ONCE: i64 = 5_000;

/// When something arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Nanoseconds since 1970, never less than the one before.
    pub unix: i64,
    /// Wall clock minus boot clock at that moment, nanoseconds.
    pub offset: i64,
}

/// The clock. One for the daemon.
#[derive(Debug, Default)]
pub struct ArrivalClock {
    last: Mutex<(i64, i64)>,
    /// Of each ring the moment up to which it was found read.
    rings: Mutex<Vec<Arc<AtomicI64>>>,
}

impl ArrivalClock {
    /// A clock that is never behind `after`, the newest arrival of an earlier process.
    #[must_use]
    pub fn after(after: i64) -> Self {
        Self { last: Mutex::new((after, boot_now())), rings: Mutex::default() }
    }

    /// A place for the drain of a ring to say up to when all that was reported into it is in the intake, in nanoseconds of the boot clock.
    #[must_use]
    pub fn ring(&self) -> Arc<AtomicI64> {
        let emptied = Arc::new(AtomicI64::new(boot_now()));
        self.rings.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&emptied));
        emptied
    }

    /// Up to when the intake has everything that the kernel has reported, in nanoseconds of the boot clock.
    #[must_use]
    pub fn heard(&self) -> i64 {
        let rings = self.rings.lock().unwrap_or_else(PoisonError::into_inner);
        rings.iter().map(|emptied| emptied.load(Ordering::Acquire)).min().unwrap_or_else(boot_now)
    }

    /// Up to when a report can tell that the reports before it have been read as well, in nanoseconds of the boot clock: now where there is one ring. Of
    /// several, each is read at its own pace.
    #[must_use]
    pub fn told_by_reports(&self) -> i64 {
        let several = self.rings.lock().unwrap_or_else(PoisonError::into_inner).len() > 1;
        if several { i64::MIN } else { boot_now() }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Arrival {
        let (wall, boot) = both();
        self.at(wall, boot)
    }

    fn at(&self, wall: i64, boot: i64) -> Arrival {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let unix = wall.max(last.0 + (boot - last.1).max(0));
        *last = (unix, boot.max(last.1));
        Arrival { unix, offset: wall - boot }
    }
}

/// Both clocks at one moment: a pause between the two readings would shift the time of every flow that is told by their difference.
fn both() -> (i64, i64) {
    let read = || {
        let (before, wall, after) = (boot_now(), nanoseconds(ClockId::Realtime), boot_now());
        (after - before, wall, before + (after - before) / 2)
    };
    let mut best = read();
    for _ in 0..4 {
        if best.0 < AT_ONCE {
            break;
        }
        let again = read();
        if again.0 < best.0 {
            best = again;
        }
    }
    (best.1, best.2)
}

/// Nanoseconds of the boot clock.
#[must_use]
pub fn boot_now() -> i64 {
    nanoseconds(ClockId::Boottime)
}

fn nanoseconds(clock: ClockId) -> i64 {
    let time = clock_gettime(clock);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn a_wall_clock_that_is_set_back_neither_turns_the_clock_back_nor_stops_it() {
        let clock = ArrivalClock::default();
        assert_eq!(clock.at(10 * HOUR, 5).unix, 10 * HOUR);
        assert_eq!(clock.at(9 * HOUR, 1005).unix, 10 * HOUR + 1000);
        assert_eq!(clock.at(9 * HOUR + 10, 1015), Arrival { unix: 10 * HOUR + 1010, offset: 9 * HOUR + 10 - 1015 });
    }

    #[test]
    fn a_wall_clock_that_is_set_forward_is_followed_at_once() {
        let clock = ArrivalClock::default();
        clock.at(HOUR, 0);
        assert_eq!(clock.at(2 * HOUR, 1).unix, 2 * HOUR);
    }

    #[test]
    fn a_restart_goes_on_after_the_last_arrival() {
        let clock = ArrivalClock::after(i64::MAX / 2);
        assert!(clock.now().unix >= i64::MAX / 2);
    }
}
