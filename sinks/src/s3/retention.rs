//! How long an object is locked: the mode and the date asked for in the configuration, and what the server says it
//! stored.
//!
//! The date of `days` counts from the *endpoint's* clock (its `Date` header), since a node whose clock is wrong would
//! else lock for a wrong time; an hour is added for the upload itself, and the sum is rounded up to UTC midnight. So
//! an object is locked for at least the days asked and at most 25 hours more. Nothing here ever shortens a lock.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Seconds in a day.
const DAY: i64 = 86_400;
/// What an upload may last, and what the endpoint's clock may be off, before the days asked run short. Seconds.
const MARGIN: i64 = 3_600;
/// S3's own limit, 100 years.
const DAYS_MAX: u32 = 36_500;

/// Who may end the lock early: nobody (COMPLIANCE, not even the account's root), or who holds
/// `s3:BypassGovernanceRetention` (GOVERNANCE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Mode {
    /// Can be ended early by a privileged user.
    Governance,
    /// Can be ended early by no one.
    Compliance,
}

impl Mode {
    /// The word S3 uses in headers and XML.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// The mode S3 names by `text`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "GOVERNANCE" => Some(Self::Governance),
            "COMPLIANCE" => Some(Self::Compliance),
            _ => None,
        }
    }
}

/// The retention of a sink: a mode, and a number of days from each put or one fixed date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Who may end it early.
    pub mode: Mode,
    /// Until when.
    pub period: Period,
}

/// Until when an object is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// This many days from the put, 1 to 36 500.
    Days(u32),
    /// Until this second, Unix time.
    Until(i64),
}

/// Why a retention can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// `days` out of range.
    #[error("{0} days; it can be 1 to {DAYS_MAX}")]
    Days(u32),
    /// `until` has come.
    #[error("until {0} is not in the future; set a later date, or `days`")]
    Past(Timestamp),
}

impl Retention {
    /// The lock to ask for at `now` (Unix seconds by the endpoint's clock).
    ///
    /// # Errors
    /// [`RetentionError::Past`] when a fixed date has come: S3 takes no date that is not in the future;
    /// [`RetentionError::Days`] out of range.
    pub fn lock(&self, now: i64) -> Result<Lock, RetentionError> {
        let until = match self.period {
            Period::Days(days) if !(1..=DAYS_MAX).contains(&days) => {
                return Err(RetentionError::Days(days));
            }
            Period::Days(days) => {
                let end = now.saturating_add(i64::from(days) * DAY).saturating_add(MARGIN);
                end.saturating_add(DAY - 1).div_euclid(DAY) * DAY
            }
            Period::Until(until) if until <= now => {
                return Err(RetentionError::Past(Timestamp::from_second(until).unwrap_or(Timestamp::MIN)));
            }
            Period::Until(until) => until,
        };
        Ok(Lock { mode: self.mode, until })
    }

    /// The least lock that an object stored at `stored` (Unix seconds) must have to satisfy this retention.
    pub fn least(&self, stored: i64) -> Lock {
        let until = match self.period {
            Period::Days(days) => stored.saturating_add(i64::from(days) * DAY),
            Period::Until(until) => until,
        };
        Lock { mode: self.mode, until }
    }

    /// Whether objects put from `now` on would be locked for less, or less strictly, than under `before`.
    ///
    /// A reload that does so is refused unless the operator insists.
    pub fn is_shorter_than(&self, before: &Self, now: i64) -> bool {
        let (new, old) = (self.least(now), before.least(now));
        !new.covers(&old)
    }
}

/// The lock of one object version: mode and the second, Unix time, until which it can't be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who may end it early.
    pub mode: Mode,
    /// Unix seconds, UTC.
    pub until: i64,
}

impl Lock {
    /// The date as S3 wants it: ISO 8601, UTC, whole seconds.
    pub fn until_text(&self) -> String {
        Timestamp::from_second(self.until).unwrap_or(Timestamp::MAX).to_string()
    }

    /// Reads what a server says, from headers or XML; `None` when it says nothing or nothing intelligible.
    pub fn parse(mode: &str, until: &str) -> Option<Self> {
        Some(Self { mode: Mode::parse(mode.trim())?, until: until.trim().parse::<Timestamp>().ok()?.as_second() })
    }

    /// Whether this lock is at least as strict and as long as `least`.
    pub fn covers(&self, least: &Self) -> bool {
        self.mode >= least.mode && self.until >= least.until
    }
}

/// The endpoint's clock, learned from the `Date` headers of its answers.
#[derive(Debug)]
pub struct Clock {
    /// Endpoint minus node, milliseconds; `UNKNOWN` before the first answer.
    offset: AtomicI64,
}

/// No answer had a `Date` yet.
const UNKNOWN: i64 = i64::MIN;

impl Default for Clock {
    fn default() -> Self {
        Self { offset: AtomicI64::new(UNKNOWN) }
    }
}

impl Clock {
    /// Learns from a `Date` header (RFC 9110 §5.6.7) received now. One that can't be read is ignored.
    pub fn learn(&self, date: &str) {
        if let Ok(time) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date) {
            let offset = time.as_millisecond() - Timestamp::now().as_millisecond();
            self.offset.store(offset, Ordering::Relaxed);
        }
    }

    /// Endpoint minus node in milliseconds, exact to a second (the header has no more); `None` before the first answer.
    pub fn offset_milliseconds(&self) -> Option<i64> {
        Some(self.offset.load(Ordering::Relaxed)).filter(|offset| *offset != UNKNOWN)
    }

    /// The time now, Unix seconds, by the endpoint's clock where it is known, else by the node's.
    pub fn now(&self) -> i64 {
        let node = Timestamp::now().as_millisecond();
        node.saturating_add(self.offset_milliseconds().unwrap_or(0)).div_euclid(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn days_count_from_the_put_and_are_rounded_up_to_midnight() {
        let cases = [
            (1, "2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z"),
            (1, "2026-11-21T11:45:00Z", "2026-11-23T00:00:00Z"),
            (1, "2026-11-21T23:00:00Z", "2026-11-23T00:00:00Z"),
            (1, "2026-11-21T23:00:01Z", "2026-11-24T00:00:00Z"),
            (365, "2027-11-21T12:00:00Z", "2028-11-21T00:00:00Z"),
            (36_500, "2026-11-21T12:00:00Z", "2126-10-29T00:00:00Z"),
        ];
        for (days, now, until) in cases {
            let retention = Retention { mode: Mode::Compliance, period: Period::Days(days) };
            let lock = retention.lock(second(now)).unwrap();
            assert_eq!(lock.until_text(), until, "{days} days from {now}");
            assert!(lock.until - second(now) >= i64::from(days) * DAY);
            assert!(lock.covers(&retention.least(second(now))));
        }
    }

    #[test]
    fn a_fixed_date_is_asked_for_as_written_until_it_has_come() {
        let until = second("2032-01-01T12:34:56Z");
        let retention = Retention { mode: Mode::Governance, period: Period::Until(until) };
        assert_eq!(retention.lock(until - 1).unwrap().until_text(), "2032-01-01T12:34:56Z");
        let error = retention.lock(until).unwrap_err().to_string();
        assert!(error.contains("2032-01-01") && error.contains("later date"), "{error}");
    }

    #[test]
    fn days_out_of_range_are_refused() {
        for days in [0, 36_501] {
            let error = Retention { mode: Mode::Governance, period: Period::Days(days) }.lock(0).unwrap_err().to_string();
            assert!(error.contains("1 to 36500"), "{error}");
        }
    }

    #[test]
    fn what_the_server_says_is_read_in_every_form_servers_use() {
        let asked = Lock { mode: Mode::Compliance, until: second("2027-11-23T00:00:00Z") };
        for until in ["2027-11-23T00:00:00Z", "2027-11-23T00:00:00.000Z", "2027-11-23T00:00:00+00:00"] {
            assert_eq!(Lock::parse("COMPLIANCE", until), Some(asked), "{until}");
        }
        assert_eq!(Lock::parse("", "2027-11-23T00:00:00Z"), None);
        assert_eq!(Lock::parse("COMPLIANCE", ""), None);
    }

    #[test]
    fn a_lock_covers_another_only_if_it_is_as_strict_and_as_long() {
        let lock = |mode, until| Lock { mode, until };
        let (weak, strict) = (Mode::Governance, Mode::Compliance);
        let cases = [
            (lock(strict, 10), lock(strict, 10), true),
            (lock(strict, 11), lock(weak, 10), true),
            (lock(weak, 11), lock(strict, 10), false),
            (lock(strict, 9), lock(strict, 10), false),
        ];
        for (has, least, covers) in cases {
            assert_eq!(has.covers(&least), covers, "{has:?} {least:?}");
        }
    }

    #[test]
    fn a_shorter_or_laxer_retention_is_recognised() {
        let now = second("2026-11-21T12:00:00Z");
        let days = |mode, days| Retention { mode, period: Period::Days(days) };
        let until = |date: &str| Retention { mode: Mode::Compliance, period: Period::Until(second(&format!("{date}T00:00:00Z"))) };
        let cases = [
            (days(Mode::Compliance, 365), days(Mode::Compliance, 365), false),
            (days(Mode::Compliance, 364), days(Mode::Compliance, 365), true),
            (days(Mode::Governance, 365), days(Mode::Compliance, 365), true),
            (days(Mode::Compliance, 30), until("2027-01-01"), true),
            (until("2027-01-01"), days(Mode::Compliance, 30), false),
        ];
        for (new, old, shorter) in cases {
            assert_eq!(new.is_shorter_than(&old, now), shorter, "{new:?} after {old:?}");
        }
    }

    #[test]
    fn the_clock_follows_the_endpoints_date() {
        let clock = Clock::default();
        assert_eq!(clock.offset_milliseconds(), None);
        clock.learn("not a date");
        assert_eq!(clock.offset_milliseconds(), None);
        clock.learn("Sun, 06 Nov 2044 08:49:37 GMT");
        let ahead = clock.now() - second("2044-11-06T08:49:37Z");
        assert!((-1..=60).contains(&ahead), "{ahead}");
    }
}
