//! A segment: one file with a slice of a log. A header of 512 bytes, then frames.
//!
//! A log is one stream of frames with positions that count the stream's bytes. A segment holds the stream from its `base` on, up to the
//! base of the next segment; so frames can be written again into a new segment, after a failed fdatasync, without changing a byte.
//! Header, little endian:
//!
//! ```text
//! 0 "flowlog\x01" | 8 format u16 = 1 | 10 log kind u8 | 11 length of the node name u8 | 12 zero u32 | 16 id [16] | 32 base u64
//! 40 number u64 | 48 created i64 (unix ns) | 56 previous id [16] | 72 previous number u64 | 80 node name | 508 CRC-32C u32
//! ```

use super::SpoolId;
use super::frame::{HEAD, Head, Kind, MAX_PAYLOAD, Seed, find_head, parse_head, payload_fits};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of a segment's header.
pub const SEGMENT_HEAD: usize = 512;
/// The format this release writes, and the only one so far.
pub const FORMAT: u16 = 1;
const MAGIC: [u8; 8] = *b"flowlog\x01";

/// What a log is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum LogKind {
    /// Records and commits.
    Spool = 1,
    /// Raw bytes.
    Intake = 2,
}

/// A segment's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHead {
    /// What the log is for.
    pub kind: LogKind,
    /// The node that wrote it.
    pub node: String,
    /// The identity its frames count in.
    pub id: SpoolId,
    /// The position of its first frame.
    pub base: u64,
    /// The sequence number of its first record.
    pub number: u64,
    /// When it was begun, nanoseconds since 1970 UTC.
    pub created: i64,
    /// The identity before and where its numbers ended: in each segment, as the first of an identity may make room before the others. Folders that are
    /// older have it in that first one only.
    pub previous: Option<(SpoolId, u64)>,
}

/// Why a header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not a segment, or damaged.
    #[error("not a segment of flowlog, or its header is damaged")]
    Damaged,
    /// Whole, but of another release.
    #[error("segment format {0}; this release reads format {FORMAT}, use the release that wrote it to drain the folder")]
    Format(u16),
}

impl SegmentHead {
    /// The header as it is written. The node name is cut at 255 bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        let node = &self.node.as_bytes()[..self.node.len().min(255)];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[11] = node.len() as u8;
        bytes[16..32].copy_from_slice(&self.id.0);
        bytes[32..40].copy_from_slice(&self.base.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.number.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.created.to_le_bytes());
        if let Some((id, number)) = self.previous {
            bytes[56..72].copy_from_slice(&id.0);
            bytes[72..80].copy_from_slice(&number.to_le_bytes());
        }
        bytes[80..80 + node.len()].copy_from_slice(node);
        let sum = crc32c::crc32c(&bytes[..508]);
        bytes[508..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads a header from a segment's first bytes.
    ///
    /// # Errors
    /// If they are too few or damaged, or of a format this release does not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, HeadError> {
        let bytes: &[u8; SEGMENT_HEAD] = bytes.first_chunk().ok_or(HeadError::Damaged)?;
        let long = |at: usize| bytes[at..at + 8].iter().rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let id = |at: usize| SpoolId(std::array::from_fn(|index| bytes[at + index]));
        let sum = (long(504) >> 32) as u32;
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..508]) != sum {
            return Err(HeadError::Damaged);
        }
        let format = u16::from_le_bytes([bytes[8], bytes[9]]);
        if format != FORMAT {
            return Err(HeadError::Format(format));
        }
        let kind = match bytes[10] {
            1 => LogKind::Spool,
            2 => LogKind::Intake,
            _ => return Err(HeadError::Damaged),
        };
        let node = String::from_utf8_lossy(&bytes[80..80 + usize::from(bytes[11])]).into_owned();
        let previous = (id(56) != SpoolId::default()).then(|| (id(56), long(72)));
        Ok(Self { kind, node, id: id(16), base: long(32), number: long(40), created: long(48) as i64, previous })
    }
}

/// Bytes that can be read at an offset: a file, or a slice in tests, fuzzing and tools.
pub trait ReadAt {
    /// Reads up to `buffer.len()` bytes; fewer only at the end.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// One step of a [`Scan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole frame. The payload is empty when only heads are scanned.
    Frame(Head, &'a [u8]),
    /// Bytes that are no frame, up to the position where the next frame begins. With the head, where only the payload is damaged.
    Bad {
        /// Where they end.
        to: u64,
        /// The header of the damaged frame, if that much is whole.
        head: Option<Head>,
    },
}

/// Goes through a segment's frames from a position on, and over damage to the next whole header.
pub struct Scan<R> {
    source: R,
    base: u64,
    seed: Seed,
    position: u64,
    buffer: Vec<u8>,
    /// The position of `buffer`'s first byte, and how many bytes of it are filled.
    start: u64,
    filled: usize,
    /// The last frame's payload in `buffer`.
    payload: std::ops::Range<usize>,
}

/// What is read from a file at once: the usual largest frame (256 KiB of the ring or of records) with its heads, so that it is read once and not a second time
/// for its last bytes.
const CHUNK: usize = (256 << 10) + (4 << 10);

impl<R: ReadAt> Scan<R> {
    /// A scan of the segment with this base and id, from a position in it.
    pub fn new(source: R, base: u64, id: &SpoolId, position: u64) -> Self {
        Self { source, base, seed: Seed::of(id), position: position.max(base), buffer: Vec::new(), start: 0, filled: 0, payload: 0..0 }
    }

    /// Where the next piece begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The payload of the frame that [`Scan::next`] gave last, until it is called again.
    pub fn payload(&self) -> &[u8] {
        self.buffer.get(self.payload.clone()).unwrap_or(&[])
    }

    /// Goes elsewhere.
    pub fn seek(&mut self, position: u64) {
        self.position = position.max(self.base);
    }

    /// The bytes from `position` on: at least `want` of them, or as many as there are before `end`.
    fn fill(&mut self, position: u64, want: usize, end: u64) -> io::Result<&[u8]> {
        let want = want.min(usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX));
        let have = self.start <= position && position + want as u64 <= self.start + self.filled as u64;
        if !have {
            let span = want.max(CHUNK).min(usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX));
            if self.buffer.len() < span {
                self.buffer.resize(span, 0);
            }
            self.filled = 0;
            self.filled = self.source.read_at(&mut self.buffer[..span], position - self.base + SEGMENT_HEAD as u64)?;
            self.start = position;
        }
        let from = (position - self.start) as usize;
        let to = self.filled.min(from.saturating_add(usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX)));
        Ok(self.buffer.get(from..to).unwrap_or(&[]))
    }

    /// The next whole frame or the next damage, looking no further than `end`; `None` at `end`, or where the file ends sooner and holds
    /// no whole header from here on.
    ///
    /// # Errors
    /// If the file cannot be read just now; the scan stays where it is.
    pub fn next(&mut self, end: u64) -> io::Result<Option<Piece<'_>>> {
        let (position, seed) = (self.position, self.seed);
        if position >= end {
            return Ok(None);
        }
        let Some(head) = parse_head(self.fill(position, HEAD, end)?, position, seed) else {
            let to = self.find(position + 1, end)?;
            return Ok(to.map(|to| {
                self.position = to;
                Piece::Bad { to, head: None }
            }));
        };
        let size = HEAD + head.length as usize;
        let bytes = self.fill(position, size, end)?;
        if bytes.len() >= size && payload_fits(&head, &bytes[HEAD..size], seed) {
            self.position = head.end();
            let from = (position - self.start) as usize;
            self.payload = from + HEAD..from + size;
            return Ok(Some(Piece::Frame(head, self.payload())));
        }
        // The header is whole and the payload is not. Its length may be trusted if a frame follows, or if it reaches exactly the end.
        let follows = head.end() == end || self.head_at(head.end(), end)?.is_some();
        let to = if follows { Some(head.end()) } else { self.find(position + 1, end)? };
        Ok(to.map(|to| {
            self.position = to;
            Piece::Bad { to, head: Some(head) }
        }))
    }

    /// As [`Scan::next`], but only reads headers: a frame's payload is not checked, and given empty.
    ///
    /// # Errors
    /// As [`Scan::next`].
    pub fn next_head(&mut self, end: u64) -> io::Result<Option<Piece<'_>>> {
        let position = self.position;
        if position >= end {
            return Ok(None);
        }
        match self.head_at(position, end)? {
            Some(head) if head.end() <= end => {
                self.position = head.end();
                Ok(Some(Piece::Frame(head, &[])))
            }
            _ => self.next(end),
        }
    }

    fn head_at(&mut self, position: u64, end: u64) -> io::Result<Option<Head>> {
        let inside = self.start <= position && position.saturating_add(HEAD as u64) <= self.start + self.filled as u64;
        if inside {
            let seed = self.seed;
            return Ok(parse_head(self.fill(position, HEAD, end)?, position, seed));
        }
        if position.saturating_add(HEAD as u64) > end || position < self.base {
            return Ok(None);
        }
        let mut bytes = [0; HEAD];
        let count = self.source.read_at(&mut bytes, position - self.base + SEGMENT_HEAD as u64)?;
        Ok(parse_head(&bytes[..count], position, self.seed))
    }

    /// The position of the next whole header from `position` on.
    fn find(&mut self, mut position: u64, end: u64) -> io::Result<Option<u64>> {
        let seed = self.seed;
        loop {
            let bytes = self.fill(position, CHUNK, end)?;
            if let Some(at) = find_head(bytes, position, seed) {
                return Ok(Some(position + at as u64));
            }
            if bytes.len() < HEAD {
                return Ok(None);
            }
            position += (bytes.len() + 1 - HEAD) as u64;
        }
    }
}

/// Frames hold at most 32 MiB, and a scan's buffer never grows beyond one of them.
const _: () = assert!(MAX_PAYLOAD as usize + HEAD < 1 << 26);

/// Goes through the bytes of a whole segment file, as `flowlog spool verify` does and as fuzzing may: gives its header, the count of
/// whole frames by kind (records, hidden, commits, raw) and the bytes that are no frame.
///
/// # Errors
/// If the header is not one this release reads.
pub fn scan_bytes(bytes: &[u8]) -> Result<(SegmentHead, [u64; 4], u64), HeadError> {
    let head = SegmentHead::parse(bytes)?;
    let end = head.base.saturating_add((bytes.len() - SEGMENT_HEAD) as u64);
    let mut scan = Scan::new(bytes, head.base, &head.id, head.base);
    let (mut frames, mut bad) = ([0; 4], 0);
    loop {
        let from = scan.position();
        // Reading from a slice cannot fail.
        match scan.next(end) {
            Ok(Some(Piece::Frame(frame, _))) => match frame.kind {
                Kind::Records => frames[0] += 1,
                Kind::Hidden => frames[1] += 1,
                Kind::Commit => frames[2] += 1,
                Kind::Raw => frames[3] += 1,
            },
            Ok(Some(Piece::Bad { to, .. })) => bad += to - from,
            Ok(None) | Err(_) => return Ok((head, frames, bad + (end - scan.position()))),
        }
    }
}
