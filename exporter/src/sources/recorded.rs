//! Recorded input: files of JSON lines, plain, gzip or zstd (told by their first bytes), and standard input, line by line.
//!
//! A line may have any length up to 16 MiB; a longer one is handed out cut, which makes it one that can't be read, and its rest is skipped.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const LONGEST_LINE: usize = 16 << 20;
/// Bytes asked for at a time.
const BUFFER: usize = 256 * 1024;

/// Why an input can't be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct ReadError {
    path: PathBuf,
    source: io::Error,
}

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The file; `-` for standard input.
    pub path: &'p Path,
    /// Counted from 1.
    pub line: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.path.display(), self.line)
    }
}

/// Hands out every line of every input that is more than white space, without its newline, with its place. No input is standard input.
///
/// # Errors
/// When an input can't be read.
pub fn lines(inputs: &[PathBuf], each: &mut dyn FnMut(&[u8], &dyn fmt::Display)) -> Result<(), ReadError> {
    let standard = [PathBuf::from("-")];
    for path in if inputs.is_empty() { &standard } else { inputs } {
        chunks(path, &mut |chunk, first| {
            split(chunk, first, &mut |text, place| {
                if !text.iter().all(u8::is_ascii_whitespace) {
                    each(text, place);
                }
                ControlFlow::Continue(())
            })
        })?;
    }
    Ok(())
}

/// Hands out the lines of a chunk, without their ends, until it is told to stop. `first` is the place of the first one.
pub fn split(chunk: &[u8], first: Place<'_>, each: &mut dyn FnMut(&[u8], &Place<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    let (mut start, mut place) = (0, first);
    while let Some(rest) = chunk.get(start..).filter(|rest| !rest.is_empty()) {
        let (line, length) = match memchr::memchr(b'\n', rest) {
            Some(at) => (&rest[..at], at + 1),
            None => (rest, rest.len()),
        };
        each(line.strip_suffix(b"\r").unwrap_or(line), &place)?;
        place.line += 1;
        start += length;
    }
    ControlFlow::Continue(())
}

/// Hands out an input in pieces of whole lines with their newlines, until it is told to stop; the last piece may lack its newline. What a pipe has
/// delivered is handed out before more is waited for.
///
/// # Errors
/// When the input can't be read.
pub fn chunks(path: &Path, each: &mut dyn FnMut(&[u8], Place<'_>) -> ControlFlow<()>) -> Result<(), ReadError> {
    let failed = |source: io::Error| ReadError { path: path.to_owned(), source };
    let mut reader = open(path).map_err(failed)?;
    let mut place = Place { path, line: 1 };
    let mut buffer = vec![0; 2 * BUFFER];
    // Bytes of a line whose end was not read yet, and whether its beginning was handed out already.
    let (mut torn, mut cut) = (0, false);
    loop {
        if buffer.len() < torn + BUFFER {
            buffer.resize(buffer.len() * 2, 0);
        }
        let length = match reader.read(&mut buffer[torn..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(failed)?,
        };
        let filled = torn + length;
        let end = match memchr::memrchr(b'\n', &buffer[torn..filled]) {
            _ if length == 0 => filled,
            Some(at) => torn + at + 1,
            None if filled >= LONGEST_LINE => filled,
            None => 0,
        };
        let mut start = 0;
        if cut && end > 0 {
            // The rest of a line that was too long.
            start = memchr::memchr(b'\n', &buffer[..end]).map_or(end, |at| at + 1);
            cut = start == end && buffer[end - 1] != b'\n';
        }
        if start < end {
            let piece = &buffer[start..end];
            if each(piece, place).is_break() {
                return Ok(());
            }
            place.line += memchr::memchr_iter(b'\n', piece).count() as u64;
            if piece.last() != Some(&b'\n') {
                place.line += 1;
                cut = true;
            }
        }
        if length == 0 {
            return Ok(());
        }
        buffer.copy_within(end..filled, 0);
        torn = filled - end;
    }
}

/// Opens an input, decompressed.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let plain: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut start = Vec::new();
    let mut plain = BufReader::with_capacity(BUFFER, plain);
    start.extend_from_slice(plain.fill_buf()?.get(..4).unwrap_or_default());
    Ok(match start.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(plain)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::Decoder::with_buffer(plain)?),
        _ => Box::new(plain),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read(bytes: &[u8]) -> Vec<(String, String)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut found = Vec::new();
        lines(&[file.path().to_owned()], &mut |line, place| {
            let place = place.to_string().rsplit_once(':').unwrap().1.to_owned();
            found.push((place, String::from_utf8_lossy(line).into_owned()));
        })
        .unwrap();
        found
    }

    #[test]
    fn lines_come_with_their_numbers_whatever_the_file_is_compressed_with() {
        let text = b"one\n\ntwo\r\nthree";
        let expected: Vec<(String, String)> =
            [("1", "one"), ("3", "two"), ("4", "three")].map(|(n, l)| (n.to_owned(), l.to_owned())).into();
        assert_eq!(read(text), expected);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        assert_eq!(read(&gzip.finish().unwrap()), expected);
        assert_eq!(read(&zstd::encode_all(&text[..], 1).unwrap()), expected);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_its_neighbours_stay() {
        let mut text = b"before\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', LONGEST_LINE + 3 * BUFFER));
        text.extend(b"\nafter\n");
        let found = read(&text);
        assert_eq!(found.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
        assert_eq!((found[0].1.as_str(), found[2].1.as_str()), ("before", "after"));
        assert!(found[1].1.len() >= LONGEST_LINE);
    }
}
