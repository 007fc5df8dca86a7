//! Where the lines of a source stand, for the warning about one that can't be read: its file and line, as far as the notes in the intake tell.
//!
//! A frame of lines knows its source by the hash of the file's first line, and its place by an offset. A note says which path that is and how many lines
//! lie before; from there on lines are counted. A flow log that begins to read between two notes knows the offset alone until the next.

use std::collections::BTreeMap;
use std::fmt;

use flowlog_sinks::spool::Origin;

use super::note::SourcePosition;

/// The files that are being read.
#[derive(Debug, Default)]
pub struct Places {
    files: BTreeMap<([u8; 16], u32), File>,
}

#[derive(Debug)]
struct File {
    path: String,
    offset: u64,
    lines: u64,
}

/// The place of one line.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The file, and the number of the line counted from 1.
    line: Option<(&'p str, u64)>,
    /// Where it begins in its file, bytes.
    offset: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some((path, line)) => write!(to, "{path}:{line}"),
            None => write!(to, "byte {} of a source", self.offset),
        }
    }
}

impl Place<'_> {
    /// The place of what follows `length` bytes further, behind a line of that length.
    pub fn next(&mut self, length: usize) {
        self.offset += length as u64;
        if let Some((_, line)) = &mut self.line {
            *line += 1;
        }
    }
}

impl Places {
    /// What a note says. Files that it does not name are not read any more.
    pub fn noted(&mut self, sources: Vec<SourcePosition>) {
        let files = sources.into_iter().filter_map(|source| {
            let position = source.position()?;
            Some(((position.file, position.again), File { path: source.path, offset: position.offset, lines: position.lines }))
        });
        self.files = files.collect();
    }

    /// The place of the first line of a frame.
    #[must_use]
    pub fn first(&self, origin: &Origin) -> Place<'_> {
        let file = self.files.get(&(origin.ring_id, origin.ring)).filter(|file| file.offset == origin.ring_position);
        Place { line: file.map(|file| (file.path.as_str(), file.lines + 1)), offset: origin.ring_position }
    }

    /// Goes behind a frame.
    pub fn pass(&mut self, origin: &Origin, bytes: &[u8]) {
        if let Some(file) = self.files.get_mut(&(origin.ring_id, origin.ring)).filter(|file| file.offset == origin.ring_position) {
            file.offset += bytes.len() as u64;
            file.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::jsonl::Position;

    fn origin(ring_position: u64) -> Origin {
        Origin { ring_id: [7; 16], ring_position, ..Origin::default() }
    }

    #[test]
    fn a_line_is_named_by_file_and_number_from_the_first_note_on() {
        let mut places = Places::default();
        assert_eq!(places.first(&origin(4)).to_string(), "byte 4 of a source");
        places.noted(vec![SourcePosition::new("/x", Position { file: [7; 16], offset: 4, lines: 2, ..Position::default() })]);
        assert_eq!(places.first(&origin(4)).to_string(), "/x:3");
        places.pass(&origin(4), b"a\nb\n");
        let mut place = places.first(&origin(8));
        place.next(3);
        assert_eq!(place.to_string(), "/x:6");
        // Bytes that were lost on the way: how many lines were among them is not known.
        assert_eq!(places.first(&origin(20)).to_string(), "byte 20 of a source");
    }
}
