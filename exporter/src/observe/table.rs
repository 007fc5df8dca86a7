//! Columns each as wide as their widest cell and three blanks, the last one as it is: the way Go's tabwriter lays out `-o table`.
//!
//! A cell ends with a tab, a line with a newline; a column's width holds for as long as line after line has that column. Widths are counted in code
//! points. Everything is kept until the end, because the last line may be the widest.

use std::io::{self, Write};

/// Blanks behind the widest cell.
const PADDING: u32 = 3;
/// Narrowest column.
const NARROWEST: u32 = 2;

/// Bytes of laid out text that are handed over at a time.
const OUTPUT_BYTES: usize = 256 * 1024;

/// Text in rows of cells.
#[derive(Debug, Default)]
pub struct Table {
    text: Vec<u8>,
    cells: Vec<Cell>,
    /// How many cells each line has.
    lines: Vec<u32>,
    /// Cells behind the last line.
    open: u32,
}

/// A cell: how long its text is, and how wide.
#[derive(Clone, Copy, Debug)]
struct Cell {
    bytes: u32,
    width: u32,
}

impl Table {
    /// Adds cells and lines.
    pub fn write(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c)) {
            let (cell, behind) = rest.split_at(at);
            self.text.extend_from_slice(cell);
            // A line of input is shorter than 4 GiB.
            let width = cell.iter().map(|byte| u32::from(!matches!(byte, 0x80..=0xbf))).sum();
            self.cells.push(Cell { bytes: cell.len() as u32, width });
            self.open += 1;
            if matches!(behind.first(), Some(b'\n' | 0x0c)) {
                self.lines.push(std::mem::take(&mut self.open));
            }
            rest = behind.get(1..).unwrap_or_default();
        }
    }

    /// Adds another table's lines.
    pub fn append(&mut self, other: &Table) {
        self.text.extend_from_slice(&other.text);
        self.cells.extend_from_slice(&other.cells);
        self.lines.extend_from_slice(&other.lines);
        self.open += other.open;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
        self.lines.clear();
        self.open = 0;
    }

    /// Lays everything out.
    ///
    /// # Errors
    /// What writing fails with.
    pub fn finish(&mut self, to: &mut dyn Write) -> io::Result<()> {
        let table = std::mem::take(self);
        let widths = table.widths();
        let mut cells = table.cells.iter().zip(widths);
        let (mut rest, mut out) = (table.text.as_slice(), Vec::new());
        for &count in &table.lines {
            for (left, (cell, width)) in (0..count).rev().zip(&mut cells) {
                let (text, behind) = rest.split_at_checked(cell.bytes as usize).unwrap_or_default();
                out.extend_from_slice(text);
                rest = behind;
                if left > 0 {
                    out.resize(out.len() + width.saturating_sub(cell.width) as usize, b' ');
                }
            }
            out.push(b'\n');
            if out.len() >= OUTPUT_BYTES {
                to.write_all(&out)?;
                out.clear();
            }
        }
        to.write_all(&out)
    }

    /// The width of the column of each cell.
    fn widths(&self) -> Vec<u32> {
        let mut widths = vec![0; self.cells.len()];
        let mut starts = Vec::with_capacity(self.lines.len() + 1);
        starts.push(0);
        starts.extend(self.lines.iter().scan(0, |end, count| {
            *end += *count as usize;
            Some(*end)
        }));
        // Columns of the line before: where the run of lines that have the column began, and the width so far.
        let mut open: Vec<(usize, u32)> = Vec::new();
        let close = |widths: &mut Vec<u32>, column: usize, from: usize, to: usize, width: u32| {
            (from..to).for_each(|line| widths[starts[line] + column] = width);
        };
        for (line, &start) in starts.iter().enumerate() {
            let columns = self.lines.get(line).map_or(0, |count| (*count as usize).saturating_sub(1));
            while open.len() > columns {
                if let Some((from, width)) = open.pop() {
                    close(&mut widths, open.len(), from, line, width);
                }
            }
            for column in 0..columns {
                let width = (self.cells[start + column].width + PADDING).max(NARROWEST);
                match open.get_mut(column) {
                    Some((_, widest)) => *widest = width.max(*widest),
                    None => open.push((line, width)),
                }
            }
        }
        widths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lay_out(text: &str) -> String {
        let mut table = Table::default();
        table.write(text.as_bytes());
        let mut out = Vec::new();
        table.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(lay_out("A\tBB\tC\nlonger\té\tx\n"), "A        BB   C\nlonger   é    x\n");
    }

    #[test]
    fn a_broken_line_ends_the_columns_above_it() {
        assert_eq!(lay_out("a\tb\nlonger\nccc\td\n"), "a   b\nlonger\nccc   d\n");
    }
}
