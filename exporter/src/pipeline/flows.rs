//! The flow cache: one row per tuple the kernel reports, with everything about it that is decided once.
//!
//! Bounded. A row goes when the kernel says that its own row is freed and nothing of it waits for its fate; when the table is full rows that were idle
//! make room, in a flood any that wait for nothing, which costs detail of attribution for what they had pending (it is settled as it looks) and loses no count.

use flowlog_bpf::event::FlowKey;
use hashbrown::HashTable;

use super::chunks::Chunks;
use super::fate::Fate;
use super::fold::GroupRef;
use super::pending::{Pending, PendingPlaces, Waiting};
use super::row::{Fact, Row};

/// Rows that are looked at for one that was not used in this window.
const STRICT_STEPS: usize = 256;

/// The place of no row.
pub const NOWHERE: u32 = u32::MAX;

/// All rows of one flow log.
#[derive(Debug)]
pub struct FlowTable {
    rows: Chunks<Row>,
    free: Vec<u32>,
    index: HashTable<u32>,
    places: PendingPlaces,
    /// Rows with something open: looked at when a window is cut.
    open: Vec<u32>,
    most: usize,
    cut: u16,
    /// Where the search for a row that can make room goes on.
    hand: u32,
    /// In this window a search for an older row was in vain: a flood, in which each event would search again.
    flooded: bool,
}

impl FlowTable {
    /// A table for at most `most` rows.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (rows, free, index, places, open) = Default::default();
        Self { rows, free, index, places, open, most: most.max(16), cut: 0, hand: 0, flooded: false }
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
        self.index.find(hash(key), |&at| self.rows[at].key == *key).copied()
    }

    /// Whether the row of a tuple is at this place.
    #[must_use]
    pub fn is_of(&self, at: u32, key: &FlowKey) -> bool {
        self.rows.get(at).is_some_and(|row| row.key == *key)
    }

    /// The line that most events of the row at this place go into, as far as it is known.
    #[must_use]
    pub fn usual_line(&self, at: u32) -> Option<GroupRef> {
        self.rows.get(at)?.usual_line()
    }

    /// A new row for a tuple that has none.
    pub fn make(&mut self, key: FlowKey) -> u32 {
        let row = Row::new(key, self.cut);
        let at = match self.free.pop() {
            Some(at) => {
                self.rows[at] = row;
                at
            }
            None => self.rows.push(row),
        };
        let rows = &self.rows;
        self.index.insert_unique(hash(&key), at, |&at| hash(&rows[at].key));
        at
    }

    /// A row by its place.
    pub fn row(&mut self, at: u32) -> &mut Row {
        let row = &mut self.rows[at];
        row.used = self.cut;
        row
    }

    /// A row by its place, without marking it used.
    #[must_use]
    pub fn peek(&self, at: u32) -> &Row {
        &self.rows[at]
    }

    /// What is open of a row. Whoever changes it has to [`FlowTable::keep`] it.
    #[must_use]
    pub fn pending(&self, at: u32) -> Pending {
        let row = &self.rows[at];
        match self.places.get(row.place) {
            Some(pending) => pending.clone(),
            None => Pending { fate: Fate::closed(row.is(Fact::Left), row.is(Fact::Dropped)), ..Pending::default() },
        }
    }

    /// Keeps what is open of a row.
    pub fn keep(&mut self, at: u32, mut pending: Pending) {
        if !pending.fate.waits() {
            pending.waiting = Waiting::default();
        }
        let row = &mut self.rows[at];
        let (left, dropped) = pending.fate.past();
        row.set(Fact::Left, left);
        row.set(Fact::Dropped, dropped);
        self.places.put(&mut row.place, pending);
    }

    /// Puts a row on the list of those to look at when the window is cut.
    pub fn list(&mut self, at: u32) {
        let row = &mut self.rows[at];
        if !row.is(Fact::Listed) {
            row.set(Fact::Listed, true);
            self.open.push(at);
        }
    }

    /// Takes the list of rows to look at. The caller lists again those that stay open.
    pub fn take_open(&mut self) -> Vec<u32> {
        let open = std::mem::take(&mut self.open);
        for &at in &open {
            self.rows[at].set(Fact::Listed, false);
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
        let row = &mut self.rows[at];
        if let Ok(entry) = self.index.find_entry(hash(&row.key), |&other| other == at) {
            entry.remove();
            self.places.take_back(&mut row.place);
            *row = Row::new(FlowKey::default(), 0);
            self.free.push(at);
        }
    }

    /// A row that can go: nothing of it is open and it was not used in this window, as far as one is found soon, else any row that has nothing open. `None`
    /// where every row waits.
    pub fn make_room(&mut self) -> Option<u32> {
        let rows = self.rows.len();
        let strict_steps = if self.flooded { 0 } else { rows.min(STRICT_STEPS) };
        for (strict, steps) in [(true, strict_steps), (false, rows)] {
            for _ in 0..steps {
                self.hand = (self.hand + 1) % rows as u32;
                let row = &self.rows[self.hand];
                if row.is(Fact::Listed) || (strict && row.used == self.cut) || !self.holds(self.hand) {
                    continue;
                }
                return Some(self.hand);
            }
            self.flooded = true;
        }
        None
    }

    fn holds(&self, at: u32) -> bool {
        self.index.find(hash(&self.rows[at].key), |&other| other == at).is_some()
    }

    /// Begins a new window.
    pub fn next_cut(&mut self) {
        self.cut = self.cut.wrapping_add(1);
        self.flooded = false;
    }

    /// Drops every decision of every row: filters, mask or fold rule have changed.
    pub fn forget_decisions(&mut self) {
        self.rows.iter_mut().for_each(Row::forget_decisions);
    }
}

/// The hash of a tuple. Its addresses are numbers here: as texts, each would be hashed with its length.
fn hash(key: &FlowKey) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write_u128(u128::from_ne_bytes(key.source));
    hasher.write_u128(u128::from_ne_bytes(key.destination));
    let ports = u64::from(key.source_port) << 16 | u64::from(key.destination_port);
    hasher.write_u64(ports << 16 | u64::from(key.protocol) << 8 | u64::from(key.family));
    hasher.finish()
}
