//! Applies the kernel's reports to the flow cache and the fold table: the hot path.
//!
//! Per event: find the row, let its fate take the counts, add to the sums of its line. What a line looks like and whether anybody wants it was decided at
//! the row's first event and is looked up in a slot.

mod settling;

use flowlog_bpf::event::{Count, DropReport, Event, FlowKey, FlowReport, Why};

use super::fate;
use super::flows::{FlowTable, NOWHERE};
use super::fold::FoldTable;
use super::identify::{Detail, Sighting, is_reply};
use super::log::{LineRules, Wanted};
use super::open_rows;
use super::pending::{Pending, Waiting};
use super::reports::{continues, first_flags, share, sum, unattributed, unfolded, unix};
use super::row::{Fact, Row, Slot};
use super::sums::Sums;
use super::surroundings::Surroundings;
use super::totals::Totals;
use crate::identity::Identities;

/// Events that are applied together.
pub const TOGETHER: usize = 32;

/// Tuples above which what is known of them does not lie at hand: it is fetched for all events that are applied together, before the first of them is.
const MANY_ROWS: usize = 4096;

/// The interface index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// What a frame of events is read against.
pub struct Context<'c> {
    /// The flow log's compiled configuration, or the metrics.
    pub log: &'c dyn LineRules,
    /// Who addresses are.
    pub identities: &'c Identities,
    /// Interfaces, drop reasons, this node's name.
    pub around: &'c Surroundings,
    /// Lines in the making.
    pub fold: &'c mut FoldTable,
    /// The accounting.
    pub totals: &'c mut Totals,
    /// Arrival time of the frame, Unix nanoseconds.
    pub arrival: i64,
    /// Unix time minus boot time when the frame arrived.
    pub clock_offset: i64,
}

/// What goes into a line's sums beside the packets it counts.
struct More {
    seen: Waiting,
    other: u64,
    beginnings: u64,
    interfaces: [u32; 2],
    /// What entered with what left.
    through: Count,
}

/// The kernel side's state in one flow log.
#[derive(Debug)]
pub struct KernelEvents {
    flows: FlowTable,
    /// Up to when the kernel's reports have been applied, in nanoseconds of the boot clock. Fates are decided on it: a report that is late to be read,
    /// because the disk or the processor stood still, still comes in time.
    heard: i64,
    /// Up to when a report tells that what was reported before it has been applied.
    told: i64,
    /// The boot clock when the newest frame was read, and what the newest report says of it.
    present: i64,
    reported: i64,
    /// Until then every row waits a whole interval: after a start, what rows did before is not known.
    cautious_until: Option<i64>,
}

impl KernelEvents {
    /// Empty, for at most `most` tuples.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { flows: FlowTable::new(most), heard: 0, told: i64::MAX, present: i64::MAX, reported: 0, cautious_until: None }
    }

    /// Tuples in the cache.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.flows.len()
    }

    /// Whether packets wait for their fate, so that a cut has to come even if nothing else does.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.flows.any_open()
    }

    /// The rows that a restart must know of (see `open_rows`).
    #[must_use]
    pub fn open_rows(&self) -> Vec<u8> {
        open_rows::encode(&self.flows)
    }

    /// Takes over the rows an earlier process had open.
    ///
    /// They wait anew from `now` on, the start on the boot clock: what tells their fate may still lie in the ring.
    pub fn restore(&mut self, bytes: &[u8], now: i64) {
        self.heard = now;
        if !open_rows::restore(bytes, now, &mut self.flows) {
            tracing::error!("the stored open rows are not whole; packets whose fate was open are missing");
        }
    }

    /// Drops what was decided from an old configuration.
    pub fn forget_decisions(&mut self) {
        self.flows.forget_decisions();
    }

    /// Everything that the kernel reported up to this moment of the boot clock has been applied.
    pub fn hear(&mut self, boot: i64) {
        self.heard = self.heard.max(boot);
    }

    /// The boot clock is at `present`. What is reported from now on tells up to `told` at most that what was reported before it has been applied: with one ring
    /// that is the present, with several nothing. Frames of the boot before, whose clock had come further, are among what a start after a power loss reads:
    /// what they leave open waits from now on, as what was open at the last commit does.
    pub fn told_until(&mut self, told: i64, present: i64) {
        (self.told, self.present) = (told, present);
    }

    /// Applies events in their order.
    ///
    /// Their rows are looked up beforehand: the lookups wait for nothing but memory, and the processor does many of them at once where nothing comes between.
    pub fn apply(&mut self, events: &[Event], cx: &mut Context<'_>) {
        for events in events.chunks(TOGETHER) {
            let mut rows = [NOWHERE; TOGETHER];
            for (row, event) in rows.iter_mut().zip(events) {
                *row = event.key().and_then(|key| self.flows.find(key)).unwrap_or(NOWHERE);
            }
            if self.flows.len() > MANY_ROWS {
                let fetched = rows.iter().filter_map(|row| self.flows.usual_line(*row)).fold(0, |all, group| all ^ cx.fold.fetch(group));
                std::hint::black_box(fetched);
            }
            for (row, event) in rows.into_iter().zip(events) {
                self.apply_one(event, row, cx);
            }
        }
    }

    /// Applies an event whose row is where it says, if it has that row still.
    fn apply_one(&mut self, event: &Event, row: u32, cx: &mut Context<'_>) {
        cx.totals.events += 1;
        self.reported = i64::try_from(event.boot_ns()).unwrap_or_default().min(self.present);
        self.hear(self.reported.min(self.told));
        match event {
            Event::Flow(report) => self.flow(report, row, false, cx),
            Event::Fold(report) => self.flow(&unfolded(report), row, true, cx),
            Event::Drop(report) => self.drop(report, row, cx),
            Event::Unattributed(report) => unattributed(report, cx),
        }
    }

    fn flow(&mut self, report: &FlowReport, row: u32, folded: bool, cx: &mut Context<'_>) {
        let at = self.row_of(&report.key, row, Some(report), first_flags(report), cx);
        let row = self.current(at, cx);
        row.set(Fact::Folded, folded || row.is(Fact::Folded));
        let fragments = report.fragment && (report.key.source_port, report.key.destination_port) == (0, 0);
        row.set(Fact::Fragments, fragments || row.is(Fact::Fragments));
        if report.entered_ifindex != 0 {
            row.entered_ifindex = report.entered_ifindex;
        }
        if report.left_ifindex != 0 {
            row.left_ifindex = report.left_ifindex;
        }
        if row.is(Fact::Gone) && !report.last {
            // The kernel has made another row for the tuple before this one was let go.
            row.set(Fact::Begun, false);
        }
        row.set(Fact::Gone, report.last);
        // On `lo` both hooks see every packet; what left is the count.
        let entered = if report.entered_ifindex == LOOPBACK { Count::default() } else { report.entered };
        let left = sum(report.left_after_entering, report.left_from_here);
        if fate::is_overdue(report.first_ns, report.boot_ns, cx.around.report_interval) {
            row.set(Fact::Unsure, true);
        }
        let (first, last) = (unix(report.first_ns, cx), unix(report.last_ns, cx));
        let explained = self.pass(at, entered, report.left_after_entering.packets, &Waiting { first, last, tcp: report.entered_tcp });
        cx.totals.explained = cx.totals.explained.wrapping_add(explained);
        cx.totals.entered.add(entered);
        cx.totals.left.add(left);
        cx.totals.other.add(report.other);
        let loopback_only = report.entered_ifindex == LOOPBACK && left.packets == 0;
        if left.packets > 0 || (report.other.packets > 0 && !loopback_only) {
            let row = self.flows.row(at);
            let sighting = match (row.left_ifindex, row.delivers()) {
                (0, true) => Sighting::Delivered { ifindex: row.entered_ifindex },
                (0, false) => Sighting::Traced { ifindex: row.entered_ifindex },
                (ifindex, _) => Sighting::Left { ifindex },
            };
            let beginnings = row.beginnings(&report.left_tcp);
            let interfaces = [row.entered_ifindex, row.left_ifindex];
            // All of it is summed, so that a line can say whether both sides counted the same.
            let through =
                if explained == report.left_after_entering.packets { report.left_after_entering } else { share(entered, explained) };
            let more =
                More { seen: Waiting { first, last, tcp: report.left_tcp }, other: report.other.packets, beginnings, interfaces, through };
            self.count(at, sighting, left, &more, cx);
        }
        if report.last {
            self.flows.list(at);
        }
    }

    /// Lets a row's fate take what entered, with what was seen of it, and what left after entering. Returns how many packets that explains.
    fn pass(&mut self, at: u32, entered: Count, left: u64, seen: &Waiting) -> u64 {
        if entered.packets == 0 && left == 0 {
            return 0;
        }
        let Pending { mut fate, mut waiting } = self.flows.pending(at);
        let open = fate.packets();
        fate.left(left);
        // Of several rings one may have been read further than all of them have.
        fate.entered(entered, self.heard.max(self.reported));
        let explained = open.wrapping_add(entered.packets).wrapping_sub(fate.packets());
        if entered.packets > 0 {
            waiting.join(seen);
        }
        if fate.waits() {
            self.flows.list(at);
        }
        self.flows.keep(at, Pending { fate, waiting });
        explained
    }

    fn drop(&mut self, report: &DropReport, row: u32, cx: &mut Context<'_>) {
        let at = self.row_of(&report.key, row, None, report.tcp_flags, cx);
        let row = self.current(at, cx);
        // A tuple of which only drops were ever seen goes with its drops.
        let gone = row.is(Fact::Gone) || (report.last && row.entered_ifindex == 0 && row.left_ifindex == 0);
        row.set(Fact::Gone, gone);
        // The kernel says NO_SOCKET of an ICMP message that a raw socket has received, as ping's do: nothing was lost.
        let received = row.is(Fact::Here) && matches!(report.key.protocol, 1 | 58) && cx.around.drop_reason(report.reason).0 == "NO_SOCKET";
        // What came in through `lo` had left through it and was counted there.
        let after = report.after || (report.entered && row.entered_ifindex == LOOPBACK);
        if !received && after {
            cx.totals.dropped_after.add(report.count);
        } else if !received {
            if report.entered {
                let mut pending = self.flows.pending(at);
                let open = pending.fate.packets();
                pending.fate.dropped(report.count.packets);
                cx.totals.explained = cx.totals.explained.wrapping_add(open.wrapping_sub(pending.fate.packets()));
                self.flows.keep(at, pending);
            }
            cx.totals.dropped.add(report.count);
        }
        if gone {
            self.flows.list(at);
        }
        // The kernel's row may be freed with nothing left to say: no line for that.
        if received || report.count.packets == 0 {
            return;
        }
        let (first, last) = (unix(report.first_ns, cx), unix(report.last_ns, cx));
        let sighting = Sighting::Dropped { ifindex: report.ifindex, reason: report.reason, after };
        self.add(at, sighting, if after { Count::default() } else { report.count }, report.tcp_flags, cx, |sums| {
            sums.cover(first, last);
            sums.tcp_flags |= report.tcp_flags;
            sums.interface(report.ifindex);
            if after {
                sums.dropped_after.add(report.count);
            }
        });
    }

    /// Adds packets with what was seen beside them.
    fn count(&mut self, at: u32, sighting: Sighting, count: Count, more: &More, cx: &mut Context<'_>) {
        let Waiting { first, last, tcp } = more.seen;
        self.add(at, sighting, count, tcp.flags, cx, |sums| {
            sums.cover(first, last);
            sums.other = sums.other.wrapping_add(more.other);
            sums.syn = sums.syn.wrapping_add(u64::from(tcp.syn));
            sums.fin = sums.fin.wrapping_add(u64::from(tcp.fin));
            sums.rst = sums.rst.wrapping_add(u64::from(tcp.rst));
            sums.tcp_flags |= tcp.flags;
            sums.connections += more.beginnings;
            more.interfaces.into_iter().for_each(|ifindex| sums.interface(ifindex));
            sums.entered.add(more.through);
        });
    }

    /// Adds to the sums of the line that this sighting of a row belongs to.
    fn add(&mut self, at: u32, sighting: Sighting, count: Count, flags: u16, cx: &mut Context<'_>, change: impl Fn(&mut Sums)) {
        cx.totals.inputs += 1;
        if cx.log.has_ended(cx.arrival) {
            cx.totals.filtered += 1;
            cx.totals.filtered_volume.add(count);
            return;
        }
        let mut slot = self.current(at, cx).slot(sighting);
        for _ in 0..2 {
            match slot {
                Slot::Group(group) => {
                    if let Some(group) = cx.fold.touch(group) {
                        group.sums.counted.add(count);
                        change(&mut group.sums);
                        return;
                    }
                }
                Slot::Filtered => {
                    cx.totals.filtered += 1;
                    cx.totals.filtered_volume.add(count);
                    return;
                }
                Slot::Unknown | Slot::PerEvent => {}
            }
            slot = self.decide(at, sighting, flags, cx);
        }
    }

    /// A row, with what rests on identities brought up to them.
    fn current(&mut self, at: u32, cx: &Context<'_>) -> &mut Row {
        let row = self.flows.row(at);
        if !row.rests_on(cx.identities.generation()) {
            row.forget_decisions();
            let destination = super::identify::address(row.key.destination, row.key.family);
            row.set(Fact::Here, cx.identities.of(destination).is_this_host());
        }
        row
    }

    /// Decides whether the flow log wants this sighting, and finds its line.
    fn decide(&mut self, at: u32, sighting: Sighting, tcp_flags: u16, cx: &mut Context<'_>) -> Slot {
        let row = self.flows.row(at);
        let mut flow = super::identify::flow(&row.key, &row.detail(), sighting, cx.identities, cx.around);
        let mut wanted = cx.log.wants(&flow, row.is(Fact::Folded));
        let per_event = wanted == Wanted::PerEvent;
        if per_event {
            wanted = cx.log.wants_event(&mut flow, tcp_flags);
        }
        cx.totals.undecided += u64::from(wanted == Wanted::Undecided);
        let slot = match wanted {
            Wanted::No => Slot::Filtered,
            _ => Slot::Group(cx.fold.find_or_make(cx.log.prepare_kernel(flow, sighting, row.is(Fact::Folded), cx.around))),
        };
        row.decide(sighting, if per_event { Slot::PerEvent } else { slot });
        slot
    }

    fn row_of(&mut self, key: &FlowKey, row: u32, report: Option<&FlowReport>, tcp_flags: u16, cx: &mut Context<'_>) -> u32 {
        // An event before it may have made or removed the row.
        if self.flows.is_of(row, key) {
            return row;
        }
        if let Some(at) = self.flows.find(key) {
            return at;
        }
        let full = self.flows.full();
        if full {
            self.make_room(cx);
        }
        let reverse = self.flows.find(&key.reversed()).map(|at| self.flows.peek(at).reply);
        let at = self.flows.make(*key);
        let row = self.flows.row(at);
        let began = report.and_then(|report| report.reply);
        row.learn(&Detail::of(report, is_reply(key, began, tcp_flags, reverse)));
        // After a restart a flow's later reports come first; they are not its beginning.
        row.set(Fact::Begun, report.is_some_and(continues));
        // Where rows have to make room for each other, nearly every one of them has a past: they cannot all wait.
        row.set(Fact::Unsure, !full && report.is_none_or(|report| report.why != Why::First));
        at
    }

    /// Lets one row go so that another fits.
    fn make_room(&mut self, cx: &mut Context<'_>) {
        let mut at = self.flows.make_room();
        if at.is_none() {
            // Every row waits: settle them all as they look. Counts stay exact; a few may be traced that would have been seen leaving.
            self.surrender(cx);
            at = self.flows.make_room();
        }
        if let Some(at) = at {
            self.flows.remove(at);
        }
    }
}
