//! Gives up every capability that is not needed once the kernel programs are attached.
//!
//! What is kept is the design's table: nothing where links are tcx, `CAP_NET_ADMIN` where they are clsact, `CAP_BPF` below Linux 5.19 (before that
//! `unprivileged_bpf_disabled` refuses every bpf(2) call without it). The bounding set is emptied too and `no_new_privs` set, so nothing started later
//! gets them back. Files that have to be read again after a reload must be readable without `CAP_DAC_OVERRIDE`: uid 0 alone does not open others' 0600 files.

use caps::{CapSet, Capability, CapsHashSet};
use rustix::process::Gid;

/// Why capabilities could not be dropped.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// The kernel refused to change a set.
    #[error("cannot reduce the {set} capability set: {why}; start flowlog with CAP_SETPCAP or as root")]
    Set {
        /// Which set.
        set: &'static str,
        /// The kernel's answer.
        why: String,
    },
    /// `no_new_privs` could not be set.
    #[error("cannot set no_new_privs: {0}")]
    NoNewPrivileges(std::io::Error),
}

/// Drops all capabilities of the calling thread but those in `keep`.
///
/// Capabilities belong to a thread: call this on the main thread before any other is started; later threads inherit what is left.
///
/// # Errors
/// When the kernel refuses. Then the process keeps what it had.
pub fn drop_all_but(keep: &[Capability]) -> Result<(), PrivilegeError> {
    let keep: CapsHashSet = keep.iter().copied().collect();
    rustix::thread::set_no_new_privs(true).map_err(|error| PrivilegeError::NoNewPrivileges(error.into()))?;
    let had = caps::read(None, CapSet::Permitted).map_err(|error| refused("permitted", &error))?;
    // The bounding set can only be changed with CAP_SETPCAP, so it comes first; without it there is nothing to shrink for this process's own use.
    if had.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::all().difference(&keep) {
            // A capability that this kernel does not know is not in the set either.
            if caps::has_cap(None, CapSet::Bounding, *capability).unwrap_or(false) {
                caps::drop(None, CapSet::Bounding, *capability).map_err(|error| refused("bounding", &error))?;
            }
        }
    }
    let kept: CapsHashSet = had.intersection(&keep).copied().collect();
    caps::clear(None, CapSet::Ambient).map_err(|error| refused("ambient", &error))?;
    caps::set(None, CapSet::Effective, &kept).map_err(|error| refused("effective", &error))?;
    caps::set(None, CapSet::Permitted, &kept).map_err(|error| refused("permitted", &error))?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new()).map_err(|error| refused("inheritable", &error))
}

/// What to do where a file cannot be given to its group.
pub const JOIN_ADVICE: &str = "restart flowlog, which joins groups as it starts; where it may not (that takes CAP_SETGID), \
    name the group in the unit's SupplementaryGroups= or the pod's supplementalGroups";

/// Becomes a member of these groups too: without `CAP_CHOWN` a file can only be given to a group that its owner is in. Like the capabilities, for this thread
/// and those started later.
///
/// # Errors
/// When the kernel refuses, as it does without `CAP_SETGID`.
pub fn join(groups: &[u32]) -> std::io::Result<()> {
    let had = rustix::process::getgroups()?;
    let more = groups.iter().map(|group| Gid::from_raw(*group)).filter(|group| !had.contains(group));
    let all: Vec<Gid> = had.iter().copied().chain(more).collect();
    if all.len() > had.len() {
        rustix::thread::set_thread_groups(&all)?;
    }
    Ok(())
}

/// Whether files of this process can be given to a group.
#[must_use]
pub fn may_give_to(group: u32) -> bool {
    let group = Gid::from_raw(group);
    rustix::process::getegid() == group
        || rustix::process::getgroups().is_ok_and(|groups| groups.contains(&group))
        || caps::has_cap(None, CapSet::Effective, Capability::CAP_CHOWN).unwrap_or(false)
}

/// The names of the effective capabilities of the calling thread, sorted.
#[must_use]
pub fn effective() -> Vec<String> {
    let mut names: Vec<String> = caps::read(None, CapSet::Effective).unwrap_or_default().iter().map(ToString::to_string).collect();
    names.sort();
    names
}

fn refused(set: &'static str, error: &caps::errors::CapsError) -> PrivilegeError {
    PrivilegeError::Set { set, why: error.to_string() }
}
