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
const FORGET_AFTER: u8 = 8;

/// What the groups of one window may weigh together, bytes.
const MOST_BYTES: usize = 32 << 20;
/// What groups kept for the next window may take beside what the last one took, bytes.
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

/// What an event needs of a group, whether this window has seen it or not. Apart from its text, so that those of many groups lie in few cache lines.
#[derive(Debug)]
struct Mark {
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
    /// Their lines, and beside each its mark.
    groups: Chunks<Prepared>,
    marks: Chunks<Mark>,
    free: Vec<u32>,
    index: HashTable<u32>,
    /// Groups of this window, in the order of their first event.
    open: Chunks<Open>,
    /// What they weigh.
    open_bytes: usize,
    /// What is kept of this window's groups, of those of the last one when it ended, and of those that this window has not seen.
    used_bytes: usize,
    last_bytes: usize,
    idle_bytes: usize,
    /// Where the search for a group that can go is: once round for those older than the last window, then once for those of it.
    hand: usize,
    /// Those of them that changed since the last run.
    changed: Vec<u32>,
    most: usize,
}

impl FoldTable {
    /// A table for at most `most` groups in one window.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let (groups, marks, free, index, open, changed) = Default::default();
        let (open_bytes, used_bytes, last_bytes, idle_bytes, hand) = Default::default();
        Self { groups, marks, free, index, open, open_bytes, used_bytes, last_bytes, idle_bytes, hand, changed, most }
    }

    /// The group of a line, made if it is new.
    pub fn find_or_make(&mut self, prepared: Prepared) -> GroupRef {
        let hash = hash(prepared.fold_key());
        if let Some(&index) = self.index.find(hash, |&index| self.groups[index].fold_key() == prepared.fold_key()) {
            return GroupRef { index, generation: self.marks[index].generation };
        }
        let cost = cost(&prepared);
        // One that comes takes the place of others that may not come again.
        while self.idle_bytes + cost > self.most_idle_bytes() && self.forget_one() {}
        self.idle_bytes += cost;
        let index = match self.free.pop() {
            Some(index) => {
                (self.groups[index], self.marks[index].idle) = (prepared, 0);
                index
            }
            None => {
                self.marks.push(Mark { generation: 0, open: NOWHERE, idle: 0 });
                self.groups.push(prepared)
            }
        };
        let groups = &self.groups;
        self.index.insert_unique(hash, index, |&index| self::hash(groups[index].fold_key()));
        GroupRef { index, generation: self.marks[index].generation }
    }

    /// The group, to be added to; `None` if it has been forgotten.
    pub fn touch(&mut self, group: GroupRef) -> Option<&mut Open> {
        let mark = self.marks.get_mut(group.index).filter(|mark| mark.generation == group.generation)?;
        if mark.open == NOWHERE {
            let prepared = &self.groups[group.index];
            self.open_bytes += weight(prepared);
            self.used_bytes += cost(prepared);
            self.idle_bytes -= cost(prepared);
            mark.open = self.open.push(Open { sums: Sums::default(), single: None, group: group.index, changed: false });
        }
        let open = &mut self.open[mark.open];
        if !open.changed {
            open.changed = true;
            self.changed.push(mark.open);
        }
        Some(open)
    }

    /// Reads of a group what [`FoldTable::touch`] will, for the processor to have it at hand by then.
    #[must_use]
    pub fn fetch(&self, group: GroupRef) -> u64 {
        let mark = self.marks.get(group.index);
        let open = mark.and_then(|mark| self.open.get(mark.open));
        open.map_or(0, |Open { sums, changed, .. }| sums.inputs ^ sums.interfaces[0] as u64 ^ u64::from(*changed))
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
            each(Group { prepared: &self.groups[open.group], sums: &open.sums, single: open.single.as_deref() });
            let mark = &mut self.marks[open.group];
            (mark.open, mark.idle) = (NOWHERE, 0);
            // What is written meanwhile takes its memory.
            open.single = None;
        }
        self.open.clear();
        self.open_bytes = 0;
        (self.last_bytes, self.idle_bytes) = (self.used_bytes, self.idle_bytes + self.used_bytes);
        self.used_bytes = 0;
        self.changed.clear();
    }

    /// Hands out the groups that changed since the last call; the window goes on.
    pub fn changes(&mut self, mut each: impl FnMut(Group<'_>)) {
        for at in self.changed.drain(..) {
            let open = &mut self.open[at];
            open.changed = false;
            each(Group { prepared: &self.groups[open.group], sums: &open.sums, single: open.single.as_deref() });
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

    /// What may be kept of groups that this window has not seen: with those it has, about as much as the last one took. A busy node's flows go on from window
    /// to window, and to make their lines anew costs more than all of their events.
    fn most_idle_bytes(&self) -> usize {
        self.last_bytes.saturating_sub(self.used_bytes) + MOST_IDLE_BYTES
    }

    /// Forgets groups that had no event for [`FORGET_AFTER`] calls, and of the others those that had none for the longest, where they take more than the
    /// bound. Call once a window, after `drain`.
    pub fn forget_idle(&mut self) {
        self.hand = 0;
        // What the groups take that were last seen so many windows ago.
        let mut bytes = [0; FORGET_AFTER as usize + 2];
        for (mark, prepared) in self.marks.iter_mut().zip(self.groups.iter()).filter(|(mark, _)| mark.is_idle()) {
            mark.idle = (mark.idle + 1).min(FORGET_AFTER + 1);
            bytes[usize::from(mark.idle)] += cost(prepared);
        }
        let (mut room, mut fits) = (self.most_idle_bytes(), 0);
        while fits < usize::from(FORGET_AFTER) && bytes[fits + 1] <= room {
            fits += 1;
            room -= bytes[fits];
        }
        if bytes[fits + 1..].iter().all(|bytes| *bytes == 0) {
            return;
        }
        for at in 0..self.marks.len() as u32 {
            let (mark, cost) = (&self.marks[at], cost(&self.groups[at]));
            let idle = usize::from(mark.idle);
            if !mark.is_idle() || idle <= fits {
                continue;
            }
            // Of the oldest that may stay, as many as there is room for.
            if idle == fits + 1 && mark.idle <= FORGET_AFTER && cost <= room {
                room -= cost;
            } else {
                self.forget(at);
            }
        }
    }

    /// Forgets a group that was last seen before this window began; whether there was one.
    fn forget_one(&mut self) -> bool {
        let groups = self.marks.len();
        while self.hand < 2 * groups {
            let (at, least) = ((self.hand % groups) as u32, if self.hand < groups { 2 } else { 1 });
            self.hand += 1;
            if self.marks[at].is_idle() && self.marks[at].idle >= least {
                self.forget(at);
                return true;
            }
        }
        false
    }

    fn forget(&mut self, at: u32) {
        let prepared = std::mem::take(&mut self.groups[at]);
        if let Ok(entry) = self.index.find_entry(hash(prepared.fold_key()), |&other| other == at) {
            entry.remove();
        }
        self.idle_bytes -= cost(&prepared);
        let mark = &mut self.marks[at];
        (mark.generation, mark.idle) = (mark.generation.wrapping_add(1), FORGOTTEN);
        self.free.push(at);
    }

    /// Forgets everything; only right after `drain`. For a changed configuration.
    pub fn clear(&mut self) {
        *self = Self::new(self.most);
    }
}

impl Mark {
    /// Whether it is of a group that is kept and that this window has not seen.
    fn is_idle(&self) -> bool {
        self.open == NOWHERE && self.idle != FORGOTTEN
    }
}

/// What is kept of a group, bytes.
fn cost(prepared: &Prepared) -> usize {
    size_of::<Prepared>() + size_of::<Mark>() + prepared.bytes()
}

/// What counts of a group of the window against its bound.
fn weight(prepared: &Prepared) -> usize {
    match prepared.weight() {
        0 => 0,
        text => size_of::<Prepared>() + size_of::<Mark>() + size_of::<Open>() + text,
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

    fn known(fold: &FoldTable, groups: &[GroupRef]) -> usize {
        groups.iter().filter(|group| fold.marks[group.index].generation == group.generation).count()
    }

    #[test]
    fn a_window_s_groups_are_kept_for_the_next_however_many_they_are() {
        let mut fold = FoldTable::new(100_000);
        let groups = window(&mut fold, 0..50_000);
        assert!(groups.iter().all(|group| fold.touch(*group).is_some()));
        assert_eq!((fold.lines(), fold.index.len()), (50_000, 50_000));
    }

    #[test]
    fn groups_that_come_take_the_place_of_those_that_do_not_and_the_longest_idle_go_first() {
        let mut fold = FoldTable::new(100_000);
        let few = MOST_IDLE_BYTES / 1100;
        let oldest = window(&mut fold, 0..10 * few);
        let older = window(&mut fold, 10 * few..20 * few);
        assert!(known(&fold, &oldest) < 2 * few);
        assert_eq!(known(&fold, &older), 10 * few);
        let new = window(&mut fold, 20 * few..25 * few);
        assert_eq!(known(&fold, &oldest), 0);
        assert_eq!(known(&fold, &new), 5 * few);
        // What a smaller window leaves room for.
        assert!((1..7 * few).contains(&known(&fold, &older)));
        assert_eq!(fold.free.len() + fold.index.len(), fold.marks.len());
        for _ in 0..=FORGET_AFTER {
            fold.forget_idle();
        }
        assert_eq!((fold.index.len(), fold.idle_bytes), (0, 0));
        // One window may have as many of them as it likes.
        window(&mut fold, 0..90_000);
    }
}
