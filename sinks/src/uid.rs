//! The uid of one record after the other, written into the same text: [`SpoolId::uid`] without an allocation or a formatter per record.

use crate::spool::SpoolId;

/// Digits of the sequence number in a uid.
const DIGITS: usize = 20;

/// A uid of a spool's records, changed from record to record.
#[derive(Clone, Debug)]
pub struct Uid {
    spool: SpoolId,
    text: String,
}

impl Uid {
    /// For the records of this spool.
    pub fn new(spool: SpoolId) -> Uid {
        Uid { spool, text: spool.uid(0) }
    }

    /// The uid of the record with this number in this spool.
    pub fn of(&mut self, spool: SpoolId, sequence: u64) -> &str {
        if spool != self.spool {
            *self = Uid::new(spool);
        }
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(sequence);
        self.text.truncate(self.text.len() - DIGITS);
        (digits.len()..DIGITS).for_each(|_| self.text.push('0'));
        self.text.push_str(digits);
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_the_spool_says() {
        let (a, b) = (SpoolId([0x0a; 16]), SpoolId([0xff; 16]));
        let mut uid = Uid::new(a);
        for (spool, sequence) in [(a, 0), (a, u64::MAX), (a, 7), (b, 10), (a, 1_000_000)] {
            assert_eq!(uid.of(spool, sequence), spool.uid(sequence));
        }
    }
}
