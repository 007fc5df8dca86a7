//! Folding: lines that are identical after the mask become one line per window, with sums.
//!
//! A *group* is one such line. Its key is the encoded text of the masked flow without what varies per event, so two flows fold exactly when nobody could
//! tell their lines apart. The table is bounded: when a window has more groups than it may hold, the caller cuts the window early, which costs lines and
//! loses nothing. Groups outlive their window, because the next one nearly always needs them again; those not used for a while are dropped.

use hashbrown::HashTable;

use super::chunks::Chunks;
use super::line::Prepared;
use super::sums::Sums;

/// Windows without an event after which a group is forgotten.
const FORGET_AFTER: usize = 8;

/// What the groups of one window may weigh together, and what those kept for the next may; bytes.
const MOST_BYTES: usize = 32 << 20;
const MOST_IDLE_BYTES: usize = 2 << 20;
/// What a group of an unmasked flow weighs, where there is none to go by; bytes.
const USUAL_WEIGHT: usize = 2 << 10;

/// A reference to a group that may have been forgotten since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupRef {
    index: u32,
    generation: u32,
}

/// One line in the making, as it is handed out.
#[derive(Clone, Copy, Debug)]
pub struct Group<'g> {
    /// Everything about the line that does not change.
    pub prepared: &'g Prepared,
    /// What this window added up.
    pub sums: &'g Sums,
    /// The line of the only input flow so far, which is written as it is if no other joins it.
    pub single: Option<&'g [u8]>,
}

/// What a window has of a group.
#[derive(Debug)]
pub struct Open {
    /// What was added up.
    pub sums: Sums,
    /// See [`Group::single`].
    pub single: Option<Box<[u8]>>,
    group: u32,
    /// It changed since the last run.
    changed: bool,
}

/// A group, whether this window has seen it or not.
#[derive(Debug)]
struct Kept {
    prepared: Prepared,
    generation: u32,
    /// Where this window has it, or [`NOWHERE`].
    open: u32,
    /// Windows since it was last seen, or [`FORGOTTEN`].
    idle: u8,
}

const NOWHERE: u32 = u32::MAX;
const FORGOTTEN: u8 = u8::MAX;

/// All groups of one flow log.
#[derive(Debug)]
pub struct FoldTable {
    groups: Chunks<Kept>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Groups of this window, in the order of their first event.
    open: Chunks<Open>,
    /// What they weigh.
    open_bytes: usize,
    /// Those of them that changed since the last run.
    changed: Vec<u32>,
    most: usize,
}

impl FoldTable {
    /// A table for at most `most` groups in one window.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (groups, free, index, open, changed) = Default::default();
        Self { groups, free, index, open, open_bytes: 0, changed, most }
    }

    /// The group of a line, made if it is new.
    pub fn find_or_make(&mut self, prepared: Prepared) -> GroupRef {
        let hash = hash(prepared.fold_key());
        if let Some(&index) = self.index.find(hash, |&index| self.groups[index].prepared.fold_key() == prepared.fold_key()) {
            return GroupRef { index, generation: self.groups[index].generation };
        }
        let index = match self.free.pop() {
            Some(index) => {
                let kept = &mut self.groups[index];
                (kept.prepared, kept.idle) = (prepared, 0);
                index
            }
            None => self.groups.push(Kept { prepared, generation: 0, open: NOWHERE, idle: 0 }),
        };
        let groups = &self.groups;
        self.index.insert_unique(hash, index, |&index| self::hash(groups[index].prepared.fold_key()));
        GroupRef { index, generation: groups[index].generation }
    }

    /// The group, to be added to; `None` if it has been forgotten.
    pub fn touch(&mut self, group: GroupRef) -> Option<&mut Open> {
        let kept = self.groups.get_mut(group.index).filter(|kept| kept.generation == group.generation)?;
        if kept.open == NOWHERE {
            self.open_bytes += weight(&kept.prepared);
            kept.open = self.open.push(Open { sums: Sums::default(), single: None, group: group.index, changed: false });
        }
        let open = &mut self.open[kept.open];
        if !open.changed {
            open.changed = true;
            self.changed.push(kept.open);
        }
        Some(open)
    }

    /// Groups of this window so far.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.open.len()
    }

    /// Lines like those of this window that memory holds at once: what a window that did not fit is read back by.
    #[must_use]
    pub fn at_once(&self) -> usize {
        let weight = self.open_bytes.checked_div(self.open.len()).unwrap_or(USUAL_WEIGHT).max(1);
        self.most.min(MOST_BYTES / weight).max(1)
    }

    /// Inputs and packets in the groups of this window.
    #[must_use]
    pub fn volume(&self) -> (u64, u64) {
        self.open.iter().fold((0, 0), |(inputs, packets), Open { sums, .. }| {
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
        self.open.len() >= self.most || self.open_bytes >= MOST_BYTES
    }

    /// Ends the window: hands out every group in the order of its first event, and starts anew.
    pub fn drain(&mut self, mut each: impl FnMut(Group<'_>)) {
        for open in self.open.iter_mut() {
            let kept = &mut self.groups[open.group];
            each(Group { prepared: &kept.prepared, sums: &open.sums, single: open.single.as_deref() });
            (kept.open, kept.idle) = (NOWHERE, 0);
            // What is written meanwhile takes its memory.
            open.single = None;
        }
        self.open.clear();
        self.open_bytes = 0;
        self.changed.clear();
    }

    /// Hands out the groups that changed since the last call; the window goes on.
    pub fn changes(&mut self, mut each: impl FnMut(Group<'_>)) {
        for at in self.changed.drain(..) {
            let open = &mut self.open[at];
            open.changed = false;
            each(Group { prepared: &self.groups[open.group].prepared, sums: &open.sums, single: open.single.as_deref() });
        }
    }

    /// Puts back what an earlier process had summed up in this window.
    pub fn restore(&mut self, entry: super::partial::Entry) {
        let group = self.find_or_make(entry.prepared);
        if let Some(open) = self.touch(group) {
            open.sums.add(&entry.sums);
            open.single = entry.single;
        }
    }

    /// Forgets groups that had no event for [`FORGET_AFTER`] calls, and of the others those that had none for the longest, where they take more than the
    /// bound. Call once a window, after `drain`.
    pub fn forget_idle(&mut self) {
        // What the groups take that were last seen so many windows ago.
        let mut weights = [0; FORGET_AFTER + 2];
        for kept in self.groups.iter_mut().filter(|kept| kept.open == NOWHERE && kept.idle != FORGOTTEN) {
            kept.idle = (kept.idle + 1).min(FORGET_AFTER as u8 + 1);
            weights[usize::from(kept.idle)] += size_of::<Kept>() + kept.prepared.bytes();
        }
        let (mut room, mut fits) = (MOST_IDLE_BYTES, 0);
        while fits < FORGET_AFTER && weights[fits + 1] <= room {
            fits += 1;
            room -= weights[fits];
        }
        if weights[fits + 1..].iter().all(|weight| *weight == 0) {
            return;
        }
        let Self { groups, index, free, .. } = self;
        index.retain(|&mut at| {
            let kept = &mut groups[at];
            let idle = if kept.open == NOWHERE { usize::from(kept.idle) } else { 0 };
            let weight = size_of::<Kept>() + kept.prepared.bytes();
            // Of the oldest that may stay, as many as there is room for.
            let stays = idle <= fits || (idle == fits + 1 && idle <= FORGET_AFTER && weight <= room);
            if idle > fits && stays {
                room -= weight;
            }
            if !stays {
                kept.generation = kept.generation.wrapping_add(1);
                (kept.prepared, kept.idle) = (Prepared::default(), FORGOTTEN);
                free.push(at);
            }
            stays
        });
    }

    /// Forgets everything; only right after `drain`. For a changed configuration.
    pub fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

/// What counts of a group of the window against its bound.
fn weight(prepared: &Prepared) -> usize {
    match prepared.weight() {
        0 => 0,
        text => size_of::<Kept>() + size_of::<Open>() + text,
    }
}

/// The hash of a fold key. It decides nothing that outlives a process.
pub(super) fn hash(key: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = foldhash::quality::FixedState::default().build_hasher();
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::super::line::Kind;
    use super::super::template::Template;
    use super::*;

    /// A window with these lines of the kernel, a thousand bytes each.
    fn window(fold: &mut FoldTable, lines: std::ops::Range<usize>) -> Vec<GroupRef> {
        let line = |number: usize| {
            let kind = Kind::Kernel { connections: false, drop_reason: "" };
            Prepared::new(&Template::without_holes(format!("{number:01000}").as_bytes()), b"", b"", kind)
        };
        let groups: Vec<GroupRef> = lines.map(|number| fold.find_or_make(line(number))).collect();
        groups.iter().for_each(|group| assert!(fold.touch(*group).is_some()));
        assert!(!fold.full());
        fold.drain(|_| {});
        fold.forget_idle();
        groups
    }

    #[test]
    fn what_is_kept_for_the_next_window_is_bounded_and_the_longest_idle_goes_first() {
        let (mut fold, few) = (FoldTable::new(100_000), MOST_IDLE_BYTES / 1000 / 2);
        let old = window(&mut fold, 0..few);
        let new = window(&mut fold, few..2 * few);
        assert!(new.iter().all(|group| fold.touch(*group).is_some()));
        let gone = old.iter().filter(|group| fold.touch(**group).is_none()).count();
        assert!(0 < gone && gone < few / 2, "{gone} of {few}");
        fold.drain(|_| {});
        for _ in 0..FORGET_AFTER {
            assert_eq!(fold.index.len(), 2 * few - gone);
            fold.forget_idle();
        }
        fold.forget_idle();
        assert_eq!(fold.index.len(), 0);
        // One window may have as many of them as it likes.
        window(&mut fold, 0..90_000);
    }
}
