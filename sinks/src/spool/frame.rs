//! A frame: the unit of integrity in a log. Pure functions over bytes; nothing here touches a disk or panics.
//!
//! 40 bytes of header, little endian, then the payload:
//!
//! ```text
//! 0 magic u32 | 4 kind u8 | 5 zero [u8; 3] | 8 payload length u32 | 12 count u32 | 16 position u64 | 24 number u64
//! 32 CRC-32C of the payload u32 | 36 CRC-32C of the 36 bytes before u32
//! ```
//!
//! Both sums start from the sum of the log's id, so a frame of another log, or of a segment file's earlier life, is never taken for one
//! of this log. A frame knows its own position in the log: after damaged bytes the next frame is found by searching for a header that
//! says it belongs exactly where it was found. The header has a sum of its own so that a damaged payload still says what was lost.

use super::SpoolId;
use crc32c::crc32c_append;

/// Bytes of a frame's header.
pub const HEAD: usize = 40;
/// The largest payload, 32 MiB. A length above it is damage, and is not used to allocate.
pub const MAX_PAYLOAD: u32 = 32 << 20;
const MAGIC: [u8; 4] = *b"\xf1low";

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Records, `count` of them, numbered from `number`.
    Records = 1,
    /// Partial sums of an unfinished window: never shown to sinks.
    Hidden = 2,
    /// A commit, as JSON.
    Commit = 3,
    /// Raw bytes of a source, with their origin in front (the intake).
    Raw = 4,
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the payload is.
    pub kind: Kind,
    /// Bytes of the payload.
    pub length: u32,
    /// Records in the payload.
    pub count: u32,
    /// Where the frame begins in its log.
    pub position: u64,
    /// The sequence number of the first record, or of the next one where the frame has none.
    pub number: u64,
    /// CRC-32C of the payload.
    pub payload_crc: u32,
}

/// What the sums of a log's frames start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(u32);

impl Seed {
    /// The seed of the log with this id.
    pub fn of(id: &SpoolId) -> Self {
        Self(crc32c_append(0, &id.0))
    }

    /// The sum of a payload that lies in two parts.
    pub(super) fn sum(self, first: &[u8], second: &[u8]) -> u32 {
        crc32c_append(crc32c_append(self.0, first), second)
    }
}

impl Head {
    /// Where the frame after this one begins.
    pub fn end(&self) -> u64 {
        self.position + HEAD as u64 + u64::from(self.length)
    }

    /// The sequence number after the frame's last record.
    pub fn next_number(&self) -> u64 {
        self.number.saturating_add(u64::from(self.count))
    }

    /// The header as it is written.
    pub fn encode(&self, seed: Seed) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.length.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.count.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.payload_crc.to_le_bytes());
        let sum = crc32c_append(seed.0, &bytes[..36]);
        bytes[36..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// Reads a header that claims to begin at `position`; `None` if any bit of it is wrong or the bytes are too few.
pub fn parse_head(bytes: &[u8], position: u64, seed: Seed) -> Option<Head> {
    let bytes: &[u8; HEAD] = bytes.first_chunk()?;
    let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
    if bytes[..4] != MAGIC || long(16) != position || crc32c_append(seed.0, &bytes[..36]) != word(36) || word(8) > MAX_PAYLOAD {
        return None;
    }
    let kind = match bytes[4] {
        1 => Kind::Records,
        2 => Kind::Hidden,
        3 => Kind::Commit,
        4 => Kind::Raw,
        _ => return None,
    };
    // A position so large that the frame's end would overflow cannot have been written.
    position.checked_add(HEAD as u64 + u64::from(word(8)))?;
    Some(Head { kind, length: word(8), count: word(12), position, number: long(24), payload_crc: word(32) })
}

/// Whether a payload is the one the header was written for.
pub fn payload_fits(head: &Head, payload: &[u8], seed: Seed) -> bool {
    payload.len() == head.length as usize && seed.sum(payload, b"") == head.payload_crc
}

/// Looks for the first header in `bytes`, whose first byte lies at `position` in the log. Gives its offset in `bytes`.
pub fn find_head(bytes: &[u8], position: u64, seed: Seed) -> Option<usize> {
    memchr::memmem::find_iter(bytes, &MAGIC).find(|&at| parse_head(&bytes[at..], position.saturating_add(at as u64), seed).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seed() -> Seed {
        Seed::of(&SpoolId([7; 16]))
    }

    fn frame(position: u64, payload: &[u8]) -> Vec<u8> {
        let head = Head {
            kind: Kind::Records,
            length: payload.len() as u32,
            count: 1,
            position,
            number: 9,
            payload_crc: seed().sum(payload, b""),
        };
        [&head.encode(seed())[..], payload].concat()
    }

    proptest! {
        #[test]
        fn any_flipped_bit_of_a_frame_is_noticed(payload in prop::collection::vec(any::<u8>(), 0..200), bit in any::<prop::sample::Index>()) {
            let mut bytes = frame(1000, &payload);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let whole = parse_head(&bytes, 1000, seed()).filter(|head| payload_fits(head, &bytes[HEAD..], seed()));
            prop_assert_eq!(whole, None);
        }

        #[test]
        fn the_next_frame_is_found_behind_any_rubbish(rubbish in prop::collection::vec(any::<u8>(), 0..300), payload in prop::collection::vec(any::<u8>(), 0..50)) {
            let bytes = [rubbish.clone(), frame(50 + rubbish.len() as u64, &payload)].concat();
            prop_assert_eq!(find_head(&bytes, 50, seed()), Some(rubbish.len()));
            // The same bytes elsewhere in a log, or in another log, are rubbish too.
            prop_assert_eq!(find_head(&bytes, 51, seed()), None);
            prop_assert_eq!(find_head(&bytes, 50, Seed::of(&SpoolId([8; 16]))), None);
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let head = Head { kind: Kind::Commit, length: 5, count: 3, position: 1 << 40, number: u64::MAX - 2, payload_crc: 77 };
        assert_eq!(parse_head(&head.encode(seed()), 1 << 40, seed()), Some(head));
        assert_eq!(head.next_number(), u64::MAX);
        let head = Head { length: MAX_PAYLOAD + 1, ..head };
        assert_eq!(parse_head(&head.encode(seed()), 1 << 40, seed()), None, "a length beyond the bound is damage");
    }
}
