//! Gaps that the intake has not taken yet: whoever finds one goes on with its work, and tries again until there is room.
//!
//! What a full disk can pile up is bounded: beyond [`MOST`] a gap joins one of the same cause, the same interface's if there is one, and no packet goes
//! uncounted.

use std::collections::VecDeque;
use std::io;

use flowlog_sinks::spool::Gap;

use crate::pipeline::note::Note;

/// Gaps that are kept apart.
const MOST: usize = 1024;

/// The gaps, oldest first.
#[derive(Debug, Default)]
pub struct Owed(VecDeque<Gap>);

impl Owed {
    /// One more.
    pub fn push(&mut self, gap: Gap) {
        if self.0.len() >= MOST {
            let alike = |other: &Gap| other.cause == gap.cause && other.interface == gap.interface;
            let at = self.0.iter().position(alike).or_else(|| self.0.iter().position(|other| other.cause == gap.cause));
            if let Some(other) = at.and_then(|at| self.0.get_mut(at)) {
                return join(other, gap);
            }
        }
        self.0.push_back(gap);
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes as many as are taken.
    ///
    /// # Errors
    /// When the disk does not take one. That one and those behind it stay.
    pub fn pay(&mut self, mut write: impl FnMut(&Note) -> io::Result<bool>) -> io::Result<()> {
        while let Some(gap) = self.0.front() {
            if !write(&Note::Gap(gap.clone()))? {
                return Ok(());
            }
            self.0.pop_front();
        }
        Ok(())
    }
}

/// Adds a gap to one of the same cause. What only one of them says is not true of both.
fn join(to: &mut Gap, gap: Gap) {
    let both = |a: Option<i64>, b: Option<i64>, of: fn(i64, i64) -> i64| a.zip(b).map(|(a, b)| of(a, b));
    to.first = both(to.first, gap.first, i64::min);
    to.last = both(to.last, gap.last, i64::max);
    to.packets = to.packets.zip(gap.packets).map(|(a, b)| a.saturating_add(b));
    to.bytes = to.bytes.zip(gap.bytes).map(|(a, b)| a.saturating_add(b));
    to.interface = to.interface.take().filter(|name| gap.interface.as_ref() == Some(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(interface: usize) -> Gap {
        Gap {
            cause: "before-attach".to_owned(),
            last: Some(interface as i64),
            packets: Some(1),
            bytes: Some(100),
            interface: Some(format!("veth{interface}")),
            ..Gap::default()
        }
    }

    #[test]
    fn what_is_not_taken_stays_and_beyond_the_bound_nothing_is_lost_but_names() {
        let mut owed = Owed::default();
        (0..MOST).for_each(|interface| owed.push(gap(interface)));
        [7, MOST].into_iter().for_each(|interface| owed.push(gap(interface)));
        let mut told = Vec::new();
        let mut write = |room: usize, full: fn() -> io::Result<bool>| {
            owed.pay(|note| {
                let Note::Gap(gap) = note else { return Ok(false) };
                if told.len() == room {
                    return full();
                }
                told.push(gap.clone());
                Ok(true)
            })
        };
        assert!(write(3, || Err(io::ErrorKind::StorageFull.into())).is_err());
        assert!(write(5, || Ok(false)).is_ok());
        assert!(write(usize::MAX, || Ok(false)).is_ok());
        assert!(owed.is_empty() && told.len() == MOST);
        assert_eq!(told.iter().filter_map(|gap| gap.packets).sum::<u64>(), MOST as u64 + 2);
        assert_eq!((told[7].packets, told[7].interface.as_deref()), (Some(2), Some("veth7")));
        assert_eq!((told[0].packets, told[0].last, told[0].interface.as_deref()), (Some(2), Some(MOST as i64), None));
    }
}
