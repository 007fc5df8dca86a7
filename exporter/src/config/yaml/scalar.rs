//! What a plain scalar means in YAML 1.1 as Go's `yaml.v2` resolves it: truth values, null, whole numbers in four bases, floats.
//!
//! Dates stay texts, as they do there. Sexagesimal numbers (`1:30`) are texts too: that library left them out on purpose.

use super::Scalar;
use super::number::parse_go_integer;

/// The tags of the YAML schema that fix a scalar's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// No tag on a plain scalar.
    None,
    /// `!!str`, `!`, a tag of one's own, or quotes.
    Text,
    /// `!!bool`
    Bool,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!null`
    Null,
}

/// The value of a scalar, or `Err` with what its text looks like if the tag asks for something else.
pub fn resolve(tag: Tag, text: &str) -> Result<Scalar, &'static str> {
    if tag == Tag::Text {
        return Ok(Scalar::Text);
    }
    let found = plain(text);
    match (tag, found) {
        (Tag::None, _)
        | (Tag::Bool, Scalar::Bool(_))
        | (Tag::Int, Scalar::Int(_) | Scalar::Unsigned(_))
        | (Tag::Float, Scalar::Float(_))
        | (Tag::Null, Scalar::Null) => Ok(found),
        // The precision of a float is what the tag asks for.
        (Tag::Float, Scalar::Int(number)) => Ok(Scalar::Float(number as f64)),
        (_, Scalar::Bool(_)) => Err("a truth value"),
        (_, Scalar::Null) => Err("empty"),
        (_, Scalar::Text) => Err("a text"),
        (_, _) => Err("a number"),
    }
}

fn plain(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => {
            return Scalar::Float(f64::INFINITY);
        }
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.as_bytes()[0] {
        b'.' => float(text),
        b'+' | b'-' | b'0'..=b'9' => {
            let plain: String = text.chars().filter(|c| *c != '_').collect();
            parse_go_integer(&plain).unwrap_or_else(|| float(&plain))
        }
        _ => Scalar::Text,
    }
}

/// Matches `[-+]? ( .digits | digits [. digits*] ) ( e [-+]? digits )?` and a value that a double can hold.
fn float(text: &str) -> Scalar {
    let digits = |rest: &str| rest.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(rest);
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole == 0 && count == 0 {
            return Scalar::Text;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return Scalar::Text;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        if count == 0 {
            return Scalar::Text;
        }
        rest = &exponent[count..];
    }
    match text.parse::<f64>() {
        Ok(number) if rest.is_empty() && number.is_finite() => Scalar::Float(number),
        _ => Scalar::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_kubernetes() {
        let table: &[(&str, Scalar)] = &[
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("NULL", Scalar::Null),
            ("nUll", Scalar::Text),
            ("yes", Scalar::Bool(true)),
            ("y", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("tRue", Scalar::Text),
            ("0", Scalar::Int(0)),
            ("-0", Scalar::Int(0)),
            ("+12", Scalar::Int(12)),
            ("010", Scalar::Int(8)),
            ("0o17", Scalar::Int(15)),
            ("0x10", Scalar::Int(16)),
            ("-0x10", Scalar::Int(-16)),
            ("0b101", Scalar::Int(5)),
            ("1_000", Scalar::Int(1000)),
            ("08", Scalar::Float(8.0)),
            ("18446744073709551615", Scalar::Unsigned(u64::MAX)),
            ("18446744073709551616", Scalar::Float(18_446_744_073_709_551_616.0)),
            ("-9223372036854775808", Scalar::Int(i64::MIN)),
            ("10.0", Scalar::Float(10.0)),
            ("1e1", Scalar::Float(10.0)),
            ("1.", Scalar::Float(1.0)),
            (".5", Scalar::Float(0.5)),
            (".", Scalar::Text),
            ("-", Scalar::Text),
            ("1e", Scalar::Text),
            ("1e999", Scalar::Text),
            ("inf", Scalar::Text),
            (".inf", Scalar::Float(f64::INFINITY)),
            ("1:30", Scalar::Text),
            ("2023-10-09", Scalar::Text),
            ("30s", Scalar::Text),
            ("0x", Scalar::Text),
            ("x", Scalar::Text),
        ];
        for (text, expected) in table {
            assert_eq!(resolve(Tag::None, text), Ok(*expected), "{text:?}");
        }
    }

    #[test]
    fn a_tag_fixes_the_type_or_fails() {
        assert_eq!(resolve(Tag::Text, "12"), Ok(Scalar::Text));
        assert_eq!(resolve(Tag::Float, "12"), Ok(Scalar::Float(12.0)));
        assert_eq!(resolve(Tag::Int, "x"), Err("a text"));
        assert_eq!(resolve(Tag::Bool, "1"), Err("a number"));
    }
}
