//! Folding: lines that are identical after the mask become one line per window, with sums.
//!
//! A *group* is one such line. Its key is the encoded text of the masked flow without what varies per event, so two flows fold exactly when nobody could
//! tell their lines apart. The table is bounded: when a window has more groups than it may hold, the caller cuts the window early, which costs lines and
//! loses nothing. Groups outlive their window, because the next one nearly always needs them again; those not used for a while are dropped.

use hashbrown::HashTable;

use super::line::Prepared;
use super::sums::Sums;

/// Windows without an event after which a group is forgotten.
const FORGET_AFTER: u8 = 8;

/// What the groups of one window may weigh together, and what those kept for the next may; bytes.
const MOST_BYTES: usize = 40 << 20;
const MOST_IDLE_BYTES: usize = 8 << 20;
/// What a group of an unmasked flow weighs, where there is none to go by; bytes.
const USUAL_WEIGHT: usize = 2 << 10;

/// A reference to a group that may have been forgotten since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupRef {
    index: u32,
    generation: u32,
}

/// One line in the making.
#[derive(Debug)]
pub struct Group {
    /// Everything about the line that does not change.
    pub prepared: Prepared,
    /// What this window added up.
    pub sums: Sums,
    /// The line of the only input flow so far, which is written as it is if no other joins it.
    pub single: Option<Box<[u8]>>,
    generation: u32,
    /// What counts of its memory.
    weight: u32,
    idle: u8,
    /// It has sums in this window.
    used: bool,
    /// They changed since the last run.
    changed: bool,
}

/// All groups of one flow log.
#[derive(Debug)]
pub struct FoldTable {
    groups: Vec<Group>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Groups of this window, in the order of their first event.
    dirty: Vec<u32>,
    /// Groups that changed since the last run.
    changed: Vec<u32>,
    most: usize,
    /// What all groups take, and those of this window.
    bytes: usize,
    dirty_bytes: usize,
}

impl FoldTable {
    /// A table for at most `most` groups in one window.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (groups, free, dirty, changed) = Default::default();
        Self { groups, free, index: HashTable::new(), dirty, changed, most, bytes: 0, dirty_bytes: 0 }
    }

    /// The group of a line, made if it is new.
    pub fn find_or_make(&mut self, prepared: Prepared) -> GroupRef {
        let hash = hash(prepared.fold_key());
        if let Some(&index) = self.index.find(hash, |&index| self.groups[index as usize].prepared.fold_key() == prepared.fold_key()) {
            return GroupRef { index, generation: self.groups[index as usize].generation };
        }
        let index = self.place(prepared);
        let groups = &self.groups;
        self.index.insert_unique(hash, index, |&index| self::hash(groups[index as usize].prepared.fold_key()));
        GroupRef { index, generation: self.groups[index as usize].generation }
    }

    /// The group with this fold key, if there is one.
    #[must_use]
    pub fn find(&self, fold_key: &[u8]) -> Option<GroupRef> {
        let index = *self.index.find(hash(fold_key), |&index| self.groups[index as usize].prepared.fold_key() == fold_key)?;
        Some(GroupRef { index, generation: self.groups[index as usize].generation })
    }

    fn place(&mut self, prepared: Prepared) -> u32 {
        let weight = u32::try_from(prepared.weight()).unwrap_or(u32::MAX);
        self.bytes += weight as usize;
        match self.free.pop() {
            Some(index) => {
                let group = &mut self.groups[index as usize];
                group.prepared = prepared;
                group.sums = Sums::default();
                (group.single, group.idle, group.used, group.changed) = (None, 0, false, false);
                group.weight = weight;
                index
            }
            None => {
                self.groups.push(Group {
                    prepared,
                    sums: Sums::default(),
                    single: None,
                    generation: 0,
                    weight,
                    idle: 0,
                    used: false,
                    changed: false,
                });
                // More than u32::MAX groups do not fit any memory.
                (self.groups.len() - 1) as u32
            }
        }
    }

    /// The group, to be added to; `None` if it has been forgotten.
    pub fn touch(&mut self, group: GroupRef) -> Option<&mut Group> {
        let found = self.groups.get_mut(group.index as usize).filter(|found| found.generation == group.generation)?;
        if !found.used {
            found.used = true;
            self.dirty_bytes += found.weight as usize;
            self.dirty.push(group.index);
        }
        if !found.changed {
            found.changed = true;
            self.changed.push(group.index);
        }
        Some(found)
    }

    /// Groups of this window so far.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.dirty.len()
    }

    /// Lines like those of this window that memory holds at once: what a window that did not fit is read back by.
    #[must_use]
    pub fn at_once(&self) -> usize {
        let weight = self.dirty_bytes.checked_div(self.dirty.len()).unwrap_or(USUAL_WEIGHT).max(1);
        self.most.min(MOST_BYTES / weight).max(1)
    }

    /// Inputs and packets in the groups of this window.
    #[must_use]
    pub fn volume(&self) -> (u64, u64) {
        self.dirty.iter().fold((0, 0), |(inputs, packets), index| {
            let sums = &self.groups[*index as usize].sums;
            (inputs.wrapping_add(sums.inputs), packets.wrapping_add(sums.counted.packets))
        })
    }

    /// Groups one window may have.
    #[must_use]
    pub fn most(&self) -> usize {
        self.most
    }

    /// Whether the window has to be cut early to stay within bounds.
    #[must_use]
    pub fn full(&self) -> bool {
        self.dirty.len() >= self.most || self.dirty_bytes >= MOST_BYTES
    }

    /// Ends the window: hands out every group in the order of its first event, and starts anew.
    pub fn drain(&mut self, mut each: impl FnMut(&Group)) {
        self.changed.clear();
        self.dirty_bytes = 0;
        for index in self.dirty.drain(..) {
            let group = &mut self.groups[index as usize];
            each(group);
            group.sums = Sums::default();
            (group.single, group.used, group.changed, group.idle) = (None, false, false, 0);
        }
    }

    /// Hands out the groups that changed since the last call; the window goes on.
    pub fn changes(&mut self, mut each: impl FnMut(&Group)) {
        for index in self.changed.drain(..) {
            let group = &mut self.groups[index as usize];
            group.changed = false;
            each(group);
        }
    }

    /// Puts back what an earlier process had summed up in this window.
    pub fn restore(&mut self, entry: super::partial::Entry) {
        let group = self.find_or_make(entry.prepared);
        if let Some(group) = self.touch(group) {
            group.sums.add(&entry.sums);
            group.single = entry.single;
        }
    }

    /// Forgets groups that had no event for [`FORGET_AFTER`] calls, or all of them where they are more than the bound. Call once a window, after `drain`.
    pub fn forget_idle(&mut self) {
        let crowded = self.index.len() > self.most || self.bytes - self.dirty_bytes > MOST_IDLE_BYTES;
        let Self { groups, index, free, bytes, .. } = self;
        index.retain(|&mut at| {
            let group = &mut groups[at as usize];
            group.idle = group.idle.saturating_add(1);
            let keep = group.used || (group.idle <= FORGET_AFTER && !crowded);
            if !keep {
                group.generation = group.generation.wrapping_add(1);
                group.prepared = Prepared::default();
                *bytes -= group.weight as usize;
                free.push(at);
            }
            keep
        });
    }

    /// Forgets everything; only right after `drain`. For a changed configuration.
    pub fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

/// The hash of a fold key. It decides nothing that outlives a process.
pub(super) fn hash(key: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(key);
    hasher.finish()
}
