//! From YAML 1.1, as Go reads it, to what the parser takes, which reads YAML 1.2.
//!
//! * Tabs between tokens, and before them within brackets, become spaces.
//! * A line of a quoted text that is indented less than its key is indented more; what stands before its words is no part of it.
//! * A tab in a line that is blank or a comment, outside of brackets and texts, is an error there and here.
//!
//! Only spaces are written, so a text means the same; lines stay where they are. What is no YAML at all is left to the parser.

use super::Mark;

/// The first document for the parser, or the place of a tab that may not be there.
pub(super) fn adapt(text: &str) -> Result<String, Mark> {
    let mut adapter = Adapter { out: String::with_capacity(text.len()), state: State::Block, depth: 0, column: 0, in_plain: false };
    let mut begun = false;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let word = line.trim_end();
        let open = adapter.depth > 0 || matches!(adapter.state, State::Quoted(_));
        if begun && !open && (word == "..." || word == "---" || line.starts_with("--- ")) {
            // Nobody reads on.
            adapter.out.push_str(line);
            break;
        }
        begun |= !word.is_empty() && !line.starts_with(['#', '%']);
        adapter.line(line).map_err(|column| Mark { line: number, column })?;
    }
    Ok(adapter.out)
}

/// What the end of a line left open.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Block,
    /// A text in these quotes.
    Quoted(u8),
    /// A `|` or `>` text.
    Literal,
}

struct Adapter {
    out: String,
    state: State,
    /// Brackets and braces that are open.
    depth: usize,
    /// Where the first word of the line stands that began what is open.
    column: usize,
    /// The line before ended in a text without quotes, which may go on.
    in_plain: bool,
}

impl Adapter {
    fn line(&mut self, line: &str) -> Result<(), u32> {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let (space, content) = line.split_at(indent);
        let empty = content.trim_end().is_empty();
        if self.state == State::Literal {
            let spaces = space.bytes().take_while(|byte| *byte == b' ').count();
            if empty || spaces > self.column {
                self.out.push_str(line);
                return Ok(());
            }
            self.state = State::Block;
        }
        if let State::Quoted(quote) = self.state {
            let indent = if empty { indent } else { indent.max(self.column + 1) };
            self.spaces(indent);
            return self.quoted(content, quote);
        }
        if self.depth > 0 {
            self.spaces(indent);
            self.flow(content);
            return Ok(());
        }
        if let Some(tab) = space.find('\t')
            && (empty || content.starts_with('#'))
            && !(self.in_plain && tab > self.column)
        {
            return Err(u32::try_from(tab + 1).unwrap_or(u32::MAX));
        }
        self.out.push_str(space);
        if empty {
            self.out.push_str(content);
            return Ok(());
        }
        self.in_plain = false;
        let mut rest = content;
        while let Some(after) = rest.strip_prefix(['-', '?']).filter(|after| after.starts_with([' ', '\t'])) {
            let word = after.trim_start_matches([' ', '\t']);
            self.out.push_str(&rest[..rest.len() - word.len()]);
            rest = word;
        }
        self.column = line.len() - rest.len();
        self.block(rest);
        Ok(())
    }

    fn spaces(&mut self, count: usize) {
        self.out.extend(std::iter::repeat_n(' ', count));
    }

    /// Copies up to `end`, then the white space there as spaces, and returns what follows.
    fn copy<'t>(&mut self, text: &'t str, end: usize) -> &'t str {
        let (before, after) = text.split_at(end);
        let rest = after.trim_start_matches([' ', '\t']);
        self.out.push_str(before);
        self.spaces(after.len() - rest.len());
        rest
    }

    /// What begins at a word outside of brackets.
    fn block(&mut self, mut text: &str) {
        loop {
            // A tag or an anchor stands before its value.
            while text.starts_with(['!', '&'])
                && let Some(end) = text.find([' ', '\t'])
            {
                text = self.copy(text, end);
            }
            match text.bytes().next() {
                Some(quote @ (b'"' | b'\'')) => {
                    self.out.push(char::from(quote));
                    // A tab behind a quote cannot be in an indentation.
                    let _ = self.quoted(&text[1..], quote);
                    return;
                }
                Some(b'[' | b'{') => return self.flow(text),
                Some(b'|' | b'>') => {
                    self.state = State::Literal;
                    self.out.push_str(text);
                    return;
                }
                _ => {}
            }
            let Some(colon) = key_end(text) else {
                self.in_plain = !text.starts_with('#') && !text.trim_end().is_empty();
                self.out.push_str(text);
                return;
            };
            text = self.copy(text, colon + 1);
        }
    }

    /// The rest of a text in quotes, and what follows it.
    fn quoted(&mut self, text: &str, quote: u8) -> Result<(), u32> {
        let Some(end) = quote_end(text.as_bytes(), quote) else {
            self.state = State::Quoted(quote);
            self.out.push_str(text);
            return Ok(());
        };
        self.state = State::Block;
        self.out.push_str(&text[..end]);
        let rest = &text[end..];
        if self.depth > 0 {
            self.flow(rest);
        } else if rest.trim_start_matches([' ', '\t']).starts_with(':') {
            let colon = rest.find(':').unwrap_or_default();
            let value = self.copy(rest, colon + 1);
            self.block(value);
        } else {
            self.out.push_str(rest);
        }
        Ok(())
    }

    /// What stands in brackets, or opens them.
    fn flow(&mut self, text: &str) {
        // Whether a value may begin here, and whether a comment may.
        let (mut begins, mut spaced) = (true, true);
        for (at, character) in text.char_indices() {
            match character {
                '"' | '\'' if begins => {
                    self.out.push(character);
                    let _ = self.quoted(&text[at + 1..], character as u8);
                    return;
                }
                '#' if spaced => {
                    self.out.push_str(&text[at..]);
                    return;
                }
                '\t' if begins => self.out.push(' '),
                _ => self.out.push(character),
            }
            match character {
                '[' | '{' => self.depth += 1,
                ']' | '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        self.out.push_str(&text[at + 1..]);
                        return;
                    }
                }
                _ => {}
            }
            spaced = matches!(character, ' ' | '\t');
            begins = match character {
                '[' | '{' | ',' => true,
                ':' => text[at + 1..].starts_with([' ', '\t', '\r', '\n', '"', '\'', '[', '{']),
                _ => spaced && begins,
            };
        }
    }
}

/// Where the colon behind a key without quotes stands.
fn key_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut before = b' ';
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'#' if matches!(before, b' ' | b'\t') => return None,
            b':' if bytes.get(at + 1).is_none_or(|next| matches!(next, b' ' | b'\t' | b'\r' | b'\n')) => return Some(at),
            _ => before = *byte,
        }
    }
    None
}

/// The place behind the quote that ends a text, if it ends here.
fn quote_end(text: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'\\' if quote == b'"' => 2,
            b'\'' if quote == b'\'' && text.get(at + 1) == Some(&b'\'') => 2,
            byte if *byte == quote => return Some(at + 1),
            _ => 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_changes_and_only_where_it_separates() {
        for (text, adapted) in [
            ("a:\tb\n-\tc: [d,\te]\n", "a: b\n-\tc: [d, e]\n"),
            ("a: [\n\t{b: \"x\ty\"}]\n", "a: [\n {b: \"x\ty\"}]\n"),
            ("- a: \"x\ny\"\n", "- a: \"x\n   y\"\n"),
            ("- a: 'it''s\n\n\t:\ty'\n  b:\tc\td\n", "- a: 'it''s\n\n   :\ty'\n  b: c\td\n"),
            ("a: |\n  b:\tc\n\nd: e\n", "a: |\n  b:\tc\n\nd: e\n"),
            ("a: !!str\tb # c:\td\n", "a: !!str b # c:\td\n"),
            ("\"a\":\tb\n", "\"a\": b\n"),
            ("a: don't [\n\tb\n", "a: don't [\n\tb\n"),
            ("{a: don't, b:\t'x'} \n", "{a: don't, b: 'x'} \n"),
        ] {
            assert_eq!(adapt(text).as_deref(), Ok(adapted), "{text:?}");
        }
    }

    #[test]
    fn a_tab_in_a_blank_line_or_before_a_comment_is_named() {
        for (text, line, column) in [("a: []\n\t\n", 2, 1), ("a:\n  \t# c\n  d: e\n", 2, 3), ("\t\na: b", 1, 1), ("a: b\n\t\n", 2, 1)] {
            assert_eq!(adapt(text), Err(Mark { line, column }), "{text:?}");
        }
        assert_eq!(adapt("---\na: b\n---\n\t\n").as_deref(), Ok("---\na: b\n---\n"));
        // A text without quotes may go on there.
        assert!(adapt("a: b\n  \t\nc: d\n").is_ok());
    }
}
