//! What happens before the daemon lives: everything that needs privilege, and everything whose failure should keep it from starting.
//!
//! Order matters. The lock on the state folder comes first, so that two daemons never touch one set of pins; the kernel side next, while the process may load
//! programs; then privileges go, and only then are threads started, which inherit what is left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use caps::Capability;
use flowlog_bpf::{Attached, Kernel, Selection, Started, Times};
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
        .map_err(|source| StartError::Kernel { advice: advice(), source })
}

/// Names the capability that is missing, if one is.
fn advice() -> String {
    let has = privileges::effective();
    let missing: Vec<&str> =
        ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"].into_iter().filter(|name| !has.iter().any(|has| has == name)).collect();
    match missing.is_empty() {
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
    kept_on(&kernel.features().release, clsact)
}

fn kept_on(release: &str, clsact: bool) -> Vec<Capability> {
    let mut keep = Vec::new();
    if clsact || !has_kernel(release, (6, 6)) {
        keep.push(Capability::CAP_NET_ADMIN);
    }
    if !has_kernel(release, (5, 19)) {
        keep.push(Capability::CAP_BPF);
    }
    keep
}

/// Whether a release, as `uname -r` prints it, is at least a version.
fn has_kernel(release: &str, version: (u32, u32)) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_compared_by_number() {
        for (release, version, expected) in
            [("6.18.44-x", (6, 6), true), ("5.15.0-91-generic", (5, 19), false), ("6.6.0", (6, 6), true), ("", (5, 15), false)]
        {
            assert_eq!(has_kernel(release, version), expected, "{release}");
        }
    }

    #[test]
    fn the_right_to_attach_is_kept_with_clsact_and_where_there_is_no_tcx() {
        let (net_admin, bpf) = (Capability::CAP_NET_ADMIN, Capability::CAP_BPF);
        for (release, clsact, expected) in [
            ("6.18.44", false, &[][..]),
            ("6.18.44", true, &[net_admin]),
            ("6.1.0-13-amd64", false, &[net_admin]),
            ("5.15.0", false, &[net_admin, bpf]),
        ] {
            assert_eq!(kept_on(release, clsact), expected, "{release}");
        }
    }

    #[test]
    fn two_state_folders_never_share_pins() {
        assert_ne!(pins(None, Path::new("/a")), pins(None, Path::new("/b")));
        assert_eq!(pins(Some(Path::new("/p")), Path::new("/b")), Path::new("/p"));
    }
}
