//! zstd in the seekable format: independent frames of whole lines, and at the end a skippable frame that holds their
//! sizes, so that a reader can find a line without unpacking what is before it. Every zstd tool reads it as plain zstd.
//!
//! Format: `contrib/seekable_format/zstd_seekable_compression_format.md` of the zstd repository, version 0.1.0, without
//! per-frame checksums in the table (each frame carries zstd's own).
//!
//! The bytes are a function of the lines, the level and the zstd version; one thread, no dictionary.

use std::io::{self, Write};

use zstd::zstd_safe::CParameter;

/// Uncompressed bytes after which a frame is closed. Smaller frames seek finer; below 256 KiB the ratio suffers.
pub const FRAME_BYTES: usize = 1 << 20;

/// A skippable frame with the magic number the seekable format reserves.
const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
/// The last four bytes of a seekable file.
const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// Packs lines into `out`.
pub struct Packer<W> {
    out: W,
    compressor: zstd::bulk::Compressor<'static>,
    pending: Vec<u8>,
    packed: Vec<u8>,
    /// Compressed and uncompressed size of each frame written.
    frames: Vec<(u32, u32)>,
    written: u64,
}

impl<W: Write> Packer<W> {
    /// Starts an empty file at compression `level` (1 to 19).
    ///
    /// # Errors
    /// When zstd can't be set up (memory).
    pub fn new(out: W, level: i32) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { out, compressor, pending: Vec::new(), packed: Vec::new(), frames: Vec::new(), written: 0 })
    }

    /// Adds `line` and a newline.
    ///
    /// # Errors
    /// Those of the output.
    pub fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.pending.is_empty() && self.pending.len() + line.len() >= FRAME_BYTES {
            self.close_frame()?;
        }
        self.pending.extend_from_slice(line);
        self.pending.push(b'\n');
        Ok(())
    }

    /// Compressed bytes written so far; what is still in the open frame is not among them.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Uncompressed bytes waiting in the open frame.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Writes the last frame and the table of sizes, and returns the output and the number of frames.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.pending.is_empty() {
            self.close_frame()?;
        }
        let table = table(&self.frames)?;
        self.out.write_all(&table)?;
        Ok((self.out, self.frames.len() as u64))
    }

    fn close_frame(&mut self) -> io::Result<()> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.pending.len()));
        self.compressor.compress_to_buffer(&self.pending, &mut self.packed)?;
        self.out.write_all(&self.packed)?;
        self.frames.push((size(self.packed.len())?, size(self.pending.len())?));
        self.written += self.packed.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

/// The skippable frame at the end.
fn table(frames: &[(u32, u32)]) -> io::Result<Vec<u8>> {
    let content = frames.len() * 8 + 9;
    let mut out = Vec::with_capacity(content + 8);
    out.extend_from_slice(&SKIPPABLE_MAGIC.to_le_bytes());
    out.extend_from_slice(&size(content)?.to_le_bytes());
    for (packed, plain) in frames {
        out.extend_from_slice(&packed.to_le_bytes());
        out.extend_from_slice(&plain.to_le_bytes());
    }
    out.extend_from_slice(&size(frames.len())?.to_le_bytes());
    out.push(0);
    out.extend_from_slice(&SEEKABLE_MAGIC.to_le_bytes());
    Ok(out)
}

fn size(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a frame of 4 GiB or more"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(lines: &[Vec<u8>], level: i32) -> (Vec<u8>, u64) {
        let mut packer = Packer::new(Vec::new(), level).unwrap();
        for line in lines {
            packer.line(line).unwrap();
        }
        packer.finish().unwrap()
    }

    fn lines(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(n % 997)).into_bytes()).collect()
    }

    #[test]
    fn any_zstd_reader_gets_the_lines_back_and_packing_again_gives_the_same_bytes() {
        for count in [0, 1, 10_000] {
            let lines = lines(count);
            let (bytes, _) = pack(&lines, 3);
            let plain: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
            assert_eq!(zstd::decode_all(bytes.as_slice()).unwrap(), plain);
            assert_eq!(pack(&lines, 3).0, bytes);
        }
    }

    #[test]
    fn the_table_at_the_end_leads_to_every_frame_and_no_line_spans_two() {
        let (bytes, frames) = pack(&lines(10_000), 1);
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(word(bytes.len() - 4), SEEKABLE_MAGIC);
        assert_eq!(bytes[bytes.len() - 5], 0);
        let count = word(bytes.len() - 9) as usize;
        assert_eq!(count as u64, frames);
        assert!(count > 3);
        let table = bytes.len() - 9 - count * 8;
        assert_eq!((word(table - 8), word(table - 4) as usize), (SKIPPABLE_MAGIC, count * 8 + 9));
        let mut at = 0;
        for frame in 0..count {
            let (packed, plain) = (word(table + frame * 8) as usize, word(table + frame * 8 + 4) as usize);
            let text = zstd::decode_all(&bytes[at..at + packed]).unwrap();
            assert_eq!(text.len(), plain);
            assert!(plain <= FRAME_BYTES && text.ends_with(b"\n") && text.starts_with(b"{"));
            at += packed;
        }
        assert_eq!(at, table - 8);
    }

    #[test]
    fn a_line_longer_than_a_frame_gets_a_frame_of_its_own() {
        let (bytes, frames) = pack(&[vec![b'a'; 10], vec![b'b'; 3 * FRAME_BYTES], vec![b'c'; 10]], 3);
        assert_eq!(frames, 3);
        assert_eq!(zstd::decode_all(bytes.as_slice()).unwrap().len(), 3 * FRAME_BYTES + 23);
    }
}
