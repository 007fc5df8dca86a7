//! Finds the next byte of a string that needs a second look, sixteen bytes at a time.
//!
//! This is where a flow's reading and writing spend most of their time. The comparisons are written without branches, so that the
//! compiler makes vector instructions of them on every processor it knows, without a line of unsafe code.

/// Position of the first byte at or behind `from` that ends or complicates a JSON string: `"`, `\` or a control
/// character. The length of `bytes` when there is none.
#[inline]
pub fn special(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, is_special)
}

/// Like [`special`], and also stops at what is written as an escape: `<`, `>`, `&`, and 0xE2, with which U+2028 and U+2029
/// begin.
#[inline]
pub fn unclean(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, is_unclean)
}

#[inline]
fn find(bytes: &[u8], from: usize, hit: impl Fn(u8) -> bool) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
        let hits = hits(*chunk, &hit);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 16;
    }
    while bytes.get(at).is_some_and(|byte| !hit(*byte)) {
        at += 1;
    }
    at.min(bytes.len())
}

/// Whether a text is written into JSON as it is, without an escape.
#[inline]
pub fn is_clean(bytes: &[u8]) -> bool {
    let length = bytes.len();
    if let Some(last) = bytes.last_chunk::<16>() {
        let mut at = 0;
        while at + 16 < length {
            match bytes.get(at..).and_then(|rest| rest.first_chunk::<16>()) {
                Some(chunk) if hits(*chunk, is_unclean) == 0 => at += 16,
                _ => return false,
            }
        }
        return hits(*last, is_unclean) == 0;
    }
    // Shorter texts: two overlapping halves in one chunk; the padding is clean.
    let mut chunk = [b' '; 16];
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        chunk[..8].copy_from_slice(head);
        chunk[8..].copy_from_slice(tail);
    } else if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        chunk[..4].copy_from_slice(head);
        chunk[4..8].copy_from_slice(tail);
    } else {
        for (to, from) in chunk.iter_mut().zip(bytes) {
            *to = *from;
        }
    }
    hits(chunk, is_unclean) == 0
}

/// Sixteen answers at once: byte n of the result is 0xFF where byte n of the chunk is hit. Without a branch in `hit` this compiles to
/// vector comparisons.
#[inline]
fn hits(chunk: [u8; 16], hit: impl Fn(u8) -> bool) -> u128 {
    u128::from_le_bytes(chunk.map(|byte| if hit(byte) { 0xff } else { 0 }))
}

#[inline]
fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// `"` and `&` differ in bit 2 alone, `<` and `>` in bit 1.
#[inline]
fn is_unclean(byte: u8) -> bool {
    (byte | 4 == b'&') | (byte | 2 == b'>') | (byte == b'\\') | (byte == 0xe2) | (byte < 0x20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_need_an_escape_are_the_ones_of_the_specification() {
        for byte in 0..=255 {
            let special = matches!(byte, b'"' | b'\\' | 0..=0x1f);
            assert_eq!(is_special(byte), special, "{byte:#x}");
            assert_eq!(
                is_unclean(byte),
                special || matches!(byte, b'<' | b'>' | b'&' | 0xe2),
                "{byte:#x}"
            );
        }
    }

    #[test]
    fn the_first_hit_is_found_in_a_text_of_any_length() {
        for length in 0..70 {
            let clean = vec![b'x'; length];
            assert_eq!(special(&clean, 0), length);
            assert!(is_clean(&clean), "{length}");
            for hit in 0..length {
                let mut bytes = clean.clone();
                bytes[hit] = b'<';
                assert_eq!(special(&bytes, 0), length);
                assert_eq!(unclean(&bytes, 0), hit);
                assert!(!is_clean(&bytes), "{hit} of {length}");
                bytes[hit] = b'"';
                assert_eq!(special(&bytes, 0), hit);
                assert_eq!(special(&bytes, hit), hit);
            }
        }
        assert_eq!(special(b"abc", 7), 3);
    }
}
