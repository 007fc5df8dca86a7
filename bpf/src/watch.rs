//! Keeps the attachments in step with the interfaces there are: who is chosen, who came, who went, who was renamed.
//!
//! Every notification ends in a listing, and the listing decides; so an overflow of the notification socket is no
//! special case. The attachment of an interface is remembered by its index, which stays when the name changes.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::attach::{self, Attachment};
use crate::event::Count;
use crate::load::Programs;
use crate::maps::Maps;
use crate::netlink::{Link, Netlink};
use crate::options::{AttachMode, Selection};
use crate::tables;
use crate::{Error, Interface, InterfaceChange, LinkCounters, Options, pins, sys};

/// How long neither an interface's own counters nor ours may move before they are compared: a packet is counted by the device and by the programs at
/// different times, and in between it may wait in the backlog of a busy processor.
const SETTLED: Duration = Duration::from_millis(5);
/// Times that is waited for before settling for nearly.
const SNAPSHOT_TRIES: usize = 4;

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
                        attach::replace(link, &attachment, programs, &self.requests)?;
                    }
                    let mark = marks.get(&ifindex).copied().unwrap_or_default();
                    let interface = interface(link, &attachment, mark.attached_boot_ns, mark.before);
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
                    self.attached.insert(ifindex, (interface(&gone, &attachment, mark.attached_boot_ns, mark.before), attachment));
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
                let before = self.unobserved(link, maps)?;
                let made_qdisc = matches!(attachment, Attachment::Clsact { made_qdisc: true });
                let clsact = matches!(attachment, Attachment::Clsact { .. });
                let mark =
                    tables::AttachMark { attached_boot_ns: boot_ns, before, clsact, made_qdisc, name: tables::mark_name(&link.name) };
                tables::set_attach_mark(maps, link.ifindex, &mark)?;
                Ok((interface(link, &attachment, boot_ns, before), attachment))
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

    /// The interface's own counters less ours, read when nothing is between the two if that can be had.
    fn unobserved(&self, link: &Link, maps: &Maps) -> Result<LinkCounters, Error> {
        let less = |theirs: Count, ours: Count| Count {
            packets: theirs.packets.saturating_sub(ours.packets),
            bytes: theirs.bytes.saturating_sub(ours.bytes),
        };
        let (mut theirs, mut ours) = (link.counters, tables::interface(maps, link.ifindex)?);
        for _ in 0..SNAPSHOT_TRIES {
            let before = (theirs, ours);
            std::thread::sleep(SETTLED);
            // One that is gone by now has said its last in the listing.
            theirs = self.requests.link(link.ifindex).map_err(failed("listed"))?.map_or(theirs, |now| now.counters);
            ours = tables::interface(maps, link.ifindex)?;
            if (theirs, &ours) == (before.0, &before.1) {
                break;
            }
        }
        Ok(LinkCounters { received: less(theirs.received, ours.entered.seen), transmitted: less(theirs.transmitted, ours.left.seen) })
    }

    /// Takes an interface out: detached if it still lives, its counters read one last time and removed.
    fn leave(&mut self, ifindex: u32, last: Option<&Link>, alive: bool, maps: &Maps) -> Result<Option<InterfaceChange>, Error> {
        let Some((interface, attachment)) = self.attached.remove(&ifindex) else {
            return Ok(None);
        };
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

fn interface(link: &Link, attachment: &Attachment, attached_boot_ns: u64, before: LinkCounters) -> Interface {
    Interface {
        ifindex: link.ifindex,
        name: link.name.clone(),
        l3: link.l3,
        pod: is_pod_side(link),
        attached: attachment.how(),
        attached_boot_ns,
        before,
    }
}

/// An interface that came and went between two listings: all it carried went unobserved.
fn never_seen(link: &Link) -> InterfaceChange {
    let boot_ns = sys::nanoseconds_since_boot();
    let nothing = Attachment::Clsact { made_qdisc: false };
    InterfaceChange::Vanished {
        interface: interface(link, &nothing, boot_ns, LinkCounters::default()),
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
