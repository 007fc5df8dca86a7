//! What waits: the packets of a row whose fate is open, and what was seen of them.
//!
//! A report that says both how a packet entered and how it left leaves nothing open, and the other half of a pair follows within microseconds: of a hundred
//! thousand rows few have something waiting. So it does not stand in the row but in a place that is lent to it, and lent to another row afterwards;
//! once there are enough of them, nothing is allocated.

use flowlog_bpf::event::Tcp;

use super::chunks::Chunks;
use super::fate::Fate;

/// Values that wait with the packets whose fate is open.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waiting {
    /// First packet, Unix nanoseconds; 0 when nothing waits.
    pub first: i64,
    /// Last packet.
    pub last: i64,
    /// TCP as seen where they entered.
    pub tcp: Tcp,
}

impl Waiting {
    /// Adds what waits from now on.
    pub fn join(&mut self, more: &Waiting) {
        if self.first == 0 {
            *self = *more;
            return;
        }
        self.first = self.first.min(more.first);
        self.last = self.last.max(more.last);
        self.tcp.syn = self.tcp.syn.saturating_add(more.tcp.syn);
        self.tcp.fin = self.tcp.fin.saturating_add(more.tcp.fin);
        self.tcp.rst = self.tcp.rst.saturating_add(more.tcp.rst);
        self.tcp.flags |= more.tcp.flags;
    }
}

/// What is open of one row.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// What is known of its packets' fate.
    pub fate: Fate,
    /// What waits with them.
    pub waiting: Waiting,
}

/// A place that is lent to a row; `None` where the row has nothing open.
#[derive(Clone, Copy, Debug, Default)]
pub struct PendingPlace(Option<std::num::NonZeroU32>);

/// All places of one table.
#[derive(Debug, Default)]
pub struct PendingPlaces {
    places: Chunks<Pending>,
    free: Vec<u32>,
}

impl PendingPlaces {
    /// What is there.
    #[must_use]
    pub fn get(&self, place: PendingPlace) -> Option<&Pending> {
        place.0.map(|number| &self.places[number.get() - 1])
    }

    /// Puts it there, into a new place if there is none yet; gives the place back where nothing is open any more.
    pub fn put(&mut self, place: &mut PendingPlace, pending: Pending) {
        match (place.0, pending.fate.is_open()) {
            (Some(number), true) => self.places[number.get() - 1] = pending,
            (None, true) => {
                let at = match self.free.pop() {
                    Some(at) => {
                        self.places[at] = pending;
                        at
                    }
                    None => self.places.push(pending),
                };
                place.0 = std::num::NonZeroU32::new(at + 1);
            }
            (_, false) => self.take_back(place),
        }
    }

    /// Takes the place back, whatever is there.
    pub fn take_back(&mut self, place: &mut PendingPlace) {
        self.free.extend(place.0.take().map(|number| number.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowlog_bpf::event::Count;

    #[test]
    fn a_place_is_lent_while_something_is_open_and_then_to_another() {
        let (mut places, mut one, mut other) = (PendingPlaces::default(), PendingPlace::default(), PendingPlace::default());
        let mut pending = Pending::default();
        places.put(&mut one, pending.clone());
        assert!(places.get(one).is_none());
        pending.fate.entered(Count { packets: 2, bytes: 100 }, 0);
        places.put(&mut one, pending.clone());
        assert_eq!(places.get(one).map(|pending| pending.fate.packets()), Some(2));
        pending.fate.left(2);
        places.put(&mut one, pending.clone());
        assert!(places.get(one).is_none());
        // What left ahead of its entry is kept as well.
        pending.fate.left(1);
        places.put(&mut other, pending);
        assert!(places.get(other).is_some());
        assert_eq!(places.places.len(), 1);
    }
}
