//! Keeps the attachments in step with the interfaces there are: who is chosen, who came, who went, who was renamed.
//!
//! Every notification ends in a listing, and the listing decides; so an overflow of the notification socket is no
//! special case. The attachment of an interface is remembered by its index, which stays when the name changes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attach::{self, Attachment};
use crate::compare::{Comparison, Look};
use crate::event::Count;
use crate::load::Programs;
use crate::maps::Maps;
use crate::netlink::{Link, Netlink};
use crate::options::{AttachMode, Selection};
use crate::tables;
use crate::{Error, Interface, InterfaceChange, LinkCounters, Options, pins, sys};

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
    attached: BTreeMap<u32, (Interface, Attachment)>,
    /// Those of them whose own counters are still compared with ours.
    comparisons: BTreeMap<u32, Comparison>,
    /// Since when, in nanoseconds since boot, attached ones were missing that no notification has named yet.
    missing: BTreeMap<u32, u64>,
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
            comparisons: BTreeMap::new(),
            missing: BTreeMap::new(),
        })
    }

    pub(crate) fn notifications(&self) -> BorrowedFd<'_> {
        self.notifications.as_fd()
    }

    pub(crate) fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.attached.values().map(|(interface, _)| interface)
    }

    /// Takes over what an earlier daemon left attached, with other programs in place if `replace`. What is no longer
    /// chosen or has gone is the next [`Watch::sync`]'s; its index is remembered for that.
    pub(crate) fn adopt(&mut self, programs: &Programs, maps: &Maps, replace: bool) -> Result<(), Error> {
        let links = self.requests.links().map_err(failed("listed"))?;
        let marks = tables::attach_marks(maps)?;
        let mut known: Vec<u32> = pins::linked_interfaces(&self.folder)?;
        known.extend(marks.keys());
        known.sort_unstable();
        known.dedup();
        for ifindex in known {
            let link = links.iter().find(|link| link.ifindex == ifindex);
            let attachment = match attach::adopt(ifindex, &self.folder)? {
                None => marks.get(&ifindex).filter(|mark| mark.clsact).map(|mark| Attachment::Clsact { made_qdisc: mark.made_qdisc }),
                tcx => tcx,
            };
            match (link, attachment) {
                (Some(link), Some(attachment)) => {
                    if replace {
                        attach::replace(link, &attachment, programs, &self.folder, &self.requests)?;
                    }
                    let mark = marks.get(&ifindex).copied().unwrap_or_default();
                    let interface = interface(link, &attachment, mark.attached_boot_ns, mark.before, !mark.comparing);
                    if mark.comparing {
                        self.comparisons.insert(ifindex, Comparison::new(look(&self.requests, link, maps)?));
                    }
                    self.attached.insert(ifindex, (interface, attachment));
                }
                // Gone while nobody looked; its counters stay until a sync reports it.
                (_, attachment) => {
                    let mark = marks.get(&ifindex).copied().unwrap_or_default();
                    let attachment = attachment.unwrap_or(Attachment::Clsact { made_qdisc: false });
                    let gone = Link {
                        ifindex,
                        name: mark.name(),
                        l3: false,
                        kind: None,
                        crosses_namespaces: false,
                        counters: LinkCounters::default(),
                    };
                    self.attached
                        .insert(ifindex, (interface(&gone, &attachment, mark.attached_boot_ns, mark.before, !mark.comparing), attachment));
                    // Its notification went to nobody.
                    self.missing.insert(ifindex, 0);
                }
            }
        }
        Ok(())
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
        let leaving: Vec<u32> = self.attached.keys().filter(|index| !wanted.contains_key(index)).copied().collect();
        for ifindex in leaving {
            let alive = links.iter().find(|link| link.ifindex == ifindex);
            let last = alive.or_else(|| gone.iter().find(|link| link.ifindex == ifindex));
            if last.is_none() && self.is_about_to_be_named(ifindex) {
                continue;
            }
            self.missing.remove(&ifindex);
            changes.extend(self.leave(ifindex, last, alive.is_some(), maps)?);
        }
        for link in wanted.values() {
            match self.attached.get_mut(&link.ifindex) {
                Some((interface, _)) if interface.name != link.name => {
                    interface.name.clone_from(&link.name);
                    changes.push(InterfaceChange::Renamed { ifindex: link.ifindex, name: link.name.clone() });
                }
                Some(_) => {}
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

    fn join(&mut self, link: &Link, programs: &Programs, maps: &Maps) -> InterfaceChange {
        let joined = tables::add_interface(maps, link.ifindex, link.l3)
            .and_then(|()| attach::attach(link, self.mode, programs, &self.folder, &self.requests))
            .and_then(|attachment| {
                let boot_ns = sys::nanoseconds_since_boot();
                let mut comparison = Comparison::new(look(&self.requests, link, maps)?);
                // It may be gone by the next turn: then this is all that is ever known.
                for _ in 0..FIRST_LOOKS {
                    std::thread::sleep(BETWEEN_FIRST_LOOKS);
                    comparison.look(look(&self.requests, link, maps)?);
                }
                let interface = interface(link, &attachment, boot_ns, comparison.unobserved(), false);
                remember(maps, &interface, &attachment)?;
                self.comparisons.insert(link.ifindex, comparison);
                Ok((interface, attachment))
            });
        match joined {
            Ok((interface, attachment)) => {
                self.attached.insert(link.ifindex, (interface.clone(), attachment));
                InterfaceChange::Attached(interface)
            }
            Err(error) => {
                if let Err(error) = tables::remove_interface(maps, link.ifindex) {
                    tracing::debug!(%error, "counters of an interface that could not be attached");
                }
                InterfaceChange::Refused { ifindex: link.ifindex, name: link.name.clone(), why: error.to_string() }
            }
        }
    }

    /// Whether an interface's own counters are still compared with ours.
    pub(crate) fn compares(&self) -> bool {
        !self.comparisons.is_empty()
    }

    /// Looks at those once more; gives the interfaces of which it is settled what went unobserved. With `settle` all are, as well as it is known.
    pub(crate) fn compare(&mut self, maps: &Maps, settle: bool) -> Result<Vec<InterfaceChange>, Error> {
        let mut changes = Vec::new();
        for ifindex in self.comparisons.keys().copied().collect::<Vec<_>>() {
            let (Some(comparison), Some((interface, attachment))) = (self.comparisons.get_mut(&ifindex), self.attached.get_mut(&ifindex))
            else {
                continue;
            };
            // One that is gone is about to leave.
            let settled = match self.requests.link(ifindex).map_err(failed("listed"))? {
                Some(link) => comparison.look(look(&self.requests, &link, maps)?),
                None => false,
            };
            interface.before = comparison.unobserved();
            if settled || settle {
                interface.compared = true;
                remember(maps, interface, attachment)?;
                changes.push(InterfaceChange::Compared(interface.clone()));
                self.comparisons.remove(&ifindex);
            }
        }
        Ok(changes)
    }

    /// Takes an interface out: detached if it still lives, its counters read one last time and removed.
    fn leave(&mut self, ifindex: u32, last: Option<&Link>, alive: bool, maps: &Maps) -> Result<Option<InterfaceChange>, Error> {
        let Some((interface, attachment)) = self.attached.remove(&ifindex) else {
            return Ok(None);
        };
        self.comparisons.remove(&ifindex);
        attach::detach(ifindex, &attachment, &self.folder, &self.requests)?;
        let now = if alive { self.requests.link(ifindex).map_err(failed("listed"))? } else { None };
        let counted = Box::new(tables::interface(maps, ifindex)?);
        tables::remove_interface(maps, ifindex)?;
        // A veth whose other end is gone has forgotten what it received; what we know of is the least it was.
        let least = LinkCounters {
            received: sum(interface.before.received, counted.entered.seen),
            transmitted: sum(interface.before.transmitted, counted.left.seen),
        };
        let last = now.as_ref().or(last).map(|link| LinkCounters {
            received: greater(link.counters.received, least.received),
            transmitted: greater(link.counters.transmitted, least.transmitted),
        });
        Ok(Some(InterfaceChange::Vanished { interface, last, counted, boot_ns: sys::nanoseconds_since_boot() }))
    }

    /// Detaches from every interface.
    pub(crate) fn detach(&mut self) -> Result<(), Error> {
        for (ifindex, (_, attachment)) in std::mem::take(&mut self.attached) {
            attach::detach(ifindex, &attachment, &self.folder, &self.requests)?;
        }
        Ok(())
    }
}

fn sum(mut one: Count, other: Count) -> Count {
    one.add(other);
    one
}

fn greater(one: Count, other: Count) -> Count {
    Count { packets: one.packets.max(other.packets), bytes: one.bytes.max(other.bytes) }
}

/// Reads an interface's own counters between two readings of ours.
fn look(requests: &Netlink, link: &Link, maps: &Maps) -> Result<Look, Error> {
    let ours = || -> Result<LinkCounters, Error> {
        let counters = tables::interface(maps, link.ifindex)?;
        Ok(LinkCounters { received: counters.entered.seen, transmitted: counters.left.seen })
    };
    let ours_before = ours()?;
    // One that is gone by now has said its last in the listing.
    let theirs = requests.link(link.ifindex).map_err(failed("listed"))?.map_or(link.counters, |now| now.counters);
    Ok(Look { at: sys::nanoseconds_since_boot(), ours_before, theirs, ours_after: ours()? })
}

/// Keeps in the pinned maps how an interface is attached.
fn remember(maps: &Maps, interface: &Interface, attachment: &Attachment) -> Result<(), Error> {
    let mark = tables::AttachMark {
        attached_boot_ns: interface.attached_boot_ns,
        before: interface.before,
        clsact: matches!(attachment, Attachment::Clsact { .. }),
        made_qdisc: matches!(attachment, Attachment::Clsact { made_qdisc: true }),
        comparing: !interface.compared,
        name: tables::mark_name(&interface.name),
    };
    tables::set_attach_mark(maps, interface.ifindex, &mark)
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

fn is_chosen(selection: &Selection, link: &Link, uplinks: &[u32]) -> bool {
    match selection {
        Selection::Named(globs) => globs.iter().any(|glob| matches(glob.as_bytes(), link.name.as_bytes())),
        Selection::PodsAndUplink => is_pod_side(link) || uplinks.contains(&link.ifindex),
    }
}

fn is_pod_side(link: &Link) -> bool {
    matches!(link.kind.as_deref(), Some("veth" | "netkit")) && link.crosses_namespaces
}

/// Shell-like match of a whole name: `*` any run, `?` any one byte.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', glob)), _) => (0..=name.len()).any(|skip| matches(glob, &name[skip..])),
        (Some((b'?', glob)), Some((_, name))) => matches(glob, name),
        (Some((letter, glob)), Some((same, name))) if letter == same => matches(glob, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        let table = [
            ("lo", "lo", true),
            ("lo", "lo0", false),
            ("eth*", "eth0", true),
            ("*", "anything", true),
            ("*", "", true),
            ("veth?", "veth", false),
            ("veth?", "veth1", true),
            ("*a*b", "xaab", true),
            ("*a*b", "xaac", false),
        ];
        for (glob, name, expected) in table {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), expected, "{glob} on {name}");
        }
    }

    fn link(name: &str, kind: Option<&str>, crosses_namespaces: bool) -> Link {
        let counters = LinkCounters::default();
        Link { ifindex: 7, name: name.into(), l3: false, kind: kind.map(Into::into), crosses_namespaces, counters }
    }

    #[test]
    fn by_default_pod_veths_and_uplinks_are_chosen_by_kind_and_route_not_by_name() {
        let default = Selection::PodsAndUplink;
        assert!(is_chosen(&default, &link("whatever", Some("veth"), true), &[]));
        assert!(!is_chosen(&default, &link("veth0", Some("veth"), false), &[]));
        assert!(!is_chosen(&default, &link("docker0", Some("bridge"), false), &[]));
        assert!(is_chosen(&default, &link("ens5", None, false), &[7]));
        assert!(!is_chosen(&default, &link("ens5", None, false), &[8]));
    }
}
