//! Runs the programs over frames without a network: for tests, benches and whoever wants to know what the kernel
//! makes of a frame. Packets are counted as if they had come by, on `lo` of the caller's network namespace.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use crate::sys::{self, Context};
use crate::{Error, Kernel};

/// Which program a frame is given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As if it came in.
    In,
    /// As if it went out, made on this host.
    Out,
    /// As if it went out, having come in through an interface.
    Through,
}

/// A super-packet's segmentation, as `struct __sk_buff` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// `gso_size`: payload bytes a segment; 0: not a super-packet.
    pub size: u32,
    /// `gso_segs`; 0 on frames from virtio.
    pub segments: u32,
}

/// The programs of a [`Kernel`], to be run from any thread.
#[derive(Debug)]
pub struct Probe {
    ingress: OwnedFd,
    egress: OwnedFd,
}

impl Probe {
    /// Of a running kernel side; `lo` must be among its interfaces for anything to be counted.
    pub fn of(kernel: &Kernel) -> Result<Self, Error> {
        let duplicate = |program: &OwnedFd| program.try_clone().map_err(|source| Error::System { what: "a program's descriptor", source });
        let programs = kernel.programs();
        Ok(Self { ingress: duplicate(&programs.ingress)?, egress: duplicate(&programs.egress)? })
    }

    /// Gives one frame (Ethernet header first, 14 bytes at least) to a program `times` times. Returns the time of one
    /// run as the kernel measured it.
    pub fn run(&self, way: Way, frame: &[u8], times: u32, segmentation: Segmentation) -> Result<Duration, Error> {
        let program = if way == Way::In { &self.ingress } else { &self.egress };
        let mut context = Context {
            ingress_ifindex: u32::from(way == Way::Through),
            gso_size: segmentation.size,
            gso_segments: segmentation.segments,
            ..Context::default()
        };
        let nanoseconds =
            sys::test_run(program.as_fd(), frame, &mut context, times).map_err(|source| Error::System { what: "a test run", source })?;
        Ok(Duration::from_nanos(nanoseconds.into()))
    }
}
