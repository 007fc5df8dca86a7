//! What earlier daemons left: attachments that go on, those that ended meanwhile, and devices that were let go.

use std::collections::BTreeMap;

use super::{Held, Watch, failed, interface, look};
use crate::attach::{self, Attachment};
use crate::compare::Comparison;
use crate::load::Programs;
use crate::maps::Maps;
use crate::netlink::Link;
use crate::tables::{self, AttachMark};
use crate::{Error, LinkCounters, pins, sys};

impl Watch {
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
            let (link, mark) = (links.iter().find(|link| link.ifindex == ifindex), marks.get(&ifindex));
            let attachment = attach::adopt(ifindex, mark, &self.folder, &self.requests)?;
            match (link, attachment, mark) {
                (Some(link), Some(attachment), mark) => {
                    if replace {
                        attach::replace(link, &attachment, programs, &self.folder, &self.requests)?;
                    }
                    self.go_on(link, attachment, mark, maps)?;
                }
                (_, None, Some(mark)) if mark.let_go => {
                    self.let_go.insert(ifindex, mark.accounted);
                }
                // The daemon ended while it was attaching: a sync joins it, and its counters go on.
                (Some(_), None, None) => {}
                // Gone, or taken off, while nobody looked; its counters stay until a sync reports it.
                (link, attachment, mark) => {
                    let mark = mark.copied().unwrap_or_default();
                    self.attached.insert(ifindex, ended(ifindex, &mark, attachment));
                    if link.is_none() {
                        // Its notification went to nobody.
                        self.missing.insert(ifindex, 0);
                    }
                }
            }
        }
        Ok(())
    }

    /// An attachment that still counts. Without a mark of it the daemon ended before it had compared.
    fn go_on(&mut self, link: &Link, attachment: Attachment, mark: Option<&AttachMark>, maps: &Maps) -> Result<(), Error> {
        let unmarked = AttachMark { attached_boot_ns: sys::nanoseconds_since_boot(), comparing: true, ..AttachMark::default() };
        let mark = match mark {
            Some(mark) if mark.let_go => AttachMark { accounted: mark.accounted, ..unmarked },
            mark => mark.copied().unwrap_or(unmarked),
        };
        if mark.comparing {
            self.comparisons.insert(link.ifindex, Comparison::new(look(&self.requests, link, mark.accounted, maps)?));
        }
        let interface = interface(link, &attachment, mark.attached_boot_ns, mark.before, !mark.comparing);
        self.attached.insert(link.ifindex, Held { interface, attachment, accounted: mark.accounted });
        Ok(())
    }

    /// Learns what retired programs have accounted for, so that it is not declared once more.
    pub(crate) fn take_over(&mut self, accounted: &BTreeMap<u32, LinkCounters>, maps: &Maps) -> Result<(), Error> {
        accounted.iter().try_for_each(|(ifindex, accounted)| self.let_go(*ifindex, *accounted, maps))
    }
}

/// An attachment that is over.
fn ended(ifindex: u32, mark: &AttachMark, attachment: Option<Attachment>) -> Held {
    let (name, counters) = (mark.name(), LinkCounters::default());
    let link = Link { ifindex, name, l3: false, kind: None, crosses_namespaces: false, counters };
    let attachment = attachment.unwrap_or(Attachment::Lost);
    let interface = interface(&link, &attachment, mark.attached_boot_ns, mark.before, !mark.comparing);
    Held { interface, attachment, accounted: mark.accounted }
}
