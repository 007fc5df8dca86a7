//! Recorded input: files of JSON lines, plain, gzip or zstd, and standard input, line by line.
//!
//! A line may have any length up to 16 MiB; a longer one is handed out cut, which makes it one that can't be read, and its rest is skipped.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::commands::Failure;

const LONGEST_LINE: u64 = 16 << 20;

/// Where a line stands.
struct Place<'p> {
    path: &'p Path,
    line: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}:{}", self.path.display(), self.line)
    }
}

/// Hands out every line of every input, without its newline, with its place. No input is standard input.
pub fn lines(inputs: &[PathBuf], each: &mut dyn FnMut(&[u8], &dyn fmt::Display)) -> Result<(), Failure> {
    let standard = [PathBuf::from("-")];
    for path in if inputs.is_empty() { &standard } else { inputs } {
        let failed = |error: io::Error| Failure::Runtime(format!("cannot read {}: {error}", path.display()));
        let mut reader = open(path).map_err(failed)?;
        let (mut line, mut place) = (Vec::new(), Place { path, line: 0 });
        loop {
            line.clear();
            let length = (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
            if length == 0 {
                break;
            }
            place.line += 1;
            if line.last() != Some(&b'\n') && length as u64 == LONGEST_LINE {
                skip_line(&mut reader).map_err(failed)?;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if !text.iter().all(u8::is_ascii_whitespace) {
                each(text, &place);
            }
        }
    }
    Ok(())
}

fn skip_line(reader: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (length, ended) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        if ended {
            return Ok(());
        }
    }
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    const BUFFER: usize = 256 * 1024;
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::with_capacity(BUFFER, io::stdin().lock())));
    }
    let file = File::open(path)?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    let reader: Box<dyn Read> = match extension {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Some("zst") => Box::new(zstd::Decoder::new(file)?),
        _ => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(BUFFER, reader)))
}
