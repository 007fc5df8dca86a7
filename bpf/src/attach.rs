//! The programs on one interface: attached as pinned tcx links or as clsact filters, adopted from an earlier daemon,
//! given new programs in place, and taken away.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use crate::load::Programs;
use crate::netlink::{Link, Netlink, handle_for};
use crate::options::AttachMode;
use crate::sys::{self, Hook};
use crate::{Attached, Error, pins};

/// What hangs on an interface. Dropping it leaves pinned links and filters where they are.
#[derive(Debug)]
pub(crate) enum Attachment {
    Tcx([OwnedFd; 2]),
    Clsact { made_qdisc: bool },
}

impl Attachment {
    pub(crate) fn how(&self) -> Attached {
        match self {
            Self::Tcx(_) => Attached::Tcx,
            Self::Clsact { .. } => Attached::Clsact,
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

/// Takes over the pinned links of an interface; `None` if they are not both there and alive, or are of another
/// device (their pins are removed then).
pub(crate) fn adopt(ifindex: u32, folder: &Path) -> Result<Option<Attachment>, Error> {
    let open = |hook: Hook| -> Result<Option<OwnedFd>, Error> {
        let path = folder.join(pins::link_name(ifindex, hook));
        let link = sys::open_pin(&path).map_err(|source| Error::pin(&path, source))?;
        Ok(link.filter(|link| sys::tcx_link_ifindex(link.as_fd()).is_ok_and(|of| of == ifindex)))
    };
    if let (Some(ingress), Some(egress)) = (open(Hook::Ingress)?, open(Hook::Egress)?) {
        return Ok(Some(Attachment::Tcx([ingress, egress])));
    }
    for hook in Hook::BOTH {
        pins::detach_link(&folder.join(pins::link_name(ifindex, hook)))?;
    }
    Ok(None)
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
    }
    Ok(())
}

/// Takes the programs off an interface; it may be gone already.
pub(crate) fn detach(ifindex: u32, attachment: &Attachment, folder: &Path, netlink: &Netlink) -> Result<(), Error> {
    match attachment {
        Attachment::Tcx(_) => {
            for hook in Hook::BOTH {
                pins::detach_link(&folder.join(pins::link_name(ifindex, hook)))?;
            }
        }
        Attachment::Clsact { made_qdisc } => detach_clsact(ifindex, *made_qdisc, folder, netlink),
    }
    Ok(())
}

/// The filters always, the queueing discipline only where it was ours and nobody else uses it. The device may be gone: that is no failure.
pub(crate) fn detach_clsact(ifindex: u32, made_qdisc: bool, folder: &Path, netlink: &Netlink) {
    for hook in Hook::BOTH {
        if let Err(error) = netlink.delete_filter(ifindex, hook, handle(folder)) {
            tracing::debug!(ifindex, %error, "no filter to take away");
        }
    }
    if made_qdisc && let Err(error) = netlink.delete_empty_clsact(ifindex) {
        tracing::debug!(ifindex, %error, "no clsact to take away");
    }
}
