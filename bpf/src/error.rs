//! What can go wrong at the crate's edge, each with what to do next.

use std::io;
use std::path::{Path, PathBuf};

/// Why the kernel side could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No bpffs, and none could be mounted.
    #[error("{path} is not in a bpffs and none could be mounted there ({source}): run `mount -t bpf bpf /sys/fs/bpf` as root")]
    NoBpffs {
        /// Folder for pins.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A pin could not be made, read or removed.
    #[error("pin {path}: {source}")]
    Pin {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A map could not be made.
    #[error("kernel map {name} of {entries} entries could not be made ({source}): {hint}")]
    MakeMap {
        /// Which.
        name: &'static str,
        /// How large.
        entries: u32,
        /// What to do.
        hint: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A map could not be read or written.
    #[error("kernel map {name} could not be used ({what}: {source})")]
    Map {
        /// What was tried.
        what: &'static str,
        /// Which.
        name: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The kernel refused a program.
    #[error("kernel program {name} could not be loaded: {why}")]
    Load {
        /// Which.
        name: &'static str,
        /// The loader's or the verifier's words.
        why: String,
    },
    /// A program could not be attached.
    #[error("could not attach to {name} (interface {ifindex}, {how}): {source}")]
    Attach {
        /// Interface.
        name: String,
        /// Its index.
        ifindex: u32,
        /// What was tried.
        how: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A sweep could not be run.
    #[error("the sweep could not be run: {0}")]
    Sweep(#[source] io::Error),
    /// A ring could not be mapped.
    #[error("ring {number} could not be mapped: {source}")]
    Ring {
        /// Which.
        number: u32,
        /// Why not.
        source: io::Error,
    },
    /// Interfaces could not be listed or watched.
    #[error("interfaces could not be {what}: {source}")]
    Netlink {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Something else of the operating system.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn pin(path: &Path, source: io::Error) -> Self {
        Self::Pin { path: path.to_owned(), source }
    }
}
