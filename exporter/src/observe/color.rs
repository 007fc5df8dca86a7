//! Colours, and control characters that must not reach a terminal.
//!
//! Texts of a flow come from outside: a DNS name or URL may hold sequences that steer the terminal. ESC becomes `^[` and CR `\r`, as in the real
//! command; on a terminal every other control character but newline and tab is written out too.

/// Which colours are written, and for whom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Colors {
    /// Whether colours are written at all.
    pub on: bool,
    /// Whether a terminal reads it.
    pub terminal: bool,
}

/// Red.
pub const RED: u8 = b'1';
/// Green.
pub const GREEN: u8 = b'2';
/// Yellow.
pub const YELLOW: u8 = b'3';
/// Magenta.
pub const MAGENTA: u8 = b'5';
/// Cyan.
pub const CYAN: u8 = b'6';

const RESET: &[u8] = b"\x1b[0m";

impl Colors {
    /// What `--color` asks for. `NO_COLOR` and `TERM=dumb` count for `auto` only.
    pub fn choose(when: &str, terminal: bool) -> Self {
        let on = match when.to_ascii_lowercase().as_str() {
            "always" => true,
            "never" => false,
            _ => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                terminal && !no_color && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        };
        Self { on, terminal }
    }

    /// Writes something in a colour.
    pub fn write(self, color: u8, out: &mut Vec<u8>, text: impl FnOnce(&mut Vec<u8>)) {
        if self.on {
            out.extend_from_slice(&[0x1b, b'[', b'3', color, b'm']);
            text(out);
            out.extend_from_slice(RESET);
        } else {
            text(out);
        }
    }

    /// Neutralises what stands in `out` from `start` on.
    pub fn neutralise(self, out: &mut Vec<u8>, start: usize) {
        let found = match out.get(start..) {
            None => false,
            Some(text) if self.terminal => text.iter().any(|byte| is_control(*byte)) || holds_c1(text),
            Some(text) => memchr::memchr2(0x1b, b'\r', text).is_some(),
        };
        if found {
            let text = out.split_off(start);
            self.write_out(&text, out);
        }
    }

    /// As [`Colors::neutralise`], for JSON, where it is an escape that says the same. JSON leaves as they are only U+007F to U+009F.
    pub fn neutralise_json(self, out: &mut Vec<u8>, start: usize) {
        let steers = |text: &[u8]| text.contains(&0x7f) || holds_c1(text);
        if !self.terminal || !out.get(start..).is_some_and(steers) {
            return;
        }
        let text = out.split_off(start);
        let mut rest = text.as_slice();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            match (byte, behind.first()) {
                (0x7f, _) => out.extend_from_slice(b"\\u007f"),
                (0xc2, Some(second @ 0x80..=0x9f)) => {
                    out.extend_from_slice(format!("\\u{second:04x}").as_bytes());
                    rest = &behind[1..];
                }
                _ => out.push(byte),
            }
        }
    }

    #[cold]
    fn write_out(self, mut text: &[u8], out: &mut Vec<u8>) {
        while let Some((&byte, rest)) = text.split_first() {
            if self.on
                && let Some(length) = color_length(text)
            {
                out.extend_from_slice(&text[..length]);
                text = &text[length..];
                continue;
            }
            text = rest;
            match (byte, rest.first()) {
                (0x1b, _) => out.extend_from_slice(b"^["),
                (b'\r', _) => out.extend_from_slice(b"\\r"),
                (0xc2, Some(second @ 0x80..=0x9f)) if self.terminal => {
                    out.extend_from_slice(format!("\\x{second:02x}").as_bytes());
                    text = &rest[1..];
                }
                _ if self.terminal && is_control(byte) => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
                _ => out.push(byte),
            }
        }
    }
}

fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0b..=0x1f | 0x7f)
}

/// Whether a control character of U+0080 to U+009F stands in a text.
fn holds_c1(text: &[u8]) -> bool {
    text.windows(2).any(|pair| matches!(pair, [0xc2, 0x80..=0x9f]))
}

/// The length of one of our own sequences at the start of a text.
fn color_length(text: &[u8]) -> Option<usize> {
    match text {
        [0x1b, b'[', b'0', b'm', ..] => Some(RESET.len()),
        [0x1b, b'[', b'3', b'1'..=b'6', b'm', ..] => Some(5),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neutral(colors: Colors, text: &str) -> String {
        let mut out = text.as_bytes().to_vec();
        colors.neutralise(&mut out, 0);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_steers_a_terminal_is_written_out() {
        let file = Colors::default();
        assert_eq!(neutral(file, "a\x1b[2Jb\rc\x07\td"), "a^[[2Jb\\rc\x07\td");
        let terminal = Colors { on: true, terminal: true };
        let mut json = "{\"a\":\"é\u{9b}2J\u{7f}\"}".as_bytes().to_vec();
        terminal.neutralise_json(&mut json, 0);
        assert_eq!(String::from_utf8(json).unwrap(), r#"{"a":"é\u009b2J\u007f"}"#);
        assert_eq!(neutral(terminal, "\x1b[31mred\x1b[0m\x1b]0;x\x07\u{9b}2J é\n\t"), "\x1b[31mred\x1b[0m^[]0;x\\x07\\x9b2J é\n\t");
    }
}
