//! One tuple of the flow cache: what is known of it, and what was decided about it once and for all its events.
//!
//! A row is 96 bytes, since a node has a hundred thousand of them in each table: what waits stands in `pending`, what few rows have in [`Rare`].

use flowlog_bpf::event::{FlowKey, Tcp, Tunnel};

use super::fold::GroupRef;
use super::identify::{Detail, Sighting};
use super::pending::PendingPlace;

const _: () = assert!(size_of::<Row>() <= 96);

/// What has been decided about one kind of sighting of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Nothing yet, or the decision is outdated.
    #[default]
    Unknown,
    /// The filters do not want it.
    Filtered,
    /// The filters need values of each event.
    PerEvent,
    /// It belongs to this line.
    Group(GroupRef),
}

/// What a row knows as one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The destination is an address of this host.
    Here = 1,
    /// The ephemeral port was removed by the kernel.
    Folded = 1 << 1,
    /// Its beginning has been counted in a line.
    Begun = 1 << 2,
    /// A connection on it has ended, so that a SYN opens another.
    Ended = 1 << 3,
    /// The kernel has freed its row.
    Gone = 1 << 4,
    /// It stands on the list of rows with something open.
    Listed = 1 << 5,
    /// No Ethernet header.
    L3Device = 1 << 6,
    /// Of its fate, while nothing is open: some of it left after entering.
    Left = 1 << 7,
    /// Of its fate, while nothing is open: some of it was dropped.
    Dropped = 1 << 8,
    /// What it did before is not known, so that drops of what it counted may be reported long after.
    Unsure = 1 << 9,
    /// It holds fragments without ports.
    Fragments = 1 << 10,
}

/// One tuple.
#[derive(Debug)]
pub struct Row {
    /// The tuple.
    pub key: FlowKey,
    source_mac: [u8; 6],
    destination_mac: [u8; 6],
    /// Every [`Fact`] that is true.
    facts: u16,
    /// Whether this tuple is the reply direction, where there is evidence.
    pub reply: Option<bool>,
    /// The kind of sighting that `slot` is about, by [`kind_of`].
    slot_kind: u8,
    /// Interface it entered through last.
    pub entered_ifindex: u32,
    /// Interface it left through last.
    pub left_ifindex: u32,
    /// Generation of the identities that the decisions and [`Fact::Here`] rest on; 0 before the first look at them.
    generation: u32,
    /// Where what is open of it stands.
    pub place: PendingPlace,
    /// The first decision that is not about a drop, with the interface it was made for: most rows need no other.
    slot: Slot,
    slot_ifindex: u32,
    /// Cut at which it was last used; its low bits, which is enough for a choice among idle rows.
    pub used: u16,
    rare: Option<Box<Rare>>,
}

/// What few rows have, one behind the other.
#[derive(Debug)]
struct Rare {
    what: What,
    next: Option<Box<Rare>>,
}

#[derive(Debug)]
enum What {
    /// The outer header.
    Tunnel(Box<Tunnel>),
    /// A further decision. Few: one for each other kind of sighting, and one for each reason a tuple was dropped for.
    Decision(Sighting, Slot),
}

impl Row {
    /// A new tuple, used in this window.
    #[must_use]
    pub fn new(key: FlowKey, used: u16) -> Self {
        let (source_mac, destination_mac, rare) = Default::default();
        let (facts, reply, slot_kind, entered_ifindex, left_ifindex, generation, slot_ifindex) = Default::default();
        let (place, slot) = (PendingPlace::default(), Slot::Unknown);
        Self {
            key,
            source_mac,
            destination_mac,
            facts,
            reply,
            slot_kind,
            entered_ifindex,
            left_ifindex,
            generation,
            place,
            slot,
            slot_ifindex,
            used,
            rare,
        }
    }

    /// Whether something is true of it.
    #[must_use]
    pub fn is(&self, fact: Fact) -> bool {
        self.facts & fact as u16 != 0
    }

    /// Notes whether something is true of it.
    pub fn set(&mut self, fact: Fact, value: bool) {
        self.facts = if value { self.facts | fact as u16 } else { self.facts & !(fact as u16) };
    }

    /// Whether what entered and was not dropped was delivered. Of flows without a row of their own, and of fragments without ports, nobody can know: a drop is
    /// told of the tuple that the whole packet has.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.is(Fact::Here) && !self.is(Fact::Folded) && !self.is(Fact::Fragments)
    }

    /// What its line says beside the sums.
    #[must_use]
    pub fn detail(&self) -> Detail<'_> {
        Detail {
            source_mac: self.source_mac,
            destination_mac: self.destination_mac,
            l3_device: self.is(Fact::L3Device),
            tunnel: self.rare().find_map(What::tunnel),
            reply: self.reply,
        }
    }

    /// Keeps what its line says beside the sums.
    pub fn learn(&mut self, detail: &Detail<'_>) {
        (self.source_mac, self.destination_mac, self.reply) = (detail.source_mac, detail.destination_mac, detail.reply);
        self.set(Fact::L3Device, detail.l3_device);
        if let Some(tunnel) = detail.tunnel {
            self.rare = Some(Box::new(Rare { what: What::Tunnel(Box::new(*tunnel)), next: self.rare.take() }));
        }
    }

    fn rare(&self) -> impl Iterator<Item = &What> {
        std::iter::successors(self.rare.as_deref(), |rare| rare.next.as_deref()).map(|rare| &rare.what)
    }

    /// Whether what rests on identities rests on these; from now on it does.
    pub fn rests_on(&mut self, generation: u64) -> bool {
        // Of as many reloads as its low bits can count nobody has seen the last; 0 is kept for none.
        let generation = (generation as u32).max(1);
        std::mem::replace(&mut self.generation, generation) == generation
    }

    /// How many flows begin with this much of TCP, beside which packets are counted. A client that is busy uses a tuple again before the kernel lets its row
    /// go; then each SYN behind an end opens a connection, as far as there are ends between them.
    pub fn beginnings(&mut self, tcp: &Tcp) -> u64 {
        let ends = u64::from(tcp.fin) + u64::from(tcp.rst);
        let first = !self.is(Fact::Begun);
        self.set(Fact::Begun, true);
        let more = if self.is(Fact::Ended) && !first { u64::from(tcp.syn).min(ends + 1) } else { 0 };
        let beginnings = u64::from(first) + more;
        if tcp.syn > 0 || ends > 0 {
            self.set(Fact::Ended, ends > 0 && ends >= beginnings);
        }
        beginnings
    }

    /// The decision for a sighting.
    #[must_use]
    pub fn slot(&self, sighting: Sighting) -> Slot {
        let (kind, ifindex) = kind_of(sighting);
        if kind != DROPPED && kind == self.slot_kind {
            return if ifindex == self.slot_ifindex { self.slot } else { Slot::Unknown };
        }
        let kept = self.rare().find_map(|what| match what {
            What::Decision(known, slot) if *known == sighting => Some(*slot),
            _ => None,
        });
        kept.unwrap_or_default()
    }

    /// The line of its usual sighting, if it is in one.
    #[must_use]
    pub fn usual_line(&self) -> Option<GroupRef> {
        match self.slot {
            Slot::Group(group) => Some(group),
            _ => None,
        }
    }

    /// Keeps a decision.
    pub fn decide(&mut self, sighting: Sighting, slot: Slot) {
        let (kind, ifindex) = kind_of(sighting);
        if kind != DROPPED && (self.slot == Slot::Unknown || self.slot_kind == kind) {
            (self.slot_kind, self.slot_ifindex, self.slot) = (kind, ifindex, slot);
            return;
        }
        let mut rest = &mut self.rare;
        while let Some(rare) = rest {
            // Of what was not dropped the last interface counts.
            if let What::Decision(known, kept) = &mut rare.what
                && (*known == sighting || (kind != DROPPED && kind_of(*known).0 == kind))
            {
                (*known, *kept) = (sighting, slot);
                return;
            }
            rest = &mut rare.next;
        }
        *rest = Some(Box::new(Rare { what: What::Decision(sighting, slot), next: None }));
    }

    /// Drops every decision.
    pub fn forget_decisions(&mut self) {
        self.slot = Slot::Unknown;
        self.slot_kind = 0;
        // The outer header stands in front.
        self.rare = self.rare.take().filter(|rare| rare.what.tunnel().is_some());
        if let Some(rare) = &mut self.rare {
            rare.next = None;
        }
    }
}

impl What {
    fn tunnel(&self) -> Option<&Tunnel> {
        match self {
            Self::Tunnel(tunnel) => Some(tunnel),
            Self::Decision(..) => None,
        }
    }
}

/// What kind of sighting this is, 0 being none, and its interface.
fn kind_of(sighting: Sighting) -> (u8, u32) {
    match sighting {
        Sighting::Left { ifindex } => (1, ifindex),
        Sighting::Delivered { ifindex } => (2, ifindex),
        Sighting::Traced { ifindex } => (3, ifindex),
        Sighting::Dropped { ifindex, .. } => (DROPPED, ifindex),
    }
}

const DROPPED: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_that_is_used_again_begins_again_and_a_repeated_syn_does_not() {
        let mut row = Row::new(FlowKey::default(), 0);
        let reports = [(1, 0, 1), (1, 0, 0), (0, 0, 0), (0, 1, 0), (0, 0, 0), (1, 1, 1), (2, 1, 2), (1, 0, 0), (0, 1, 0), (1, 0, 1)];
        for (number, (syn, fin, beginnings)) in reports.into_iter().enumerate() {
            assert_eq!(row.beginnings(&Tcp { syn, fin, ..Tcp::default() }), beginnings, "report {number}");
        }
    }

    #[test]
    fn a_row_remembers_one_decision_of_each_kind_and_one_of_each_reason() {
        let mut row = Row::new(FlowKey::default(), 0);
        let dropped = |reason| Sighting::Dropped { ifindex: 2, reason, after: false };
        let (left, traced) = (Sighting::Left { ifindex: 2 }, Sighting::Traced { ifindex: 2 });
        let slots = [Slot::Filtered, Slot::PerEvent, Slot::Group(GroupRef::default()), Slot::Filtered];
        let sightings = [dropped(1), left, traced, dropped(2)];
        sightings.into_iter().zip(slots).for_each(|(sighting, slot)| row.decide(sighting, slot));
        sightings.into_iter().zip(slots).for_each(|(sighting, slot)| assert_eq!(row.slot(sighting), slot));
        // Through another interface it is another line, and the one before is not asked for again.
        for elsewhere in [Sighting::Left { ifindex: 3 }, Sighting::Traced { ifindex: 3 }] {
            assert_eq!(row.slot(elsewhere), Slot::Unknown);
            row.decide(elsewhere, Slot::Filtered);
            assert_eq!(row.slot(elsewhere), Slot::Filtered);
        }
        assert_eq!((row.slot(left), row.slot(traced), row.slot(dropped(2))), (Slot::Unknown, Slot::Unknown, Slot::Filtered));
        row.forget_decisions();
        sightings.into_iter().for_each(|sighting| assert_eq!(row.slot(sighting), Slot::Unknown));
    }
}
