//! Columns each as wide as their widest cell and three blanks, the last one as it is: the way Go's tabwriter lays out `-o table`.
//!
//! A cell ends with a tab, a line with a newline; a column's width holds for as long as line after line has that column. Widths are counted in code
//! points. Everything is kept until the end, because the last line may be the widest.

/// Blanks behind the widest cell.
const PADDING: usize = 3;
/// Narrowest column.
const NARROWEST: usize = 2;

/// Text in rows of cells.
#[derive(Debug, Default)]
pub struct Table {
    text: Vec<u8>,
    /// Where each cell ends in the text, with its width.
    cells: Vec<(usize, usize)>,
    /// How many cells there are up to the end of each line.
    lines: Vec<usize>,
}

impl Table {
    /// Adds cells and lines.
    pub fn write(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\t' | b'\n' | 0x0b | 0x0c)) {
            let cell = &rest[..at];
            self.text.extend_from_slice(cell);
            let width = cell.iter().filter(|byte| !matches!(byte, 0x80..=0xbf)).count();
            self.cells.push((self.text.len(), width));
            if matches!(rest[at], b'\n' | 0x0c) {
                self.lines.push(self.cells.len());
            }
            rest = &rest[at + 1..];
        }
    }

    /// Lays everything out.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let widths = self.widths();
        let (mut cell, mut start) = (0, 0);
        for &end in &self.lines {
            while cell < end {
                let (stop, width) = self.cells[cell];
                out.extend_from_slice(&self.text[start..stop]);
                if cell + 1 < end {
                    out.resize(out.len() + widths[cell].saturating_sub(width), b' ');
                }
                (cell, start) = (cell + 1, stop);
            }
            out.push(b'\n');
        }
        *self = Self::default();
    }

    /// The width of the column of each cell.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.cells.len()];
        // Columns of the line before: where the run of lines that have the column began, and the width so far.
        let mut open: Vec<(usize, usize)> = Vec::new();
        let first = |line: usize| if line == 0 { 0 } else { self.lines[line - 1] };
        let close = |widths: &mut Vec<usize>, column: usize, from: usize, to: usize, width: usize| {
            (from..to).for_each(|line| widths[first(line) + column] = width);
        };
        for line in 0..=self.lines.len() {
            let columns = self.lines.get(line).map_or(0, |end| end - first(line) - 1);
            while open.len() > columns {
                if let Some((from, width)) = open.pop() {
                    close(&mut widths, open.len(), from, line, width);
                }
            }
            for column in 0..columns {
                let width = (self.cells[first(line) + column].1 + PADDING).max(NARROWEST);
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
        table.finish(&mut out);
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
