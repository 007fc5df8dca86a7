//! Made-up reports of the kernel.

use flowlog_bpf::event::{Count, FlowKey, FlowReport, Tcp, Why};

/// One packet that left this host through interface 2, TCP over IPv4; the number chooses the client.
pub fn report(number: u32) -> FlowReport {
    let mut address = [0; 16];
    address[10..12].fill(0xff);
    let (mut source, mut destination) = (address, address);
    source[12..].copy_from_slice(&(0x0a00_0000 + number / 1000).to_be_bytes());
    destination[12..].copy_from_slice(&0x0a80_0001_u32.to_be_bytes());
    let key = FlowKey { source, destination, source_port: 32768 + (number % 1000) as u16, destination_port: 443, protocol: 6, family: 4 };
    let one = Count { packets: 1, bytes: 1500 };
    FlowReport {
        key,
        why: Why::Interval,
        boot_ns: 1_000,
        first_ns: 900,
        last_ns: 1_000,
        entered: Count::default(),
        left_after_entering: Count::default(),
        left_from_here: one,
        other: Count::default(),
        entered_tcp: Tcp::default(),
        left_tcp: Tcp { flags: 0x10, ..Tcp::default() },
        entered_ifindex: 0,
        left_ifindex: 2,
        source_mac: [2, 0, 0, 0, 0, 1],
        destination_mac: [2, 0, 0, 0, 0, 2],
        l3_device: false,
        fragment: false,
        vlan: None,
        tunnel: None,
        reply: None,
        last: false,
    }
}
