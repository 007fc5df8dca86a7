//! What the parser builds with: elements of a sequence, with the measures that Go's limits are about.

use super::MAX_DEPTH;
use regex_syntax::hir::Hir;

/// Go's limit on nesting, groups included.
pub(super) const MAX_HEIGHT: usize = 1000;

/// One element of a sequence.
pub(super) struct Item {
    pub(super) hir: Hir,
    /// The largest product of nested counts, for Go's limit.
    pub(super) repeats: u32,
    /// Levels as Go counts them: captures are a level.
    pub(super) height: usize,
    /// Levels that are left in the tree built here, where groups are none.
    pub(super) depth: usize,
}

impl Item {
    pub(super) fn leaf(hir: Hir) -> Self {
        Self { hir, repeats: 1, height: 1, depth: 1 }
    }
}

/// What `(?imsU)` switches. `U` changes which match is found, never whether there is one, so it is not kept.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    pub(super) multi_line: bool,
    pub(super) dot_all: bool,
}

/// An open group, or the whole pattern.
pub(super) struct Group {
    pub(super) alternatives: Vec<Item>,
    pub(super) sequence: Vec<Item>,
    pub(super) flags_outside: Flags,
    pub(super) capture: bool,
}

impl Group {
    pub(super) fn new(flags_outside: Flags, capture: bool) -> Self {
        Self { alternatives: Vec::new(), sequence: Vec::new(), flags_outside, capture }
    }
}

pub(super) fn bounded(item: Item) -> Result<Item, String> {
    if item.depth > MAX_DEPTH || item.height > MAX_HEIGHT { Err("expression nests too deeply".to_owned()) } else { Ok(item) }
}

pub(super) fn concatenation(items: Vec<Item>) -> Result<Item, String> {
    combined(items, Hir::concat)
}

pub(super) fn alternation(mut group: Group) -> Result<Item, String> {
    let last = concatenation(group.sequence)?;
    group.alternatives.push(last);
    combined(group.alternatives, Hir::alternation)
}

fn combined(mut items: Vec<Item>, how: fn(Vec<Hir>) -> Hir) -> Result<Item, String> {
    if items.len() == 1
        && let Some(only) = items.pop()
    {
        return Ok(only);
    }
    let max = |of: fn(&Item) -> usize| items.iter().map(of).max().unwrap_or(0) + 1;
    let (height, depth) = (max(|i| i.height), max(|i| i.depth));
    let repeats = items.iter().map(|i| i.repeats).max().unwrap_or(1);
    bounded(Item { hir: how(items.into_iter().map(|i| i.hir).collect()), repeats, height, depth })
}
