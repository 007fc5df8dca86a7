//! A spool's random identity and the two names a record gets from it.
//!
//! The identity stands in object keys, uids and headers. Together with the sequence number it names a record for ever, so that numbers
//! which start again in a new folder never name two different records.

use std::fmt;
use std::str::FromStr;

/// The random identity of one spool, 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct SpoolId(pub [u8; 16]);

impl SpoolId {
    /// A new identity from the system's random numbers.
    ///
    /// # Errors
    /// If the system has no random numbers to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The name of a record in the whole world: `<32 hex digits>-<20 digits>`.
    pub fn uid(&self, sequence: u64) -> String {
        format!("{self}-{sequence:020}")
    }

    /// The record's UUID version 8 (RFC 9562 §5.8): the first 60 free bits are this identity's first 60, the last 62 the sequence number.
    pub fn uuid8(&self, sequence: u64) -> [u8; 16] {
        let head = u64::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3], self.0[4], self.0[5], self.0[6], self.0[7]]) >> 4;
        // 48 bits, the version (4 bits), 12 bits, the variant (2 bits), 62 bits.
        let high = ((head >> 12) << 16) | 0x8000 | (head & 0xfff);
        let low = (0b10 << 62) | (sequence & ((1 << 62) - 1));
        let mut uuid = [0; 16];
        uuid[..8].copy_from_slice(&high.to_be_bytes());
        uuid[8..].copy_from_slice(&low.to_be_bytes());
        uuid
    }
}

impl fmt::Display for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SpoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SpoolId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnId(text.to_owned()));
        }
        let mut id = [0; 16];
        for (at, byte) in id.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| NotAnId(text.to_owned()))?;
        }
        Ok(Self(id))
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a spool id (32 hexadecimal digits)")]
pub struct NotAnId(pub String);

impl serde::Serialize for SpoolId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for SpoolId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_read_back_from_its_parts() {
        let id = SpoolId([0xab; 16]);
        assert_eq!(id.uid(7), "abababababababababababababababab-00000000000000000007");
        assert_eq!(id.to_string().parse::<SpoolId>().unwrap(), id);
        assert!("abc".parse::<SpoolId>().is_err());
        assert!("zzababababababababababababababab".parse::<SpoolId>().is_err());
    }

    #[test]
    fn a_uuid_has_version_8_the_variant_of_the_rfc_the_id_and_the_sequence() {
        let id = SpoolId([0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let hex: String = id.uuid8(0x0102).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "123456789abc8def8000000000000102");
        assert_eq!(id.uuid8(u64::MAX)[8..], [0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }
}
