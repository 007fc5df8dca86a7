//! A record: one encoded line, its number, and what a sink needs to route it unread. Here is also its form inside a frame.
//!
//! Form inside a frame's payload, little endian: `u32` length of the line, `u16` length of the key, `u16` length of the labels,
//! `i64` time, `u32` nudge, then key, labels, line. The sequence number is the frame's first plus the record's place in it. [`split_record`] is total:
//! any bytes give a record or `None`, never a panic.

use super::SpoolId;

/// Bytes in front of a record's key, labels and line.
pub(super) const RECORD_HEAD: usize = 20;

/// One committed record, borrowed from the reader that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The spool the sequence number counts in.
    pub spool: SpoolId,
    /// Counts up by one from 1 in each spool id.
    pub sequence: u64,
    /// The flow's time, nanoseconds since 1970 UTC.
    pub time: i64,
    /// Nanoseconds that make the time, added to it, another than that of every record shortly before, see [`Nudges`](super::nudges::Nudges).
    pub nudge: u32,
    /// The time of the commit that made the record visible, nanoseconds since 1970 UTC. Never goes backwards in a spool.
    pub commit_time: i64,
    /// What records of one connection have in common, as text (Kafka's message key). Built from the masked flow.
    pub key: &'a [u8],
    /// Values a sink may route or index by, from the masked flow; read them with [`labels`].
    pub labels: &'a [u8],
    /// The encoded line, without its newline.
    pub line: &'a [u8],
}

impl Record<'_> {
    /// The record's name in the whole world, see [`SpoolId::uid`].
    pub fn uid(&self) -> String {
        self.spool.uid(self.sequence)
    }
}

/// The path–value pairs of a labels blob: repeated `u8` length, path, `u16` little endian length, value.
/// A blob that ends inside a pair gives the pairs before it.
pub fn labels(blob: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = blob;
    std::iter::from_fn(move || {
        let (&path_length, after) = rest.split_first()?;
        let (path, after) = after.split_at_checked(usize::from(path_length))?;
        let (value_length, after) = after.split_first_chunk::<2>()?;
        let (value, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*value_length)))?;
        rest = after;
        Some((path, value))
    })
}

/// Appends one record to a payload.
pub(super) fn put_record(payload: &mut Vec<u8>, (time, nudge): (i64, u32), key: &[u8], labels: &[u8], line: &[u8]) -> Result<(), TooLarge> {
    let (Ok(line_length), Ok(key_length), Ok(labels_length)) =
        (u32::try_from(line.len()), u16::try_from(key.len()), u16::try_from(labels.len()))
    else {
        return Err(TooLarge { line: line.len(), key: key.len(), labels: labels.len() });
    };
    if line.len() > MAX_LINE {
        return Err(TooLarge { line: line.len(), key: key.len(), labels: labels.len() });
    }
    payload.reserve(RECORD_HEAD + key.len() + labels.len() + line.len());
    payload.extend_from_slice(&line_length.to_le_bytes());
    payload.extend_from_slice(&key_length.to_le_bytes());
    payload.extend_from_slice(&labels_length.to_le_bytes());
    payload.extend_from_slice(&time.to_le_bytes());
    payload.extend_from_slice(&nudge.to_le_bytes());
    payload.extend_from_slice(key);
    payload.extend_from_slice(labels);
    payload.extend_from_slice(line);
    Ok(())
}

/// The largest line a spool takes, 1 MiB. Sinks have smaller limits of their own and say so.
pub const MAX_LINE: usize = 1 << 20;

/// A record that no frame can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record too large: a line of {line} bytes (at most {MAX_LINE}), a key of {key} and labels of {labels} (at most 65535)")]
pub struct TooLarge {
    /// Bytes of the line.
    pub line: usize,
    /// Bytes of the key.
    pub key: usize,
    /// Bytes of the labels.
    pub labels: usize,
}

/// The parts of one record in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord<'a> {
    /// Nanoseconds since 1970 UTC.
    pub time: i64,
    /// See [`Record::nudge`].
    pub nudge: u32,
    /// See [`Record::key`].
    pub key: &'a [u8],
    /// See [`Record::labels`].
    pub labels: &'a [u8],
    /// See [`Record::line`].
    pub line: &'a [u8],
}

/// Splits the first record off a payload; `None` if the payload ends inside it or is empty.
pub fn split_record(payload: &[u8]) -> Option<(RawRecord<'_>, &[u8])> {
    let (line_length, rest) = payload.split_first_chunk::<4>()?;
    let (key_length, rest) = rest.split_first_chunk::<2>()?;
    let (labels_length, rest) = rest.split_first_chunk::<2>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (nudge, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_length)))?;
    let (labels, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*labels_length)))?;
    let (line, rest) = rest.split_at_checked(u32::from_le_bytes(*line_length) as usize)?;
    Some((RawRecord { time: i64::from_le_bytes(*time), nudge: u32::from_le_bytes(*nudge), key, labels, line }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back_as_they_were_put(
            records in prop::collection::vec(((any::<i64>(), any::<u32>()), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 0..40),
                prop::collection::vec(any::<u8>(), 0..300)), 0..20)
        ) {
            let mut payload = Vec::new();
            for (time, key, labels, line) in &records {
                put_record(&mut payload, *time, key, labels, line).unwrap();
            }
            let mut rest = &payload[..];
            for (time, key, labels, line) in &records {
                let (record, after) = split_record(rest).unwrap();
                prop_assert_eq!(record, RawRecord { time: time.0, nudge: time.1, key, labels, line });
                rest = after;
            }
            prop_assert!(split_record(rest).is_none());
        }

        #[test]
        fn any_bytes_give_a_record_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some((record, rest)) = split_record(&bytes) {
                prop_assert_eq!(RECORD_HEAD + record.key.len() + record.labels.len() + record.line.len() + rest.len(), bytes.len());
            }
            prop_assert!(labels(&bytes).map(|(path, value)| 3 + path.len() + value.len()).sum::<usize>() <= bytes.len());
        }
    }

    #[test]
    fn labels_end_at_a_torn_pair() {
        let blob = b"\x01a\x01\x00x\x02bc\x00\x00\x03d";
        assert_eq!(labels(blob).collect::<Vec<_>>(), [(&b"a"[..], &b"x"[..]), (b"bc", b"")]);
    }

    #[test]
    fn what_no_frame_can_hold_is_refused() {
        assert!(put_record(&mut Vec::new(), (0, 0), &[0; 65536], b"", b"").is_err());
        assert!(put_record(&mut Vec::new(), (0, 0), b"", b"", &vec![0; MAX_LINE + 1]).is_err());
        assert!(put_record(&mut Vec::new(), (0, 0), b"", b"", &vec![0; MAX_LINE]).is_ok());
    }
}
