//! The kernel's reports brought into one shape, and arithmetic on their counts. Counts wrap and never panic: what the ring says is not trusted.

use flowlog_bpf::event::{Count, FlowReport, FoldReport};

/// The report of a fold row in the shape of a flow's; it knows no addresses of layer 2.
#[must_use]
pub fn unfolded(report: &FoldReport) -> FlowReport {
    FlowReport {
        key: report.key,
        why: report.why,
        boot_ns: report.boot_ns,
        first_ns: report.first_ns,
        last_ns: report.last_ns,
        entered: report.entered,
        left_after_entering: report.left_after_entering,
        left_from_here: report.left_from_here,
        other: report.other,
        entered_tcp: report.entered_tcp,
        left_tcp: report.left_tcp,
        entered_ifindex: report.entered_ifindex,
        left_ifindex: report.left_ifindex,
        source_mac: [0; 6],
        destination_mac: [0; 6],
        l3_device: true,
        fragment: false,
        vlan: None,
        tunnel: None,
        last: report.last,
    }
}

/// The bytes of some of the packets of a count, by their mean.
#[must_use]
pub fn share(of: Count, packets: u64) -> Count {
    let bytes = u128::from(of.bytes) * u128::from(packets) / u128::from(of.packets.max(1));
    Count { packets, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
}

/// Both together.
#[must_use]
pub fn sum(a: Count, b: Count) -> Count {
    Count { packets: a.packets.wrapping_add(b.packets), bytes: a.bytes.wrapping_add(b.bytes) }
}
