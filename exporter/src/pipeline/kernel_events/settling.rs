//! Decides what became of packets that wait: at each cut those that waited long enough, at the end all of them.

use flowlog_bpf::event::Count;

use super::{Context, KernelEvents, More, Pending, Sighting, Waiting};
use crate::pipeline::fate::{self, Settled};
use crate::pipeline::row::Fact;

impl KernelEvents {
    /// Decides at a cut what waited long enough, and lets go of rows that are done.
    pub fn settle(&mut self, cx: &mut Context<'_>) {
        self.flows.next_cut();
        let (now, interval) = (self.heard, fate::interval(cx.around.report_interval));
        let cautious = now < *self.cautious_until.get_or_insert(now.saturating_add(interval));
        let mut held: u64 = 0;
        for at in self.flows.take_open() {
            let row = self.current(at, cx);
            let (here, gone) = (row.delivers(), row.is(Fact::Gone));
            let interval = fate::Interval { nanoseconds: interval, always: (cautious && !here) || row.is(Fact::Unsure) };
            let mut pending = self.flows.pending(at);
            let settled = pending.fate.settle(now, here, gone, interval);
            held = held.wrapping_add(pending.fate.packets());
            let waits = pending.fate.waits();
            if let Some(settled) = settled {
                self.settled(at, settled, pending, cx);
                // Drops from before would have been reported by now.
                self.flows.row(at).set(Fact::Unsure, false);
            }
            if waits {
                self.flows.list(at);
            } else if gone {
                self.flows.remove(at);
            }
        }
        cx.totals.held = held;
    }

    /// Settles everything as it looks: the input has ended.
    pub fn surrender(&mut self, cx: &mut Context<'_>) {
        for at in self.flows.take_open() {
            let here = self.current(at, cx).delivers();
            let mut pending = self.flows.pending(at);
            if let Some(settled) = pending.fate.surrender(here) {
                self.settled(at, settled, pending, cx);
            }
            if self.flows.peek(at).is(Fact::Gone) {
                self.flows.remove(at);
            }
        }
        cx.totals.held = 0;
    }

    fn settled(&mut self, at: u32, settled: Settled, mut pending: Pending, cx: &mut Context<'_>) {
        let seen = pending.waiting;
        // What is not decided yet came later.
        pending.waiting = Waiting { first: seen.last, last: seen.last, ..Waiting::default() };
        self.flows.keep(at, pending);
        let row = self.flows.row(at);
        let beginnings = row.beginnings(&seen.tcp);
        let ifindex = row.entered_ifindex;
        let (sighting, count) = match settled {
            Settled::Delivered(count) => {
                cx.totals.delivered.add(count);
                (Sighting::Delivered { ifindex }, count)
            }
            Settled::Traced(count) => {
                cx.totals.traced.add(count);
                (Sighting::Traced { ifindex }, count)
            }
        };
        self.count(at, sighting, count, &More { seen, other: 0, beginnings, interfaces: [ifindex, 0], through: Count::default() }, cx);
    }
}
