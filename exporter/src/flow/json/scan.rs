//! Finds the next byte of a string that needs a second look, eight bytes at a time in plain integers.
//!
//! This is where a flow's reading and writing spend most of their time. Most strings of a flow are 4 to 40 bytes long, for which eight bytes in
//! a register beat sixteen in a vector (measured: the vector's way through memory costs more than it saves).

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Bit 7 of each byte: the byte of `word` is below `limit` (at most 128). Exact up to the lowest hit, which is all that is asked for.
#[inline]
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(ONES * limit as u64) & !word
}

/// Bit 7 of each byte: the byte of `word` equals `byte`. Exact up to the lowest hit.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ (ONES * byte as u64), 1)
}

/// Hits on `"`, `\` and control characters. With bit 1 flipped, `"` comes to stand right behind the control characters.
#[inline]
const fn specials(word: u64) -> u64 {
    (below(word ^ (ONES * 2), 0x21) | equal(word, b'\\')) & HIGH
}

/// Hits on those, and on `<`, `>` (which differ in bit 1 alone), `&` and everything that is not ASCII.
#[inline]
const fn uncleans(word: u64) -> u64 {
    (specials(word) | equal(word | (ONES * 2), b'>') | equal(word, b'&') | word) & HIGH
}

/// Position of the first byte at or behind `from` that ends or complicates a JSON string: `"`, `\` or a control
/// character. The length of `bytes` when there is none.
#[inline]
pub fn special(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, specials)
}

/// Like [`special`], and also stops at what may have to be written as an escape: `<`, `>`, `&` and what is not ASCII.
#[inline]
pub fn unclean(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, uncleans)
}

#[inline]
fn find(bytes: &[u8], from: usize, hits: impl Fn(u64) -> u64) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hit = hits(u64::from_le_bytes(*chunk));
        if hit != 0 {
            return at + hit.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    // The end of the line: byte by byte, with padding that is no hit.
    while bytes.get(at).is_some_and(|byte| hits(u64::from(*byte) | ((ONES * 0x40) << 8)) == 0) {
        at += 1;
    }
    at.min(bytes.len())
}

/// Whether a text is written into JSON as it is, without an escape. May deny it of a text that is not ASCII.
#[inline]
pub fn is_clean(bytes: &[u8]) -> bool {
    if let Some(last) = bytes.last_chunk::<8>() {
        let mut hits = uncleans(u64::from_le_bytes(*last));
        for chunk in bytes.chunks_exact(8) {
            if let Some(chunk) = chunk.first_chunk::<8>() {
                hits |= uncleans(u64::from_le_bytes(*chunk));
            }
        }
        return hits == 0;
    }
    if let (Some(head), Some(tail)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let word = u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32;
        return uncleans(word) == 0;
    }
    let word = bytes.iter().fold(ONES * 0x40, |word, byte| word << 8 | u64::from(*byte));
    uncleans(word) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_need_an_escape_are_found_at_every_place_beside_every_neighbour() {
        for byte in 0..=255u8 {
            let is_special = matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let is_unclean = is_special || matches!(byte, b'<' | b'>' | b'&' | 0x80..);
            for place in 0..8 {
                for neighbour in [b'a', b' ', b'!', b'#', b']', b'=', b'?', b'\'', b'%', 0x7f] {
                    let mut bytes = [neighbour; 8];
                    bytes[place] = byte;
                    let word = u64::from_le_bytes(bytes);
                    let first = |hits: u64| (hits != 0).then(|| hits.trailing_zeros() as usize / 8);
                    assert_eq!(first(specials(word)), is_special.then_some(place), "{byte:#x} {neighbour:#x}");
                    assert_eq!(first(uncleans(word)), is_unclean.then_some(place), "{byte:#x} {neighbour:#x}");
                }
            }
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
