//! What a line adds up: counters that only grow within a window, and the few values that are joined rather than added.
//!
//! `Sums` is the only thing that an event changes on the hot path. Adding is associative and commutative but for `uuid`, which survives only in a
//! line made of exactly one input flow; so partial sums of a long window can be written to disk and merged in any grouping.

use flowlog_bpf::event::Count;

/// Interfaces a line can name before it says no more; a flow folded over more of them is a service, not a path.
pub const MAX_INTERFACES: usize = 4;

/// The sums of one fold group in one window. Times are Unix nanoseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// First packet covered; meaningless while `inputs` is 0.
    pub first: i64,
    /// Last packet covered.
    pub last: i64,
    /// Events or input flows that were added.
    pub inputs: u64,
    /// The counted packets: what left, was delivered, was traced or was dropped, by the line's verdict.
    pub counted: Count,
    /// Packets that entered.
    pub entered: Count,
    /// Packets that were dropped behind the egress hook.
    pub dropped_after: Count,
    /// Sightings at further interfaces, in packets.
    pub other: u64,
    /// TCP segments with SYN, FIN, RST.
    pub syn: u64,
    /// See `syn`.
    pub fin: u64,
    /// See `syn`.
    pub rst: u64,
    /// Kernel rows that began in this window.
    pub connections: u64,
    /// TCP flags, OR-ed; bits as in the TCP header.
    pub tcp_flags: u16,
    /// Input flows by direction: ingress, egress, unknown. Zero for kernel events.
    pub flows: [u64; 3],
    /// Interface indexes that saw it, unsorted, 0 = none.
    pub interfaces: [u32; MAX_INTERFACES],
}

impl Sums {
    /// Extends the covered time by `[first, last]`.
    pub fn cover(&mut self, first: i64, last: i64) {
        if self.inputs == 0 {
            (self.first, self.last) = (first, last);
        } else {
            self.first = self.first.min(first);
            self.last = self.last.max(last);
        }
        self.inputs = self.inputs.wrapping_add(1);
    }

    /// Counts what was seen at one moment behind what is covered already, be it earlier or not: the first time stays.
    pub fn follow(&mut self, time: i64) {
        let first = if self.inputs == 0 { time } else { self.first };
        self.cover(time, time);
        self.first = first;
    }

    /// Notes an interface; 0 is none.
    pub fn interface(&mut self, index: u32) {
        if index == 0 {
            return;
        }
        for slot in &mut self.interfaces {
            if *slot == index {
                return;
            }
            if *slot == 0 {
                *slot = index;
                return;
            }
        }
    }

    /// Adds other sums of the same group.
    pub fn add(&mut self, other: &Sums) {
        if other.inputs == 0 {
            return;
        }
        let inputs = self.inputs.wrapping_add(other.inputs);
        self.cover(other.first, other.last);
        self.inputs = inputs;
        self.counted.add(other.counted);
        self.entered.add(other.entered);
        self.dropped_after.add(other.dropped_after);
        self.other = self.other.wrapping_add(other.other);
        self.syn = self.syn.wrapping_add(other.syn);
        self.fin = self.fin.wrapping_add(other.fin);
        self.rst = self.rst.wrapping_add(other.rst);
        self.connections = self.connections.wrapping_add(other.connections);
        self.tcp_flags |= other.tcp_flags;
        for (mine, theirs) in self.flows.iter_mut().zip(other.flows) {
            *mine = mine.wrapping_add(theirs);
        }
        for index in other.interfaces {
            self.interface(index);
        }
    }
}

/// Takes at most `packets` packets off `from`, with their share of its bytes, and returns what was taken.
pub fn take(from: &mut Count, packets: u64) -> Count {
    if packets >= from.packets {
        return std::mem::take(from);
    }
    // The bytes of some packets of a sum are not known; their mean is the best that can be said. 128 bits: bytes × packets may pass 64.
    let bytes = (u128::from(from.bytes) * u128::from(packets) / u128::from(from.packets)) as u64;
    let taken = Count { packets, bytes };
    from.packets -= packets;
    from.bytes -= bytes;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn taking_packets_takes_their_share_of_bytes_and_leaves_the_rest() {
        let mut from = Count { packets: 4, bytes: 401 };
        assert_eq!(take(&mut from, 1), Count { packets: 1, bytes: 100 });
        assert_eq!(from, Count { packets: 3, bytes: 301 });
        assert_eq!(take(&mut from, 9), Count { packets: 3, bytes: 301 });
        assert_eq!(from, Count::default());
    }

    fn sums() -> impl Strategy<Value = Sums> {
        (0i64..1000, 0i64..1000, 0u64..3, 0u64..1000, 0u16..512, 0u32..6).prop_map(|(first, length, inputs, packets, flags, interface)| {
            let mut sums = Sums { counted: Count { packets, bytes: packets * 60 }, tcp_flags: flags, ..Sums::default() };
            if inputs > 0 {
                sums.cover(first, first + length);
                sums.inputs = inputs;
                sums.interface(interface);
            } else {
                sums = Sums::default();
            }
            sums
        })
    }

    proptest! {
        #[test]
        fn partial_sums_may_be_merged_in_any_grouping(a in sums(), b in sums(), c in sums()) {
            let mut left = a.clone();
            left.add(&b);
            left.add(&c);
            let mut tail = b.clone();
            tail.add(&c);
            let mut right = a.clone();
            right.add(&tail);
            prop_assert_eq!(left, right);
        }
    }
}
