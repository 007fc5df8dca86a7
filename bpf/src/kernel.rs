//! The whole kernel side in one value: [`Kernel::start`] finds or makes the pins, loads or adopts the programs and
//! attaches them; then the caller drains the rings, calls [`Kernel::sweep`] at its pace and
//! [`Kernel::interfaces_changed`] when told, and reads counters. Dropping it leaves everything in place and counting:
//! only [`Kernel::detach`] takes it away.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::{Counters, Error, Features, Interface, InterfaceChange, Options, Reasons, Ring};

/// The attached programs of one state folder.
#[derive(Debug)]
pub struct Kernel {
    instance: [u8; 16],
    features: Features,
    reasons: Reasons,
    interfaces: Vec<Interface>,
    rings: Vec<Ring>,
    slices: u32,
}

/// What [`Kernel::start`] gives.
#[derive(Debug)]
pub struct Started {
    /// The programs that count from now on.
    pub kernel: Kernel,
    /// Earlier ones whose layout or sizes differ: detached, to be drained and then removed before anything is read
    /// from the new rings. Usually empty.
    pub retired: Vec<Retired>,
    /// The pins were found and taken over: nothing went unobserved while the daemon was away.
    pub adopted: bool,
}

/// Programs that are no longer attached; their rows still hold counts.
#[derive(Debug)]
pub struct Retired {
    instance: [u8; 16],
    rings: Vec<Ring>,
}

/// What one call of [`Kernel::sweep`] did.
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

impl Kernel {
    /// Takes over what is pinned or starts anew; mounts a bpffs if there is none.
    pub fn start(options: &Options) -> Result<Started, Error> {
        let _ = options;
        Err(Error::NotBuilt)
    }

    /// Random id of the rings; the same as long as the pins live. Stands in every intake frame.
    pub fn instance(&self) -> [u8; 16] {
        self.instance
    }

    /// The rings, once: a thread of its own can drain them. Later calls give none.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// Sweeps the next slice of rows: reports what is due, frees what is idle.
    pub fn sweep(&mut self) -> Result<Swept, Error> {
        Err(Error::NotBuilt)
    }

    /// How often to call [`Kernel::sweep`]: one second divided by the number of slices.
    pub fn sweep_period(&self) -> Duration {
        Duration::from_secs(1) / self.slices.max(1)
    }

    /// Reports every row that holds counts now, whether due or not; `refused` > 0: drain the rings and call again.
    pub fn flush(&mut self) -> Result<Swept, Error> {
        Err(Error::NotBuilt)
    }

    /// Cumulative counters since the pins were made.
    pub fn counters(&self) -> Result<Counters, Error> {
        Err(Error::NotBuilt)
    }

    /// The interfaces the programs are attached to.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Readable when interfaces or routes changed: call [`Kernel::interfaces_changed`].
    pub fn interfaces_fd(&self) -> Option<BorrowedFd<'_>> {
        self.rings.first().map(AsFd::as_fd)
    }

    /// Brings the attachments up to date with the interfaces there are; never blocks.
    pub fn interfaces_changed(&mut self) -> Vec<InterfaceChange> {
        Vec::new()
    }

    /// Names of the running kernel's drop reasons.
    pub fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    /// What this kernel offers and what is used of it.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Detaches everything. The rest is [`Retired`]'s: flush, drain, remove.
    pub fn detach(self) -> Result<Retired, Error> {
        Err(Error::NotBuilt)
    }
}

impl Retired {
    /// Random id of these rings.
    pub fn instance(&self) -> [u8; 16] {
        self.instance
    }

    /// The rings to drain, once.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// Reports every row that still holds counts; repeat with draining until `refused` and `reported` are 0.
    pub fn flush(&mut self) -> Result<Swept, Error> {
        Err(Error::NotBuilt)
    }

    /// Unpins everything. Call it when the drained bytes are safe.
    pub fn remove(self) -> Result<(), Error> {
        Err(Error::NotBuilt)
    }
}
