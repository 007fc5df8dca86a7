//! The whole kernel side in one value: [`Kernel::start`] finds or makes the pins, loads or adopts the programs and
//! attaches them; then the caller drains the rings, calls [`Kernel::sweep`] at its pace and
//! [`Kernel::interfaces_changed`] when told, and reads counters. Dropping it leaves everything in place and counting:
//! only [`Kernel::detach`] takes it away.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::load::{Programs, programs_hash};
use crate::maps::{Maps, Meta, Sizes};
use crate::sweep::{Mode, Sweeper};
use crate::watch::Watch;
use crate::{Counters, Error, Features, Interface, InterfaceChange, Options, Reasons, Retired, Ring, Swept, Unreported, pins, sys, tables};

/// The attached programs of one state folder.
#[derive(Debug)]
pub struct Kernel {
    folder: PathBuf,
    meta: Meta,
    maps: Maps,
    programs: Programs,
    sweeper: Sweeper,
    watch: Watch,
    rings: Vec<Ring>,
    features: Features,
    reasons: Reasons,
    next_slice: u32,
}

/// What [`Kernel::start`] gives.
#[derive(Debug)]
pub struct Started {
    /// The programs that count from now on.
    pub kernel: Kernel,
    /// Earlier ones whose layout or sizes differ: detached, to be drained and then removed. Usually empty.
    pub retired: Vec<Retired>,
    /// The pins were found and taken over: nothing went unobserved while the daemon was away, except on interfaces
    /// that are among the changes.
    pub adopted: bool,
    /// Interfaces attached or gone since the pins were left, or all of them.
    pub changes: Vec<InterfaceChange>,
}

impl Kernel {
    /// Takes over what is pinned or starts anew; mounts a bpffs if there is none. Pins of another layout or of other
    /// sizes are detached and handed back as [`Started::retired`]. Two daemons must not do this at once on the same
    /// pins: the caller holds a lock.
    pub fn start(options: &Options) -> Result<Started, Error> {
        pins::prepare(&options.pins)?;
        let sizes = Sizes::of(options);
        let reasons = Reasons::of_running_kernel();
        let features = Features::of_running_kernel(&reasons);
        let drops = options.drops && !reasons.is_empty();
        let hash = programs_hash(options, &sizes, drops)?;
        let (mut ours, mut others) = (None, Vec::new());
        for found in pins::instances(&options.pins)? {
            if found.meta.fits(&sizes) && ours.is_none() {
                ours = Some(found);
            } else {
                others.push(found);
            }
        }
        // Detached before the new ones are attached, or both would count the same packets; the moment between is a
        // gap, which the interfaces' own counters tell: what the old ones had told of them by then is handed on.
        let retired = others.into_iter().map(Retired::of).collect::<Result<Vec<_>, _>>()?;
        let adopted = ours.is_some();
        let (folder, mut meta, maps) = match ours {
            Some(found) => {
                let maps = Maps::open(&found.folder, &found.meta.sizes)?;
                (found.folder, found.meta, maps)
            }
            None => {
                let meta = Meta::new(sizes).map_err(|source| Error::System { what: "random numbers", source })?;
                let folder = pins::folder(&options.pins, &meta.instance);
                std::fs::create_dir(&folder).map_err(|source| Error::pin(&folder, source))?;
                let maps = Maps::make(&folder, &meta)?;
                (folder, meta, maps)
            }
        };
        let mut watch = Watch::new(&folder, options)?;
        retired.iter().try_for_each(|old| watch.take_over(old.accounted(), &maps))?;
        let pinned = if meta.programs == hash { Programs::open(&folder)? } else { None };
        // Where drops could not be seen the last time they are tried again: what was missing may be there now.
        let pinned = pinned.filter(|programs| programs.drops.is_some() == drops);
        let replace = pinned.is_none();
        let programs = match pinned {
            Some(programs) => programs,
            None => Programs::load(&folder, options, &sizes, drops.then_some(&reasons))?,
        };
        if replace {
            programs.pin(&folder)?;
        }
        watch.adopt(&programs, &maps, replace)?;
        attach_drops(&folder, &programs, replace)?;
        let changes = watch.sync(&programs, &maps, &[])?;
        if replace {
            meta.programs = hash;
            maps.write_meta(&meta)?;
        }
        let rings = map_rings(&maps, &meta)?;
        let sweeper = Sweeper::of(&programs, meta.sizes.slices)?;
        let kernel = Self { folder, meta, maps, programs, sweeper, watch, rings, features, reasons, next_slice: 0 };
        kernel.report_vanished(&changes)?;
        Ok(Started { kernel, retired, adopted, changes })
    }

    /// Random id of the rings; the same as long as the pins live. Stands in every intake frame.
    pub fn instance(&self) -> [u8; 16] {
        self.meta.instance
    }

    /// Boot clock, in nanoseconds, when the rings were made.
    pub fn made_boot_ns(&self) -> u64 {
        self.meta.made_boot_ns
    }

    /// The rings, once: a thread of its own can drain them. Later calls give none.
    pub fn take_rings(&mut self) -> Vec<Ring> {
        std::mem::take(&mut self.rings)
    }

    /// Sweeps the next slice of rows: reports what is due, frees what is idle.
    pub fn sweep(&mut self) -> Result<Swept, Error> {
        let slice = self.next_slice;
        self.next_slice = (slice + 1) % self.meta.sizes.slices;
        self.sweeper.slice(slice, Mode::Due)
    }

    /// How often to call [`Kernel::sweep`]: one second divided by the number of slices.
    pub fn sweep_period(&self) -> Duration {
        Duration::from_secs(1) / self.meta.sizes.slices.max(1)
    }

    /// Reports every row that holds counts now, whether due or not; `refused` > 0: drain the rings and call again.
    pub fn flush(&mut self) -> Result<Swept, Error> {
        self.sweeper.all(Mode::All)
    }

    /// Cumulative counters since the pins were made.
    pub fn counters(&self) -> Result<Counters, Error> {
        let sizes = &self.meta.sizes;
        tables::counters(&self.maps, u64::from(sizes.slices) * u64::from(sizes.rows_per_slice))
    }

    /// What is counted and not reported yet. Walks every row: for status, tests and the comparison at a commit. Exact
    /// only while neither packets nor sweeps change it.
    pub fn unreported(&self) -> Result<Unreported, Error> {
        tables::unreported(&self.maps)
    }

    /// The interfaces the programs are attached to.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.watch.interfaces()
    }

    /// Readable when interfaces or routes changed: call [`Kernel::interfaces_changed`].
    pub fn interfaces_fd(&self) -> BorrowedFd<'_> {
        self.watch.notifications()
    }

    /// Brings the attachments up to date with the interfaces there are. Rows of interfaces that vanished are reported
    /// at once, as far as the ring has room. An error leaves everything as it was; the next call lists again.
    pub fn interfaces_changed(&mut self) -> Result<Vec<InterfaceChange>, Error> {
        let changes = self.watch.changed(&self.programs, &self.maps)?;
        self.report_vanished(&changes)?;
        Ok(changes)
    }

    /// Whether [`Kernel::compare_interfaces`] has anything to do: after an attach, for a second at most.
    pub fn compares_interfaces(&self) -> bool {
        self.watch.compares()
    }

    /// Looks once more at interfaces whose own counters are still compared with the programs'; best called every 10 ms while there are any. With `settle`
    /// no further look follows.
    pub fn compare_interfaces(&mut self, settle: bool) -> Result<Vec<InterfaceChange>, Error> {
        self.watch.compare(&self.maps, settle)
    }

    fn report_vanished(&self, changes: &[InterfaceChange]) -> Result<(), Error> {
        for change in changes {
            if let InterfaceChange::Vanished { interface, .. } = change {
                self.sweeper.all(Mode::Interface(interface.ifindex))?;
            }
        }
        Ok(())
    }

    pub(crate) fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Names of the running kernel's drop reasons.
    pub fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    /// Drops are being counted.
    pub fn sees_drops(&self) -> bool {
        self.programs.drops.is_some()
    }

    /// What this kernel offers and what is used of it.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Detaches everything. The rest is [`Retired`]'s: flush, drain, remove. The rings are the same ones: the drain
    /// that has them goes on, or hand them back by dropping them before.
    pub fn detach(mut self) -> Result<Retired, Error> {
        self.watch.detach()?;
        pins::detach_links(&self.folder)?;
        Ok(Retired::from_parts(self.folder, self.meta, self.sweeper, self.rings))
    }
}

/// Takes over or makes the link of the drop program. A tracing link can't be given another program: the old one ends
/// before the new one begins, and drops of these microseconds are not counted.
fn attach_drops(folder: &Path, programs: &Programs, replace: bool) -> Result<(), Error> {
    let path = folder.join(pins::DROP_LINK);
    if replace {
        pins::detach_link(&path)?;
    }
    let Some(drops) = &programs.drops else {
        return Ok(());
    };
    if sys::open_pin(&path).map_err(|source| Error::pin(&path, source))?.is_some() {
        return Ok(());
    }
    let link = sys::tracepoint_attach(drops.tracepoint.as_fd()).map_err(|source| Error::Attach {
        name: "kfree_skb".into(),
        ifindex: 0,
        how: "tracepoint",
        source,
    })?;
    sys::pin(link.as_fd(), &path).map_err(|source| Error::pin(&path, source))
}

/// Maps every ring of an instance.
pub(crate) fn map_rings(maps: &Maps, meta: &Meta) -> Result<Vec<Ring>, Error> {
    let map = |(number, ring): (u32, &OwnedFd)| {
        let mapped = ring.try_clone().and_then(|ring| Ring::map(number, ring, meta.sizes.ring_bytes as usize));
        mapped.map_err(|source| Error::Ring { number, source })
    };
    (0..).zip(&maps.rings).map(map).collect()
}
