//! The flow cache: one row per tuple the kernel reports, with everything about it that is decided once.
//!
//! Bounded. A row goes when the kernel says that its own row is freed and nothing of it waits for its fate; when the table is full the oldest idle rows
//! make room, which costs detail of attribution for what they had pending (it is settled as it looks) and loses no count.

use flowlog_bpf::event::{FlowKey, Tcp};
use hashbrown::HashTable;

use super::fold::GroupRef;
use super::identify::{Detail, Sighting};
use super::rows::Fate;

/// Rows that are looked at for one that was not used in this window.
const STRICT_STEPS: usize = 256;

/// What has been decided about one kind of sighting of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Nothing yet, or the decision is outdated.
    #[default]
    Unknown,
    /// The filters do not want it.
    Filtered,
    /// The filters need values of each event.
    PerEvent,
    /// It belongs to this line.
    Group(GroupRef),
}

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

/// One tuple.
#[derive(Debug)]
pub struct Row {
    /// The tuple.
    pub key: FlowKey,
    /// What is known of its packets' fate.
    pub fate: Fate,
    /// What waits with them.
    pub waiting: Waiting,
    /// What its line says beside the sums.
    pub detail: Detail,
    /// Interface it entered through last.
    pub entered_ifindex: u32,
    /// Interface it left through last.
    pub left_ifindex: u32,
    /// The destination is an address of this host.
    pub here: bool,
    /// The ephemeral port was removed by the kernel.
    pub folded: bool,
    /// Its beginning has been counted in a line.
    pub begun: bool,
    /// A connection on it has ended, so that a SYN opens another.
    pub ended: bool,
    /// The kernel has freed its row.
    pub gone: bool,
    /// Generation of the identities that the decisions and `here` rest on; `None` before the first look at them.
    pub generation: Option<u64>,
    /// Stands on the list of rows with something open.
    pub listed: bool,
    /// Decisions for left, delivered, traced, with the interface they were made for.
    slots: [(u32, Slot); 3],
    /// Decisions for drops. Few: one for each reason a tuple was dropped for.
    drops: Vec<(Sighting, Slot)>,
    /// Cut at which it was last used.
    used: u32,
}

impl Row {
    /// How many flows begin with this much of TCP, beside which packets are counted. A client that is busy uses a tuple again before the kernel lets its row
    /// go; then each SYN behind an end opens a connection, as far as there are ends between them.
    pub fn beginnings(&mut self, tcp: &Tcp) -> u64 {
        let ends = u64::from(tcp.fin) + u64::from(tcp.rst);
        let first = !std::mem::replace(&mut self.begun, true);
        let more = if self.ended && !first { u64::from(tcp.syn).min(ends + 1) } else { 0 };
        let beginnings = u64::from(first) + more;
        if tcp.syn > 0 || ends > 0 {
            self.ended = ends > 0 && ends >= beginnings;
        }
        beginnings
    }

    /// The decision for a sighting.
    #[must_use]
    pub fn slot(&self, sighting: Sighting) -> Slot {
        match place(sighting) {
            Some((at, ifindex)) if self.slots[at].0 == ifindex => self.slots[at].1,
            Some(_) => Slot::Unknown,
            None => self.drops.iter().find(|(known, _)| *known == sighting).map_or(Slot::Unknown, |(_, slot)| *slot),
        }
    }

    /// Keeps a decision.
    pub fn decide(&mut self, sighting: Sighting, slot: Slot) {
        match place(sighting) {
            Some((at, ifindex)) => self.slots[at] = (ifindex, slot),
            None => match self.drops.iter_mut().find(|(known, _)| *known == sighting) {
                Some((_, kept)) => *kept = slot,
                None => self.drops.push((sighting, slot)),
            },
        }
    }

    /// Drops every decision.
    pub fn forget_decisions(&mut self) {
        self.slots = Default::default();
        self.drops.clear();
    }
}

fn place(sighting: Sighting) -> Option<(usize, u32)> {
    match sighting {
        Sighting::Left { ifindex } => Some((0, ifindex)),
        Sighting::Delivered { ifindex } => Some((1, ifindex)),
        Sighting::Traced { ifindex } => Some((2, ifindex)),
        Sighting::Dropped { .. } => None,
    }
}

/// All rows of one flow log.
#[derive(Debug)]
pub struct FlowTable {
    rows: Vec<Row>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Rows with something open: looked at when a window is cut.
    open: Vec<u32>,
    most: usize,
    cut: u32,
    /// Where the search for a row that can make room goes on.
    hand: usize,
}

impl FlowTable {
    /// A table for at most `most` rows.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { rows: Vec::new(), free: Vec::new(), index: HashTable::new(), open: Vec::new(), most: most.max(16), cut: 0, hand: 0 }
    }

    /// Rows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether a new row needs [`FlowTable::make_room`] first.
    #[must_use]
    pub fn full(&self) -> bool {
        self.index.len() >= self.most
    }

    /// The row of a tuple.
    #[must_use]
    pub fn find(&self, key: &FlowKey) -> Option<u32> {
        self.index.find(hash(key), |&at| self.rows[at as usize].key == *key).copied()
    }

    /// A new row for a tuple that has none.
    pub fn make(&mut self, key: FlowKey) -> u32 {
        let row = Row {
            key,
            fate: Fate::default(),
            waiting: Waiting::default(),
            detail: Detail::default(),
            entered_ifindex: 0,
            left_ifindex: 0,
            here: false,
            folded: false,
            begun: false,
            ended: false,
            gone: false,
            generation: None,
            listed: false,
            slots: Default::default(),
            drops: Vec::new(),
            used: self.cut,
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                at
            }
            None => {
                self.rows.push(row);
                (self.rows.len() - 1) as u32
            }
        };
        let rows = &self.rows;
        self.index.insert_unique(hash(&key), at, |&at| hash(&rows[at as usize].key));
        at
    }

    /// A row by its place.
    pub fn row(&mut self, at: u32) -> &mut Row {
        let cut = self.cut;
        let row = &mut self.rows[at as usize];
        row.used = cut;
        row
    }

    /// A row by its place, without marking it used.
    #[must_use]
    pub fn peek(&self, at: u32) -> &Row {
        &self.rows[at as usize]
    }

    /// Puts a row on the list of those to look at when the window is cut.
    pub fn list(&mut self, at: u32) {
        let row = &mut self.rows[at as usize];
        if !row.listed {
            row.listed = true;
            self.open.push(at);
        }
    }

    /// Takes the list of rows to look at. The caller lists again those that stay open.
    pub fn take_open(&mut self) -> Vec<u32> {
        let open = std::mem::take(&mut self.open);
        for &at in &open {
            self.rows[at as usize].listed = false;
        }
        open
    }

    /// The rows on the list.
    pub fn open(&self) -> impl Iterator<Item = u32> + '_ {
        self.open.iter().copied()
    }

    /// Whether any row has something open.
    #[must_use]
    pub fn any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Removes a row. It must not be listed.
    pub fn remove(&mut self, at: u32) {
        let key = self.rows[at as usize].key;
        if let Ok(entry) = self.index.find_entry(hash(&key), |&other| other == at) {
            entry.remove();
            self.rows[at as usize].drops = Vec::new();
            self.rows[at as usize].detail = Detail::default();
            self.free.push(at);
        }
    }

    /// A row that can go: nothing of it is open and it was not used in this window, else any row that has nothing open. `None` where every row waits.
    pub fn make_room(&mut self) -> Option<u32> {
        // In a flood all rows were used in this window: a long search for an older one would cost every event of it.
        for (strict, steps) in [(true, self.rows.len().min(STRICT_STEPS)), (false, self.rows.len())] {
            for _ in 0..steps {
                self.hand = (self.hand + 1) % self.rows.len();
                let row = &self.rows[self.hand];
                if row.listed || (strict && row.used == self.cut) || !self.holds(self.hand as u32) {
                    continue;
                }
                return Some(self.hand as u32);
            }
        }
        None
    }

    fn holds(&self, at: u32) -> bool {
        self.index.find(hash(&self.rows[at as usize].key), |&other| other == at).is_some()
    }

    /// Begins a new window.
    pub fn next_cut(&mut self) {
        self.cut = self.cut.wrapping_add(1);
    }

    /// Drops every decision of every row: filters, mask or fold rule have changed.
    pub fn forget_decisions(&mut self) {
        self.rows.iter_mut().for_each(Row::forget_decisions);
    }

    /// Every row there is.
    pub fn all(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.iter().copied()
    }
}

fn hash(key: &FlowKey) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_that_is_used_again_begins_again_and_a_repeated_syn_does_not() {
        let mut flows = FlowTable::new(10);
        let at = flows.make(FlowKey { source: [0; 16], destination: [0; 16], source_port: 1, destination_port: 2, protocol: 6, family: 4 });
        let reports = [(1, 0, 1), (1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (1, 1, 1), (2, 1, 2), (1, 0, 0), (0, 1, 0), (1, 0, 1)];
        for (number, (syn, fin, beginnings)) in reports.into_iter().enumerate() {
            assert_eq!(flows.row(at).beginnings(&Tcp { syn, fin, ..Tcp::default() }), beginnings, "report {number}");
        }
    }
}
