//! The accounting on `/metrics`: every term of guarantee 1, so that anybody can check the sums with a query.
//!
//! Totals of flow logs are those of their last commit and cumulative over restarts; the kernel's are cumulative since its pins were made; what a sink has
//! sent counts from the start of the process.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use flowlog_bpf::event::Count;
use flowlog_bpf::{Counters, SideCounters, Unparsed};
use flowlog_sinks::driver::{Histogram, Number, SinkMetrics};
use flowlog_sinks::spool::SpoolMetrics;

use super::text::{Kind, Page};
use crate::pipeline::note::cause;
use crate::pipeline::published::Snapshot;

/// One flow log, as metrics see it.
pub struct LogView<'v> {
    /// Its name.
    pub name: &'v str,
    /// Its last published state.
    pub snapshot: Snapshot,
    /// Its spool.
    pub spool: &'v SpoolMetrics,
    /// The spool's bound in bytes.
    pub spool_bound: u64,
    /// Its sinks.
    pub sinks: Vec<SinkView<'v>>,
}

/// One sink of a flow log, as metrics see it.
pub struct SinkView<'v> {
    /// Its name.
    pub name: &'v str,
    /// Its counters.
    pub metrics: &'v SinkMetrics,
    /// How long a record may wait for its batch to fill.
    pub batch_max_age: Duration,
}

/// The kernel side.
pub fn kernel(page: &mut Page, counters: &Counters, names: &dyn Fn(u32) -> String, ring_unread: u64, ring_bytes: u64) {
    let mut terms: Vec<(String, &str, &str, Count)> = Vec::new();
    for interface in &counters.interfaces {
        let name = names(interface.ifindex);
        for (side, counters) in [("entered", &interface.entered), ("left", &interface.left)] {
            for (term, count) in side_terms(counters) {
                terms.push((name.clone(), side, term, count));
            }
        }
    }
    let help = "Packets by interface, side and term: seen = unparsed + rows + other + folded + unattributed.";
    let mut family = page.family("flowlog_interface_packets_total", Kind::Counter, help);
    for (name, side, term, count) in &terms {
        family.sample(&[("interface", name), ("side", side), ("term", term)], count.packets);
    }
    let mut family = page.family("flowlog_interface_bytes_total", Kind::Counter, "Bytes on the wire, by the same terms.");
    for (name, side, term, count) in &terms {
        family.sample(&[("interface", name), ("side", side), ("term", term)], count.bytes);
    }
    let mut family = page.family("flowlog_unparsed_packets_total", Kind::Counter, "Packets without a flow, by interface and reason.");
    for interface in &counters.interfaces {
        let name = names(interface.ifindex);
        for reason in Unparsed::ALL {
            let both = interface.entered.unparsed_by[reason as usize] + interface.left.unparsed_by[reason as usize];
            family.sample(&[("interface", &name), ("reason", reason.name())], both);
        }
    }
    rows_and_ring(page, counters, ring_unread, ring_bytes);
}

fn side_terms(side: &SideCounters) -> [(&'static str, Count); 6] {
    [
        ("seen", side.seen),
        ("unparsed", side.unparsed),
        ("rows", side.in_rows()),
        ("other", side.other),
        ("folded", side.folded),
        ("unattributed", side.unattributed),
    ]
}

fn rows_and_ring(page: &mut Page, counters: &Counters, ring_unread: u64, ring_bytes: u64) {
    for (name, help, value) in [
        ("flowlog_ring_records_total", "Records the kernel wrote into its rings.", counters.ring_records),
        ("flowlog_ring_full_total", "Reports that found the ring full; their counts stayed in the rows.", counters.ring_full),
        ("flowlog_rows_made_total", "Flow rows made in the kernel.", counters.rows_made),
        ("flowlog_rows_freed_total", "Flow rows freed in the kernel.", counters.rows_freed),
        ("flowlog_owners_moved_total", "Times a side of a flow moved to another interface.", counters.owners_moved),
        (
            "flowlog_half_full_packets_total",
            "Packets folded because their row's counter was half full and could not be reported.",
            counters.half_full,
        ),
        ("flowlog_met_dead_row_packets_total", "Packets folded because they met a row being freed.", counters.met_dead_row),
        ("flowlog_unknown_interface_packets_total", "Packets seen on an interface without counters.", counters.unknown_interface),
        ("flowlog_drops_counted_packets_total", "Dropped packets counted in drop rows.", counters.drops_counted.packets),
        ("flowlog_drops_unattributed_packets_total", "Dropped packets that found no drop row.", counters.drops_unattributed.packets),
        ("flowlog_drops_unparsed_packets_total", "Dropped packets without a readable IP header.", counters.drops_unparsed),
        ("flowlog_drops_spent_packets_total", "Segments freed by a socket that needed them no more; not drops.", counters.drops_spent),
        ("flowlog_drops_unspecified_packets_total", "Packets freed without a reason; not taken for drops.", counters.drops_unspecified),
    ] {
        page.family(name, Kind::Counter, help).sample(&[], value);
    }
    for (name, help, value) in [
        ("flowlog_rows", "Flow rows in use in the kernel.", counters.rows_made.saturating_sub(counters.rows_freed)),
        ("flowlog_rows_capacity", "Flow rows there is room for.", counters.rows_capacity),
        ("flowlog_ring_unread_bytes", "Bytes in the rings that are not in the intake yet.", ring_unread),
        ("flowlog_ring_bytes", "Size of the rings.", ring_bytes),
    ] {
        page.family(name, Kind::Gauge, help).sample(&[], value);
    }
}

/// The flow logs, their spools and sinks. `now` is Unix nanoseconds.
pub fn flow_logs(page: &mut Page, logs: &[LogView<'_>], now: i64) {
    stages(page, logs);
    packets(page, logs);
    spools(page, logs);
    sinks(page, logs, now);
    own_numbers(page, logs);
}

fn stages(page: &mut Page, logs: &[LogView<'_>]) {
    type Pick = fn(&crate::pipeline::totals::Totals) -> u64;
    let terms: [(&'static str, &str, Pick); 11] = [
        ("flowlog_events_total", "Kernel events read, at the last commit.", |t| t.events),
        ("flowlog_malformed_events_total", "Kernel events that could not be read.", |t| t.malformed_events),
        ("flowlog_input_lines_total", "Input lines read.", |t| t.input_lines),
        ("flowlog_malformed_lines_total", "Input lines that could not be read.", |t| t.malformed_lines),
        ("flowlog_inputs_total", "Events and input lines put to the filters: seen by this flow log.", |t| t.inputs),
        ("flowlog_filtered_total", "Of these, not wanted by the filters.", |t| t.filtered),
        ("flowlog_passed_total", "Of these, in a line.", |t| t.lines_inputs),
        ("flowlog_folded_total", "Inputs that share a line with an earlier one.", |t| t.lines_inputs.saturating_sub(t.lines)),
        ("flowlog_lines_total", "Lines made.", |t| t.lines),
        ("flowlog_lines_bytes_total", "Bytes of these lines.", |t| t.lines_bytes),
        ("flowlog_early_cuts_total", "Windows cut early because they had more lines than memory allows.", |t| t.early_cuts),
    ];
    for (name, help, pick) in terms {
        let mut family = page.family(name, Kind::Counter, help);
        for log in logs {
            family.sample(&[("flow_log", log.name)], pick(&log.snapshot.totals));
        }
    }
    let mut family = page.family("flowlog_lost_total", Kind::Counter, "What flowlog itself lost, by cause; each is declared as a gap.");
    for log in logs {
        let lost = &log.snapshot.totals.lost;
        // From the start and at 0, so that the first loss is a rise and not a series that appears.
        let never = cause::LOST.into_iter().filter(|cause| !lost.contains_key(*cause)).map(|cause| (cause, 0));
        for (cause, count) in lost.iter().map(|(cause, count)| (cause.as_str(), *count)).chain(never) {
            family.sample(&[("flow_log", log.name), ("cause", cause)], count);
        }
    }
    let mut family = page.family("flowlog_flow_cache_rows", Kind::Gauge, "Tuples in the flow cache.");
    for log in logs {
        family.sample(&[("flow_log", log.name)], log.snapshot.rows);
    }
    let mut family = page.family(
        "flowlog_accounting_violations",
        Kind::Gauge,
        "Equations of guarantee 1 that do not hold at the last commit; 0 when sound.",
    );
    for log in logs {
        family.sample(&[("flow_log", log.name)], log.snapshot.totals.violations().len());
    }
}

fn packets(page: &mut Page, logs: &[LogView<'_>]) {
    let help = "Packets by term: entered = explained + delivered + traced + held; left + dropped + delivered + traced = lines + filtered.";
    let mut family = page.family("flowlog_packets_total", Kind::Counter, help);
    for log in logs {
        let totals = &log.snapshot.totals;
        for (term, value) in [
            ("entered", totals.entered.packets),
            ("left", totals.left.packets),
            ("dropped", totals.dropped.packets),
            ("dropped_after", totals.dropped_after.packets),
            ("other", totals.other.packets),
            ("explained", totals.explained),
            ("delivered", totals.delivered.packets),
            ("traced", totals.traced.packets),
            ("unattributed", totals.unattributed.packets),
            ("lines", totals.lines_volume.packets),
            ("filtered", totals.filtered_volume.packets),
            ("undecided", totals.undecided),
        ] {
            family.sample(&[("flow_log", log.name), ("term", term)], value);
        }
    }
    let mut family = page.family("flowlog_held_packets", Kind::Gauge, "Packets whose fate was open at the last commit.");
    for log in logs {
        family.sample(&[("flow_log", log.name)], log.snapshot.totals.held);
    }
}

fn spools(page: &mut Page, logs: &[LogView<'_>]) {
    type Pick = fn(&SpoolMetrics) -> u64;
    let terms: [(&'static str, Kind, &str, Pick); 8] = [
        ("flowlog_spool_bytes", Kind::Gauge, "Bytes of the spool on disk.", |s| s.bytes.load(Relaxed)),
        ("flowlog_spool_segments", Kind::Gauge, "Segments of the spool.", |s| s.segments.load(Relaxed)),
        ("flowlog_spool_unsynced_bytes", Kind::Gauge, "Bytes not yet known to be on disk.", |s| s.unsynced_bytes.load(Relaxed)),
        ("flowlog_spool_records_total", Kind::Counter, "Records appended since the start.", |s| s.records.load(Relaxed)),
        ("flowlog_spool_commits_total", Kind::Counter, "Commits since the start.", |s| s.commits.load(Relaxed)),
        ("flowlog_spool_write_errors_total", Kind::Counter, "Writes the disk refused; each is tried again.", |s| {
            s.write_errors.load(Relaxed)
        }),
        ("flowlog_spool_sync_errors_total", Kind::Counter, "Failed syncs; what was not synced is written again.", |s| {
            s.sync_errors.load(Relaxed)
        }),
        ("flowlog_spool_corrupt_frames_total", Kind::Counter, "Frames whose bytes changed on disk.", |s| s.corrupt_frames.load(Relaxed)),
    ];
    for (name, kind, help, pick) in terms {
        let mut family = page.family(name, kind, help);
        for log in logs {
            family.sample(&[("flow_log", log.name)], pick(log.spool));
        }
    }
    let mut family = page.family("flowlog_spool_bound_bytes", Kind::Gauge, "The spool's bound.");
    for log in logs {
        family.sample(&[("flow_log", log.name)], log.spool_bound);
    }
}

fn sinks(page: &mut Page, logs: &[LogView<'_>], now: i64) {
    type Pick = fn(&SinkMetrics) -> u64;
    let terms: [(&'static str, Kind, &str, Pick); 15] = [
        ("flowlog_sink_records_sent_total", Kind::Counter, "Records the destination has.", |s| s.records_sent.load(Relaxed)),
        ("flowlog_sink_bytes_sent_total", Kind::Counter, "Bytes the destination has, as they went out.", |s| s.bytes_sent.load(Relaxed)),
        ("flowlog_sink_batches_sent_total", Kind::Counter, "Batches the destination has.", |s| s.batches_sent.load(Relaxed)),
        ("flowlog_sink_attempts_total", Kind::Counter, "Attempts to send.", |s| s.attempts.load(Relaxed)),
        ("flowlog_sink_retries_total", Kind::Counter, "Attempts that ended in a retry.", |s| s.retries.load(Relaxed)),
        ("flowlog_sink_records_retried_total", Kind::Counter, "Records sent again.", |s| s.records_retried.load(Relaxed)),
        ("flowlog_sink_rejected_total", Kind::Counter, "Records the destination refused for good; see the quarantine file.", |s| {
            s.records_rejected.load(Relaxed)
        }),
        ("flowlog_sink_gaps_total", Kind::Counter, "Gaps the sink met in its spool.", |s| s.gaps.load(Relaxed)),
        ("flowlog_sink_resets_total", Kind::Counter, "Times the sink's client was made anew.", |s| s.resets.load(Relaxed)),
        ("flowlog_sink_state_errors_total", Kind::Counter, "Failures to store the cursor or the quarantine file.", |s| {
            s.state_errors.load(Relaxed)
        }),
        ("flowlog_sink_lag_records", Kind::Gauge, "Records between the cursor and the newest visible record.", |s| {
            s.lag_records.load(Relaxed)
        }),
        ("flowlog_sink_lag_bytes", Kind::Gauge, "Bytes of the spool between the cursor and its visible end.", |s| {
            s.lag_bytes.load(Relaxed)
        }),
        ("flowlog_sink_in_flight", Kind::Gauge, "Batches on the way.", |s| s.in_flight.load(Relaxed)),
        ("flowlog_sink_concurrency_limit", Kind::Gauge, "Batches that may be on the way at once.", |s| s.concurrency_limit.load(Relaxed)),
        ("flowlog_sink_healthy", Kind::Gauge, "1 when the last attempt or check succeeded.", |s| u64::from(s.healthy.load(Relaxed))),
    ];
    for (name, kind, help, pick) in terms {
        let mut family = page.family(name, kind, help);
        each_sink(logs, |labels, sink| {
            family.sample(labels, pick(sink.metrics));
        });
    }
    let mut family = page.family(
        "flowlog_sink_dropped_records_total",
        Kind::Counter,
        "Records the sink will not get, by cause; each is declared as a gap.",
    );
    each_sink(logs, |labels, sink| {
        for (cause, count) in [
            ("full", &sink.metrics.records_dropped_full),
            ("corrupt", &sink.metrics.records_dropped_corrupt),
            ("removed", &sink.metrics.records_dropped_removed),
        ] {
            family.sample(&[labels, &[("cause", cause)]].concat(), count.load(Relaxed));
        }
    });
    let mut family = page.family("flowlog_sink_lag_seconds", Kind::Gauge, "Age of the oldest record not delivered; 0 when there is none.");
    each_sink(logs, |labels, sink| {
        let oldest = sink.metrics.oldest_unacked.load(Relaxed);
        let age = if oldest == 0 { 0.0 } else { (now - oldest).max(0) as f64 / 1e9 };
        family.sample(labels, age);
    });
    let help = "How long a record may wait for its batch to fill, `batch.maxAge`: a lag below that is no delay.";
    let mut family = page.family("flowlog_sink_batch_max_age_seconds", Kind::Gauge, help);
    each_sink(logs, |labels, sink| {
        family.sample(labels, sink.batch_max_age.as_secs_f64());
    });
    let mut family = page.family("flowlog_sink_request_seconds", Kind::Histogram, "Duration of attempts.");
    each_sink(logs, |labels, sink| {
        let (buckets, count, sum) = sink.metrics.request_seconds.read();
        let buckets: Vec<(f64, u64)> = Histogram::BOUNDS.into_iter().zip(buckets).collect();
        family.histogram(labels, &buckets, sum, count);
    });
}

/// What only one kind of sink counts.
fn own_numbers(page: &mut Page, logs: &[LogView<'_>]) {
    let mut families: BTreeMap<&str, Vec<(&str, &str, Number)>> = BTreeMap::new();
    for log in logs {
        for sink in &log.sinks {
            for number in sink.metrics.own_numbers() {
                families.entry(number.name).or_default().push((log.name, sink.name, number));
            }
        }
    }
    for samples in families.into_values() {
        let Some((.., Number { name, help, is_counter, .. })) = samples.first().copied() else { continue };
        let mut family = page.family(name, if is_counter { Kind::Counter } else { Kind::Gauge }, help);
        for (log, sink, number) in &samples {
            family.sample(&[("flow_log", log), ("sink", sink)], number.value);
        }
    }
}

fn each_sink(logs: &[LogView<'_>], mut each: impl FnMut(&[(&str, &str)], &SinkView<'_>)) {
    for log in logs {
        for sink in &log.sinks {
            each(&[("flow_log", log.name), ("sink", sink.name)], sink);
        }
    }
}
