//! A block of lines and what came of it: the piece in which lines pass through the threads.
//!
//! What one block prints does not depend on the blocks before it, but for three things, which whoever takes the blocks in their order puts right: whether a
//! heading or separator is due (the block is worked on again), whether something unknown was met before (its notice is left out), and the table's widths.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::printer::{Printer, Style};
use super::reading::{Note, Reading};
use crate::sources::recorded::{self, Place};

/// What is done with the events that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// They are printed.
    #[default]
    Print,
    /// Their lines are copied, because it is not known yet which of them will be printed.
    Select,
    /// Nothing: nobody asks for them.
    Skip,
}

/// Whole lines, and behind [`Work::on`] what came of them.
#[derive(Debug)]
pub struct Block {
    /// Its place among the blocks.
    pub number: u64,
    /// Where the lines are from.
    pub path: Arc<Path>,
    /// The number of the first line.
    pub line: u64,
    /// The lines, with their ends.
    pub lines: Vec<u8>,
    /// What is done with them.
    pub purpose: Purpose,
    /// What was printed; of a selection, the lines.
    pub printer: Printer,
    /// Where the lines of a selection end in what was printed.
    pub ends: Vec<usize>,
    /// Records that were taken to stand before this block.
    pub records_before: u64,
    /// What is to be said on standard error.
    pub notes: Vec<Note>,
}

impl Block {
    /// An empty block.
    pub fn new(style: &Style) -> Self {
        Self {
            number: 0,
            path: Path::new("-").into(),
            line: 1,
            lines: Vec::new(),
            purpose: Purpose::Print,
            printer: Printer::new(style.clone()),
            ends: Vec::new(),
            records_before: 0,
            notes: Vec::new(),
        }
    }

    /// The lines of a selection, with their ends.
    pub fn selected(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.printer.out.get(start..end).unwrap_or_default())
    }
}

/// What is done with every block; shared by all threads.
#[derive(Debug)]
pub struct Work {
    /// Which events are wanted.
    pub reading: Reading,
    /// How they are printed.
    pub style: Style,
    /// The lowest number of a block in which something unknown was met.
    unknown_in: AtomicU64,
}

impl Work {
    /// Nothing unknown was met yet.
    pub fn new(reading: Reading, style: Style) -> Self {
        Self { reading, style, unknown_in: AtomicU64::new(u64::MAX) }
    }

    /// Reads the lines of a block and prints or copies what is wanted, as if `records` had been printed before.
    pub fn on(&self, block: &mut Block, records: u64) {
        block.printer.restart(records);
        block.records_before = records;
        block.ends.clear();
        block.notes.clear();
        if block.purpose == Purpose::Skip {
            return;
        }
        let select = block.purpose == Purpose::Select;
        let (printer, ends, notes) = (&mut block.printer, &mut block.ends, &mut block.notes);
        let mut lenient = self.unknown_in.load(Ordering::Relaxed) < block.number;
        let first = Place { path: &block.path, line: block.line };
        // Nothing stops it.
        let _ = recorded::split(&block.lines, first, &mut |line, place| {
            let noted = notes.len();
            if let Some(event) = self.reading.event(line, place, &mut lenient, notes) {
                if select {
                    printer.out.extend_from_slice(line);
                    printer.out.push(b'\n');
                    ends.push(printer.out.len());
                } else {
                    printer.print(&event);
                }
            }
            if let Some(new) = notes.get_mut(noted..).filter(|new| !new.is_empty()) {
                new.iter_mut().for_each(|note| note.behind = ends.len());
            }
            ControlFlow::Continue(())
        });
        if lenient {
            self.unknown_in.fetch_min(block.number, Ordering::Relaxed);
        }
    }
}
