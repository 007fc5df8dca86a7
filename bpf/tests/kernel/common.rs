//! What the kernel tests share: network namespaces of their own, a kernel side on the interfaces in them, frames, and
//! sums over what is reported. They need root; without it each says SKIPPED and the command that would run it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use flowlog_bpf::event::{self, Count, DropReport, Event, FlowReport, FoldReport};
use flowlog_bpf::{Counters, Kernel, Options, Ring, Selection, Started};

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Whether this process may load programs and make namespaces; says what to do if not.
pub fn may_run() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("needs root for BPF and network namespaces", "sudo -E make test");
    }
    root
}

/// Says that the running test does not run. Its thread has its name.
pub fn skip(why: &str, command: &str) {
    crate::skip_line::write(std::thread::current().name().unwrap_or_default(), why, command);
}

/// Runs a command line and returns what it printed; fails the test with its words if it fails.
pub fn sh(line: &str) -> String {
    let output = Command::new("sh").args(["-ec", line]).output().expect("sh starts");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "`{line}` failed: {text}");
    text
}

/// A network namespace that goes away with this value.
pub struct Namespace {
    pub name: String,
}

impl Namespace {
    pub fn new(word: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("fl-{}-{number}-{word}", std::process::id());
        sh(&format!(
            "ip netns add {name}; ip -n {name} link set lo up; ip netns exec {name} sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
        ));
        Self { name }
    }

    /// Moves the calling thread into it.
    pub fn enter(&self) {
        use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
        let file = std::fs::File::open(format!("/run/netns/{}", self.name)).expect("the namespace exists");
        move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), Some(LinkNameSpaceType::Network)).expect("setns");
    }

    /// Runs a command line inside.
    pub fn sh(&self, line: &str) -> String {
        let quoted = line.replace('\'', "'\\''");
        sh(&format!("ip netns exec {} sh -ec '{quoted}'", self.name))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// Options with pins of the test's own.
pub fn options(interfaces: &[&str]) -> Options {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    Options {
        pins: PathBuf::from(format!("/sys/fs/bpf/flowlog-test-{}-{number}", std::process::id())),
        interfaces: Selection::Named(interfaces.iter().map(|name| (*name).to_owned()).collect()),
        ..Options::default()
    }
}

/// A kernel side that is taken away with this value, also when the test fails.
pub struct Attached {
    pub kernel: Option<Kernel>,
    pub rings: Vec<Ring>,
    pub sums: Sums,
}

impl Attached {
    pub fn start(options: &Options) -> Self {
        let Started { mut kernel, retired, .. } = Kernel::start(options).expect("the kernel side starts");
        assert!(retired.is_empty());
        let rings = kernel.take_rings();
        Self { kernel: Some(kernel), rings, sums: Sums::default() }
    }

    pub fn kernel(&mut self) -> &mut Kernel {
        self.kernel.as_mut().expect("not yet detached")
    }

    /// Reads the rings until they are empty.
    pub fn drain(&mut self) {
        for ring in &mut self.rings {
            drain(ring, &mut self.sums);
        }
    }

    /// Reports and reads everything there is.
    pub fn settle(&mut self) {
        loop {
            let swept = self.kernel().flush().expect("a flush");
            self.drain();
            if swept.refused == 0 {
                break;
            }
        }
    }

    pub fn counters(&mut self) -> Counters {
        self.kernel().counters().expect("counters")
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if let Some(Ok(rest)) = self.kernel.take().map(Kernel::detach) {
            let _ = rest.remove();
        }
    }
}

/// Reads one ring until it is empty.
pub fn drain(ring: &mut Ring, sums: &mut Sums) {
    while let Some(batch) = ring.peek(64 << 10) {
        for event in event::iterate(batch.bytes) {
            sums.add(event.expect("the kernel writes what we read"));
        }
        let end = batch.end();
        ring.release(end);
    }
}

/// What reports add up to.
#[derive(Default)]
pub struct Sums {
    pub entered: BTreeMap<u32, Count>,
    pub left: BTreeMap<u32, Count>,
    pub other: Count,
    pub folded: Count,
    pub unattributed: Count,
    pub dropped: Count,
    pub flows: Vec<FlowReport>,
    pub folds: Vec<FoldReport>,
    pub drops: Vec<DropReport>,
    /// Only sum: do not keep the reports.
    pub forget: bool,
    pub records: u64,
}

impl Sums {
    pub fn add(&mut self, event: Event) {
        self.records += 1;
        match event {
            Event::Flow(flow) => {
                self.entered.entry(flow.entered_ifindex).or_default().add(flow.entered);
                self.left.entry(flow.left_ifindex).or_default().add(flow.left_after_entering);
                self.left.entry(flow.left_ifindex).or_default().add(flow.left_from_here);
                self.other.add(flow.other);
                if !self.forget {
                    self.flows.push(flow);
                }
            }
            Event::Fold(fold) => {
                [fold.entered, fold.left_after_entering, fold.left_from_here, fold.other]
                    .into_iter()
                    .for_each(|side| self.folded.add(side));
                if !self.forget {
                    self.folds.push(fold);
                }
            }
            Event::Unattributed(report) => {
                self.unattributed.add(report.entered);
                self.unattributed.add(report.left);
            }
            Event::Drop(drop) => {
                self.dropped.add(drop.count);
                if !self.forget {
                    self.drops.push(drop);
                }
            }
        }
    }

    /// Guarantee 1: per interface and direction, what was seen is unparsed, in reported rows, other, folded or
    /// unattributed; and what is reported of the last three adds up to their counters. Everything must be flushed.
    pub fn assert_accounts_for(&self, counters: &Counters) {
        let (mut other, mut folded, mut unattributed) = (Count::default(), Count::default(), Count::default());
        for interface in &counters.interfaces {
            let sides = [(&interface.entered, &self.entered, "in"), (&interface.left, &self.left, "out")];
            for (side, reported, way) in sides {
                let reported = reported.get(&interface.ifindex).copied().unwrap_or_default();
                assert_eq!(side.in_rows(), reported, "interface {} {way}: {side:?}", interface.ifindex);
                let reasons: u64 = side.unparsed_by.iter().sum();
                assert_eq!(reasons, side.unparsed.packets);
                other.add(side.other);
                folded.add(side.folded);
                unattributed.add(side.unattributed);
            }
        }
        assert_eq!(self.other, other, "other");
        assert_eq!(self.folded, folded, "folded");
        assert_eq!(self.unattributed, unattributed, "unattributed");
    }

    /// The reports of flows that fit, added up over time.
    pub fn flow(&self, fits: impl Fn(&FlowReport) -> bool) -> Option<FlowReport> {
        let mut reports = self.flows.iter().filter(|flow| fits(flow));
        let mut sum = *reports.next()?;
        for report in reports {
            sum.entered.add(report.entered);
            sum.left_after_entering.add(report.left_after_entering);
            sum.left_from_here.add(report.left_from_here);
            sum.other.add(report.other);
            for (to, from) in [(&mut sum.entered_tcp, report.entered_tcp), (&mut sum.left_tcp, report.left_tcp)] {
                to.syn += from.syn;
                to.fin += from.fin;
                to.rst += from.rst;
                to.flags |= from.flags;
            }
            sum.entered_ifindex = sum.entered_ifindex.max(report.entered_ifindex);
            sum.left_ifindex = sum.left_ifindex.max(report.left_ifindex);
            sum.fragment |= report.fragment;
            sum.last_ns = sum.last_ns.max(report.last_ns);
        }
        Some(sum)
    }
}

/// An Ethernet/IPv4/UDP frame of `size` bytes.
pub fn udp_frame(source: u32, port: u16, size: usize) -> Vec<u8> {
    let mut frame = vec![0; size.max(42)];
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[14] = 0x45;
    let length = (frame.len() - 14) as u16;
    frame[16..18].copy_from_slice(&length.to_be_bytes());
    frame[22] = 64;
    frame[23] = 17;
    frame[26..30].copy_from_slice(&source.to_be_bytes());
    frame[30..34].copy_from_slice(&[10, 9, 8, 7]);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..38].copy_from_slice(&53_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&(length - 20).to_be_bytes());
    frame
}
