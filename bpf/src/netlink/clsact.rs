//! Our filters on the clsact hooks, and what leaves everybody else's alone.
//!
//! Others use the first priority too: Cilium's datapath stands at handle 1 of it. The classifiers of one priority are a list: a new one comes to its head,
//! one that continues leads to the next, and the handle says which is meant. So ours has a handle that nobody counts up to.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

use super::{ACKNOWLEDGE, CREATE, DUMP, EXCLUSIVE, Message, Netlink, REPLACE, REQUEST, attributes, text};
use crate::load::hash;
use crate::sys::Hook;

const NEW_QDISC: u16 = 36;
const DELETE_QDISC: u16 = 37;
const NEW_FILTER: u16 = 44;
const DELETE_FILTER: u16 = 45;
const GET_FILTER: u16 = 46;

const CLSACT_HANDLE: u32 = 0xffff_0000;
const CLSACT_PARENT: u32 = 0xffff_fff1;
/// First priority, all protocols.
const FILTER_INFO: u32 = 1 << 16 | (3_u16.to_be() as u32);
/// "fl"
const FILTER_HANDLE: u32 = 0x666c_0000;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_DESCRIPTOR: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;

/// The handle of the filters that belong to a folder of pins: another daemon on the same interface has another one, and a later one on this folder takes
/// the place of what was left.
pub(crate) fn handle_for(pins: &Path) -> u32 {
    let hash = hash([pins.as_os_str().as_encoded_bytes()]);
    FILTER_HANDLE | (hash ^ hash >> 16 ^ hash >> 32 ^ hash >> 48) as u32 & 0xffff
}

impl Netlink {
    /// Adds the clsact queueing discipline; `false` if there was one.
    pub(crate) fn add_clsact(&self, ifindex: u32) -> io::Result<bool> {
        let mut message = Message::new(NEW_QDISC, REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE, &qdisc(ifindex));
        message.attribute(TCA_KIND, b"clsact\0");
        match self.ask(message, |_, _| ()) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Takes the clsact queueing discipline away, unless somebody has a filter on it: that would go with it.
    pub(crate) fn delete_empty_clsact(&self, ifindex: u32) -> io::Result<()> {
        let mut filters = 0;
        for hook in Hook::BOTH {
            self.ask(Message::new(GET_FILTER, REQUEST | DUMP, &tc_header(ifindex, 0, parent(hook), 0)), |kind, _| {
                filters += u32::from(kind == NEW_FILTER);
            })?;
        }
        match filters {
            0 => self.ask(Message::new(DELETE_QDISC, REQUEST | ACKNOWLEDGE, &qdisc(ifindex)), |_, _| ()),
            _ => Ok(()),
        }
    }

    /// Hangs a classifier on a clsact hook, in one step in place of an earlier one of ours.
    pub(crate) fn set_filter(&self, ifindex: u32, hook: Hook, handle: u32, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut message = Message::new(NEW_FILTER, REQUEST | ACKNOWLEDGE | CREATE | REPLACE, &filter(ifindex, hook, handle));
        message.attribute(TCA_KIND, b"bpf\0");
        message.nested(TCA_OPTIONS, |options| {
            options.attribute(TCA_BPF_DESCRIPTOR, &program.as_raw_fd().to_ne_bytes());
            options.attribute(TCA_BPF_NAME, format!("{}\0", name(hook)).as_bytes());
            options.attribute(TCA_BPF_FLAGS, &1_u32.to_ne_bytes()); // the return value decides
        });
        self.ask(message, |_, _| ())
    }

    /// Whether our filter is on a clsact hook.
    pub(crate) fn has_filter(&self, ifindex: u32, hook: Hook, handle: u32) -> io::Result<bool> {
        let mut message = Message::new(GET_FILTER, REQUEST | ACKNOWLEDGE, &filter(ifindex, hook, handle));
        message.attribute(TCA_KIND, b"bpf\0");
        let mut ours = false;
        let asked = self.ask(message, |kind, body| {
            ours |= kind == NEW_FILTER && filter_name(body).is_some_and(|found| found == name(hook));
        });
        match asked.as_ref().err().and_then(Errno::from_io_error) {
            // No such filter, no clsact, no device.
            Some(Errno::NOENT | Errno::INVAL | Errno::NODEV) => Ok(false),
            _ => asked.map(|()| ours),
        }
    }

    /// Takes our filter off a clsact hook, if it is there.
    pub(crate) fn delete_filter(&self, ifindex: u32, hook: Hook, handle: u32) -> io::Result<()> {
        if !self.has_filter(ifindex, hook, handle)? {
            return Ok(());
        }
        let mut message = Message::new(DELETE_FILTER, REQUEST | ACKNOWLEDGE, &filter(ifindex, hook, handle));
        message.attribute(TCA_KIND, b"bpf\0");
        self.ask(message, |_, _| ())
    }
}

/// What a filter is called in listings.
fn name(hook: Hook) -> String {
    format!("flowlog_{}", hook.name())
}

fn filter_name(body: &[u8]) -> Option<String> {
    let (_, options) = attributes(body.get(20..)?).find(|(kind, _)| *kind == TCA_OPTIONS)?;
    attributes(options).find(|(kind, _)| *kind == TCA_BPF_NAME).map(|(_, name)| text(name))
}

fn tc_header(ifindex: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut header = [0; 20];
    for (at, word) in [ifindex, handle, parent, info].into_iter().enumerate() {
        header[4 + at * 4..8 + at * 4].copy_from_slice(&word.to_ne_bytes());
    }
    header
}

fn qdisc(ifindex: u32) -> [u8; 20] {
    tc_header(ifindex, CLSACT_HANDLE, CLSACT_PARENT, 0)
}

fn parent(hook: Hook) -> u32 {
    match hook {
        Hook::Ingress => 0xffff_fff2,
        Hook::Egress => 0xffff_fff3,
    }
}

fn filter(ifindex: u32, hook: Hook, handle: u32) -> [u8; 20] {
    tc_header(ifindex, handle, parent(hook), FILTER_INFO)
}
