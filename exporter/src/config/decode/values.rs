//! Durations, sizes and moments: how they are written, and what they are worth.

use std::time::Duration;

use jiff::Unit;
use jiff::civil::{DateTime, date};

use super::fields::At;
use crate::config::place::Problems;
use crate::config::types::End;
use crate::config::yaml::{Kind, Scalar};

/// A duration in Go's notation as nanoseconds, or what is wrong with it. With `days`, `d` is 24 h and `w` 7 d.
pub(crate) fn go_duration(text: &str, days: bool) -> Result<i64, &'static str> {
    let (negative, mut rest) = match text.as_bytes().first() {
        None => return Err("is empty"),
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        Some(_) => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err("is not a duration");
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = &rest[..digits(rest)];
        rest = &rest[whole.len()..];
        let fraction = rest.strip_prefix('.').map(|after| &after[..digits(after)]);
        rest = &rest[fraction.map_or(0, |fraction| fraction.len() + 1)..];
        if whole.is_empty() && fraction.unwrap_or_default().is_empty() {
            return Err("is not a duration");
        }
        let unit = &rest[..rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        let nanoseconds: u64 = match unit {
            "" => return Err("has no unit"),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" if days => 86_400_000_000_000,
            "w" if days => 604_800_000_000_000,
            _ => return Err("has an unknown unit"),
        };
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| "is too long")? };
        let part = part_of(fraction.unwrap_or_default(), nanoseconds);
        let sum = whole.checked_mul(nanoseconds).and_then(|value| value.checked_add(part)).and_then(|value| total.checked_add(value));
        total = sum.filter(|sum| *sum <= 1 << 63).ok_or("is too long")?;
    }
    match i64::try_from(total) {
        Ok(total) => Ok(if negative { -total } else { total }),
        Err(_) if negative => Ok(i64::MIN),
        Err(_) => Err("is too long"),
    }
}

/// The nanoseconds in a decimal fraction of a unit, rounded down.
fn part_of(fraction: &str, nanoseconds: u64) -> u64 {
    // Eighteen digits tell any two nanoseconds of a week apart.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let value = fraction.parse::<u128>().unwrap_or(0) * u128::from(nanoseconds) / scale;
    u64::try_from(value).unwrap_or(0)
}

/// A duration as Go prints it: `1m30s`, `1.5s`, `0s`.
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let magnitude = nanoseconds.unsigned_abs();
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let fraction = |value: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", value / unit, value % unit);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let text = match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => fraction(magnitude, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(magnitude, 1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (magnitude / 60_000_000_000, magnitude % 60_000_000_000);
            // A whole number of seconds keeps its zeros: `10s`, not `1s`.
            let seconds = if rest % 1_000_000_000 == 0 { format!("{}s", rest / 1_000_000_000) } else { fraction(rest, 1_000_000_000, "s") };
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    };
    format!("{sign}{text}")
}

/// A size in bytes: a number, or one with a unit (`64KiB`, `1GiB`, `10MB`).
pub(crate) fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..number_end].parse().ok()?;
    let unit: u64 = match text[number_end..].trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "TiB" | "Ti" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(unit)
}

/// A size in the largest binary unit that divides it.
pub(crate) fn format_size(bytes: u64) -> String {
    let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes != 0 && bytes.is_multiple_of(1 << shift)) {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// A moment in RFC 3339, with what Go allows besides: an hour of one digit, a comma before the fraction, and zones up to 24:60.
pub(crate) fn moment(text: &str) -> Option<End> {
    let hour_end = text.get(11..)?.find(':').filter(|digits| matches!(digits, 1 | 2))? + 11;
    // The fixed part with its hour in two digits, and what follows it.
    let fixed = format!("{}{:0>2}{}", text.get(..11)?, text.get(11..hour_end)?, text.get(hour_end..hour_end + 6)?);
    let rest = text.get(hour_end + 6..)?;
    let shape = fixed.as_bytes();
    let digits = |range: std::ops::Range<usize>| shape.get(range).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    let fits = separators.iter().all(|(at, byte)| shape.get(*at) == Some(byte))
        && [0..4, 5..7, 8..10, 11..13, 14..16, 17..19].into_iter().all(digits)
        && &shape[17..19] < b"60".as_slice();
    if !fits {
        return None;
    }
    let fraction = rest.strip_prefix(['.', ',']).map_or(0, |after| 1 + after.bytes().take_while(u8::is_ascii_digit).count());
    let offset = zone(rest.get(fraction..)?.as_bytes())?;
    if fraction == 1 {
        return None;
    }
    // The zone is applied here, so that every year and offset that Go accepts is.
    let civil: DateTime = fixed.parse().ok()?;
    let days = date(1970, 1, 1).until((Unit::Day, civil.date())).ok()?.get_days();
    let seconds = i64::from(days) * 86_400 + i64::from(civil.hour()) * 3600 + i64::from(civil.minute()) * 60 + i64::from(civil.second());
    let nanoseconds = rest.get(1..fraction.min(10)).map_or(0, |digits| format!("{digits:0<9}").parse().unwrap_or(0));
    // A year that nanoseconds since 1970 cannot hold stands for the end of time, or its beginning.
    let unix = seconds - offset;
    Some(End { text: text.to_owned(), unix_ns: unix.saturating_mul(1_000_000_000).saturating_add(nanoseconds) })
}

/// Seconds that a zone is ahead of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text {
        b"Z" => return Some(0),
        [b'+', h1, h2, b':', m1, m2] => (1, [h1, h2, m1, m2]),
        [b'-', h1, h2, b':', m1, m2] => (-1, [h1, h2, m1, m2]),
        _ => return None,
    };
    if !digits.iter().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let [h1, h2, m1, m2] = digits.map(|digit| i64::from(digit - b'0'));
    let (hours, minutes) = (h1 * 10 + h2, m1 * 10 + m2);
    (hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes) * 60)
}

impl At<'_> {
    /// A duration of ours: not negative, `0` without a unit, days and weeks allowed.
    pub fn duration(&self, problems: &mut Problems) -> Option<Duration> {
        let text = self.text(problems)?;
        match go_duration(&text, true).map(u64::try_from) {
            Ok(Ok(nanoseconds)) => Some(Duration::from_nanos(nanoseconds)),
            Ok(Err(_)) => {
                problems.reject(&self.place, format!("`{text}` is negative"), None);
                None
            }
            Err(why) => {
                let advice =
                    if why == "has no unit" { format!("write {text}s for seconds") } else { "write it like 500ms, 10s or 1h30m".into() };
                problems.reject(&self.place, format!("`{text}` {why}"), Some(advice));
                None
            }
        }
    }

    /// A duration within bounds.
    pub fn duration_within(&self, problems: &mut Problems, least: Duration, most: Duration) -> Option<Duration> {
        let duration = self.duration(problems)?;
        if (least..=most).contains(&duration) {
            return Some(duration);
        }
        let text = |duration: Duration| format_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
        problems.reject(&self.place, format!("{} is not between {} and {}", text(duration), text(least), text(most)), None);
        None
    }

    /// Cilium's `aggregationInterval`: Go's notation, negative allowed, `0` the only number without a unit, empty refused.
    pub fn interval(&self, problems: &mut Problems) -> Option<i64> {
        let text = match &self.node.kind {
            Kind::Scalar(Scalar::Null, _) => {
                problems.reject(&self.place, "is empty", Some("write \"0s\", or remove the key".into()));
                return None;
            }
            Kind::Scalar(Scalar::Bool(_), text) => text.clone(),
            _ => self.text(problems)?,
        };
        match go_duration(&text, false) {
            Ok(nanoseconds) => Some(nanoseconds),
            Err(why) => {
                let advice = if why == "has no unit" {
                    format!("write \"{text}s\" for seconds")
                } else {
                    "write it like \"30s\" or \"1m30s\"".into()
                };
                problems.reject(&self.place, format!("`{text}` {why}"), Some(advice));
                None
            }
        }
    }

    /// A size of at least `least` bytes.
    pub fn size(&self, problems: &mut Problems, least: u64) -> Option<u64> {
        let text = self.text(problems)?;
        match size(&text) {
            Some(bytes) if bytes >= least => Some(bytes),
            Some(_) => {
                problems.reject(&self.place, format!("`{text}` is less than {}", format_size(least)), None);
                None
            }
            None => {
                problems.reject(
                    &self.place,
                    format!("`{text}` is not a size"),
                    Some("write bytes, or a number with KiB, MiB or GiB".into()),
                );
                None
            }
        }
    }

    /// A moment in RFC 3339.
    pub fn moment(&self, problems: &mut Problems) -> Option<End> {
        let text = match &self.node.kind {
            Kind::Scalar(Scalar::Text, text) => text,
            _ => {
                self.reject(problems, "a date and time", Some("write it like \"2026-12-31T23:59:59Z\"".into()));
                return None;
            }
        };
        let end = moment(text);
        if end.is_none() {
            let advice = "write date, T, time and zone, like \"2026-12-31T23:59:59Z\"".to_owned();
            problems.reject(&self.place, format!("`{text}` is not a date and time of RFC 3339"), Some(advice));
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("-0", Ok(0)),
            ("30s", Ok(30_000_000_000)),
            ("1m30s", Ok(90_000_000_000)),
            ("-5s", Ok(-5_000_000_000)),
            ("1.5h", Ok(5_400_000_000_000)),
            (".5ms", Ok(500_000)),
            ("1.s", Ok(1_000_000_000)),
            ("3µs", Ok(3_000)),
            ("9223372036854775807ns", Ok(i64::MAX)),
            ("-9223372036854775808ns", Ok(i64::MIN)),
            ("9223372036854775808ns", Err("is too long")),
            ("30", Err("has no unit")),
            ("", Err("is empty")),
            ("s", Err("is not a duration")),
            (".s", Err("is not a duration")),
            ("-", Err("is not a duration")),
            ("1d", Err("has an unknown unit")),
            ("1s ", Err("has an unknown unit")),
            ("99999999999999999999h", Err("is too long")),
        ] {
            assert_eq!(go_duration(text, false), expected, "{text}");
        }
        assert_eq!(go_duration("1w2d", true), Ok(9 * 86_400_000_000_000));
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (10_000_000, "10ms"),
            (3_300_000_000, "3.3s"),
            (10_000_000_000, "10s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (-5_000_000_000, "-5s"),
        ] {
            assert_eq!(format_duration(nanoseconds), text);
            assert_eq!(go_duration(text, false), Ok(nanoseconds));
        }
    }

    #[test]
    fn sizes_have_binary_and_decimal_units() {
        assert_eq!(size("64KiB"), Some(65536));
        assert_eq!(size("1 GiB"), Some(1 << 30));
        assert_eq!(size("10MB"), Some(10_000_000));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!(size("1.5GiB"), None);
        assert_eq!(size("-1"), None);
        assert_eq!(format_size(1 << 30), "1GiB");
        assert_eq!(format_size(1000), "1000");
    }

    #[test]
    fn moments_are_rfc_3339_as_go_reads_it() {
        assert_eq!(moment("1970-01-01T00:00:01Z").unwrap().unix_ns, 1_000_000_000);
        assert_eq!(moment("1970-01-01T00:00:00.5Z").unwrap().unix_ns, 500_000_000);
        assert_eq!(moment("2023-10-09T23:59:59-07:00").unwrap().unix_ns, moment("2023-10-10T06:59:59Z").unwrap().unix_ns);
        assert_eq!(moment("9999-12-31T23:59:59Z").unwrap().unix_ns, i64::MAX);
        for (loose, strict) in [
            ("2023-10-09T3:59:59Z", "2023-10-09T03:59:59Z"),
            ("2023-10-09T23:59:59,5Z", "2023-10-09T23:59:59.5Z"),
            ("2023-10-09T23:59:59+24:00", "2023-10-08T23:59:59Z"),
            ("2023-10-09T23:59:59+02:60", "2023-10-09T20:59:59Z"),
        ] {
            assert_eq!(moment(loose).unwrap().unix_ns, moment(strict).unwrap().unix_ns, "{loose}");
        }
        for text in [
            "2023-10-09",
            "2023-10-09 23:59:59",
            "",
            "2023-10-09T23:59:59",
            "2023-10-09t23:59:59z",
            "2023-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2023-10-09T24:00:00Z",
            "2023-10-09T23:59:60Z",
            "2023-10-09T23:59:59.Z",
            "2023-10-09T23:59:59+24:61",
            "2023-10-09T23:59:59+25:00",
            "2023-10-09T123:59:59Z",
            "2023-10-09T:59:59Z",
            "2023-10-09T2:9:59Z",
            "9999-12-31T23:59:59Zé",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
