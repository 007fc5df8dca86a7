//! Reading the maps that count beside the rows, and the rows themselves where somebody asks what they still hold.
//! Offsets are those of the structs in `programs/counters.h`, `row.h` and `fold.h`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};

use crate::counters::Unreported;
use crate::event::{Count, unpack};
use crate::interface::LinkCounters;
use crate::maps::{DROP_KEY_SIZE, INTERFACE_SIZE, KEY_SIZE, Maps, TOTALS_SIZE, UNATTRIBUTED_SIZE, u32_at, u64_at};
use crate::{Counters, Error, InterfaceCounters, SideCounters, sys};

/// `struct side_counters`
const SIDE_SIZE: usize = 120;

/// What is remembered of an attachment, so that a later daemon can take it over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AttachMark {
    pub(crate) attached_boot_ns: u64,
    pub(crate) before: LinkCounters,
    pub(crate) clsact: bool,
    pub(crate) made_qdisc: bool,
    /// What went unobserved before it is not settled, nor declared.
    pub(crate) comparing: bool,
    /// The device lives and is not attached: only `accounted` says anything.
    pub(crate) let_go: bool,
    /// What of its own counters was told before this attachment, less what the maps had counted by then.
    pub(crate) accounted: LinkCounters,
    /// Its name then, zero-terminated unless 16 bytes long.
    pub(crate) name: [u8; 16],
}

impl AttachMark {
    /// Of a device that is not attached, and of which this was told.
    pub(crate) fn let_go(accounted: LinkCounters) -> Self {
        Self { let_go: true, accounted, ..Self::default() }
    }

    /// What has been told of a device that has counted `own` when the programs have counted this much. They count the segments of a super-packet, many
    /// devices count it once: it is never more than the device has.
    pub(crate) fn told(&self, counted: LinkCounters, own: LinkCounters) -> LinkCounters {
        // What is still compared was not declared yet.
        let (declared, open) = if self.comparing { (LinkCounters::default(), self.before) } else { (self.before, LinkCounters::default()) };
        self.accounted.plus(declared).plus(counted).smaller(own.less(open))
    }

    /// The name as text.
    pub(crate) fn name(&self) -> String {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        String::from_utf8_lossy(&self.name[..end]).into_owned()
    }
}

/// An interface's name as a mark holds it; longer ones are cut.
pub(crate) fn mark_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(bytes.len());
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// Its size as a map value.
pub(crate) const MARK_SIZE: usize = 96;

/// No map of ours has more keys.
const MOST_KEYS: usize = 8 << 20;

fn failed(what: &'static str, name: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Map { what, name, source }
}

/// Possible CPUs: per-CPU values come as one for each.
fn cpus() -> Result<usize, Error> {
    aya::util::nr_cpus().map_err(|(what, source)| Error::System { what, source })
}

/// Adds up a per-CPU value word by word. `size` is a multiple of 8; words beyond what the map has are 0.
fn sum(map: BorrowedFd<'_>, key: &[u8], size: usize) -> Result<Option<Vec<u64>>, std::io::Error> {
    let cpus = cpus().map_err(std::io::Error::other)?;
    // The kernel writes as much as the map has, whatever is asked for.
    let value_size = sys::map_value_size(map)?.next_multiple_of(8).max(8);
    let mut values = vec![0; value_size * cpus];
    if !sys::map_lookup(map, key, &mut values)? {
        return Ok(None);
    }
    let mut words = vec![0_u64; size / 8];
    for value in values.chunks_exact(value_size) {
        for (at, word) in words.iter_mut().enumerate() {
            *word = word.wrapping_add(u64_at(value, at * 8));
        }
    }
    Ok(Some(words))
}

/// Makes an interface's counters, unless it has some; the programs count only where there are.
pub(crate) fn add_interface(maps: &Maps, ifindex: u32, l3: bool) -> Result<(), Error> {
    let map = maps.interfaces.as_fd();
    let failed = failed("add an interface", "interfaces");
    if sum(map, &ifindex.to_ne_bytes(), INTERFACE_SIZE).map_err(&failed)?.is_some() {
        return Ok(());
    }
    let mut value = vec![0; INTERFACE_SIZE];
    value[..8].copy_from_slice(&u64::from(l3).to_ne_bytes());
    sys::map_update(map, &ifindex.to_ne_bytes(), &value.repeat(cpus()?)).map_err(failed)
}

/// Forgets an interface's counters.
pub(crate) fn remove_interface(maps: &Maps, ifindex: u32) -> Result<(), Error> {
    let key = ifindex.to_ne_bytes();
    sys::map_delete(maps.interfaces.as_fd(), &key).map_err(failed("remove an interface", "interfaces"))?;
    remove_mark(maps, ifindex)
}

/// Forgets how an interface was attached.
pub(crate) fn remove_mark(maps: &Maps, ifindex: u32) -> Result<(), Error> {
    sys::map_delete(maps.marks.as_fd(), &ifindex.to_ne_bytes()).map_err(failed("remove an interface", "marks")).map(|_| ())
}

/// Remembers how an interface was attached.
pub(crate) fn set_attach_mark(maps: &Maps, ifindex: u32, mark: &AttachMark) -> Result<(), Error> {
    let mut value = [0; MARK_SIZE];
    let flags = [mark.clsact, mark.made_qdisc, mark.comparing, mark.let_go];
    let flags = (0..).zip(flags).fold(0, |bits, (at, flag)| bits | u64::from(flag) << at);
    let (before, accounted) = (words_of(mark.before), words_of(mark.accounted));
    let words = [mark.attached_boot_ns].into_iter().chain(before).chain([flags]);
    // The name stands in two words of its own.
    for (at, word) in words.enumerate().chain((8..).zip(accounted)) {
        value[at * 8..at * 8 + 8].copy_from_slice(&word.to_ne_bytes());
    }
    value[48..64].copy_from_slice(&mark.name);
    sys::map_update(maps.marks.as_fd(), &ifindex.to_ne_bytes(), &value).map_err(failed("write", "marks"))
}

fn words_of(counters: LinkCounters) -> [u64; 4] {
    let LinkCounters { received, transmitted } = counters;
    [received.packets, received.bytes, transmitted.packets, transmitted.bytes]
}

/// Everything remembered of attachments, by interface index. Marks of another release may be shorter: what they do not tell is 0.
pub(crate) fn attach_marks(maps: &Maps) -> Result<BTreeMap<u32, AttachMark>, Error> {
    let mut marks = BTreeMap::new();
    walk(maps.marks.as_fd(), "marks", 4, |key, value| {
        let word = |at: usize| u64_at(value, at * 8);
        let count = |at: usize| Count { packets: word(at), bytes: word(at + 1) };
        let counters = |at: usize| LinkCounters { received: count(at), transmitted: count(at + 2) };
        let flag = |at: u32| word(5) >> at & 1 != 0;
        let mut name = [0; 16];
        name.iter_mut().zip(value.iter().skip(48)).for_each(|(to, from)| *to = *from);
        let (before, accounted) = (counters(1), counters(8));
        let (clsact, made_qdisc, comparing, let_go) = (flag(0), flag(1), flag(2), flag(3));
        let mark = AttachMark { attached_boot_ns: word(0), before, clsact, made_qdisc, comparing, let_go, accounted, name };
        marks.insert(u32_at(key, 0), mark);
    })?;
    Ok(marks)
}

/// One interface's counters; zeros if it has none.
pub(crate) fn interface(maps: &Maps, ifindex: u32) -> Result<InterfaceCounters, Error> {
    let words = sum(maps.interfaces.as_fd(), &ifindex.to_ne_bytes(), INTERFACE_SIZE)
        .map_err(failed("read", "interfaces"))?
        .unwrap_or_else(|| vec![0; INTERFACE_SIZE / 8]);
    let side = |at: usize| side_counters(&words[1 + at * SIDE_SIZE / 8..1 + (at + 1) * SIDE_SIZE / 8]);
    Ok(InterfaceCounters { ifindex, entered: side(0), left: side(1) })
}

fn side_counters(words: &[u64]) -> SideCounters {
    let count = |at: usize| Count { packets: words[at * 2], bytes: words[at * 2 + 1] };
    let mut side = SideCounters {
        seen: count(0),
        unparsed: count(1),
        other: count(2),
        folded: count(3),
        unattributed: count(4),
        ..SideCounters::default()
    };
    side.unparsed_by.copy_from_slice(&words[10..]);
    side
}

/// Everything at once.
pub(crate) fn counters(maps: &Maps, rows_capacity: u64) -> Result<Counters, Error> {
    let mut indexes = Vec::new();
    let map = maps.interfaces.as_fd();
    walk_keys(map, "interfaces", 4, |key| indexes.push(u32_at(key, 0)))?;
    let words =
        sum(maps.totals.as_fd(), &[0; 4], TOTALS_SIZE).map_err(failed("read", "totals"))?.unwrap_or_else(|| vec![0; TOTALS_SIZE / 8]);
    Ok(Counters {
        interfaces: indexes.into_iter().map(|ifindex| interface(maps, ifindex)).collect::<Result<_, _>>()?,
        ring_records: words[0],
        ring_full: words[1],
        rows_made: words[2],
        rows_freed: words[3],
        rows_capacity,
        fold_rows_made: words[4],
        fold_rows_freed: words[5],
        owners_moved: words[6],
        half_full: words[7],
        met_dead_row: words[8],
        unknown_interface: words[9],
        drops_counted: Count { packets: words[10], bytes: words[11] },
        drops_unattributed: Count { packets: words[12], bytes: words[13] },
        drops_unparsed: words[14],
        drops_unspecified: words[15],
        drops_spent: words[16],
    })
}

/// What rows, fold rows and the unattributed sums hold and have not reported yet. Walks every row.
pub(crate) fn unreported(maps: &Maps) -> Result<Unreported, Error> {
    let mut sums = Unreported::default();
    for rows in &maps.rows {
        walk(rows.as_fd(), "rows", KEY_SIZE, |_, row| {
            let word = |at: usize| unpack(u64_at(row, at * 8) & !(1 << 63));
            let owner = |hook: usize| u32_at(row, 72 + hook * 4);
            add(&mut sums.entered, owner(0), word(0));
            add(&mut sums.left, owner(1), word(1));
            add(&mut sums.left, owner(1), word(2));
            sums.other.add(word(3));
        })?;
    }
    walk(maps.folds.as_fd(), "folds", KEY_SIZE, |_, row| {
        for side in 0..4 {
            let packets = u64_at(row, side * 8) & !(1 << 63);
            sums.folded.add(Count { packets, bytes: u64_at(row, 32 + side * 8) });
        }
    })?;
    walk(maps.drops.as_fd(), "drops", DROP_KEY_SIZE, |_, row| {
        sums.dropped.add(unpack(u64_at(row, 0) & !(1 << 63)));
    })?;
    let mut value = [0; UNATTRIBUTED_SIZE];
    sys::map_lookup(maps.unattributed.as_fd(), &[0; 4], &mut value).map_err(failed("read", "unattributed"))?;
    for hook in 0..2 {
        sums.unattributed.add(Count { packets: u64_at(&value, 16 + hook * 8), bytes: u64_at(&value, 32 + hook * 8) });
    }
    Ok(sums)
}

fn add(sums: &mut BTreeMap<u32, Count>, ifindex: u32, count: Count) {
    if count != Count::default() {
        sums.entry(ifindex).or_default().add(count);
    }
}

/// Every key of a map. Keys that come and go meanwhile may be missed or met.
fn walk_keys(map: BorrowedFd<'_>, name: &'static str, size: usize, mut each: impl FnMut(&[u8])) -> Result<(), Error> {
    let (mut key, mut next) = (vec![0; size], vec![0; size]);
    let mut more = sys::map_next_key(map, None, &mut next).map_err(failed("walk", name))?;
    // A key that is deleted under the walk sends it back to the start; the bound ends a walk that never gets ahead.
    for _ in 0..MOST_KEYS {
        if !more {
            break;
        }
        each(&next);
        key.copy_from_slice(&next);
        more = sys::map_next_key(map, Some(&key), &mut next).map_err(failed("walk", name))?;
    }
    Ok(())
}

fn walk(map: BorrowedFd<'_>, name: &'static str, key_size: usize, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Error> {
    let mut keys = Vec::new();
    walk_keys(map, name, key_size, |key| keys.extend_from_slice(key))?;
    // The kernel writes as much as the map has, whatever is asked for.
    let mut value = vec![0; sys::map_value_size(map).map_err(failed("walk", name))?];
    for key in keys.chunks_exact(key_size) {
        if sys::map_lookup(map, key, &mut value).map_err(failed("walk", name))? {
            each(key, &value);
        }
    }
    Ok(())
}
