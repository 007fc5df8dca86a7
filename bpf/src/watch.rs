//! Keeps the attachments in step with the interfaces there are: who is chosen, who came, who went, who was renamed.
//!
//! Every notification ends in a listing, and the listing decides; so an overflow of the notification socket is no
//! special case. The attachment of an interface is remembered by its index, which stays when the name changes.
//!
//! A device may outlive its attachment: the default route leaves it and comes back, or other sizes ask for other maps. What was told of it by then, counted
//! or declared, is kept, so that the next attachment declares only what passed between the two. It is kept as the device's own counters stood: the programs
//! count the segments of a super-packet, a veth counts it once, and the two are no measure of each other.

mod adopt;
mod choose;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attach::{self, Attachment};
use crate::compare::{Comparison, Look};
use crate::load::Programs;
use crate::maps::Maps;
use crate::netlink::{Link, Netlink};
use crate::options::{AttachMode, Selection};
use crate::tables::{self, AttachMark};
use crate::{Error, Interface, InterfaceChange, LinkCounters, Options, sys};
use choose::{is_chosen, is_pod_side};

/// Looks right behind an attach, beside the first one, and the time between them.
const FIRST_LOOKS: usize = 2;
const BETWEEN_FIRST_LOOKS: Duration = Duration::from_millis(3);

/// How long an interface may be missing from listings before its leaving is reported without the notification that has its last counters. The kernel lets
/// go of the name first and says so a moment later; only an overflow of the notification socket makes it never say so.
const NOTIFICATION_PATIENCE_NS: u64 = 1_000_000_000;

/// The watched interfaces of one instance.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: PathBuf,
    mode: AttachMode,
    selection: Selection,
    requests: Netlink,
    notifications: Netlink,
    attached: BTreeMap<u32, Held>,
    /// Devices that live and are not attached, with what has been told of their own counters.
    let_go: BTreeMap<u32, LinkCounters>,
    /// Those of them whose own counters are still compared with ours.
    comparisons: BTreeMap<u32, Comparison>,
    /// Since when, in nanoseconds since boot, attached ones were missing that no notification has named yet.
    missing: BTreeMap<u32, u64>,
}

/// An interface that is watched.
#[derive(Debug)]
struct Held {
    interface: Interface,
    attachment: Attachment,
    /// What of its own counters was told before this attachment, less what the maps had counted by then.
    accounted: LinkCounters,
}

/// The device of an interface that leaves.
enum Device<'l> {
    Lives(&'l Link),
    /// As it was when it went, if that was told.
    Gone(Option<&'l Link>),
}

fn failed(what: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Netlink { what, source }
}

impl Watch {
    pub(crate) fn new(folder: &Path, options: &Options) -> Result<Self, Error> {
        Ok(Self {
            folder: folder.to_owned(),
            mode: options.attach,
            selection: options.interfaces.clone(),
            notifications: Netlink::watch().map_err(failed("watched"))?,
            requests: Netlink::open().map_err(failed("listed"))?,
            attached: BTreeMap::new(),
            let_go: BTreeMap::new(),
            comparisons: BTreeMap::new(),
            missing: BTreeMap::new(),
        })
    }

    pub(crate) fn notifications(&self) -> BorrowedFd<'_> {
        self.notifications.as_fd()
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.attached.values().map(|held| &held.interface)
    }

    /// Reads the notifications; lists and acts if there were any.
    pub(crate) fn changed(&mut self, programs: &Programs, maps: &Maps) -> Result<Vec<InterfaceChange>, Error> {
        let changes = self.notifications.changes();
        if !changes.any {
            return Ok(Vec::new());
        }
        self.sync(programs, maps, &changes.gone)
    }

    /// Brings the attachments in line with a fresh listing. `gone`: links that are known to have vanished, with their
    /// last counters; those that were chosen and came and went unseen are declared too.
    pub(crate) fn sync(&mut self, programs: &Programs, maps: &Maps, gone: &[Link]) -> Result<Vec<InterfaceChange>, Error> {
        let links = self.requests.links().map_err(failed("listed"))?;
        let uplinks = self.requests.default_route_devices().map_err(failed("listed"))?;
        let chosen = |link: &&Link| is_chosen(&self.selection, link, &uplinks);
        let wanted: BTreeMap<u32, &Link> = links.iter().filter(chosen).map(|link| (link.ifindex, link)).collect();
        let missed: Vec<&Link> = gone
            .iter()
            .filter(|link| !links.iter().any(|alive| alive.ifindex == link.ifindex))
            .filter(|link| !self.attached.contains_key(&link.ifindex))
            .filter(chosen)
            .collect();
        let mut changes: Vec<InterfaceChange> = missed.into_iter().map(never_seen).collect();
        let named = |index: u32| gone.iter().find(|link| link.ifindex == index);
        let lives = |index: u32| links.iter().find(|link| link.ifindex == index);
        self.forget_let_go(|index| lives(index).is_none() || named(index).is_some(), maps)?;
        let leaving: Vec<u32> = self.attached.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        for ifindex in leaving {
            let device = lives(ifindex).map_or(Device::Gone(named(ifindex)), Device::Lives);
            if matches!(device, Device::Gone(None)) && self.is_about_to_be_named(ifindex) {
                continue;
            }
            self.missing.remove(&ifindex);
            changes.extend(self.leave(ifindex, device, maps)?);
        }
        for link in wanted.values() {
            if self.attached.get(&link.ifindex).is_some_and(|held| !held.attachment.is_on(link.ifindex)) {
                // Taken off by somebody, or it is another device with the index of one that went.
                let last = named(link.ifindex);
                let device = if last.is_none() && self.is_same(link) { Device::Lives(link) } else { Device::Gone(last) };
                changes.extend(self.leave(link.ifindex, device, maps)?);
            }
            match self.attached.get_mut(&link.ifindex) {
                Some(held) => held.refresh(link, &mut changes),
                None => changes.push(self.join(link, programs, maps)),
            }
        }
        Ok(changes)
    }

    /// Whether a missing interface is waited for, so that what it carried is not declared once now and once more with the notification.
    fn is_about_to_be_named(&mut self, ifindex: u32) -> bool {
        let now = sys::nanoseconds_since_boot();
        let since = *self.missing.entry(ifindex).or_insert(now);
        now.saturating_sub(since) < NOTIFICATION_PATIENCE_NS
    }

    /// Whether this is the device that was attached under its index: as far as it can be told, by name and by what it had received before.
    fn is_same(&self, link: &Link) -> bool {
        let Some(held) = self.attached.get(&link.ifindex) else { return false };
        let known = held.accounted.plus(held.interface.before);
        held.interface.name == link.name && known.less(link.counters).received.packets == 0
    }

    fn join(&mut self, link: &Link, programs: &Programs, maps: &Maps) -> InterfaceChange {
        let told = self.let_go.get(&link.ifindex).copied();
        match self.try_join(link, told, programs, maps) {
            Ok(interface) => {
                self.let_go.remove(&link.ifindex);
                InterfaceChange::Attached(interface)
            }
            Err(error) => {
                self.undo_join(link.ifindex, maps);
                InterfaceChange::Refused { ifindex: link.ifindex, name: link.name.clone(), why: error.to_string() }
            }
        }
    }

    fn try_join(&mut self, link: &Link, told: Option<LinkCounters>, programs: &Programs, maps: &Maps) -> Result<Interface, Error> {
        tables::add_interface(maps, link.ifindex, link.l3)?;
        let counted = tables::interface(maps, link.ifindex)?.seen();
        // The listing may be older than what was told.
        let own = self.requests.link(link.ifindex).map_err(failed("listed"))?.map_or(link.counters, |now| now.counters);
        let accounted = told.map_or(LinkCounters::default(), |told| {
            // One that has received less is another device.
            let same = told.received.packets <= own.received.packets;
            // What these maps have counted of it belongs to what was told, in whatever measure.
            if same { told } else { LinkCounters::default() }.minus(counted)
        });
        let attachment = attach::attach(link, self.mode, programs, &self.folder, &self.requests)?;
        let boot_ns = sys::nanoseconds_since_boot();
        let mut comparison = Comparison::new(look(&self.requests, link, accounted, maps)?);
        // It may be gone by the next turn: then this is all that is ever known.
        for _ in 0..FIRST_LOOKS {
            std::thread::sleep(BETWEEN_FIRST_LOOKS);
            comparison.look(look(&self.requests, link, accounted, maps)?);
        }
        let interface = interface(link, &attachment, boot_ns, comparison.unobserved(), false);
        let held = Held { interface: interface.clone(), attachment, accounted };
        held.remember(maps)?;
        self.comparisons.insert(link.ifindex, comparison);
        self.attached.insert(link.ifindex, held);
        Ok(interface)
    }

    /// Leaves nothing of a join that failed, so that the next one starts afresh.
    fn undo_join(&self, ifindex: u32, maps: &Maps) {
        let told = self.let_go.get(&ifindex);
        let undone = attach::detach_links(ifindex, &self.folder)
            .and_then(|()| tables::remove_interface(maps, ifindex))
            .and_then(|()| told.map_or(Ok(()), |told| tables::set_attach_mark(maps, ifindex, &AttachMark::let_go(*told))));
        if let Err(error) = undone {
            tracing::debug!(ifindex, %error, "what is left of an interface that could not be attached");
        }
    }

    /// Keeps what was told of a device that is not attached any more.
    fn let_go(&mut self, ifindex: u32, told: LinkCounters, maps: &Maps) -> Result<(), Error> {
        self.let_go.insert(ifindex, told);
        tables::set_attach_mark(maps, ifindex, &AttachMark::let_go(told))
    }

    /// Forgets it of devices that are gone.
    fn forget_let_go(&mut self, is_gone: impl Fn(u32) -> bool, maps: &Maps) -> Result<(), Error> {
        for ifindex in self.let_go.keys().copied().filter(|index| is_gone(*index)).collect::<Vec<_>>() {
            self.let_go.remove(&ifindex);
            tables::remove_interface(maps, ifindex)?;
        }
        Ok(())
    }

    /// Whether an interface's own counters are still compared with ours.
    pub(crate) fn compares(&self) -> bool {
        !self.comparisons.is_empty()
    }

    /// Looks at those once more; gives the interfaces of which it is settled what went unobserved. With `settle` all are, as well as it is known.
    pub(crate) fn compare(&mut self, maps: &Maps, settle: bool) -> Result<Vec<InterfaceChange>, Error> {
        let mut changes = Vec::new();
        for ifindex in self.comparisons.keys().copied().collect::<Vec<_>>() {
            let (Some(comparison), Some(held)) = (self.comparisons.get_mut(&ifindex), self.attached.get_mut(&ifindex)) else {
                continue;
            };
            // One that is gone is about to leave.
            let settled = match self.requests.link(ifindex).map_err(failed("listed"))? {
                Some(link) => comparison.look(look(&self.requests, &link, held.accounted, maps)?),
                None => false,
            };
            held.interface.before = comparison.unobserved();
            if settled || settle {
                held.interface.compared = true;
                held.remember(maps)?;
                changes.push(InterfaceChange::Compared(held.interface.clone()));
                self.comparisons.remove(&ifindex);
            }
        }
        Ok(changes)
    }

    /// Takes an interface out: detached if it still lives, its counters read one last time and removed.
    fn leave(&mut self, ifindex: u32, device: Device<'_>, maps: &Maps) -> Result<Option<InterfaceChange>, Error> {
        let Some(Held { interface, attachment, accounted }) = self.attached.remove(&ifindex) else {
            return Ok(None);
        };
        self.comparisons.remove(&ifindex);
        attach::detach(ifindex, &attachment, &self.folder, &self.requests)?;
        let (last, now) = match device {
            Device::Lives(link) => (Some(link), self.requests.link(ifindex).map_err(failed("listed"))?),
            Device::Gone(last) => (last, None),
        };
        let counted = Box::new(tables::interface(maps, ifindex)?);
        tables::remove_interface(maps, ifindex)?;
        // A veth whose other end is gone has forgotten what it received; what we know of is the least it was.
        let least = interface.before.plus(counted.seen());
        let last = now.as_ref().or(last).map(|link| link.counters.less(accounted).greater(least));
        if let Some(now) = now {
            self.let_go(ifindex, now.counters, maps)?;
        }
        Ok(Some(InterfaceChange::Vanished { interface, last, counted, boot_ns: sys::nanoseconds_since_boot() }))
    }

    /// Detaches from every interface.
    pub(crate) fn detach(&mut self) -> Result<(), Error> {
        for (ifindex, held) in std::mem::take(&mut self.attached) {
            attach::detach(ifindex, &held.attachment, &self.folder, &self.requests)?;
        }
        Ok(())
    }
}

impl Held {
    /// Brings what is known of the interface up to a listing.
    fn refresh(&mut self, link: &Link, changes: &mut Vec<InterfaceChange>) {
        let (ifindex, interface) = (link.ifindex, &mut self.interface);
        if interface.name != link.name {
            interface.name.clone_from(&link.name);
            changes.push(InterfaceChange::Renamed { ifindex, name: link.name.clone() });
        }
        // The other end of a veth may be moved into its pod later.
        if interface.pod != is_pod_side(link) {
            interface.pod = is_pod_side(link);
            changes.push(InterfaceChange::Attached(interface.clone()));
        }
    }

    /// Keeps in the pinned maps how the interface is attached.
    fn remember(&self, maps: &Maps) -> Result<(), Error> {
        let mark = AttachMark {
            attached_boot_ns: self.interface.attached_boot_ns,
            before: self.interface.before,
            clsact: matches!(self.attachment, Attachment::Clsact { .. }),
            made_qdisc: matches!(self.attachment, Attachment::Clsact { made_qdisc: true }),
            comparing: !self.interface.compared,
            let_go: false,
            name: tables::mark_name(&self.interface.name),
            accounted: self.accounted,
        };
        tables::set_attach_mark(maps, self.interface.ifindex, &mark)
    }
}

/// Reads an interface's own counters between two readings of ours, to which belongs what was told of it earlier.
fn look(requests: &Netlink, link: &Link, accounted: LinkCounters, maps: &Maps) -> Result<Look, Error> {
    let ours = || tables::interface(maps, link.ifindex).map(|counters| accounted.plus(counters.seen()));
    let ours_before = ours()?;
    // One that is gone by now has said its last in the listing.
    let theirs = requests.link(link.ifindex).map_err(failed("listed"))?.map_or(link.counters, |now| now.counters);
    Ok(Look { at: sys::nanoseconds_since_boot(), ours_before, theirs, ours_after: ours()? })
}

fn interface(link: &Link, attachment: &Attachment, attached_boot_ns: u64, before: LinkCounters, compared: bool) -> Interface {
    Interface {
        ifindex: link.ifindex,
        name: link.name.clone(),
        l3: link.l3,
        pod: is_pod_side(link),
        attached: attachment.how(),
        attached_boot_ns,
        before,
        compared,
    }
}

/// An interface that came and went between two listings: all it carried went unobserved.
fn never_seen(link: &Link) -> InterfaceChange {
    let boot_ns = sys::nanoseconds_since_boot();
    let nothing = Attachment::Clsact { made_qdisc: false };
    InterfaceChange::Vanished {
        interface: interface(link, &nothing, boot_ns, LinkCounters::default(), false),
        last: Some(link.counters),
        counted: Box::new(crate::InterfaceCounters { ifindex: link.ifindex, ..Default::default() }),
        boot_ns,
    }
}
