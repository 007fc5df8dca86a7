//! The path of a URL as Go's `url.ParseRequestURI` finds it, which is what `http_path` looks at (`spec/hubble.md` §3.2).
//!
//! Own code since the crates follow the WHATWG rules, which repair what Go refuses: here a URL that Go does not parse has no path and so
//! matches nothing. Only the path is built; the host is checked, since a bad one refuses the whole URL.

use std::borrow::Cow;
use std::net::IpAddr;

/// What a percent escape may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    UserInfo,
    Host,
    Zone,
}

/// The decoded path of an absolute URI or absolute path, or `None` where Go refuses it. Bytes that are no UTF-8 become U+FFFD, one each, as
/// Go's regular expressions see them.
pub fn path(url: &str) -> Option<Cow<'_, str>> {
    if url.is_empty() || url.bytes().any(|b| b < b' ' || b == 0x7f) {
        return None;
    }
    if url == "*" {
        return Some(Cow::Borrowed("*"));
    }
    let (scheme, rest) = scheme(url)?;
    let rest = rest.split('?').next().unwrap_or_default();
    if !rest.starts_with('/') {
        // `mailto:x` is opaque and has the empty path; without a scheme it is a relative URL.
        return (!scheme.is_empty()).then_some(Cow::Borrowed(""));
    }
    let mut path = rest;
    if !scheme.is_empty()
        && let Some(behind) = rest.strip_prefix("//")
    {
        let end = behind.find('/').unwrap_or(behind.len());
        authority(scheme, &behind[..end])?;
        path = &behind[end..];
    }
    unescape(path, Part::Path)
}

/// Splits off `scheme:`; the scheme is empty when there is none.
fn scheme(url: &str) -> Option<(&str, &str)> {
    let end = url.bytes().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')));
    match end {
        Some(0) if url.starts_with(':') => None,
        Some(end) if url.as_bytes()[end] == b':' && url.as_bytes()[0].is_ascii_alphabetic() => Some((&url[..end], &url[end + 1..])),
        _ => Some(("", url)),
    }
}

fn authority(scheme: &str, text: &str) -> Option<()> {
    let (user, host) = match text.rsplit_once('@') {
        None => (None, text),
        Some((user, host)) => (Some(user), host),
    };
    self::host(scheme, host)?;
    if let Some(user) = user {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&b);
        if !user.bytes().all(allowed) {
            return None;
        }
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        unescape(name, Part::UserInfo)?;
        unescape(password, Part::UserInfo)?;
    }
    Some(())
}

fn host(scheme: &str, host: &str) -> Option<()> {
    let port = |text: &str| text.is_empty() || text.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    match host.rfind('[') {
        Some(0) => {
            let close = host.rfind(']')?;
            if !port(&host[close + 1..]) {
                return None;
            }
            literal_address(&host[1..close])
        }
        Some(_) => None,
        None => {
            if let Some(first) = host.find(':') {
                let strict = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
                let at = if strict { first } else { host.rfind(':').unwrap_or(first) };
                if !port(&host[at..]) {
                    return None;
                }
            }
            unescape(host, Part::Host).map(|_| ())
        }
    }
}

/// What stands in brackets: an IPv6 address, perhaps with a zone behind `%25`.
fn literal_address(text: &str) -> Option<()> {
    let (address, zone) = match text.find("%25") {
        None => (text, None),
        Some(at) => (&text[..at], Some(&text[at..])),
    };
    let address = unescape(address, Part::Host)?;
    if let Some(zone) = zone {
        // At least the `%` and one more.
        if unescape(zone, Part::Zone)?.len() < 2 {
            return None;
        }
    }
    matches!(address.parse(), Ok(IpAddr::V6(_))).then_some(())
}

fn unescape(text: &str, part: Part) -> Option<Cow<'_, str>> {
    let bytes = text.as_bytes();
    let strict = matches!(part, Part::Host | Part::Zone);
    let mut decoded: Vec<u8> = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            if strict && !host_byte(byte) {
                return None;
            }
            at += 1;
            continue;
        }
        let digit = |i: usize| bytes.get(i).and_then(|b| char::from(*b).to_digit(16)).map(|d| d as u8);
        let value = digit(at + 1)? << 4 | digit(at + 2)?;
        let percent = value == b'%';
        let refused = match part {
            Part::Host => value < 0x80 && !percent,
            Part::Zone => !percent && value != b' ' && !host_byte(value),
            Part::Path | Part::UserInfo => false,
        };
        if refused {
            return None;
        }
        decoded.extend_from_slice(&bytes[copied..at]);
        decoded.push(value);
        at += 3;
        copied = at;
    }
    if copied == 0 {
        return Some(Cow::Borrowed(text));
    }
    decoded.extend_from_slice(&bytes[copied..]);
    Some(Cow::Owned(replaced(&decoded)))
}

/// What may stand in a host unescaped.
fn host_byte(byte: u8) -> bool {
    !byte.is_ascii() || (byte > b' ' && byte < 0x7f && !b"#%/?@\\^`{|}".contains(&byte))
}

fn replaced(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_go_finds() {
        for (url, expected) in [
            ("/api", Some("/api")),
            ("/a%20b?x=%zz", Some("/a b")),
            ("/x#y", Some("/x#y")),
            ("/a b", Some("/a b")),
            ("//a/b", Some("//a/b")),
            ("///a", Some("///a")),
            ("http://h", Some("")),
            ("http://h?x", Some("")),
            ("http:///p", Some("/p")),
            ("http:/p", Some("/p")),
            ("HTTP://h.example/api/v1?x=/api2", Some("/api/v1")),
            ("mailto:x", Some("")),
            ("http://u:p@h:80/p", Some("/p")),
            ("http://u@v@h/p", Some("/p")),
            ("http://[::1]:80/p", Some("/p")),
            ("http://[::1%25en0]/x", Some("/x")),
            ("x://a:b:80/p", Some("/p")),
            ("http://a%C3/", Some("/")),
            ("/%FF", Some("/\u{fffd}")),
            ("/%E2%82", Some("/\u{fffd}\u{fffd}")),
            ("http://h:/p", Some("/p")),
            ("", None),
            ("*", Some("*")),
            ("*a", None),
            ("api", None),
            ("?x", None),
            (":x", None),
            ("%zz", None),
            ("/%zz", None),
            ("/%2", None),
            ("/p#%zz", None),
            ("http://a b/p", None),
            ("http://a:b/p", None),
            ("http://a:b:80/", None),
            ("http://a%41/", None),
            ("http://u p@h/p", None),
            ("http://a%zz@h/", None),
            ("http://[1.2.3.4]/", None),
            ("http://[::1/p", None),
            ("http://x[::1]/p", None),
            ("/a\tb", None),
            ("/a\u{7f}", None),
        ] {
            assert_eq!(path(url).as_deref(), expected, "{url}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_url_panics(url in ".*", odd in r"(http://)?[a%\[\]:@/?#0-9é]{0,20}") {
            path(&url);
            path(&odd);
        }
    }
}
