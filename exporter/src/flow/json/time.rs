//! RFC 3339 times: read as Go's `time.Parse` reads them, written with 0, 3, 6 or 9 digits (Hubble digest §2.2).

use super::error::{Problem, Result};
use super::reader::Reader;
use crate::flow::Timestamp;

impl Reader<'_> {
    /// Reads a time. The envelope's is the flow's in nearly every line, so the last one is remembered.
    #[inline]
    pub fn time(&mut self) -> Result<Timestamp> {
        let start = self.at;
        let text = self.text()?;
        if !text.is_empty() && text == self.last_time.0 {
            return Ok(self.last_time.1);
        }
        let time = parse(&text).ok_or_else(|| self.error_at(start, Problem::Time))?;
        if let std::borrow::Cow::Borrowed(text) = text {
            self.last_time = (text, time);
        }
        Ok(time)
    }
}

/// The time of a text, or `None` when it is not one, or is not of the years 1 to 9999 in UTC. Like Go it takes a comma for the point, an hour of
/// one digit, and offsets up to 24:60; unlike RFC 3339 no lower-case letters and no leap second.
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (year, month, day) = (number(bytes.get(..4)?)?, number(bytes.get(5..7)?)?, number(bytes.get(8..10)?)?);
    if bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') || bytes.get(10) != Some(&b'T') {
        return None;
    }
    let hour_digits = if bytes.get(12) == Some(&b':') { 1 } else { 2 };
    let hour = number(bytes.get(11..11 + hour_digits)?)?;
    let rest = bytes.get(11 + hour_digits..)?;
    let (minute, second) = (number(rest.get(1..3)?)?, number(rest.get(4..6)?)?);
    if rest.first() != Some(&b':') || rest.get(3) != Some(&b':') {
        return None;
    }
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(rest.get(6..)?)?;
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset(zone)?;
    let in_range = (Timestamp::MIN_SECONDS..=Timestamp::MAX_SECONDS).contains(&seconds);
    in_range.then_some(Timestamp { seconds, nanos })
}

/// The fraction at the start of `rest` in nanoseconds, and what follows it.
fn fraction(rest: &[u8]) -> Option<(u32, &[u8])> {
    let point = *rest.first()?;
    if !matches!(point, b'.' | b',') || !rest.get(1).is_some_and(u8::is_ascii_digit) {
        return Some((0, rest));
    }
    let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    // protojson counts digits behind a point only; Go cuts what stands behind a comma.
    if digits > 9 && point == b'.' {
        return None;
    }
    let used = digits.min(9);
    let value = rest.get(1..=used)?.iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    Some((value * 10u32.pow(9 - used as u32), rest.get(1 + digits..)?))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let (hours, minutes) = (number(zone.get(1..3)?)?, number(zone.get(4..6)?)?);
            let seconds = hours * 3600 + minutes * 60;
            (hours <= 24 && minutes <= 60).then_some(if *sign == b'+' { seconds } else { -seconds })
        }
        _ => None,
    }
}

#[inline]
fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; years start in March, so that the leap day comes last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of `days_from_civil`, for days since 0000-03-01.
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u32::from(month <= 2), month, day)
}

/// Longest text of a time: `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`.
pub const LONGEST: usize = 30;

/// Writes a time of the years 0 to 9999 into a buffer and tells its length. Other years are cut to four digits.
pub fn format(time: Timestamp, out: &mut [u8; LONGEST]) -> usize {
    // Seconds since 0000-03-01, which no year that can be written comes before.
    let seconds = time.seconds.saturating_add(719_468 * 86_400).unsigned_abs();
    let of_day = (seconds % 86_400) as u32;
    let (year, month, day) = civil_from_days((seconds / 86_400) as u32);
    *out = *b"0000-00-00T00:00:00.000000000Z";
    let year = year % 10_000;
    put_two(out, 0, year / 100);
    put_two(out, 2, year % 100);
    put_two(out, 5, month);
    put_two(out, 8, day);
    put_two(out, 11, of_day / 3600);
    put_two(out, 14, of_day / 60 % 60);
    put_two(out, 17, of_day % 60);
    if time.nanos == 0 {
        out[19] = b'Z';
        return 20;
    }
    let (micros, below_micro) = (time.nanos / 1000 % 1_000_000, time.nanos % 1000);
    let (millis, below_milli) = (micros / 1000, micros % 1000);
    put_three(out, 20, millis);
    put_three(out, 23, below_milli);
    put_three(out, 26, below_micro);
    let digits = if below_micro != 0 {
        9
    } else if below_milli != 0 {
        6
    } else {
        3
    };
    out[20 + digits] = b'Z';
    21 + digits
}

#[inline]
fn put_two(out: &mut [u8; LONGEST], at: usize, value: u32) {
    let tens = value / 10;
    out[at] = b'0' + tens as u8;
    out[at + 1] = b'0' + (value - tens * 10) as u8;
}

#[inline]
fn put_three(out: &mut [u8; LONGEST], at: usize, value: u32) {
    out[at] = b'0' + (value / 100) as u8;
    put_two(out, at + 1, value % 100);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(time: Timestamp) -> String {
        let mut out = [0; LONGEST];
        let length = format(time, &mut out);
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    #[test]
    fn times_are_read_as_go_reads_them() {
        for (given, canonical) in [
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100Z"),
            ("2026-01-02T03:04:05.000001Z", "2026-01-02T03:04:05.000001Z"),
            ("2026-01-02T03:04:05.12345678Z", "2026-01-02T03:04:05.123456780Z"),
            ("2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z"),
            ("2025-12-31T20:34:05.5-06:30", "2026-01-01T03:04:05.500Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2026-01-02T3:04:05,5Z", "2026-01-02T03:04:05.500Z"),
            ("2026-01-02T03:04:05,1234567899Z", "2026-01-02T03:04:05.123456789Z"),
        ] {
            assert_eq!(parse(given).map(text).as_deref(), Some(canonical), "{given}");
        }
        for bad in [
            "",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02t03:04:05Z",
            "2026-01-02T03:04:05z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:05.1234567890Z",
            "2026-01-02T03:04:05.Z",
            "2026-02-29T03:04:05Z",
            "2026-13-02T03:04:05Z",
            "2026-01-02T24:04:05Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T03:04:05+0200",
            "2026-01-02T03:04:05+25:00",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "0000-01-01T00:00:00Z",
            "2026-01-02T03:04:05Z ",
            "é026-01-02T03:04:05Z",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_written_time_reads_back(
            seconds in Timestamp::MIN_SECONDS..=Timestamp::MAX_SECONDS,
            nanos in prop_oneof![Just(0u32), 0..1_000_000_000u32, (0..1000u32).prop_map(|n| n * 1_000_000)],
        ) {
            let time = Timestamp { seconds, nanos };
            prop_assert_eq!(parse(&text(time)), Some(time));
        }
    }
}
