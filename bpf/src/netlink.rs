//! rtnetlink, as much of it as is needed: list links and default routes, watch them change, and hang clsact filters
//! on an interface by its index. Messages are built and read here; parsing never panics on what the kernel sends.

mod clsact;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, send, socket_with};

pub(crate) use clsact::handle_for;

use crate::event::Count;
use crate::interface::LinkCounters;

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

const GROUP_LINK: u32 = 1;
const GROUP_IPV4_ROUTE: u32 = 0x40;
const GROUP_IPV6_ROUTE: u32 = 0x400;

const IFLA_NAME: u16 = 3;
const IFLA_LINK_INFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_LINK_NAMESPACE: u16 = 37;
const INFO_KIND: u16 = 1;
const RTA_INTERFACE: u16 = 4;
const RTA_MULTIPATH: u16 = 9;
const TABLE_MAIN: u8 = 254;

const ARP_ETHERNET: u16 = 1;
const ARP_LOOPBACK: u16 = 772;

/// A network interface as rtnetlink describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    /// No Ethernet header in front of its packets.
    pub(crate) l3: bool,
    /// "veth", "vxlan", "tun" …; none for a physical device and `lo`.
    pub(crate) kind: Option<String>,
    /// Its other end is in another network namespace.
    pub(crate) crosses_namespaces: bool,
    pub(crate) counters: LinkCounters,
}

/// What a batch of notifications says.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Something may look different: list again.
    pub(crate) any: bool,
    /// Links that went away, with their last counters.
    pub(crate) gone: Vec<Link>,
}

/// One rtnetlink socket.
#[derive(Debug)]
pub(crate) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    /// For requests.
    pub(crate) fn open() -> io::Result<Self> {
        Self::with(SocketFlags::CLOEXEC, 0)
    }

    /// For notifications of links and routes; never blocks.
    pub(crate) fn watch() -> io::Result<Self> {
        let groups = GROUP_LINK | GROUP_IPV4_ROUTE | GROUP_IPV6_ROUTE;
        Self::with(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, groups)
    }

    fn with(flags: SocketFlags, groups: u32) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self { socket })
    }

    /// Every link of this network namespace.
    pub(crate) fn links(&self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.ask(Message::new(GET_LINK, REQUEST | DUMP, &[0; 16]), |kind, body| {
            if kind == NEW_LINK {
                links.extend(parse_link(body));
            }
        })?;
        Ok(links)
    }

    /// One link; `None` if it is gone.
    pub(crate) fn link(&self, ifindex: u32) -> io::Result<Option<Link>> {
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let mut link = None;
        let asked = self.ask(Message::new(GET_LINK, REQUEST | ACKNOWLEDGE, &header), |kind, body| {
            if kind == NEW_LINK {
                link = parse_link(body);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(Errno::NODEV.raw_os_error()) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(link),
        }
    }

    /// Devices of the default routes, IPv4 and IPv6, of the main table.
    pub(crate) fn default_route_devices(&self) -> io::Result<Vec<u32>> {
        let mut devices = Vec::new();
        self.ask(Message::new(GET_ROUTE, REQUEST | DUMP, &[0; 12]), |kind, body| {
            if kind == NEW_ROUTE {
                parse_default_route(body, &mut devices);
            }
        })?;
        Ok(devices)
    }

    /// What has changed since the last call. An overflow counts as "list again".
    pub(crate) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let bytes = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => return changes,
                Ok((_, length)) => &buffer[..length.min(64 << 10)],
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return changes,
                // ENOBUFS: the kernel had more to say than the socket could hold.
                Err(error) => {
                    tracing::debug!(%error, "notifications about interfaces were lost; listing them again");
                    changes.any = true;
                    if error != Errno::NOBUFS {
                        return changes;
                    }
                    continue;
                }
            };
            for (kind, body) in messages(bytes) {
                changes.any |= matches!(kind, NEW_LINK | DELETE_LINK | NEW_ROUTE | DELETE_ROUTE);
                // AF_BRIDGE messages are about bridge ports, not about the device itself.
                if kind == DELETE_LINK && body.first() == Some(&0) {
                    changes.gone.extend(parse_link(body));
                }
            }
        }
    }

    /// Sends a request and hands every message of the answer to `each`.
    fn ask(&self, message: Message, mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
        send(&self.socket, &message.finish(), SendFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let length = match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => length.min(buffer.len()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for (kind, body) in messages(&buffer[..length]) {
                match kind {
                    MESSAGE_DONE => return Ok(()),
                    MESSAGE_ERROR => {
                        let code = body.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                        return if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(-code)) };
                    }
                    kind => each(kind, body),
                }
            }
        }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A request being built.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(body);
        Self { bytes }
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.bytes.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.attribute(kind, &[]);
        fill(self);
        let length = (self.bytes.len() - start) as u16;
        self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// Type and body of each message of a datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let body = bytes.get(16..length)?;
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// Type and value of each attribute.
fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let header: [u8; 4] = *bytes.first_chunk()?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([header[2], header[3]]) & 0x3fff, value))
    })
}

fn text(value: &[u8]) -> String {
    let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let header: &[u8; 16] = body.first_chunk()?;
    let hardware = u16::from_ne_bytes([header[2], header[3]]);
    let mut link = Link {
        ifindex: u32::from_ne_bytes([header[4], header[5], header[6], header[7]]),
        name: String::new(),
        l3: hardware != ARP_ETHERNET && hardware != ARP_LOOPBACK,
        kind: None,
        crosses_namespaces: false,
        counters: LinkCounters::default(),
    };
    for (kind, value) in attributes(&body[16..]) {
        match kind {
            IFLA_NAME => link.name = text(value),
            IFLA_LINK_INFO => {
                link.kind = attributes(value).find(|(kind, _)| *kind == INFO_KIND).map(|(_, kind)| text(kind));
            }
            IFLA_STATS64 => link.counters = parse_counters(value),
            IFLA_LINK_NAMESPACE => link.crosses_namespaces = true,
            _ => {}
        }
    }
    Some(link)
}

fn parse_counters(value: &[u8]) -> LinkCounters {
    let word = |at: usize| crate::maps::u64_at(value, at * 8);
    LinkCounters { received: Count { packets: word(0), bytes: word(2) }, transmitted: Count { packets: word(1), bytes: word(3) } }
}

fn parse_default_route(body: &[u8], devices: &mut Vec<u32>) {
    let Some(header) = body.first_chunk::<12>() else {
        return;
    };
    let [_, destination_length, _, _, table, _, _, kind, ..] = *header;
    if destination_length != 0 || table != TABLE_MAIN || kind != 1 {
        return;
    }
    for (kind, value) in attributes(&body[12..]) {
        match kind {
            RTA_INTERFACE => devices.extend(value.first_chunk().map(|index| u32::from_ne_bytes(*index))),
            RTA_MULTIPATH => {
                let mut hops = value;
                while let Some([low, high, _, _, index @ ..]) = hops.first_chunk::<8>() {
                    devices.push(u32::from_ne_bytes(*index));
                    let length = usize::from(u16::from_ne_bytes([*low, *high])).max(8);
                    hops = hops.get(length.next_multiple_of(4)..).unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}
