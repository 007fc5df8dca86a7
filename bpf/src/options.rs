//! What the caller decides before the programs are loaded. Every default is safe for a Kubernetes node.

use std::path::PathBuf;
use std::time::Duration;

/// How the programs are attached to an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttachMode {
    /// tcx where the kernel has it (6.6 and later), else clsact.
    #[default]
    Auto,
    /// tcx links at the head of the chain; refused before Linux 6.6.
    Tcx,
    /// A clsact queueing discipline with direct-action filters of priority 1. Needs CAP_NET_ADMIN for good. Another filter of that priority stays where it
    /// is; the newest comes first, and one that does not continue hides its packets from those behind it.
    Clsact,
}

/// Which interfaces of this network namespace are watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The host side of pod veths (by link kind) and the devices of the default routes.
    #[default]
    PodsAndUplink,
    /// Interfaces whose name matches one of these globs (`*` and `?`); `lo` is allowed.
    Named(Vec<String>),
}

/// When rows are reported and freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// An active row is reported at least this often.
    pub report_interval: Duration,
    /// A row without packets for this long is freed.
    pub idle: Duration,
    /// The same for TCP.
    pub tcp_idle: Duration,
    /// The same for TCP after FIN or RST.
    pub tcp_closed: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            report_interval: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            tcp_idle: Duration::from_secs(300),
            tcp_closed: Duration::from_secs(10),
        }
    }
}

/// Everything [`crate::Kernel::start`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Folder in a bpffs for this state folder's pins, for example `/sys/fs/bpf/flowlog/<name>`. A bpffs is mounted on `/sys/fs/bpf` if there is none.
    pub pins: PathBuf,
    /// How to attach.
    pub attach: AttachMode,
    /// Where to attach.
    pub interfaces: Selection,
    /// Rows for flows, 64 … 4 194 304; rounded up to whole slices of 8 192 when larger than one. 250 bytes each.
    pub rows: u32,
    /// Rows for what finds no row of its own, 16 … 1 048 576.
    pub fold_rows: u32,
    /// Rows for drops, one per tuple and reason, 16 … 1 048 576.
    pub drop_rows: u32,
    /// Bytes of all rings together, 4 KiB … 1 GiB; rounded up to a power of two per ring. `None`: 1 MiB per CPU
    /// within 8 … 64 MiB.
    pub ring_bytes: Option<u32>,
    /// Rings, a power of two up to 16. `None`: one up to 16 CPUs, one per 8 CPUs above.
    pub rings: Option<u32>,
    /// Whether to load the drop programs where the kernel gives reasons (5.17 and later).
    pub drops: bool,
    /// When rows are reported and freed.
    pub times: Times,
    /// UDP ports on which VXLAN is looked for. 8472 is what Linux, Flannel and Cilium used before 4789 was assigned.
    pub vxlan_ports: [u16; 2],
    /// UDP ports on which Geneve is looked for.
    pub geneve_ports: [u16; 2],
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pins: PathBuf::from("/sys/fs/bpf/flowlog/default"),
            attach: AttachMode::Auto,
            interfaces: Selection::PodsAndUplink,
            rows: 131_072,
            fold_rows: 8_192,
            drop_rows: 16_384,
            ring_bytes: None,
            rings: None,
            drops: true,
            times: Times::default(),
            vxlan_ports: [4789, 8472],
            geneve_ports: [6081, 0],
        }
    }
}
