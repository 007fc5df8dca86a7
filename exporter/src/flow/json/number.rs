//! Numbers of JSON: which texts are one, which are integers, and how Go writes a double.

/// Length of the JSON number at the start of `bytes`.
pub fn token(bytes: &[u8]) -> Option<usize> {
    let digits = |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    match bytes.get(at)? {
        b'0' => at += 1,
        b'1'..=b'9' => at += digits(at),
        _ => return None,
    }
    if bytes.get(at) == Some(&b'.') && digits(at + 1) > 0 {
        at += 1 + digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if digits(at + 1 + sign) > 0 {
            at += 1 + sign + digits(at + 1 + sign);
        }
    }
    Some(at)
}

/// The value of a JSON number that is an integer: `80`, `-1`, `1.0`, `1e3`, `100e-2`. The same limits as protojson's: no
/// integer of more than 20 digits, however written.
pub fn integer(number: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(number).ok()?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = if whole == "0" { "" } else { whole };
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() && fraction.is_empty() {
        return Some(0);
    }
    let exponent: i64 = exponent.parse::<i32>().ok()?.into();
    let (places, length) = (fraction.len() as i64, whole.len() as i64);
    let mut digits = whole.to_owned();
    if exponent >= 0 {
        if places > exponent || length + exponent > 20 {
            return None;
        }
        digits.push_str(fraction);
        digits.extend((0..exponent - places).map(|_| '0'));
    } else {
        let kept = usize::try_from(length + exponent).ok()?;
        if places > 0 || digits.bytes().skip(kept).any(|digit| digit != b'0') {
            return None;
        }
        digits.truncate(kept);
    }
    let value: i128 = digits.parse().ok()?;
    Some(if negative { -value } else { value })
}

/// Appends a double as Go's JSON writes it: the shortest digits that read back, an exponent below 1e-6 and from 1e21.
pub fn write_double(value: f64, out: &mut String) {
    if value == 0.0 {
        out.push_str(if value.is_sign_negative() { "-0" } else { "0" });
        return;
    }
    let scientific = format!("{value:e}");
    let size = value.abs();
    if (1e-6..1e21).contains(&size) {
        out.push_str(&format!("{value}"));
        return;
    }
    // Rust writes `1e21`, Go `1e+21`.
    out.push_str(&match scientific.split_once('e') {
        Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
        _ => scientific,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_in_every_form_protojson_takes() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("80", 80),
            ("-7", -7),
            ("1.0", 1),
            ("1e3", 1000),
            ("1E+3", 1000),
            ("100e-2", 1),
            ("1.5e1", 15),
            ("0.00", 0),
            ("0e99", 0),
            ("0.5e1", 5),
            ("18446744073709551615", u64::MAX as i128),
            ("1.20e1", 12),
        ] {
            assert_eq!(token(text.as_bytes()), Some(text.len()), "{text}");
            assert_eq!(integer(text.as_bytes()), Some(value), "{text}");
        }
        for text in ["1.5", "1e-1", "10e-2", "1e21", "1.25e1", "0.5", "1e99999999999"] {
            assert_eq!(integer(text.as_bytes()), None, "{text}");
        }
        for text in ["", "-", "+1", ".5", "x"] {
            assert_eq!(token(text.as_bytes()), None, "{text}");
        }
        assert_eq!(token(b"007"), Some(1));
        assert_eq!(token(b"1.e"), Some(1));
    }

    #[test]
    fn doubles_are_written_like_gos() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (0.000001, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-9, "1.5e-9"),
            (9007199254740993.0, "9007199254740992"),
        ] {
            let mut out = String::new();
            write_double(value, &mut out);
            assert_eq!(out, text);
        }
    }
}
