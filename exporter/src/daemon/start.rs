//! What happens before the daemon lives: everything that needs privilege, and everything whose failure should keep it from starting.
//!
//! Order matters. The lock on the state folder comes first, so that two daemons never touch one set of pins; the kernel side next, while the process may load
//! programs; then privileges go, and only then are threads started, which inherit what is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caps::Capability;
use flowlog_bpf::{AttachMode, Attached, Kernel, Selection, Started, Times};
use sha2::{Digest, Sha256};

use super::privileges;
use super::state::{State, StateError};
use crate::cli::Attach;
use crate::config::settings::{Settings, SourceSpec};

/// Why the daemon did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel side.
    #[error("{source}{advice}")]
    Kernel {
        /// What the kernel side says.
        source: flowlog_bpf::Error,
        /// What to do about it.
        advice: String,
    },
    /// Privileges.
    #[error(transparent)]
    Privileges(#[from] privileges::PrivilegeError),
}

/// What was prepared.
pub struct Prepared {
    /// The state folder, ours.
    pub state: Arc<State>,
    /// The kernel side, if it is a source.
    pub kernel: Option<Started>,
    /// This node's name.
    pub node: String,
}

/// Takes the state folder, starts the kernel side if it is a source, and drops privileges.
///
/// # Errors
/// When any of it fails.
pub fn prepare(settings: &Settings) -> Result<Prepared, StartError> {
    let state = Arc::new(State::take(&settings.state_dir)?);
    let kernel = match settings.sources.contains(&SourceSpec::Kernel) {
        true => Some(start_kernel(settings)?),
        false => None,
    };
    privileges::drop_all_but(&kept(kernel.as_ref().map(|started| &started.kernel), settings.attach))?;
    Ok(Prepared { state, kernel, node: node_name(settings) })
}

/// The same for taking the kernel side away: privileges stay, because that needs them.
///
/// # Errors
/// When a daemon still has the state folder, or the pins can't be opened.
pub fn prepare_detach(settings: &Settings) -> Result<Prepared, StartError> {
    let state = Arc::new(State::take(&settings.state_dir)?);
    let kernel = Some(start_kernel(settings)?);
    Ok(Prepared { state, kernel, node: node_name(settings) })
}

/// This node's name: as set, else the host's.
#[must_use]
pub fn node_name(settings: &Settings) -> String {
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    settings.node_name.clone().unwrap_or_else(host)
}

/// The options of the kernel side.
#[must_use]
pub fn kernel_options(settings: &Settings) -> flowlog_bpf::Options {
    flowlog_bpf::Options {
        pins: pins(settings.pin_dir.as_deref(), &settings.state_dir),
        attach: match settings.attach {
            Attach::Auto => flowlog_bpf::AttachMode::Auto,
            Attach::Tcx => flowlog_bpf::AttachMode::Tcx,
            Attach::Clsact => flowlog_bpf::AttachMode::Clsact,
        },
        interfaces: match settings.interfaces.is_empty() {
            true => Selection::PodsAndUplink,
            false => Selection::Named(settings.interfaces.clone()),
        },
        rows: settings.flow_rows,
        ring_bytes: settings.ring_bytes,
        times: Times { report_interval: settings.report_interval, ..Times::default() },
        ..flowlog_bpf::Options::default()
    }
}

/// The folder of the pins that belong to a state folder.
#[must_use]
pub fn pins(chosen: Option<&Path>, state_dir: &Path) -> PathBuf {
    if let Some(chosen) = chosen {
        return chosen.to_owned();
    }
    let absolute = std::fs::canonicalize(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    let hash = Sha256::digest(absolute.as_os_str().as_encoded_bytes());
    let name: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/sys/fs/bpf/flowlog").join(name)
}

fn start_kernel(settings: &Settings) -> Result<Started, StartError> {
    // The daemon's log has a thread of its own and starts when privileges are gone; what the kernel side has to say before that goes straight to stderr.
    let early = tracing_subscriber::fmt().with_writer(std::io::stderr).with_target(false).with_ansi(false).finish();
    tracing::subscriber::with_default(early, || Kernel::start(&kernel_options(settings)))
        .map_err(|source| StartError::Kernel { advice: advice(&source, &privileges::effective()), source })
}

/// Names the capability that is missing, or what else may refuse a pin where none is.
fn advice(error: &flowlog_bpf::Error, has: &[String]) -> String {
    use flowlog_bpf::Error::{NoBpffs, Pin};
    let missing: Vec<&str> =
        ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].into_iter().filter(|name| !has.iter().any(|has| has == name)).collect();
    let refused = matches!(error, NoBpffs { source, .. } | Pin { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied);
    match missing.is_empty() {
        true if refused => "\nno capability is missing: unless the folder belongs to another user, AppArmor or SELinux forbids the pin; \
            run the container with apparmor=unconfined and the SELinux type spc_t, as configs/kubernetes/daemonset.yaml does"
            .to_owned(),
        true => String::new(),
        false => format!(
            "\n{} missing: start flowlog as root or grant it, or read Hubble's export with --source jsonl:PATH",
            match missing.as_slice() {
                [one] => format!("{one} is"),
                more => format!("{} are", more.join(", ")),
            }
        ),
    }
}

/// The design's table of privileges kept after start. What is attached later needs them, so the mode decides, not only what is attached by now.
fn kept(kernel: Option<&Kernel>, attach: Attach) -> Vec<Capability> {
    let Some(kernel) = kernel else { return Vec::new() };
    let clsact = attach == Attach::Clsact || kernel.interfaces().any(|interface| interface.attached == Attached::Clsact);
    let mode = if clsact { AttachMode::Clsact } else { AttachMode::Auto };
    // Names that are no capabilities there are none of.
    kernel.features().kept_capabilities(mode).into_iter().filter_map(|name| name.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowlog_bpf::Features;

    #[test]
    fn a_pin_refused_although_no_capability_is_missing_is_put_down_to_apparmor_or_selinux() {
        let all = ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].map(str::to_owned);
        let pin = |kind: std::io::ErrorKind| flowlog_bpf::Error::Pin { path: "/sys/fs/bpf/flowlog".into(), source: kind.into() };
        let denied = pin(std::io::ErrorKind::PermissionDenied);
        assert!(advice(&denied, &all).contains("AppArmor or SELinux"));
        assert!(advice(&denied, &all[1..]).contains("CAP_BPF is missing"));
        assert_eq!(advice(&pin(std::io::ErrorKind::StorageFull), &all), "");
    }

    #[test]
    fn what_may_have_to_be_kept_are_capabilities() {
        let features = Features { release: "5.15.0".to_owned(), rows: Vec::new() };
        for name in features.kept_capabilities(AttachMode::Clsact) {
            assert!(name.parse::<Capability>().is_ok(), "{name}");
        }
    }

    #[test]
    fn two_state_folders_never_share_pins() {
        assert_ne!(pins(None, Path::new("/a")), pins(None, Path::new("/b")));
        assert_eq!(pins(Some(Path::new("/p")), Path::new("/b")), Path::new("/p"));
    }
}
