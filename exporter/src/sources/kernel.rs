//! The kernel as a source: one thread a ring that moves its bytes into the intake, one thread that sweeps and tends interfaces.
//!
//! A drain waits for nothing but the intake's write. Bytes go in as they lie in the ring and are released after; where a crash falls between the two, the
//! ring's position in the last frame of the intake says what is there already. When the intake has no room, the ring fills and the kernel keeps the counts.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flowlog_bpf::event::Count;
use flowlog_bpf::{Counters, Interface, InterfaceChange, Kernel, LinkCounters, Ring};
use flowlog_sinks::spool::Gap;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::SourceKind;
use super::clock::{self, ArrivalClock};
use super::intake::SharedIntake;
use super::owed::Owed;
use super::ring_ends::RingEnds;
use crate::pipeline::note::cause;
use crate::pipeline::surroundings::{Shared, Side, Surroundings};

/// Bytes moved at a time: one write of the intake.
const BURST: usize = 1 << 20;
/// How long a drain waits where the ring's own notification may not come (a wake-up is only sent for a ring that was empty).
const TICK: Duration = Duration::from_millis(20);
/// How long the end of the sweeps waits for the intake to take what is still to be declared.
const PATIENCE: Duration = Duration::from_secs(2);

/// What came of a burst.
enum Moved {
    Some,
    Nothing,
    NoRoom,
}

/// What the threads share with the rest of the daemon.
pub struct KernelSource {
    /// Raw events go here.
    pub intake: Arc<SharedIntake>,
    /// The arrival clock.
    pub clock: Arc<ArrivalClock>,
    /// Learns of interfaces.
    pub around: Arc<Shared<Surroundings>>,
    /// Set to end the threads.
    pub stop: Arc<AtomicBool>,
    /// The kernel's counters at the last sweep.
    pub counters: Mutex<Counters>,
    /// Bytes in the rings that are not in the intake.
    pub unread: AtomicU64,
    /// Size of all rings.
    pub ring_bytes: AtomicU64,
    /// Set to end the sweeps alone, while the drains go on.
    pub stop_sweeps: AtomicBool,
    /// Set when the rings are taken away: drains end once theirs is empty, and wait for room.
    pub empty_rings: AtomicBool,
    /// Gaps that are not in the intake yet.
    pub owed: Mutex<Owed>,
    /// Says in the intake how far the rings have been read.
    pub ends: RingEnds,
}

impl KernelSource {
    /// Moves one ring until told to stop, and then until it is empty.
    pub fn drain(&self, instance: [u8; 16], mut ring: Ring) {
        self.skip_what_the_intake_has(instance, &mut ring);
        let (mut unread, read, mut asked) = (0, self.clock.ring(), None);
        loop {
            let stopping = self.stop.load(Ordering::Acquire);
            // The clock first: whatever is reported until then lies before that end. A busy ring may never be found empty.
            let (at, end) = *asked.get_or_insert_with(|| (clock::boot_now(), ring.position() + ring.unread()));
            let moved = self.move_burst(instance, &mut ring);
            if ring.position() >= end {
                read.store(at, Ordering::Release);
                asked = None;
            }
            match moved {
                Ok(Moved::Some) => {}
                Ok(Moved::Nothing) if stopping => return,
                // What stays in a pinned ring is there at the next start; one that is being taken away has to be emptied.
                Ok(Moved::NoRoom) if stopping && !self.empty_rings.load(Ordering::Acquire) => return,
                Ok(Moved::Nothing) => wait(&ring),
                Ok(Moved::NoRoom) => std::thread::sleep(TICK),
                Err(error) if stopping => {
                    tracing::error!(%error, "the intake cannot be written; what is in the ring stays there");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the intake cannot be written; the kernel keeps the counts until it can");
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
            self.ends.keep();
            // One sum over all rings: each drain adds what its own has changed by.
            let before = std::mem::replace(&mut unread, ring.unread());
            self.unread.fetch_add(unread.wrapping_sub(before), Ordering::Relaxed);
        }
    }

    /// Moves what a ring holds now; false when the intake has no room for some of it.
    pub fn drain_once(&self, instance: [u8; 16], ring: &mut Ring) -> bool {
        self.skip_what_the_intake_has(instance, ring);
        loop {
            match self.move_burst(instance, ring) {
                Ok(Moved::Some) => {}
                Ok(Moved::Nothing) => return true,
                Ok(Moved::NoRoom) => return false,
                Err(error) => {
                    tracing::error!(%error, "the intake cannot be written; trying again");
                    return false;
                }
            }
        }
    }

    /// Ends the sweeps; the drains go on.
    pub fn stop_tending(&self) {
        self.stop_sweeps.store(true, Ordering::Release);
    }

    /// A crash may have fallen between the intake's write and the ring's release.
    fn skip_what_the_intake_has(&self, instance: [u8; 16], ring: &mut Ring) {
        if let Some(end) = self.intake.source_end(&instance, ring.number())
            && end > ring.position()
        {
            tracing::info!(bytes = end - ring.position(), "the intake has what the last process did not release any more");
            ring.release(end);
        }
    }

    /// Moves some records.
    fn move_burst(&self, instance: [u8; 16], ring: &mut Ring) -> std::io::Result<Moved> {
        let Some(batch) = ring.peek(BURST) else { return Ok(Moved::Nothing) };
        if !self.intake.append(SourceKind::Ring, instance, batch.ring, batch.position, batch.bytes)? {
            return Ok(Moved::NoRoom);
        }
        let end = batch.end();
        ring.release(end);
        Ok(Moved::Some)
    }

    /// Sweeps and follows interfaces until told to stop; gives the kernel side back.
    pub fn tend(&self, mut kernel: Kernel) -> Kernel {
        let period = kernel.sweep_period();
        let mut next = Instant::now();
        let mut last_counters = Instant::now() - period;
        while !self.stop.load(Ordering::Acquire) && !self.stop_sweeps.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= next {
                next = (next + period).max(now);
                if let Err(error) = kernel.sweep() {
                    tracing::error!(%error, "idle flows cannot be swept; they stay in the kernel");
                }
            }
            if now.duration_since(last_counters) >= Duration::from_millis(500) {
                last_counters = now;
                self.read_counters(&kernel);
            }
            if kernel.compares_interfaces() {
                self.compare(&mut kernel, false);
            }
            // What is not taken now was told of when it was found.
            let _ = self.pay();
            let patience = Duration::from_millis(if kernel.compares_interfaces() { 10 } else { 250 });
            if readable(&kernel, next.saturating_duration_since(Instant::now()).min(patience)) {
                match kernel.interfaces_changed() {
                    Ok(changes) => self.learn(changes),
                    Err(error) => tracing::error!(%error, "interfaces cannot be followed now; they are listed again at the next change"),
                }
            }
        }
        self.compare(&mut kernel, true);
        self.pay_up();
        self.read_counters(&kernel);
        kernel
    }

    fn compare(&self, kernel: &mut Kernel, settle: bool) {
        match kernel.compare_interfaces(settle) {
            Ok(changes) => self.learn(changes),
            Err(error) => {
                tracing::error!(%error, "an interface's own counters cannot be read; what passed it unobserved is told when it goes")
            }
        }
    }

    /// Takes over what changed: names for flows, gaps for what went unobserved.
    pub fn learn(&self, changes: Vec<InterfaceChange>) {
        for change in changes {
            match change {
                InterfaceChange::Attached(interface) => {
                    tracing::info!(interface = interface.name, index = interface.ifindex, "attached");
                    let now = clock::boot_now();
                    self.around.change(|around| around.attached(interface.ifindex, &interface.name, side(&interface), now));
                }
                InterfaceChange::Compared(interface) => self.declare(&interface, cause::BEFORE_ATTACH, both(&interface.before)),
                InterfaceChange::Refused { name, why, .. } => {
                    tracing::error!(interface = name, why, "cannot attach; its traffic is not seen")
                }
                InterfaceChange::Renamed { ifindex, name } => self.around.change(|around| {
                    if let Some((known, _)) = around.interfaces.get_mut(&ifindex) {
                        *known = name;
                    }
                }),
                InterfaceChange::Vanished { interface, last, counted, .. } => {
                    tracing::info!(interface = interface.name, index = interface.ifindex, "gone");
                    let now = clock::boot_now();
                    self.around.change(|around| around.gone(interface.ifindex, now));
                    // What was declared before is not declared again.
                    let (declared, cause) = match interface.compared {
                        true => (both(&interface.before), cause::AFTER_DETACH),
                        false => (Count::default(), cause::BEFORE_ATTACH),
                    };
                    if let Some(last) = last {
                        let mut known = both(&LinkCounters { received: counted.entered.seen, transmitted: counted.left.seen });
                        known.add(declared);
                        let last = both(&last);
                        let packets = last.packets.saturating_sub(known.packets);
                        self.declare(&interface, cause, Count { packets, bytes: last.bytes.saturating_sub(known.bytes) });
                    }
                }
            }
        }
    }

    /// Declares traffic of an interface that nobody observed.
    fn declare(&self, interface: &Interface, cause: &str, count: Count) {
        if count.packets == 0 {
            return;
        }
        let now = self.clock.now();
        self.owe(Gap {
            cause: cause.to_owned(),
            last: Some((interface.attached_boot_ns as i64).wrapping_add(now.offset)),
            packets: Some(count.packets),
            bytes: Some(count.bytes),
            interface: Some(interface.name.clone()),
            ..Gap::default()
        });
    }

    /// Declares a gap as soon as the intake takes it. Nothing waits for that: while the disk is full, interfaces come and go all the same.
    pub fn owe(&self, gap: Gap) {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner).push(gap);
        match self.pay() {
            Ok(true) => {}
            Ok(false) => tracing::warn!("the intake has no room for a gap; it is declared once there is"),
            Err(error) => tracing::error!(%error, "the intake cannot be written; a gap is declared once it can"),
        }
    }

    /// Declares what the intake takes now; true when nothing is left.
    fn pay(&self) -> std::io::Result<bool> {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        owed.pay(|note| self.intake.note(note))?;
        Ok(owed.is_empty())
    }

    /// Declares what the intake takes within the patience of the end.
    pub fn pay_up(&self) {
        let ending = Instant::now();
        let mut paid = self.pay();
        while !matches!(paid, Ok(true)) && ending.elapsed() < PATIENCE {
            std::thread::sleep(TICK);
            paid = self.pay();
        }
        if !matches!(paid, Ok(true)) {
            tracing::error!(?paid, owed = ?self.owed.lock().unwrap_or_else(PoisonError::into_inner), "gaps could not be declared before the stop");
        }
    }

    fn read_counters(&self, kernel: &Kernel) {
        match kernel.counters() {
            Ok(counters) => *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters,
            Err(error) => tracing::warn!(%error, "the kernel's counters cannot be read now"),
        }
    }
}

/// Both directions together.
fn both(counters: &LinkCounters) -> Count {
    let mut sum = counters.received;
    sum.add(counters.transmitted);
    sum
}

/// What kind of interface this is.
#[must_use]
pub fn side(interface: &Interface) -> Side {
    if interface.ifindex == 1 {
        Side::Loopback
    } else if interface.pod {
        Side::Pod
    } else {
        Side::Network
    }
}

fn wait(ring: &Ring) {
    let _ = poll(&mut [PollFd::new(&ring, PollFlags::IN)], Some(&timespec(TICK)));
}

fn readable(kernel: &Kernel, timeout: Duration) -> bool {
    let fd = kernel.interfaces_fd();
    poll(&mut [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)], Some(&timespec(timeout))).is_ok_and(|ready| ready > 0)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: i64::from(duration.subsec_nanos()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::note::Note;
    use flowlog_bpf::Attached;
    use flowlog_sinks::spool::{Intake, IntakeOptions, Raw};

    fn source(folder: &std::path::Path, max_bytes: u64) -> KernelSource {
        let options = IntakeOptions { max_bytes, ..IntakeOptions::new("node", "boot") };
        let (intake, _) = Intake::open(&folder.join("intake"), &options).unwrap();
        let clock = Arc::new(ArrivalClock::default());
        let intake = Arc::new(SharedIntake::new(intake, Arc::clone(&clock)));
        KernelSource {
            ends: RingEnds::new([7; 16], Arc::clone(&intake)),
            intake,
            clock,
            around: Arc::default(),
            stop: Arc::default(),
            counters: Mutex::default(),
            unread: AtomicU64::default(),
            ring_bytes: AtomicU64::default(),
            stop_sweeps: AtomicBool::default(),
            empty_rings: AtomicBool::default(),
            owed: Mutex::default(),
        }
    }

    fn interface(number: u32) -> Interface {
        let seen = LinkCounters { received: Count { packets: 1, bytes: 100 }, ..LinkCounters::default() };
        let (name, attached) = (format!("veth{number}"), Attached::Tcx);
        Interface { ifindex: number, name, l3: false, pod: true, attached, attached_boot_ns: 0, before: seen, compared: true }
    }

    #[test]
    fn interfaces_come_and_go_while_the_intake_takes_no_gap_and_each_is_declared_once_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let source = source(folder.path(), 1 << 20);
        let mut reader = source.intake.readers().reader("story", 0);
        for length in [10_000, 1] {
            let filler = Note::Gap(Gap { cause: "x".repeat(length), ..Gap::default() });
            while source.intake.note(&filler).unwrap() {}
        }
        let filled = source.intake.readers().end();
        for number in 2..5 {
            source.learn(vec![InterfaceChange::Attached(interface(number)), InterfaceChange::Compared(interface(number))]);
            assert_eq!(source.around.get().interface(number).0, format!("veth{number}"));
        }
        assert!(!source.pay().unwrap());
        while reader.position() < filled {
            assert!(matches!(reader.take(), Ok(Some(Raw::Frame { .. }))));
        }
        reader.release(filled);
        source.ends.keep();
        while !source.pay().unwrap() {
            std::thread::yield_now();
        }
        for number in 2..5 {
            let Ok(Some(Raw::Frame { bytes, .. })) = reader.take() else { panic!("a gap is missing") };
            let Some(Note::Gap(gap)) = Note::decode(bytes) else { panic!("no gap") };
            assert_eq!((gap.interface, gap.packets), (Some(format!("veth{number}")), Some(1)));
        }
    }
}
