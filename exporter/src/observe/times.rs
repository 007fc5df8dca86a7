//! Times: as `--since` and `--until` take them, and as `--time-format` prints them. Always UTC, whatever `TZ` says, as the real command does.

use crate::flow::Timestamp;
use crate::flow::json::time;

/// How times are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `Jan  2 03:04:05.123`
    #[default]
    StampMilli,
    /// `2026-01-02`
    Day,
    /// `2026-01-02T03Z`
    Hour,
    /// `2026-01-02T03:04Z`
    Minute,
    /// `2026-01-02T03:04:05Z` with up to this many digits behind the point, zeros at the end left out.
    Rfc3339(usize),
    /// `Fri, 02 Jan 2026 03:04:05 +0000`
    Rfc1123Z,
}

impl Layout {
    /// By its name; a name that is none means the default, as in the real command.
    pub fn named(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "yearmonthday" => Self::Day,
            "yearmonthdayhour" => Self::Hour,
            "yearmonthdayhourminute" => Self::Minute,
            "rfc3339" => Self::Rfc3339(0),
            "rfc3339milli" => Self::Rfc3339(3),
            "rfc3339micro" => Self::Rfc3339(6),
            "rfc3339nano" => Self::Rfc3339(9),
            "rfc1123z" => Self::Rfc1123Z,
            _ => Self::StampMilli,
        }
    }

    /// Writes a time, cut to the layout's precision; `N/A` when there is none.
    pub fn write(self, at: Option<Timestamp>, out: &mut Vec<u8>) {
        let Some(at) = at else {
            out.extend_from_slice(b"N/A");
            return;
        };
        // All nine digits are written by having some.
        let mut text = [0; time::LONGEST];
        time::format(Timestamp { nanos: at.nanos | 1, ..at }, &mut text);
        let date = |range: std::ops::Range<usize>| &text[range];
        match self {
            Self::StampMilli => {
                out.extend_from_slice(month_name(date(5..7)));
                out.push(b' ');
                out.push(if text[8] == b'0' { b' ' } else { text[8] });
                out.push(text[9]);
                out.push(b' ');
                out.extend_from_slice(date(11..19));
                out.push(b'.');
                write_fraction(at.nanos, 3, out);
            }
            Self::Day => out.extend_from_slice(date(0..10)),
            Self::Hour => {
                out.extend_from_slice(date(0..13));
                out.push(b'Z');
            }
            Self::Minute => {
                out.extend_from_slice(date(0..16));
                out.push(b'Z');
            }
            Self::Rfc3339(digits) => {
                out.extend_from_slice(date(0..19));
                let before = out.len();
                out.push(b'.');
                write_fraction(at.nanos, digits, out);
                while out.len() > before && matches!(out.last(), Some(b'0' | b'.')) {
                    let ended = out.pop() == Some(b'.');
                    if ended {
                        break;
                    }
                }
                out.push(b'Z');
            }
            Self::Rfc1123Z => {
                const DAYS: [&[u8]; 7] = [b"Thu, ", b"Fri, ", b"Sat, ", b"Sun, ", b"Mon, ", b"Tue, ", b"Wed, "];
                let day = at.seconds.div_euclid(86_400).rem_euclid(7);
                out.extend_from_slice(DAYS[day as usize]);
                out.extend_from_slice(date(8..10));
                out.push(b' ');
                out.extend_from_slice(month_name(date(5..7)));
                out.push(b' ');
                out.extend_from_slice(date(0..4));
                out.push(b' ');
                out.extend_from_slice(date(11..19));
                out.extend_from_slice(b" +0000");
            }
        }
    }
}

const MONTHS: [&[u8]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

fn month_name(digits: &[u8]) -> &'static [u8] {
    let number = digits.iter().fold(0, |value, digit| value * 10 + usize::from(digit.wrapping_sub(b'0')));
    MONTHS.get(number.wrapping_sub(1)).copied().unwrap_or_default()
}

fn write_fraction(nanos: u32, digits: usize, out: &mut Vec<u8>) {
    let mut unit = 100_000_000;
    for _ in 0..digits {
        out.push(b'0' + (nanos / unit % 10) as u8);
        unit /= 10;
    }
}

/// A time on the command line: a duration back from `now`, or a date with more or less of a time.
///
/// # Errors
/// A text that is neither.
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(nanos) = duration(text) {
        return Ok(Timestamp::from_unix_nanos(now.unix_nanos().saturating_sub(nanos)));
    }
    let found = time::parse(text).or_else(|| shorter(text)).or_else(|| rfc1123(text));
    found.ok_or_else(|| format!("failed to convert {text} to time; write a duration back from now (5m) or a time (2006-01-02T15:04:05Z)"))
}

/// `2006-01-02`, `2006-01-02T15Z`, `2006-01-02T15:04+02:00`.
fn shorter(text: &str) -> Option<Timestamp> {
    let Some((date, rest)) = text.split_once('T') else {
        return time::parse(&format!("{text}T00:00:00Z"));
    };
    let (clock, zone) = rest.split_at(rest.find(['Z', '+', '-'])?);
    let missing = if clock.contains(':') { ":00" } else { ":00:00" };
    time::parse(&format!("{date}T{clock}{missing}{zone}"))
}

/// `Mon, 02 Jan 2006 15:04:05 -0700`. The day of the week has to be one, not the right one.
fn rfc1123(text: &str) -> Option<Timestamp> {
    let (day_name, rest) = text.split_once(", ")?;
    ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().find(|known| day_name.eq_ignore_ascii_case(known))?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, clock, zone] = parts[..] else { return None };
    let month = MONTHS.iter().position(|known| month.as_bytes().eq_ignore_ascii_case(known))? + 1;
    let (hours, minutes) = zone.split_at_checked(3)?;
    if day.len() != 2 || zone.len() != 5 || !zone.starts_with(['+', '-']) {
        return None;
    }
    time::parse(&format!("{year}-{month:02}-{day}T{clock}{hours}:{minutes}"))
}

/// A duration in Go's notation, nanoseconds: `1h30m`, `-1.5s`, `0`.
fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0_f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, behind) = rest.split_at(digits);
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let unit_length = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_length);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * scale;
        rest = behind;
    }
    if total > i64::MAX as f64 {
        return None;
    }
    Some(if negative { -(total as i64) } else { total as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(layout: Layout, time: &str) -> String {
        let mut out = Vec::new();
        layout.write(time::parse(time), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_printed_as_go_prints_them() {
        let time = "2026-01-02T03:04:05.120999999Z";
        for (name, printed) in [
            ("StampMilli", "Jan  2 03:04:05.120"),
            ("yearmonthday", "2026-01-02"),
            ("YearMonthDayHour", "2026-01-02T03Z"),
            ("YearMonthDayHourMinute", "2026-01-02T03:04Z"),
            ("RFC3339", "2026-01-02T03:04:05Z"),
            ("RFC3339Milli", "2026-01-02T03:04:05.12Z"),
            ("RFC3339Micro", "2026-01-02T03:04:05.120999Z"),
            ("RFC3339Nano", "2026-01-02T03:04:05.120999999Z"),
            ("RFC1123Z", "Fri, 02 Jan 2026 03:04:05 +0000"),
            ("nonsense", "Jan  2 03:04:05.120"),
        ] {
            assert_eq!(text(Layout::named(name), time), printed);
        }
        assert_eq!(text(Layout::Rfc3339(9), "2026-12-31T23:59:50Z"), "2026-12-31T23:59:50Z");
        assert_eq!(text(Layout::StampMilli, "1969-12-31T23:59:59Z"), "Dec 31 23:59:59.000");
        assert_eq!(text(Layout::StampMilli, ""), "N/A");
    }

    #[test]
    fn times_are_read_as_go_reads_them() {
        let now = time::parse("2026-01-02T03:04:05Z").unwrap();
        for (given, meant) in [
            ("1h4m5s", "2026-01-02T02:00:00Z"),
            ("-1.5s", "2026-01-02T03:04:06.5Z"),
            ("0", "2026-01-02T03:04:05Z"),
            ("2026-01-01", "2026-01-01T00:00:00Z"),
            ("2026-01-01T10+02:00", "2026-01-01T08:00:00Z"),
            ("2026-01-01T10:30Z", "2026-01-01T10:30:00Z"),
            ("2026-01-01T10:30:01.5Z", "2026-01-01T10:30:01.5Z"),
            ("Mon, 02 Jan 2006 15:04:05 -0700", "2006-01-02T22:04:05Z"),
        ] {
            assert_eq!(parse(given, now), Ok(time::parse(meant).unwrap()), "{given}");
        }
        for bad in ["", "-", "5", "5d", "1h-5m", "Jan  2 15:04:05.000", "2026-01-01T", "2026-13-01", "x", "5 m"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }
}
