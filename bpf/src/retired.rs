//! Programs that are no longer attached, whose rows and rings still hold counts: an earlier layout, other sizes, or
//! what [`crate::Kernel::detach`] leaves. Their own pinned sweep empties them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::kernel::map_rings;
use crate::load::Programs;
use crate::maps::{Maps, Meta};
use crate::netlink::Netlink;
use crate::pins::{self, Found};
use crate::sweep::{Mode, Sweeper};
use crate::{Error, LinkCounters, Ring, Swept, attach, tables};

/// Detached programs of one instance: [`Retired::flush`] and drain until nothing comes, then [`Retired::remove`].
#[derive(Debug)]
pub struct Retired {
    folder: PathBuf,
    meta: Meta,
    /// None if the programs were never pinned: then nothing was ever counted.
    sweeper: Option<Sweeper>,
    rings: Vec<Ring>,
    /// What had been told of the devices it was attached to when it was detached.
    accounted: BTreeMap<u32, LinkCounters>,
}

impl Retired {
    /// Detaches a pinned instance and opens what is left of it.
    pub(crate) fn of(found: Found) -> Result<Self, Error> {
        let Found { folder, meta } = found;
        let maps = Maps::open(&folder, &meta.sizes)?;
        let netlink = Netlink::open().map_err(|source| Error::Netlink { what: "listed", source })?;
        let mut accounted = BTreeMap::new();
        for (ifindex, mark) in tables::attach_marks(&maps)? {
            if let Some(attachment) = attach::adopt(ifindex, Some(&mark), &folder, &netlink)? {
                attach::detach(ifindex, &attachment, &folder, &netlink)?;
                let link = netlink.link(ifindex).map_err(|source| Error::Netlink { what: "listed", source })?;
                if let Some(link) = link {
                    accounted.insert(ifindex, mark.told(tables::interface(&maps, ifindex)?.seen(), link.counters));
                }
            } else if mark.let_go {
                accounted.insert(ifindex, mark.accounted);
            }
            // Taken off once: what hangs there at a later start is not theirs.
            tables::remove_mark(&maps, ifindex)?;
        }
        pins::detach_links(&folder)?;
        let programs = Programs::open(&folder)?;
        let sweeper = programs.map(|programs| Sweeper::of(&programs, meta.sizes.slices)).transpose()?;
        let rings = map_rings(&maps, &meta)?;
        Ok(Self { folder, meta, sweeper, rings, accounted })
    }

    pub(crate) fn from_parts(folder: PathBuf, meta: Meta, sweeper: Sweeper, rings: Vec<Ring>) -> Self {
        Self { folder, meta, sweeper: Some(sweeper), rings, accounted: BTreeMap::new() }
    }

    pub(crate) fn accounted(&self) -> &BTreeMap<u32, LinkCounters> {
        &self.accounted
    }

    /// Random id of these rings.
    pub fn instance(&self) -> [u8; 16] {
        self.meta.instance
    }

    /// Layout version of their records; [`crate::event::LAYOUT_VERSION`] is this release's.
    pub fn layout(&self) -> u32 {
        self.meta.layout
    }

    /// The rings to drain, once. None after [`crate::Kernel::detach`] if they had been taken before.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// Reports and frees every row; repeat with draining until `refused` is 0.
    pub fn flush(&mut self) -> Result<Swept, Error> {
        match &self.sweeper {
            Some(sweeper) => sweeper.all(Mode::Detach),
            None => Ok(Swept::default()),
        }
    }

    /// Unpins everything. Call it when the drained bytes are safe.
    pub fn remove(self) -> Result<(), Error> {
        pins::remove(&self.folder)
    }
}
