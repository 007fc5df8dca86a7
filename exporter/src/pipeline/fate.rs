//! What became of a packet, told from what was measured: turns the kernel's reports into sightings with a verdict.
//!
//! The rule of the design, *the verdict follows what was measured*: what left is FORWARDED and counted by what left; what entered for an address of
//! this host is FORWARDED unless it was dropped; a drop is DROPPED, by reason; what entered and then neither left, nor was delivered, nor was dropped
//! is TRACED. A row therefore keeps what entered *pending* until its fate is known:
//!
//! * left or dropped packets of the row consume what is pending, oldest first;
//! * for an address of this host, what is then left over is delivered. A first drop is reported within microseconds, so a short wait is enough, unless
//!   the row has had drops, or may have had them unheard: their later reports come once an interval, and the row waits for that long;
//! * for other addresses, and where a drop is told of another tuple ([`Row::delivers`](super::row::Row::delivers)), what is left over is TRACED: after one
//!   sweep where the row has never left, after a whole report interval where it has, because both sides report at their own times.
//!
//! Times here are the boot clock's of the kernel's own reports, so that neither a late reader nor a wall clock that jumps decides anything, and reading the
//! same reports again decides the same.

use std::time::Duration;

use flowlog_bpf::event::Count;

use super::bytes::{Put, Take};
use super::sums::take;

/// How long a drop may trail the packet's entry in the ring: both are written by one CPU within microseconds; this is the margin for a busy one.
pub const SETTLE: i64 = 50_000_000;
/// The kernel's sweep interval.
pub const SWEEP: i64 = 1_000_000_000;
/// A sweep, and as much again.
const OVERDUE: Duration = Duration::from_secs(2);
/// How late a sweep may be on a busy machine.
const LATE: i64 = 4_000_000_000;

/// How long a row waits until both of its sides, and its drops, have reported: they do so once a report interval, if nothing else then by the sweep.
#[must_use]
pub fn interval(report_interval: Duration) -> i64 {
    i64::try_from(report_interval.as_nanos()).unwrap_or(i64::MAX).saturating_add(SWEEP + LATE)
}

/// Whether what was counted at `first` is reported later than it is while the ring has room. Then first drops may have found it full too, and come later still.
#[must_use]
pub fn is_overdue(first: u64, reported: u64, report_interval: Duration) -> bool {
    let took = Duration::from_nanos(reported.saturating_sub(first));
    // The first comparison is for the hot path: nearly always it says no.
    took > OVERDUE && took > report_interval.saturating_add(OVERDUE)
}

/// That wait, and who has it.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    /// Its length.
    pub nanoseconds: i64,
    /// The row waits that long in any case: what it did earlier is not known.
    pub always: bool,
}

/// What is known of one tuple between its reports.
#[derive(Clone, Debug, Default)]
pub struct Fate {
    /// Entered, waiting; all of it at least as old as `since`.
    old: Count,
    /// Entered after `old` began to wait.
    young: Count,
    /// When the newest report counted in `old` was heard.
    since: i64,
    /// Packets that left or were dropped before their entry was reported.
    credit: u64,
    /// The row has left through some interface after entering.
    left: bool,
    /// Some of its packets were dropped.
    dropped: bool,
}

/// The end of what was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Delivered on this host.
    Delivered(Count),
    /// Seen entering, and nothing after.
    Traced(Count),
}

impl Fate {
    /// Of a row that has nothing open, and this past: some of it left after entering, some of it was dropped.
    #[must_use]
    pub fn closed(left: bool, dropped: bool) -> Self {
        Self { left, dropped, ..Self::default() }
    }

    /// That past.
    #[must_use]
    pub fn past(&self) -> (bool, bool) {
        (self.left, self.dropped)
    }

    /// Whether there is more to know of it than its past.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.waits() || self.young.packets > 0 || self.credit > 0
    }

    /// Packets entered.
    pub fn entered(&mut self, mut count: Count, now: i64) {
        let paid = self.credit.min(count.packets);
        self.credit -= paid;
        take(&mut count, paid);
        if count.packets == 0 {
            return;
        }
        if self.old.packets == 0 {
            (self.old, self.since) = (count, now);
        } else {
            self.young.add(count);
        }
    }

    /// Packets that had entered left again.
    pub fn left(&mut self, packets: u64) {
        if packets > 0 {
            self.left = true;
            self.consume(packets);
        }
    }

    /// Packets that had entered were dropped between the hooks.
    pub fn dropped(&mut self, packets: u64) {
        self.dropped = true;
        self.consume(packets);
    }

    fn consume(&mut self, packets: u64) {
        let rest = packets - take(&mut self.old, packets).packets;
        let rest = rest - take(&mut self.young, rest).packets;
        if self.old.packets == 0 {
            self.old = std::mem::take(&mut self.young);
        }
        self.credit = self.credit.wrapping_add(rest);
    }

    /// What waits has waited since `now`.
    pub fn wait_from(&mut self, now: i64) {
        self.since = now;
    }

    /// True while something waits.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.old.packets > 0
    }

    /// Packets that wait.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.old.packets.wrapping_add(self.young.packets)
    }

    /// Decides what has waited long enough at `now`. `here` says that what is left over was delivered on this host; `last` that the row is gone, so
    /// nothing more will be reported for it but drops.
    pub fn settle(&mut self, now: i64, here: bool, last: bool, interval: Interval) -> Option<Settled> {
        if !self.waits() {
            return None;
        }
        let wait = match (here, self.dropped, self.left) {
            _ if interval.always => interval.nanoseconds,
            (true, false, _) => SETTLE,
            (false, false, _) if last => SETTLE,
            (false, false, false) => SWEEP,
            _ => interval.nanoseconds,
        };
        if now.saturating_sub(self.since) < wait {
            return None;
        }
        let count = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        self.since = now;
        Some(if here { Settled::Delivered(count) } else { Settled::Traced(count) })
    }

    /// Appends it, for a restart.
    pub fn put(&self, bytes: &mut Vec<u8>) {
        bytes.put_count(self.old);
        bytes.put_count(self.young);
        bytes.put_u64(self.since as u64);
        bytes.put_u64(self.credit);
        bytes.put_u8(u8::from(self.left) | u8::from(self.dropped) << 1);
    }

    /// Reads it back.
    pub fn get(bytes: &mut Take<'_>) -> Option<Self> {
        let (old, young, since, credit, bits) = (bytes.count()?, bytes.count()?, bytes.i64()?, bytes.u64()?, bytes.u8()?);
        Some(Self { old, young, since, credit, left: bits & 1 != 0, dropped: bits & 2 != 0 })
    }

    /// Gives up waiting: what is pending is what it looks like now. For a row that has to make room, and for the end of an input.
    pub fn surrender(&mut self, here: bool) -> Option<Settled> {
        let mut count = std::mem::take(&mut self.old);
        count.add(std::mem::take(&mut self.young));
        (count.packets > 0).then_some(if here { Settled::Delivered(count) } else { Settled::Traced(count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: i64 = 6_000_000_000;
    const USUAL: Interval = Interval { nanoseconds: INTERVAL, always: false };

    fn packets(packets: u64) -> Count {
        Count { packets, bytes: packets * 100 }
    }

    #[test]
    fn what_a_firewall_ate_is_never_delivered() {
        let mut fate = Fate::default();
        fate.entered(packets(1), 0);
        fate.dropped(1);
        assert_eq!(fate.settle(SETTLE, true, false, USUAL), None);
        assert!(!fate.waits());
    }

    #[test]
    fn what_entered_for_this_host_is_delivered_after_a_short_wait() {
        let mut fate = Fate::default();
        fate.entered(packets(3), 0);
        assert_eq!(fate.settle(SETTLE - 1, true, false, USUAL), None);
        assert_eq!(fate.settle(SETTLE, true, false, USUAL), Some(Settled::Delivered(packets(3))));
        assert_eq!(fate.settle(INTERVAL, true, false, USUAL), None);
    }

    #[test]
    fn a_row_that_had_drops_waits_for_the_next_report_of_them() {
        let mut fate = Fate::default();
        fate.entered(packets(1), 0);
        fate.dropped(1);
        fate.entered(packets(100), SWEEP);
        assert_eq!(fate.settle(3 * SWEEP, true, false, USUAL), None);
        fate.dropped(60);
        assert_eq!(fate.settle(SWEEP + INTERVAL, true, false, USUAL), Some(Settled::Delivered(packets(40))));
    }

    #[test]
    fn what_entered_and_was_never_seen_again_is_traced_after_a_sweep() {
        let mut fate = Fate::default();
        fate.entered(packets(2), 10);
        assert_eq!(fate.settle(SWEEP, false, false, USUAL), None);
        assert_eq!(fate.settle(SWEEP + 10, false, false, USUAL), Some(Settled::Traced(packets(2))));
    }

    #[test]
    fn a_forwarded_row_is_not_traced_because_one_side_reports_first() {
        let mut fate = Fate::default();
        fate.entered(packets(1), 0);
        fate.left(1);
        // The entering side reports 500, of which the leaving side had reported none yet.
        fate.entered(packets(500), SWEEP);
        assert_eq!(fate.settle(4 * SWEEP, false, false, USUAL), None);
        fate.left(499);
        fate.entered(packets(500), 5 * SWEEP);
        fate.left(501);
        assert!(!fate.waits());
        assert_eq!(fate.settle(100 * SWEEP, false, true, USUAL), None);
    }

    #[test]
    fn what_left_before_its_entry_was_reported_is_not_traced_later() {
        let mut fate = Fate::default();
        fate.left(5);
        fate.entered(packets(5), 0);
        assert!(!fate.waits());
    }

    #[test]
    fn packets_are_neither_lost_nor_made_up_whatever_the_order() {
        use proptest::prelude::*;
        proptest!(|(steps in proptest::collection::vec((0u8..4, 1u64..50), 1..60), here: bool)| {
            let (mut fate, mut now) = (Fate::default(), 0);
            let (mut entered, mut consumed, mut settled) = (0u64, 0u64, 0u64);
            let count_of = |s: Option<Settled>| match s { Some(Settled::Delivered(c) | Settled::Traced(c)) => c.packets, None => 0 };
            for (what, n) in steps {
                match what {
                    0 => { fate.entered(packets(n), now); entered += n; }
                    1 => { fate.left(n); consumed += n; }
                    2 => { fate.dropped(n); consumed += n; }
                    _ => { now += n as i64 * SWEEP / 4; settled += count_of(fate.settle(now, here, false, USUAL)); }
                }
            }
            settled += count_of(fate.surrender(here));
            // Every packet that entered is settled, or paid for one that left or was dropped.
            prop_assert_eq!(entered + fate.credit, settled + consumed);
        });
    }
}
