//! The programs on one interface: attached as pinned tcx links or as clsact filters, adopted from an earlier daemon,
//! given new programs in place, and taken away.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::load::Programs;
use crate::netlink::{Link, Netlink, handle_for};
use crate::options::AttachMode;
use crate::sys::{self, Hook};
use crate::tables::AttachMark;
use crate::{Attached, Error, pins};

/// What hangs on an interface. Dropping it leaves pinned links and filters where they are.
#[derive(Debug)]
pub(crate) enum Attachment {
    Tcx([OwnedFd; 2]),
    Clsact {
        made_qdisc: bool,
    },
    /// It was there, and nothing of it is left.
    Lost,
}

impl Attachment {
    pub(crate) fn how(&self) -> Attached {
        match self {
            Self::Tcx(_) | Self::Lost => Attached::Tcx,
            Self::Clsact { .. } => Attached::Clsact,
        }
    }

    /// Whether it still hangs on this interface: a tcx link is of one device, whatever has its index later. Filters are taken to be there.
    pub(crate) fn is_on(&self, ifindex: u32) -> bool {
        match self {
            Self::Tcx(links) => links.iter().all(|link| sys::tcx_link_ifindex(link.as_fd()).map_or(true, |of| of == ifindex)),
            Self::Clsact { .. } => true,
            Self::Lost => false,
        }
    }
}

/// The handle of our filters, which all instances of one folder of pins share.
fn handle(folder: &Path) -> u32 {
    handle_for(folder.parent().unwrap_or(folder))
}

fn refused(link: &Link, how: &'static str) -> impl Fn(io::Error) -> Error {
    let (name, ifindex) = (link.name.clone(), link.ifindex);
    move |source| Error::Attach { name: name.clone(), ifindex, how, source }
}

/// Attaches both programs. `auto` falls back to clsact where the kernel does not know tcx (EINVAL).
pub(crate) fn attach(link: &Link, mode: AttachMode, programs: &Programs, folder: &Path, netlink: &Netlink) -> Result<Attachment, Error> {
    if mode == AttachMode::Clsact {
        return attach_clsact(link, programs, folder, netlink);
    }
    match attach_tcx(link, programs, folder) {
        Err(Error::Attach { source, .. }) if mode == AttachMode::Auto && source.raw_os_error() == Some(libc::EINVAL) => {
            attach_clsact(link, programs, folder, netlink)
        }
        other => other,
    }
}

fn attach_tcx(link: &Link, programs: &Programs, folder: &Path) -> Result<Attachment, Error> {
    let one = |hook: Hook| -> Result<OwnedFd, Error> {
        let path = folder.join(pins::link_name(link.ifindex, hook));
        let attached = sys::tcx_attach(programs.at(hook), link.ifindex, hook).map_err(refused(link, "tcx"))?;
        pins::unpin(&path)?;
        sys::pin(attached.as_fd(), &path).map_err(|source| Error::pin(&path, source))?;
        Ok(attached)
    };
    let ingress = one(Hook::Ingress)?;
    match one(Hook::Egress) {
        Ok(egress) => Ok(Attachment::Tcx([ingress, egress])),
        Err(error) => {
            pins::detach_link(&folder.join(pins::link_name(link.ifindex, Hook::Ingress)))?;
            Err(error)
        }
    }
}

fn attach_clsact(link: &Link, programs: &Programs, folder: &Path, netlink: &Netlink) -> Result<Attachment, Error> {
    let refused = refused(link, "clsact");
    let made_qdisc = netlink.add_clsact(link.ifindex).map_err(&refused)?;
    for hook in Hook::BOTH {
        if let Err(source) = netlink.set_filter(link.ifindex, hook, handle(folder), programs.at(hook)) {
            detach_clsact(link.ifindex, made_qdisc, folder, netlink);
            return Err(refused(source));
        }
    }
    Ok(Attachment::Clsact { made_qdisc })
}

/// Takes over the pinned links of an interface, or the filters it is marked to have; `None` if they are not both there
/// and alive, or are of another device (what is there of them is removed then).
pub(crate) fn adopt(ifindex: u32, mark: Option<&AttachMark>, folder: &Path, netlink: &Netlink) -> Result<Option<Attachment>, Error> {
    if let Some(mark) = mark.filter(|mark| mark.clsact) {
        let there = |hook: Hook| netlink.has_filter(ifindex, hook, handle(folder));
        let both = there(Hook::Ingress).and_then(|ingress| Ok(ingress && there(Hook::Egress)?));
        let both = both.map_err(|source| Error::Netlink { what: "asked for filters", source })?;
        if both {
            return Ok(Some(Attachment::Clsact { made_qdisc: mark.made_qdisc }));
        }
        detach_clsact(ifindex, mark.made_qdisc, folder, netlink);
        return Ok(None);
    }
    let open = |hook: Hook| -> Result<Option<OwnedFd>, Error> {
        let path = folder.join(pins::link_name(ifindex, hook));
        sys::open_pin(&path).map_err(|source| Error::pin(&path, source))
    };
    if let (Some(ingress), Some(egress)) = (open(Hook::Ingress)?, open(Hook::Egress)?) {
        let tcx = Attachment::Tcx([ingress, egress]);
        if tcx.is_on(ifindex) {
            return Ok(Some(tcx));
        }
    }
    detach_links(ifindex, folder)?;
    Ok(None)
}

/// Takes the pinned links of an interface off, those that there are.
pub(crate) fn detach_links(ifindex: u32, folder: &Path) -> Result<(), Error> {
    Hook::BOTH.into_iter().try_for_each(|hook| pins::detach_link(&folder.join(pins::link_name(ifindex, hook))))
}

/// Puts other programs in place, each in one step: no packet meets none or two.
pub(crate) fn replace(link: &Link, attachment: &Attachment, programs: &Programs, folder: &Path, netlink: &Netlink) -> Result<(), Error> {
    match attachment {
        Attachment::Tcx(links) => {
            for (hook, tcx) in Hook::BOTH.into_iter().zip(links) {
                sys::link_update(tcx.as_fd(), programs.at(hook)).map_err(refused(link, "tcx"))?;
            }
        }
        Attachment::Clsact { .. } => {
            for hook in Hook::BOTH {
                netlink.set_filter(link.ifindex, hook, handle(folder), programs.at(hook)).map_err(refused(link, "clsact"))?;
            }
        }
        Attachment::Lost => {}
    }
    Ok(())
}

/// Takes the programs off an interface; it may be gone already.
pub(crate) fn detach(ifindex: u32, attachment: &Attachment, folder: &Path, netlink: &Netlink) -> Result<(), Error> {
    match attachment {
        Attachment::Tcx(_) => detach_links(ifindex, folder)?,
        Attachment::Clsact { made_qdisc } => detach_clsact(ifindex, *made_qdisc, folder, netlink),
        Attachment::Lost => {}
    }
    Ok(())
}

/// The filters always, the queueing discipline only where it was ours and nobody else uses it. The device may be gone: that is no failure.
fn detach_clsact(ifindex: u32, made_qdisc: bool, folder: &Path, netlink: &Netlink) {
    for hook in Hook::BOTH {
        if let Err(error) = netlink.delete_filter(ifindex, hook, handle(folder)) {
            tracing::debug!(ifindex, %error, "no filter to take away");
        }
    }
    if made_qdisc && let Err(error) = netlink.delete_empty_clsact(ifindex) {
        tracing::debug!(ifindex, %error, "no clsact to take away");
    }
}
