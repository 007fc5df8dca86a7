//! The mapped BPF ring, read as runs of raw bytes.
//!
//! Promises: [`Ring::peek`] lends complete, committed records only, as one contiguous slice of at most the bytes asked
//! for; nothing is given back to the kernel before [`Ring::release`]. The kernel offers the data twice in a row, so
//! that nothing wraps; the second time only a page of it is mapped, since every mapped page counts as memory of this
//! process: a record that goes over the end is read on there, and a run ends with it. One reader at a time: the type
//! is neither `Clone` nor `Sync`.
//! Release before waiting on the descriptor: the kernel wakes a reader only when it has caught up, and a reader that
//! holds its position back is either never woken (edge) or always ready (level).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::event::{BUSY, DISCARDED, RING_HEADER};

/// One ring, mapped. `Send`, so that a thread of its own can drain it.
#[derive(Debug)]
pub struct Ring {
    number: u32,
    map: OwnedFd,
    size: usize,
    page: usize,
    /// One page: the consumer position, ours to write.
    consumer: NonNull<u8>,
    /// One page with the producer position, the data, and the data's first page once more; read-only.
    producer: NonNull<u8>,
}

// SAFETY: the mappings belong to this value alone and stay valid until it is dropped, on whichever thread; all shared
// words behind them are accessed as atomics.
unsafe impl Send for Ring {}

/// A run of complete ring records, kernel record headers included.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Number of the ring it came from, from 0.
    pub ring: u32,
    /// Position of the first byte in this ring's stream of bytes; it only grows, over restarts of the daemon too.
    pub position: u64,
    /// The records, for [`crate::event::iterate`] or an intake.
    pub bytes: &'a [u8],
}

impl Batch<'_> {
    /// What to hand to [`Ring::release`] once these bytes are safe elsewhere.
    pub fn end(&self) -> u64 {
        self.position + self.bytes.len() as u64
    }
}

impl Ring {
    /// Maps the ring behind `map`, a `BPF_MAP_TYPE_RINGBUF` of `size` bytes (a power of two of at least a page).
    pub(crate) fn map(number: u32, map: OwnedFd, size: usize) -> std::io::Result<Self> {
        let page = rustix::param::page_size();
        // SAFETY: a fresh shared mapping at an address the kernel chooses; it overlaps nothing of ours. The length is
        // the one page that the ring offers for writing.
        let consumer = unsafe { mmap(std::ptr::null_mut(), page, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &map, 0)? };
        // SAFETY: as above, read-only: the producer page and the data, which the kernel lays out twice in a row.
        let producer = unsafe { mmap(std::ptr::null_mut(), size + 2 * page, ProtFlags::READ, MapFlags::SHARED, &map, page as u64) };
        let producer = match producer {
            Ok(address) => address,
            Err(error) => {
                // SAFETY: the mapping made above, not yet handed to anyone.
                unsafe { munmap(consumer, page)? };
                return Err(error.into());
            }
        };
        match (NonNull::new(consumer.cast()), NonNull::new(producer.cast())) {
            (Some(consumer), Some(producer)) => Ok(Self { number, map, size, page, consumer, producer }),
            _ => Err(std::io::Error::other("the kernel mapped a ring at address 0")),
        }
    }

    fn consumer_position(&self) -> &AtomicU64 {
        // SAFETY: the page stays mapped as long as `self`, is page-aligned, and the position is its first word
        // (`unsigned long`, 64 bits on every platform this crate builds for); the kernel only reads it.
        unsafe { self.consumer.cast::<AtomicU64>().as_ref() }
    }

    fn producer_position(&self) -> &AtomicU64 {
        // SAFETY: as above; the kernel writes it, we only load.
        unsafe { self.producer.cast::<AtomicU64>().as_ref() }
    }

    fn data(&self, position: u64) -> NonNull<u8> {
        let offset = self.page + (position as usize & (self.size - 1));
        // SAFETY: offset < page + size, inside the mapping of size + 2 * page bytes.
        unsafe { self.producer.add(offset) }
    }

    /// The next complete records, as many as fit `max_bytes` (always at least one if there is one), not yet released.
    /// `None`: nothing is complete.
    pub fn peek(&mut self, max_bytes: usize) -> Option<Batch<'_>> {
        let start = self.consumer_position().load(Ordering::Relaxed);
        let produced = self.producer_position().load(Ordering::Acquire);
        // The end of the data, where the first record that does not begin before it begins anew.
        let wrap = (start & !(self.size as u64 - 1)) + self.size as u64;
        let mut end = start;
        while end < produced.min(wrap) {
            // SAFETY: a record starts at `end`, 8-aligned and inside the data; its length word is written atomically
            // by the kernel, which clears BUSY with a full barrier after the record is complete.
            let header = unsafe { self.data(end).cast::<AtomicU32>().as_ref() }.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let length = (header & !DISCARDED) as usize;
            let next = end + (RING_HEADER + length).next_multiple_of(8) as u64;
            let too_much = next - start > max_bytes as u64 && end > start;
            // No record of ours is near a page.
            if too_much || next > wrap + self.page as u64 {
                break;
            }
            end = next;
        }
        if end == start {
            return None;
        }
        let length = (end - start) as usize;
        // SAFETY: start..end lies between the consumer and the producer position, so the kernel will not write there
        // until `release`, which needs `&mut self` and so the end of this borrow; it ends at most a page behind the
        // data's end, where the mapping has the data's first page again. Every byte was initialised by the kernel.
        let bytes = unsafe { std::slice::from_raw_parts(self.data(start).as_ptr(), length) };
        Some(Batch { ring: self.number, position: start, bytes })
    }

    /// Gives everything before `position` ([`Batch::end`]) back to the kernel. Positions behind the current one or
    /// ahead of what was produced are ignored.
    pub fn release(&mut self, position: u64) {
        let consumer = self.consumer_position();
        let within = consumer.load(Ordering::Relaxed) <= position && position <= self.producer_position().load(Ordering::Acquire);
        if within {
            consumer.store(position, Ordering::Release);
            // The kernel compares this position when it commits a record, to decide whether to wake us; without the
            // full fence it and we could each miss the other's store.
            fence(Ordering::SeqCst);
        }
    }

    /// Number of this ring, from 0.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where the next record starts in this ring's stream of bytes.
    pub fn position(&self) -> u64 {
        self.consumer_position().load(Ordering::Relaxed)
    }

    /// Bytes produced and not yet released.
    pub fn unread(&self) -> u64 {
        self.producer_position().load(Ordering::Acquire).saturating_sub(self.position())
    }

    /// Capacity in bytes.
    pub fn size(&self) -> u64 {
        self.size as u64
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }
}

impl AsRawFd for Ring {
    fn as_raw_fd(&self) -> RawFd {
        self.map.as_raw_fd()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: both mappings were made by `map` with these lengths, and no borrow of them outlives `self`.
        let unmapped =
            unsafe { (munmap(self.consumer.as_ptr().cast(), self.page), munmap(self.producer.as_ptr().cast(), self.size + 2 * self.page)) };
        if unmapped.0.is_err() || unmapped.1.is_err() {
            tracing::warn!(ring = self.number, "the mapped ring could not be unmapped");
        }
    }
}
