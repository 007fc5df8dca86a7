//! From the embedded objects to loaded, pinned programs. The loader of aya relocates and loads; the maps are already
//! pinned, so it finds them by path.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use aya::programs::Program;
use aya::{Btf, Ebpf, EbpfLoader, include_bytes_aligned};

use crate::maps::{Maps, Sizes};
use crate::{Error, Options, Reasons, pins, sys};

static FLOW_OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/flow.bpf.o"));
static DROP_OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/drop.bpf.o"));

const INGRESS: &str = "flowlog_ingress";
const EGRESS: &str = "flowlog_egress";
const SWEEP: &str = "flowlog_sweep";
const DROP: &str = "flowlog_drop";
const DROP_SWEEP: &str = "flowlog_drop_sweep";

/// Open descriptors of the loaded programs.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) ingress: OwnedFd,
    pub(crate) egress: OwnedFd,
    pub(crate) sweep: OwnedFd,
    /// Where the kernel gives reasons for drops, and they are wanted.
    pub(crate) drops: Option<DropPrograms>,
}

/// The programs of the drop object.
#[derive(Debug)]
pub(crate) struct DropPrograms {
    pub(crate) tracepoint: OwnedFd,
    pub(crate) sweep: OwnedFd,
}

/// The constants of `programs/config.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Constants {
    report_interval_ns: u64,
    idle_ns: u64,
    tcp_idle_ns: u64,
    tcp_closed_ns: u64,
    slice_mask: u32,
    ring_mask: u32,
    vxlan_ports: u32,
    geneve_ports: u32,
    network_namespace: u32,
}

impl Constants {
    fn of(options: &Options, sizes: &Sizes) -> io::Result<Self> {
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2);
        let pair = |ports: [u16; 2]| u32::from(ports[0]) | u32::from(ports[1]) << 16;
        Ok(Self {
            report_interval_ns: nanoseconds(options.times.report_interval),
            idle_ns: nanoseconds(options.times.idle),
            tcp_idle_ns: nanoseconds(options.times.tcp_idle),
            tcp_closed_ns: nanoseconds(options.times.tcp_closed),
            slice_mask: sizes.slices - 1,
            ring_mask: sizes.rings - 1,
            vxlan_ports: pair(options.vxlan_ports),
            geneve_ports: pair(options.geneve_ports),
            network_namespace: rustix::fs::stat("/proc/thread-self/ns/net")?.st_ino as u32,
        })
    }

    fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>) {
        loader
            .override_global("report_interval_ns", &self.report_interval_ns, false)
            .override_global("idle_ns", &self.idle_ns, false)
            .override_global("tcp_idle_ns", &self.tcp_idle_ns, false)
            .override_global("tcp_closed_ns", &self.tcp_closed_ns, false)
            .override_global("slice_mask", &self.slice_mask, false)
            .override_global("ring_mask", &self.ring_mask, false)
            .override_global("vxlan_ports", &self.vxlan_ports, false)
            .override_global("geneve_ports", &self.geneve_ports, false)
            .override_global("network_namespace", &self.network_namespace, false);
    }
}

/// Of everything that decides what the programs do: objects, constants and lists.
pub(crate) fn programs_hash(options: &Options, sizes: &Sizes, drops: bool) -> Result<u64, Error> {
    Ok(hash_of(&constants(options, sizes)?, drops, [&AFTER, &SPENT]))
}

fn hash_of(constants: &Constants, drops: bool, lists: [&[&str]; 2]) -> u64 {
    let text = format!("{constants:?} {drops} {lists:?}");
    hash([FLOW_OBJECT, DROP_OBJECT, text.as_bytes()]).max(1)
}

/// FNV-1a.
pub(crate) fn hash<const PARTS: usize>(parts: [&[u8]; PARTS]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn constants(options: &Options, sizes: &Sizes) -> Result<Constants, Error> {
    Constants::of(options, sizes).map_err(|source| Error::System { what: "the network namespace's number", source })
}

impl Programs {
    /// Loads new programs over the maps pinned in `folder`.
    pub(crate) fn load(folder: &Path, options: &Options, sizes: &Sizes, drops: Option<&Reasons>) -> Result<Self, Error> {
        let constants = constants(options, sizes)?;
        // Needs no type information of the running kernel.
        let mut flow = loader(folder, &constants).btf(None).load(FLOW_OBJECT).map_err(|error| refused("flow", &error))?;
        let drops = drops.and_then(|reasons| {
            let loaded = load_drops(folder, &constants, reasons);
            loaded.inspect_err(|error| tracing::warn!(%error, "drops are not seen: verdicts follow what entered and left")).ok()
        });
        Ok(Self {
            ingress: classifier(&mut flow, INGRESS)?,
            egress: classifier(&mut flow, EGRESS)?,
            sweep: classifier(&mut flow, SWEEP)?,
            drops,
        })
    }

    /// Opens the programs pinned in `folder`; `None` if one that must be there is not.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, Error> {
        let open = |name: &str| {
            let path = folder.join(name);
            sys::open_pin(&path).map_err(|source| Error::pin(&path, source))
        };
        let (Some(ingress), Some(egress), Some(sweep)) = (open(INGRESS)?, open(EGRESS)?, open(SWEEP)?) else {
            return Ok(None);
        };
        let drops = match (open(DROP)?, open(DROP_SWEEP)?) {
            (Some(tracepoint), Some(sweep)) => Some(DropPrograms { tracepoint, sweep }),
            _ => None,
        };
        Ok(Some(Self { ingress, egress, sweep, drops }))
    }

    /// Pins them, each in one step in place of its predecessor.
    pub(crate) fn pin(&self, folder: &Path) -> Result<(), Error> {
        let flow = [(INGRESS, &self.ingress), (EGRESS, &self.egress), (SWEEP, &self.sweep)];
        let drops = self.drops.iter().flat_map(|drops| [(DROP, &drops.tracepoint), (DROP_SWEEP, &drops.sweep)]);
        if self.drops.is_none() {
            // Those of other programs are not to be found beside these.
            [DROP, DROP_SWEEP].iter().try_for_each(|name| pins::unpin(&folder.join(name)))?;
        }
        for (name, program) in flow.into_iter().chain(drops) {
            let (path, aside) = (folder.join(name), folder.join(format!("{name}_new")));
            match std::fs::remove_file(&aside) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::pin(&aside, source));
                }
                _ => {}
            }
            sys::pin(program.as_fd(), &aside).map_err(|source| Error::pin(&aside, source))?;
            std::fs::rename(&aside, &path).map_err(|source| Error::pin(&path, source))?;
        }
        Ok(())
    }

    /// The program of a hook.
    pub(crate) fn at(&self, hook: sys::Hook) -> BorrowedFd<'_> {
        match hook {
            sys::Hook::Ingress => self.ingress.as_fd(),
            sys::Hook::Egress => self.egress.as_fd(),
        }
    }
}

fn loader<'a>(folder: &Path, constants: &'a Constants) -> EbpfLoader<'a> {
    let mut loader = EbpfLoader::new();
    constants.set(&mut loader);
    for map in Maps::PROGRAM_MAPS {
        loader.map_pin_path(map, folder.join(map));
    }
    loader
}

/// The error with all its causes: the verifier's words are in the last. Its log can have thousands of lines, of which the end says why; the whole goes
/// to the daemon log at level debug.
fn refused(name: &'static str, error: &dyn std::error::Error) -> Error {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        why = format!("{why}: {next}");
        cause = next.source();
    }
    tracing::debug!(program = name, why, "refused");
    let mut lines: Vec<&str> = why.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    if lines.len() > 8 {
        lines.splice(1..lines.len() - 6, ["…"]);
    }
    Error::Load { name, why: lines.join("\n") }
}

fn missing(name: &'static str) -> Error {
    Error::Load { name, why: "the embedded object does not have it".into() }
}

fn duplicate(program: &aya::programs::ProgramFd) -> Result<OwnedFd, Error> {
    let source = program.as_fd().try_clone_to_owned();
    source.map_err(|source| Error::System { what: "a program's descriptor could not be duplicated", source })
}

fn classifier(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, Error> {
    let Some(Program::SchedClassifier(program)) = object.program_mut(name) else {
        return Err(missing(name));
    };
    program.load().map_err(|error| refused(name, &error))?;
    duplicate(program.fd().map_err(|error| refused(name, &error))?)
}

/// Reasons whose drops lie behind the egress hook, before the ingress hook, or in a tap: not between our two hooks.
/// Names as in `include/net/dropreason-core.h`; a kernel has those of its version.
const AFTER: [&str; 24] = [
    "QDISC_DROP",
    "QDISC_OVERLIMIT",
    "QDISC_CONGESTED",
    "QDISC_BURST_DROP",
    "CAKE_FLOOD",
    "FQ_BAND_LIMIT",
    "FQ_HORIZON_LIMIT",
    "FQ_FLOW_LIMIT",
    "TC_EGRESS",
    "TC_COOKIE_ERROR",
    "TC_RECLASSIFY_LOOP",
    "DEV_READY",
    "DEV_HDR",
    "FULL_RING",
    "CPU_BACKLOG",
    "XDP",
    "PACKET_SOCK_ERROR",
    "TAP_FILTER",
    "TAP_TXFILTER",
    "HDR_TRUNC",
    "SKB_CSUM",
    "SKB_GSO_SEG",
    "SKB_UCOPY_FAULT",
    "RECURSION_LIMIT",
];

/// What a transport says of a segment that has reached its socket and is needed no more: a duplicate, an acknowledgement, a reset, or what a closed
/// socket had not read. The packet arrived and is counted so; nothing was lost on its way.
const SPENT: [&str; 14] = [
    "QUEUE_PURGE",
    "SOCKET_CLOSE",
    "TCP_ABORT_ON_CLOSE",
    "TCP_ABORT_ON_DATA",
    "TCP_ABORT_ON_LINGER",
    "TCP_CLOSE",
    "TCP_FASTOPEN",
    "TCP_FLAGS",
    "TCP_OFOMERGE",
    "TCP_OLD_ACK",
    "TCP_OLD_DATA",
    "TCP_OLD_SEQUENCE",
    "TCP_RESET",
    "TCP_TOO_OLD_ACK",
];

/// One bit a reason, for those of the names that the running kernel has.
fn bits_of(names: &[&str], reasons: &Reasons) -> [u64; 4] {
    let mut bits = [0_u64; 4];
    for number in names.iter().filter_map(|name| reasons.number(name)) {
        if let Some(word) = bits.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
    }
    bits
}

fn load_drops(folder: &Path, constants: &Constants, reasons: &Reasons) -> Result<DropPrograms, Error> {
    let btf = Btf::from_sys_fs().map_err(|error| refused(DROP, &error))?;
    let not_specified = reasons.number("NOT_SPECIFIED").unwrap_or(0);
    let (after, spent) = (bits_of(&AFTER, reasons), bits_of(&SPENT, reasons));
    let mut loader = loader(folder, constants);
    loader.btf(Some(&btf));
    loader.override_global("reason_not_specified", &not_specified, true);
    loader.override_global("after_reasons", &after[..], true);
    loader.override_global("spent_reasons", &spent[..], true);
    let mut object = loader.load(DROP_OBJECT).map_err(|error| refused("drop", &error))?;
    let sweep = classifier(&mut object, DROP_SWEEP)?;
    let Some(Program::BtfTracePoint(program)) = object.program_mut(DROP) else {
        return Err(missing(DROP));
    };
    program.load("kfree_skb", &btf).map_err(|error| refused(DROP, &error))?;
    let tracepoint = duplicate(program.fd().map_err(|error| refused(DROP, &error))?)?;
    Ok(DropPrograms { tracepoint, sweep })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_list_of_reasons_is_another_program() {
        let options = Options::default();
        let constants = constants(&options, &Sizes::of(&options)).unwrap();
        let one = hash_of(&constants, true, [&AFTER, &SPENT]);
        assert_eq!(one, programs_hash(&options, &Sizes::of(&options), true).unwrap());
        assert_ne!(one, hash_of(&constants, true, [&AFTER[1..], &SPENT]));
        assert_ne!(one, hash_of(&constants, true, [&AFTER, &SPENT[1..]]));
        assert_ne!(one, hash_of(&constants, false, [&AFTER, &SPENT]));
    }
}

#[cfg(test)]
#[path = "stack_tests.rs"]
mod stack_tests;
