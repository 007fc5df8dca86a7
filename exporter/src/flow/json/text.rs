//! Strings as JSON writes and reads them: Go's escapes, with its HTML-safe ones (Hubble digest §2.2).

/// Appends `text` as a canonical JSON string, with its quotes.
pub fn quote(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '<' | '>' | '&' | '\u{0}'..='\u{1f}' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Undoes the escapes of a canonical JSON string without its quotes. Unpaired surrogates, which canonical strings
/// do not have, become U+FFFD.
pub fn unquote_inner(inner: &str) -> String {
    let mut plain = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        let kind = escape.as_bytes().get(1).copied().unwrap_or(b'\\');
        let mut used = 2;
        match kind {
            b'b' => plain.push('\u{8}'),
            b'f' => plain.push('\u{c}'),
            b'n' => plain.push('\n'),
            b'r' => plain.push('\r'),
            b't' => plain.push('\t'),
            b'u' => {
                let digits = escape.get(2..6).unwrap_or("fffd");
                let code = u32::from_str_radix(digits, 16).unwrap_or(0xfffd);
                plain.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                used = 6;
            }
            other => plain.push(char::from(other)),
        }
        rest = escape.get(used..).unwrap_or("");
    }
    plain.push_str(rest);
    plain
}
