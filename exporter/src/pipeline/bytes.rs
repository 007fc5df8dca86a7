//! Fixed-width little-endian values in the hidden frames of a spool. Reading is total: what is cut short gives `None`, never a panic.

use flowlog_bpf::event::Count;

/// Appends values.
pub trait Put {
    /// Appends a byte.
    fn put_u8(&mut self, value: u8);
    /// Appends a number.
    fn put_u64(&mut self, value: u64);
    /// Appends a number.
    fn put_u32(&mut self, value: u32);
    /// Appends a length and that many bytes.
    fn put_bytes(&mut self, value: &[u8]);
    /// Appends packets and bytes.
    fn put_count(&mut self, value: Count);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        // Nothing longer than a frame (32 MiB) is ever written.
        self.put_u32(value.len() as u32);
        self.extend_from_slice(value);
    }

    fn put_count(&mut self, value: Count) {
        self.put_u64(value.packets);
        self.put_u64(value.bytes);
    }
}

/// Takes values off the front.
#[derive(Clone, Copy, Debug)]
pub struct Take<'b>(pub &'b [u8]);

impl<'b> Take<'b> {
    /// A byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (&value, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(value)
    }

    /// A number.
    pub fn u64(&mut self) -> Option<u64> {
        let (value, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*value))
    }

    /// A number.
    pub fn u32(&mut self) -> Option<u32> {
        let (value, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*value))
    }

    /// A signed number.
    pub fn i64(&mut self) -> Option<i64> {
        self.u64().map(|value| value as i64)
    }

    /// Exactly `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (value, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*value)
    }

    /// A length and that many bytes.
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.u32()? as usize;
        let (value, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(value)
    }

    /// Packets and bytes.
    pub fn count(&mut self) -> Option<Count> {
        Some(Count { packets: self.u64()?, bytes: self.u64()? })
    }
}
