//! How long an object is locked: the mode and the date asked for in the configuration, and what the server says it
//! stored.
//!
//! The date of `days` counts from the *endpoint's* clock (its `Date` header), since a node whose clock is wrong would
//! else lock for a wrong time; an hour is added for the upload itself, and the sum is rounded up to UTC midnight. So
//! an object is locked for at least the days asked and at most 25 hours more. Nothing here ever shortens a lock.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
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
    /// Until this date's midnight, UTC, at its beginning.
    Until(Date),
}

/// `retention` as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Written {
    mode: Mode,
    days: Option<u32>,
    until: Option<String>,
}

/// Why a retention can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetentionError {
    /// Neither or both of `days` and `until`.
    #[error("retention needs either `days` or `until`, not both and not neither")]
    OneOfDaysAndUntil,
    /// `days` out of range.
    #[error("retention.days is {0}; it can be 1 to {DAYS_MAX}")]
    Days(u32),
    /// `until` is no date.
    #[error("retention.until is {0:?}; write a date like 2032-01-01")]
    NotADate(String),
    /// `until` has come.
    #[error("retention.until {0} is not in the future; set a later date, or `days`")]
    Past(Date),
}

impl TryFrom<Written> for Retention {
    type Error = RetentionError;

    fn try_from(written: Written) -> Result<Self, RetentionError> {
        let period = match (written.days, written.until) {
            (Some(days), None) if (1..=DAYS_MAX).contains(&days) => Period::Days(days),
            (Some(days), None) => return Err(RetentionError::Days(days)),
            (None, Some(text)) => match text.parse::<Date>() {
                Ok(date) => Period::Until(date),
                Err(_) => return Err(RetentionError::NotADate(text)),
            },
            _ => return Err(RetentionError::OneOfDaysAndUntil),
        };
        Ok(Self {
            mode: written.mode,
            period,
        })
    }
}

impl Retention {
    /// The lock to ask for at `now` (Unix seconds by the endpoint's clock).
    ///
    /// # Errors
    /// [`RetentionError::Past`] when a fixed date has come: S3 takes no date that is not in the future.
    pub fn lock(&self, now: i64) -> Result<Lock, RetentionError> {
        let until = match self.period {
            Period::Days(days) => {
                let end = now
                    .saturating_add(i64::from(days) * DAY)
                    .saturating_add(MARGIN);
                end.saturating_add(DAY - 1).div_euclid(DAY) * DAY
            }
            Period::Until(date) => {
                let midnight = date
                    .to_zoned(TimeZone::UTC)
                    .map_or(i64::MIN, |at| at.timestamp().as_second());
                if midnight <= now {
                    return Err(RetentionError::Past(date));
                }
                midnight
            }
        };
        Ok(Lock {
            mode: self.mode,
            until,
        })
    }

    /// The least lock that an object stored at `stored` (Unix seconds) must have to satisfy this retention.
    pub fn least(&self, stored: i64) -> Lock {
        let until = match self.period {
            Period::Days(days) => stored.saturating_add(i64::from(days) * DAY),
            Period::Until(date) => date
                .to_zoned(TimeZone::UTC)
                .map_or(i64::MAX, |at| at.timestamp().as_second()),
        };
        Lock {
            mode: self.mode,
            until,
        }
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
        Timestamp::from_second(self.until)
            .unwrap_or(Timestamp::MAX)
            .to_string()
    }

    /// Reads what a server says, from headers or XML; `None` when it says nothing or nothing intelligible.
    pub fn parse(mode: &str, until: &str) -> Option<Self> {
        Some(Self {
            mode: Mode::parse(mode.trim())?,
            until: until.trim().parse::<Timestamp>().ok()?.as_second(),
        })
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
        Self {
            offset: AtomicI64::new(UNKNOWN),
        }
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
        node.saturating_add(self.offset_milliseconds().unwrap_or(0))
            .div_euclid(1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn read(json: &str) -> Result<Retention, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
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
            let retention = Retention {
                mode: Mode::Compliance,
                period: Period::Days(days),
            };
            let lock = retention.lock(second(now)).unwrap();
            assert_eq!(lock.until_text(), until, "{days} days from {now}");
            assert!(lock.until - second(now) >= i64::from(days) * DAY);
            assert!(lock.covers(&retention.least(second(now))));
        }
    }

    #[test]
    fn a_fixed_date_is_asked_for_as_written_until_it_has_come() {
        let retention = read(r#"{"mode": "GOVERNANCE", "until": "2032-01-01"}"#).unwrap();
        assert_eq!(
            retention
                .lock(second("2031-12-31T23:59:59Z"))
                .unwrap()
                .until_text(),
            "2032-01-01T00:00:00Z"
        );
        let error = retention
            .lock(second("2032-01-01T00:00:00Z"))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("2032-01-01") && error.contains("later date"),
            "{error}"
        );
    }

    #[test]
    fn a_retention_that_says_too_little_or_too_much_is_refused_with_the_reason() {
        let cases = [
            (r#"{"mode": "COMPLIANCE"}"#, "either `days` or `until`"),
            (
                r#"{"mode": "COMPLIANCE", "days": 1, "until": "2030-01-01"}"#,
                "either `days` or `until`",
            ),
            (r#"{"mode": "COMPLIANCE", "days": 0}"#, "1 to 36500"),
            (r#"{"mode": "COMPLIANCE", "days": 36501}"#, "1 to 36500"),
            (r#"{"mode": "COMPLIANCE", "until": "soon"}"#, "a date like"),
            (r#"{"mode": "compliance", "days": 1}"#, "COMPLIANCE"),
            (r#"{"mode": "COMPLIANCE", "years": 1}"#, "years"),
        ];
        for (json, says) in cases {
            let error = read(json).unwrap_err();
            assert!(error.contains(says), "{json}: {error}");
        }
    }

    #[test]
    fn what_the_server_says_is_read_in_every_form_servers_use() {
        let asked = Lock {
            mode: Mode::Compliance,
            until: second("2027-11-23T00:00:00Z"),
        };
        for until in [
            "2027-11-23T00:00:00Z",
            "2027-11-23T00:00:00.000Z",
            "2027-11-23T00:00:00+00:00",
        ] {
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
        let days = |mode, days| Retention {
            mode,
            period: Period::Days(days),
        };
        let until = |date: &str| Retention {
            mode: Mode::Compliance,
            period: Period::Until(date.parse().unwrap()),
        };
        let cases = [
            (
                days(Mode::Compliance, 365),
                days(Mode::Compliance, 365),
                false,
            ),
            (
                days(Mode::Compliance, 364),
                days(Mode::Compliance, 365),
                true,
            ),
            (
                days(Mode::Governance, 365),
                days(Mode::Compliance, 365),
                true,
            ),
            (days(Mode::Compliance, 30), until("2027-01-01"), true),
            (until("2027-01-01"), days(Mode::Compliance, 30), false),
        ];
        for (new, old, shorter) in cases {
            assert_eq!(
                new.is_shorter_than(&old, now),
                shorter,
                "{new:?} after {old:?}"
            );
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
