//! Timestamps and durations in CEL: years 1 to 9999, and 64 bits of nanoseconds.

use super::functions::TimePart;
use super::value::Value;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

const MIN_SECONDS: i64 = -62_135_596_800;
const MAX_SECONDS: i64 = 253_402_300_799;
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NANOS: i128 = 1_000_000_000;

type Outcome<'v> = Result<Value<'v>, String>;

/// A timestamp, if it lies in the years there are.
pub(super) fn in_range<'v>(seconds: i64, nanos: u32, ahead: i32) -> Outcome<'v> {
    if (MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        Ok(Value::Timestamp(seconds, nanos, ahead))
    } else {
        Err("timestamp outside the years 1 to 9999".to_owned())
    }
}

/// A timestamp moved by nanoseconds.
pub(super) fn shifted<'v>(seconds: i64, nanos: u32, by: i128, ahead: i32) -> Outcome<'v> {
    let total = i128::from(seconds) * NANOS + i128::from(nanos) + by;
    in_range(total.div_euclid(NANOS) as i64, total.rem_euclid(NANOS) as u32, ahead)
}

/// The duration from one timestamp to another.
pub(super) fn between<'v>(from: i64, from_nanos: u32, to: i64, to_nanos: u32) -> Outcome<'v> {
    let nanos = (i128::from(to) - i128::from(from)) * NANOS + i128::from(to_nanos) - i128::from(from_nanos);
    i64::try_from(nanos).map(Value::Duration).map_err(|_| "duration overflow".to_owned())
}

/// The date and time of a clock that is `offset` seconds ahead of UTC.
fn civil(seconds: i64, offset: i64) -> Result<DateTime, String> {
    EPOCH.checked_add(SignedDuration::from_secs(seconds + offset)).map_err(|e| e.to_string())
}

/// RFC 3339 by a clock `ahead` of UTC, with as many fraction digits as it takes.
pub(super) fn timestamp_text(seconds: i64, nanos: u32, ahead: i32) -> Result<String, String> {
    let at = civil(seconds, ahead.into())?;
    let fraction = format!(".{nanos:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let zone = match ahead {
        0 => "Z".to_owned(),
        _ => format!("{}{:02}:{:02}", if ahead < 0 { '-' } else { '+' }, ahead.abs() / 3600, ahead.abs() / 60 % 60),
    };
    Ok(format!("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{fraction}{zone}", at.year(), at.month(), at.day(), at.hour(), at.minute(), at.second()))
}

/// Reads RFC 3339, strictly: capital `T` and `Z`, two digits everywhere.
pub(super) fn parse_timestamp<'v>(text: &str) -> Outcome<'v> {
    let unreadable = || format!("{text:?} is not a timestamp such as 2026-01-02T03:04:05Z");
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !marks.iter().all(|(at, mark)| bytes.get(*at) == Some(mark)) {
        return Err(unreadable());
    }
    let parts = [(0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19)].map(|(from, to)| number(from, to));
    let [Some(year), Some(month), Some(day), Some(hour), Some(minute), Some(second)] = parts else {
        return Err(unreadable());
    };
    let mut rest = text.get(19..).ok_or_else(unreadable)?;
    let mut nanos = 0;
    if let Some(behind) = rest.strip_prefix('.') {
        let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(unreadable());
        }
        nanos = format!("{:0<9}", &behind[..digits])[..9].parse::<u32>().map_err(|_| unreadable())?;
        rest = &behind[digits..];
    }
    let offset = if rest == "Z" { 0 } else { zone_offset(rest).ok_or_else(unreadable)? };
    let civil = DateTime::new(year as i16, month as i8, day as i8, hour as i8, minute as i8, second as i8, 0).map_err(|_| unreadable())?;
    in_range(civil.duration_since(EPOCH).as_secs() - i64::from(offset), nanos, offset)
}

/// `+hh:mm` or `-hh:mm` in seconds.
fn zone_offset(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 6 && bytes[3] == b':' && matches!(bytes[0], b'+' | b'-');
    let digits = [1, 2, 4, 5].iter().all(|i| bytes.get(*i).is_some_and(u8::is_ascii_digit));
    if !shape || !digits {
        return None;
    }
    let (hours, minutes): (i32, i32) = (text[1..3].parse().ok()?, text[4..6].parse().ok()?);
    if hours > 24 || minutes > 59 {
        return None;
    }
    Some((hours * 60 + minutes) * if bytes[0] == b'-' { -60 } else { 60 })
}

/// Reads a duration as Go writes them: `1h30m`, `1.5s`, `-3ms`, `0`.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let unreadable = || format!("{text:?} is not a duration such as 1h30m or 1.5s");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(unreadable());
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let whole = rest.bytes().take_while(u8::is_ascii_digit).count();
        let fraction = rest[whole..].strip_prefix('.').map(|f| f.bytes().take_while(u8::is_ascii_digit).count());
        let number = whole + fraction.map_or(0, |digits| digits + 1);
        if whole + fraction.unwrap_or(0) == 0 || whole > 19 {
            return Err(unreadable());
        }
        let behind = &rest[number..];
        let units = [
            ("ns", 1),
            ("us", 1_000),
            ("µs", 1_000),
            ("μs", 1_000),
            ("ms", 1_000_000),
            ("s", NANOS),
            ("m", 60 * NANOS),
            ("h", 3_600 * NANOS),
        ];
        let (unit, nanos) = units.iter().find(|(unit, _)| behind.starts_with(unit)).ok_or_else(unreadable)?;
        total += rest[..whole].parse::<i128>().unwrap_or(0) * nanos;
        let mut scale = *nanos;
        let mut part = 0;
        for digit in rest.get(whole + 1..number).unwrap_or_default().bytes() {
            scale *= 10;
            if scale > NANOS * NANOS * NANOS {
                break;
            }
            part = part * 10 + i128::from(digit - b'0');
        }
        total += part * nanos / (scale / nanos);
        rest = &behind[unit.len()..];
        if rest.starts_with(|c: char| c.is_alphabetic()) {
            return Err(unreadable());
        }
    }
    i64::try_from(if negative { -total } else { total }).map_err(|_| unreadable())
}

/// A part of a duration, whole.
pub(super) fn of_duration<'v>(part: TimePart, nanos: i64) -> Outcome<'v> {
    Ok(Value::Int(match part {
        TimePart::Hours => nanos / 3_600_000_000_000,
        TimePart::Minutes => nanos / 60_000_000_000,
        TimePart::Seconds => nanos / 1_000_000_000,
        TimePart::Milliseconds => nanos / 1_000_000,
        _ => return Err("no such overload for (duration)".to_owned()),
    }))
}

/// A part of a timestamp in a time zone: a name of the system's time zone database, or `[+-]hh:mm`.
pub(super) fn of_timestamp<'v>(part: TimePart, seconds: i64, nanos: u32, zone: &str) -> Outcome<'v> {
    let at = civil(seconds, zone_ahead(zone, seconds)?)?;
    Ok(Value::Int(match part {
        TimePart::FullYear => at.year().into(),
        TimePart::Month => i64::from(at.month()) - 1,
        TimePart::DayOfYear => i64::from(at.day_of_year()) - 1,
        TimePart::DayOfMonth => i64::from(at.day()) - 1,
        TimePart::Date => at.day().into(),
        TimePart::DayOfWeek => at.weekday().to_sunday_zero_offset().into(),
        TimePart::Hours => at.hour().into(),
        TimePart::Minutes => at.minute().into(),
        TimePart::Seconds => at.second().into(),
        TimePart::Milliseconds => i64::from(nanos / 1_000_000),
    }))
}

/// How many seconds a zone is ahead of UTC at a time.
fn zone_ahead(name: &str, seconds: i64) -> Result<i64, String> {
    let unknown = || format!("there is no time zone {name:?}");
    let Some((hours, minutes)) = name.split_once(':') else {
        let zone = match name {
            "" | "UTC" => return Ok(0),
            "Local" => TimeZone::system(),
            name => TimeZone::get(name).map_err(|_| unknown())?,
        };
        // The library's last day is one short of ours; no zone changes then.
        let at = Timestamp::new(seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second()), 0).map_err(|e| e.to_string())?;
        return Ok(zone.to_offset(at).seconds().into());
    };
    let hours: i64 = hours.parse().map_err(|_| unknown())?;
    let minutes: i64 = minutes.parse().map_err(|_| unknown())?;
    let sign = if hours < 0 { -1 } else { 1 };
    let ahead =
        hours.checked_mul(60).and_then(|h| minutes.checked_mul(sign).and_then(|m| h.checked_add(m))).and_then(|m| m.checked_mul(60));
    ahead.filter(|seconds| seconds.abs() < 1 << 32).ok_or_else(unknown)
}
