//! A list that grows by pieces. What is in it never moves, so growing copies nothing, needs no room for both copies meanwhile, and takes no more than it
//! holds: of a plain vector of a hundred thousand rows up to half is empty.

/// What a piece takes at least, bytes: so much that the allocator has it from the system by itself (`flowlog_bpf::memory`) and what comes and goes beside it
/// does not lie in between.
const PIECE_BYTES: usize = 128 << 10;

/// A list in pieces.
#[derive(Debug)]
pub struct Chunks<T> {
    /// All but the last in use are full.
    pieces: Vec<Vec<T>>,
    length: usize,
}

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), length: 0 }
    }
}

impl<T> Chunks<T> {
    /// Elements of a piece, a power of two.
    const PIECE: usize = PIECE_BYTES.div_ceil(size_of::<T>()).next_power_of_two();

    /// Elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Appends an element, and gives its place.
    pub fn push(&mut self, value: T) -> u32 {
        let piece = self.length / Self::PIECE;
        if piece == self.pieces.len() {
            self.pieces.push(Vec::with_capacity(Self::PIECE));
        }
        self.pieces[piece].push(value);
        self.length += 1;
        // More than u32::MAX elements do not fit any memory.
        (self.length - 1) as u32
    }

    /// An element, if there is one at this place.
    pub fn get(&self, at: u32) -> Option<&T> {
        self.pieces.get(at as usize / Self::PIECE)?.get(at as usize % Self::PIECE)
    }

    /// An element, if there is one at this place.
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.pieces.get_mut(at as usize / Self::PIECE)?.get_mut(at as usize % Self::PIECE)
    }

    /// Goes over all elements.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    /// Goes over all elements.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.pieces.iter_mut().flatten()
    }

    /// Empties the list. It keeps the memory that it needed since the last time, and gives back what it needed before that.
    pub fn clear(&mut self) {
        self.pieces.truncate(self.length.div_ceil(Self::PIECE));
        self.pieces.iter_mut().for_each(Vec::clear);
        self.length = 0;
    }
}

impl<T> std::ops::Index<u32> for Chunks<T> {
    type Output = T;

    fn index(&self, at: u32) -> &T {
        &self.pieces[at as usize / Self::PIECE][at as usize % Self::PIECE]
    }
}

impl<T> std::ops::IndexMut<u32> for Chunks<T> {
    fn index_mut(&mut self, at: u32) -> &mut T {
        &mut self.pieces[at as usize / Self::PIECE][at as usize % Self::PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_it_stays_where_it_is_while_it_grows_and_is_cleared() {
        let mut list = Chunks::default();
        for round in 0..3 {
            let count = 10 * Chunks::<u64>::PIECE as u64 + round;
            (0..count).for_each(|value| assert_eq!(list.push(value + round), value as u32));
            list[7] += 1;
            assert!((0..count).filter(|at| *at != 7).all(|at| list[at as u32] == at + round));
            assert_eq!(list.iter().sum::<u64>(), (0..count).map(|value| value + round).sum::<u64>() + 1);
            assert_eq!(list.len() as u64, count);
            list.clear();
            assert_eq!((list.len(), list.iter().next()), (0, None));
        }
    }
}
