//! Rows with packets whose fate is open, as they are stored with a commit: the events that brought those packets lie behind it.

use flowlog_bpf::event::{FlowKey, Tcp, Tunnel, TunnelKind};

use super::bytes::{Put, Take};
use super::fate::Fate;
use super::flows::FlowTable;
use super::identify::Detail;
use super::pending::{Pending, Waiting};
use super::row::Fact;

/// What is stored of a row as a bit, from the lowest up.
const STORED: [Fact; 5] = [Fact::Folded, Fact::Begun, Fact::Gone, Fact::Ended, Fact::Fragments];

/// Writes the open rows of a table.
#[must_use]
pub fn encode(flows: &FlowTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in flows.open() {
        let (row, Pending { fate, waiting }) = (flows.peek(at), flows.pending(at));
        if !fate.waits() {
            continue;
        }
        put_key(&mut bytes, &row.key);
        fate.put(&mut bytes);
        bytes.put_u64(waiting.first as u64);
        bytes.put_u64(waiting.last as u64);
        let tcp = &waiting.tcp;
        [tcp.syn, tcp.fin, tcp.rst, u32::from(tcp.flags)].into_iter().for_each(|value| bytes.put_u32(value));
        put_detail(&mut bytes, &row.detail());
        bytes.put_u32(row.entered_ifindex);
        bytes.put_u32(row.left_ifindex);
        let bits = STORED.iter().enumerate().map(|(bit, fact)| u8::from(row.is(*fact)) << bit);
        bytes.put_u8(bits.sum());
    }
    bytes
}

/// Puts stored rows into an empty table, waiting from `now` on; `false` if the bytes end inside one.
#[must_use]
pub fn restore(bytes: &[u8], now: i64, flows: &mut FlowTable) -> bool {
    let mut rest = Take(bytes);
    while !rest.0.is_empty() {
        if restore_row(&mut rest, now, flows).is_none() {
            return false;
        }
    }
    true
}

fn restore_row(rest: &mut Take<'_>, now: i64, flows: &mut FlowTable) -> Option<()> {
    let key = take_key(rest)?;
    let mut fate = Fate::get(rest)?;
    fate.wait_from(now);
    let (first, last) = (rest.i64()?, rest.i64()?);
    let tcp = Tcp { syn: rest.u32()?, fin: rest.u32()?, rst: rest.u32()?, flags: u16::try_from(rest.u32()?).ok()? };
    let waiting = Waiting { first, last, tcp };
    let mut tunnel = None;
    let detail = take_detail(rest, &mut tunnel)?;
    let (entered_ifindex, left_ifindex, bits) = (rest.u32()?, rest.u32()?, rest.u8()?);
    if flows.find(&key).is_some() {
        return Some(());
    }
    let at = flows.make(key);
    let row = flows.row(at);
    row.learn(&detail);
    (row.entered_ifindex, row.left_ifindex) = (entered_ifindex, left_ifindex);
    STORED.iter().enumerate().for_each(|(bit, fact)| row.set(*fact, bits >> bit & 1 != 0));
    // What became of it meanwhile lies in the ring, or still in the kernel's rows.
    row.set(Fact::Unsure, true);
    flows.keep(at, Pending { fate, waiting });
    flows.list(at);
    Some(())
}

fn put_key(bytes: &mut Vec<u8>, key: &FlowKey) {
    bytes.extend_from_slice(&key.source);
    bytes.extend_from_slice(&key.destination);
    bytes.put_u32(u32::from(key.source_port) << 16 | u32::from(key.destination_port));
    bytes.put_u8(key.protocol);
    bytes.put_u8(key.family);
}

fn take_key(rest: &mut Take<'_>) -> Option<FlowKey> {
    let (source, destination) = (rest.array()?, rest.array()?);
    let ports = rest.u32()?;
    Some(FlowKey {
        source,
        destination,
        source_port: (ports >> 16) as u16,
        destination_port: ports as u16,
        protocol: rest.u8()?,
        family: rest.u8()?,
    })
}

fn put_detail(bytes: &mut Vec<u8>, detail: &Detail<'_>) {
    bytes.extend_from_slice(&detail.source_mac);
    bytes.extend_from_slice(&detail.destination_mac);
    let reply = match detail.reply {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    let kind = match detail.tunnel.map(|tunnel| tunnel.kind) {
        None => 0,
        Some(TunnelKind::Vxlan) => 1,
        Some(TunnelKind::Geneve) => 2,
    };
    bytes.put_u8(u8::from(detail.l3_device) | reply << 1 | kind << 3);
    if let Some(tunnel) = detail.tunnel {
        bytes.extend_from_slice(&tunnel.source);
        bytes.extend_from_slice(&tunnel.destination);
        bytes.put_u32(u32::from(tunnel.source_port) << 16 | u32::from(tunnel.destination_port));
        bytes.put_u32(tunnel.vni);
    }
}

fn take_detail<'t>(rest: &mut Take<'_>, outer: &'t mut Option<Tunnel>) -> Option<Detail<'t>> {
    let (source_mac, destination_mac, bits) = (rest.array()?, rest.array()?, rest.u8()?);
    let reply = match bits >> 1 & 3 {
        0 => None,
        1 => Some(false),
        2 => Some(true),
        _ => return None,
    };
    let kind = match bits >> 3 {
        0 => None,
        1 => Some(TunnelKind::Vxlan),
        2 => Some(TunnelKind::Geneve),
        _ => return None,
    };
    if let Some(kind) = kind {
        let (source, destination) = (rest.array()?, rest.array()?);
        let ports = rest.u32()?;
        let vni = rest.u32()?;
        *outer = Some(Tunnel { kind, source, destination, source_port: (ports >> 16) as u16, destination_port: ports as u16, vni });
    }
    Some(Detail { source_mac, destination_mac, l3_device: bits & 1 != 0, tunnel: outer.as_ref(), reply })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flowlog_bpf::event::Count;
    use std::net::Ipv6Addr;

    fn table() -> FlowTable {
        let mut flows = FlowTable::new(100);
        for port in [80, 81] {
            let at = flows.make(FlowKey {
                source: Ipv6Addr::LOCALHOST.octets(),
                destination_port: port,
                protocol: 6,
                family: 6,
                ..FlowKey::default()
            });
            let mut pending = Pending::default();
            pending.fate.entered(Count { packets: u64::from(port), bytes: 7 }, 5);
            pending.waiting = Waiting { first: 1, last: 2, tcp: Tcp { syn: 3, flags: 0x102, ..Tcp::default() } };
            flows.keep(at, pending);
            let (source, destination, kind) = ([1; 16], [2; 16], TunnelKind::Geneve);
            let outer = Tunnel { kind, source, destination, source_port: 3, destination_port: 4, vni: 5 };
            flows.row(at).learn(&Detail { tunnel: (port == 81).then_some(&outer), reply: Some(true), ..Detail::default() });
            flows.list(at);
        }
        flows
    }

    #[test]
    fn open_rows_come_back_as_they_were() {
        let flows = table();
        let bytes = encode(&flows);
        let mut back = FlowTable::new(100);
        assert!(restore(&bytes, 5, &mut back));
        assert_eq!(encode(&back), bytes);
        assert_eq!(back.len(), 2);
    }

    #[test]
    fn any_bytes_are_rows_or_refused() {
        let bytes = encode(&table());
        for length in 0..bytes.len() {
            let _ = restore(&bytes[..length], 5, &mut FlowTable::new(100));
        }
        assert!(!restore(&[0xff; 300], 5, &mut FlowTable::new(100)));
    }
}
