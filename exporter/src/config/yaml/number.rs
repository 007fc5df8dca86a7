//! Numbers as Go writes and reads them: base prefixes on the way in, `strconv`'s shortest form on the way out.
//!
//! A number that stands where a text is wanted becomes the text Go would make of it, so `name: 1e3` is the name `1000`.

use super::Scalar;

/// A whole number in Go's notation with an optional sign: decimal, `0x`, `0o`, `0b`, or octal after a leading zero.
pub fn parse_go_integer(text: &str) -> Option<Scalar> {
    let (negative, signed, body) = match text.as_bytes().first()? {
        b'-' => (true, true, &text[1..]),
        b'+' => (false, true, &text[1..]),
        _ => (false, false, text),
    };
    let bytes = body.as_bytes();
    let (base, digits) = match (bytes.first()?, bytes.get(1)) {
        (b'0', Some(b'x' | b'X')) => (16, &body[2..]),
        (b'0', Some(b'o' | b'O')) => (8, &body[2..]),
        (b'0', Some(b'b' | b'B')) => (2, &body[2..]),
        (b'0', Some(_)) => (8, &body[1..]),
        _ => (10, body),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    match i64::try_from(magnitude) {
        Ok(number) => Some(Scalar::Int(if negative { -number } else { number })),
        Err(_) if negative && magnitude == 1 << 63 => Some(Scalar::Int(i64::MIN)),
        Err(_) if !signed => Some(Scalar::Unsigned(magnitude)),
        Err(_) => None,
    }
}

/// The whole number a JSON decoder of Go accepts for a float: it must have no fraction once written out.
pub fn integral(number: f64) -> Option<i64> {
    // Both bounds are exact doubles; the upper one is the first that no longer fits.
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    (number.fract() == 0.0 && fits).then_some(number as i64)
}

/// A float as `strconv.FormatFloat` writes it in its shortest form (`'g'`, −1), in the precision of its type: `f64` or `f32`.
pub fn format_go_float<F: Copy + Into<f64> + std::fmt::Display + std::fmt::LowerExp>(number: F) -> String {
    let wide: f64 = number.into();
    if wide.is_nan() {
        return "NaN".into();
    }
    if wide.is_infinite() {
        return if wide > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Where the precision is the shortest possible, Go decides by that of %g's default, 6.
    if (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (number, text) in [
            (10.0, "10"),
            (0.5, "0.5"),
            (-2.25, "-2.25"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e20, "1e+20"),
            (1e21, "1e+21"),
            (1e6, "1e+06"),
            (123_456_789.0, "1.23456789e+08"),
            (100_000.0, "100000"),
            (1_234_567.0, "1.234567e+06"),
            (1e100, "1e+100"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_go_float(number), text);
        }
        assert_eq!(format_go_float(18_446_744_073_709_551_616.0_f64 as f32), "1.8446744e+19");
    }

    #[test]
    fn only_whole_numbers_within_64_bits_are_integral() {
        assert_eq!(integral(10.0), Some(10));
        assert_eq!(integral(-0.0), Some(0));
        assert_eq!(integral(1.5), None);
        assert_eq!(integral(1e19), None);
        assert_eq!(integral(f64::NAN), None);
    }
}
