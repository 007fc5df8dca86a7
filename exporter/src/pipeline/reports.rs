//! The kernel's reports brought into one shape, and arithmetic on their counts. Counts wrap and never panic: what the ring says is not trusted.

use flowlog_bpf::event::{Count, FlowReport, FoldReport, UnattributedReport, Why};

use super::kernel_events::Context;

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
        reply: None,
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

/// Traffic that belongs to no flow stands in a line of its own, which no filter and no mask touches.
pub fn unattributed(report: &UnattributedReport, cx: &mut Context<'_>) {
    let count = sum(report.entered, report.left);
    cx.totals.inputs += 1;
    cx.totals.unattributed.add(count);
    let (first, last) = (unix(report.first_ns, cx), unix(report.last_ns, cx));
    let group = cx.fold.find_or_make(cx.log.unattributed());
    if let Some(group) = cx.fold.touch(group) {
        group.sums.counted.add(count);
        group.sums.cover(first, last);
    }
}

/// Unix nanoseconds of a moment of the boot clock.
pub fn unix(boot_ns: u64, cx: &Context<'_>) -> i64 {
    (boot_ns as i64).wrapping_add(cx.clock_offset)
}

/// Whether a report goes on with a flow whose beginning was reported before.
#[must_use]
pub fn continues(report: &FlowReport) -> bool {
    let opened = report.entered_tcp.syn > 0 || report.left_tcp.syn > 0;
    !opened && !matches!(report.why, Why::First | Why::Flag)
}

/// What a report says of the flags of its first packet: all of them where it covers one, else only a SYN that nothing acknowledges. Put together, those of a
/// client look like those of a server.
#[must_use]
pub fn first_flags(report: &FlowReport) -> u16 {
    let flags = report.entered_tcp.flags | report.left_tcp.flags;
    let left = report.left_after_entering.packets.wrapping_add(report.left_from_here.packets);
    if left.max(report.entered.packets) <= 1 || flags & ACK == 0 { flags } else { flags & !SYN }
}

const SYN: u16 = 0x02;
const ACK: u16 = 0x10;
