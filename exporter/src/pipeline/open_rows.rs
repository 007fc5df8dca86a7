//! Rows with packets whose fate is open, as they are stored with a commit: the events that brought those packets lie behind it.

use flowlog_bpf::event::{FlowKey, Tcp, Tunnel, TunnelKind};

use super::bytes::{Put, Take};
use super::flows::{FlowTable, Waiting};
use super::identify::Detail;
use super::rows::Fate;

/// Writes the open rows of a table.
#[must_use]
pub fn encode(flows: &FlowTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    for at in flows.open() {
        let row = flows.peek(at);
        if !row.fate.waits() {
            continue;
        }
        put_key(&mut bytes, &row.key);
        row.fate.put(&mut bytes);
        let waiting = &row.waiting;
        bytes.put_u64(waiting.first as u64);
        bytes.put_u64(waiting.last as u64);
        let tcp = &waiting.tcp;
        [tcp.syn, tcp.fin, tcp.rst, u32::from(tcp.flags)].into_iter().for_each(|value| bytes.put_u32(value));
        put_detail(&mut bytes, &row.detail);
        bytes.put_u32(row.entered_ifindex);
        bytes.put_u32(row.left_ifindex);
        bytes.put_u8(u8::from(row.folded) | u8::from(row.begun) << 1 | u8::from(row.gone) << 2 | u8::from(row.ended) << 3);
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
    let detail = take_detail(rest)?;
    let (entered_ifindex, left_ifindex, bits) = (rest.u32()?, rest.u32()?, rest.u8()?);
    if flows.find(&key).is_some() {
        return Some(());
    }
    let at = flows.make(key);
    let row = flows.row(at);
    (row.fate, row.waiting, row.detail) = (fate, waiting, detail);
    (row.entered_ifindex, row.left_ifindex) = (entered_ifindex, left_ifindex);
    (row.folded, row.begun, row.gone, row.ended) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0, bits & 8 != 0);
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

fn put_detail(bytes: &mut Vec<u8>, detail: &Detail) {
    bytes.extend_from_slice(&detail.source_mac);
    bytes.extend_from_slice(&detail.destination_mac);
    let reply = match detail.reply {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    let kind = match detail.tunnel.as_ref().map(|tunnel| tunnel.kind) {
        None => 0,
        Some(TunnelKind::Vxlan) => 1,
        Some(TunnelKind::Geneve) => 2,
    };
    bytes.put_u8(u8::from(detail.l3_device) | reply << 1 | kind << 3);
    if let Some(tunnel) = &detail.tunnel {
        bytes.extend_from_slice(&tunnel.source);
        bytes.extend_from_slice(&tunnel.destination);
        bytes.put_u32(u32::from(tunnel.source_port) << 16 | u32::from(tunnel.destination_port));
        bytes.put_u32(tunnel.vni);
    }
}

fn take_detail(rest: &mut Take<'_>) -> Option<Detail> {
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
    let tunnel = match kind {
        None => None,
        Some(kind) => {
            let (source, destination) = (rest.array()?, rest.array()?);
            let ports = rest.u32()?;
            let vni = rest.u32()?;
            Some(Box::new(Tunnel { kind, source, destination, source_port: (ports >> 16) as u16, destination_port: ports as u16, vni }))
        }
    };
    Some(Detail { source_mac, destination_mac, l3_device: bits & 1 != 0, tunnel, reply })
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
            let row = flows.row(at);
            row.fate.entered(Count { packets: u64::from(port), bytes: 7 }, 5);
            row.waiting = Waiting { first: 1, last: 2, tcp: Tcp { syn: 3, flags: 0x102, ..Tcp::default() } };
            row.detail.reply = Some(true);
            if port == 81 {
                row.detail.tunnel = Some(Box::new(Tunnel {
                    kind: TunnelKind::Geneve,
                    source: [1; 16],
                    destination: [2; 16],
                    source_port: 3,
                    destination_port: 4,
                    vni: 5,
                }));
            }
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
