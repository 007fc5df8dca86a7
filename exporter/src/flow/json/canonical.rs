//! Recognises an `Any` of a struct that is written the canonical way already, as flowlog's own lines are, so that it can be borrowed.
//!
//! Says yes only to what it is sure of: clean strings, keys in order, plain integers. Everything else is left to `any`, which rebuilds it.

use super::scan;
use super::slow::MAX_DEPTH;

const HEAD: &[u8] = b"{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":";

/// Length of the canonical `Any` at the start of `bytes`, if there is one.
pub fn length(bytes: &[u8]) -> Option<usize> {
    if bytes.get(..HEAD.len())? != HEAD {
        return None;
    }
    let end = object(bytes, HEAD.len(), MAX_DEPTH - 1)?;
    (bytes.get(end) == Some(&b'}')).then_some(end + 1)
}

/// The position behind the object at `at`.
fn object(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let mut at = expect(bytes, at, b'{')?;
    let mut last: Option<&[u8]> = None;
    if bytes.get(at) == Some(&b'}') {
        return Some(at + 1);
    }
    loop {
        let end = string(bytes, at)?;
        let key = bytes.get(at + 1..end - 1)?;
        if last.is_some_and(|last| last >= key) {
            return None;
        }
        last = Some(key);
        at = value(bytes, expect(bytes, end, b':')?, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b'}' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn list(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let mut at = expect(bytes, at, b'[')?;
    if bytes.get(at) == Some(&b']') {
        return Some(at + 1);
    }
    loop {
        at = value(bytes, at, depth)?;
        match bytes.get(at)? {
            b',' => at += 1,
            b']' => return Some(at + 1),
            _ => return None,
        }
    }
}

fn value(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    let word = |word: &[u8]| bytes.get(at..)?.starts_with(word).then_some(at + word.len());
    match bytes.get(at)? {
        b'"' => string(bytes, at),
        b'{' => object(bytes, at, depth),
        b'[' => list(bytes, at, depth),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        b'n' => word(b"null"),
        _ => integer(bytes, at),
    }
}

fn string(bytes: &[u8], at: usize) -> Option<usize> {
    let end = scan::unclean(bytes, expect(bytes, at, b'"')?);
    expect(bytes, end, b'"')
}

/// An integer that a double holds exactly: at most fifteen digits, no leading zero.
fn integer(bytes: &[u8], at: usize) -> Option<usize> {
    let start = at + usize::from(bytes.get(at) == Some(&b'-'));
    let digits = bytes.get(start..)?.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
    let plain = match bytes.get(start)? {
        b'0' => digits == 1 && start == at,
        _ => (1..16).contains(&digits),
    };
    plain.then_some(start + digits)
}

fn expect(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    (bytes.get(at) == Some(&byte)).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_canonical(value: &str) -> bool {
        let any = format!("{{\"@type\":\"type.googleapis.com/google.protobuf.Struct\",\"value\":{value}}}");
        match length(format!("{any},").as_bytes()) {
            Some(length) => {
                assert_eq!(length, any.len(), "{value}");
                true
            }
            None => false,
        }
    }

    #[test]
    fn what_flowlog_writes_is_recognised() {
        for value in [
            "{}",
            r#"{"bytes":0,"entered":{"bytes":12,"packets":-3},"interfaces":["eth0","lo"],"latency_ns":{"count":[],"le":[1]},"unattributed":true,"x":null}"#,
        ] {
            assert!(is_canonical(value), "{value}");
        }
    }

    #[test]
    fn what_would_be_written_otherwise_is_not() {
        for value in [
            r#"{"b":1,"a":2}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":01}"#,
            r#"{"a":-0}"#,
            r#"{"a":1234567890123456}"#,
            r#"{"a": 1}"#,
            r#"{"a":"<"}"#,
            r#"{"a":"\n"}"#,
            r#"{"a":"é"}"#,
            r#"{"a":tru}"#,
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            "[]",
            "1",
        ] {
            assert!(!is_canonical(value), "{value}");
        }
        assert!(!is_canonical(&format!("{{\"a\":{}{}}}", "[".repeat(1000), "]".repeat(1000))));
    }
}
