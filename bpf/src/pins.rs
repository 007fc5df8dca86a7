//! Where things live in bpffs: one folder a state folder, in it one folder an instance (`<random id>/`), in that the
//! maps, programs and links by name. An instance is complete once its `meta` map is pinned; a folder without one was
//! never attached to anything and is removed.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::mount::{MountFlags, mount};

use crate::Error;
use crate::maps::{Maps, Meta};
use crate::sys::{self, Hook};

/// `BPF_FS_MAGIC`
const BPFFS: u64 = 0xcafe_4a11;
const USUAL_PLACE: &str = "/sys/fs/bpf";
/// The link of the drop program.
pub(crate) const DROP_LINK: &str = "link_drop";

/// An instance found in bpffs.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    pub(crate) meta: Meta,
}

/// Makes sure that `pins` is a folder in a bpffs, mounting one at the usual place if need be.
pub(crate) fn prepare(pins: &Path) -> Result<(), Error> {
    let refused = |source: io::Error| Error::NoBpffs { path: pins.to_owned(), source };
    if !in_bpffs(pins) {
        if !pins.starts_with(USUAL_PLACE) {
            return Err(refused(io::Error::other("not below /sys/fs/bpf")));
        }
        mount("bpf", USUAL_PLACE, "bpf", MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC, None)
            .map_err(|error| refused(error.into()))?;
        tracing::info!("mounted a bpffs at {USUAL_PLACE}");
    }
    std::fs::create_dir_all(pins).map_err(|source| Error::pin(pins, source))
}

fn in_bpffs(path: &Path) -> bool {
    let existing = path.ancestors().find(|folder| folder.exists());
    existing.and_then(|folder| statfs(folder).ok()).is_some_and(|fs| fs.f_type as u64 == BPFFS)
}

/// The instances pinned below `pins`; unfinished ones are removed.
pub(crate) fn instances(pins: &Path) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(pins).map_err(|source| Error::pin(pins, source))? {
        let folder = entry.map_err(|source| Error::pin(pins, source))?.path();
        if !folder.is_dir() {
            continue;
        }
        match Maps::read_meta(&folder)? {
            Some(meta) => found.push(Found { folder, meta }),
            None => remove(&folder)?,
        }
    }
    found.sort_by_key(|instance| instance.meta.made_boot_ns);
    Ok(found)
}

/// Folder of an instance.
pub(crate) fn folder(pins: &Path, instance: &[u8; 16]) -> PathBuf {
    pins.join(instance.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Name of a tcx link's pin.
pub(crate) fn link_name(ifindex: u32, hook: Hook) -> String {
    format!("link_{ifindex}_{}", hook.name())
}

/// The interfaces that links are pinned for.
pub(crate) fn linked_interfaces(folder: &Path) -> Result<Vec<u32>, Error> {
    let mut interfaces = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| Error::pin(folder, source))? {
        let name = entry.map_err(|source| Error::pin(folder, source))?.file_name();
        let index: Option<u32> = name.to_str().and_then(|name| name.strip_prefix("link_")?.split('_').next()?.parse().ok());
        interfaces.extend(index);
    }
    interfaces.sort_unstable();
    interfaces.dedup();
    Ok(interfaces)
}

/// Takes every pinned link off its hook and removes its pin.
pub(crate) fn detach_links(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(|source| Error::pin(folder, source))? {
        let path = entry.map_err(|source| Error::pin(folder, source))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("link_")) {
            detach_link(&path)?;
        }
    }
    Ok(())
}

/// Takes one pinned link off its hook and removes its pin; nothing happens if it is gone.
pub(crate) fn detach_link(path: &Path) -> Result<(), Error> {
    use std::os::fd::AsFd;
    let Some(link) = sys::open_pin(path).map_err(|source| Error::pin(path, source))? else {
        return Ok(());
    };
    // A link whose device is gone is detached already; tracing links know no detaching, they end with their last pin.
    if let Err(error) = sys::link_detach(link.as_fd()) {
        tracing::debug!(%error, pin = %path.display(), "link was not detached by itself");
    }
    unpin(path)
}

/// Removes a pin; nothing happens if it is gone.
pub(crate) fn unpin(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::pin(path, source)),
        _ => Ok(()),
    }
}

/// Removes an instance's folder with everything in it, `meta` first: what is left of an interrupted removal counts as
/// unfinished and is removed by the next start.
pub(crate) fn remove(folder: &Path) -> Result<(), Error> {
    detach_links(folder)?;
    unpin(&folder.join("meta"))?;
    std::fs::remove_dir_all(folder).map_err(|source| Error::pin(folder, source))?;
    // The folders above, as far as they are empty now; the mount point itself is busy.
    for parent in folder.ancestors().skip(1).take(2) {
        if std::fs::remove_dir(parent).is_err() {
            break;
        }
    }
    Ok(())
}
