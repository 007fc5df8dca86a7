//! Running the sweeps: test runs of pinned classifiers, arguments and results in `skb->cb` (`programs/sweep.h`).
//! Needs no privilege once the programs are open (Linux 5.19 and later).

use std::os::fd::{AsFd, OwnedFd};

use crate::load::Programs;
use crate::sys::Context;
use crate::{Error, sys};

/// What a sweep reports beside freeing what is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What waits for its interval.
    Due,
    /// Everything that holds counts.
    All,
    /// Rows with a side at this interface.
    Interface(u32),
    /// Everything, and every row is freed.
    Detach,
}

/// What one call of [`crate::Kernel::sweep`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows looked at, of every kind.
    pub rows: u64,
    /// Records written.
    pub reported: u64,
    /// Rows that had counts to report and found the ring full.
    pub refused: u64,
    /// Rows freed.
    pub freed: u64,
}

impl Swept {
    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.reported += other.reported;
        self.refused += other.refused;
        self.freed += other.freed;
    }
}

/// The sweeping programs of an instance, duplicated so that they outlive a replacement.
#[derive(Debug)]
pub(crate) struct Sweeper {
    flows: OwnedFd,
    drops: Option<OwnedFd>,
    slices: u32,
}

impl Sweeper {
    pub(crate) fn of(programs: &Programs, slices: u32) -> Result<Self, Error> {
        let duplicate = |program: &OwnedFd| program.try_clone().map_err(Error::Sweep);
        let drops = programs.drops.as_ref().map(|drops| duplicate(&drops.sweep)).transpose()?;
        Ok(Self { flows: duplicate(&programs.sweep)?, drops, slices })
    }

    /// One slice of the flow rows; with slice 0 also fold rows, unattributed sums and drop rows.
    pub(crate) fn slice(&self, slice: u32, mode: Mode) -> Result<Swept, Error> {
        let mut swept = run(&self.flows, slice, mode)?;
        if let Some(drops) = self.drops.as_ref().filter(|_| slice == 0) {
            swept.add(run(drops, 0, mode)?);
        }
        Ok(swept)
    }

    /// Every slice once.
    pub(crate) fn all(&self, mode: Mode) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for slice in 0..self.slices {
            swept.add(self.slice(slice, mode)?);
        }
        Ok(swept)
    }
}

fn run(program: &OwnedFd, slice: u32, mode: Mode) -> Result<Swept, Error> {
    let (number, ifindex) = match mode {
        Mode::Due => (0, 0),
        Mode::All => (1, 0),
        Mode::Interface(ifindex) => (2, ifindex),
        Mode::Detach => (3, 0),
    };
    let mut context = Context { words: [number, slice, ifindex, 0, 0], ..Context::default() };
    sys::test_run(program.as_fd(), &[0; 64], &mut context, 1).map_err(Error::Sweep)?;
    let [rows, reported, refused, freed, _] = context.words.map(u64::from);
    Ok(Swept { rows, reported, refused, freed })
}
