//! What the daemon's port shows: `/metrics`, `/readyz`, `/status`, read from the counters at the moment of asking.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use flowlog_bpf::Counters;
use serde_json::{Value, json};

use super::manager::{LogHandle, View};
use super::running_log::SinkHandle;
use crate::metrics::accounting::{self, LogView, SinkView};
use crate::metrics::hubble;
use crate::metrics::listener::Pages;
use crate::metrics::text::{Format, Kind, Page};
use crate::pipeline::surroundings::{Shared, Surroundings};
use crate::sources::clock::ArrivalClock;
use crate::sources::intake::SharedIntake;
use crate::sources::kernel::KernelSource;

/// Everything that the pages read.
pub struct DaemonPages {
    /// Flow logs and configuration.
    pub view: Arc<Mutex<View>>,
    /// The intake.
    pub intake: Arc<SharedIntake>,
    /// The kernel side, if it is a source.
    pub kernel: Option<Arc<KernelSource>>,
    /// Names of interfaces.
    pub around: Arc<Shared<Surroundings>>,
    /// Hubble's metrics.
    pub flows: hubble::kernel::Shared,
    /// The arrival clock.
    pub clock: Arc<ArrivalClock>,
    /// Lines the daemon's own log had no room for.
    pub log_dropped: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Pages for DaemonPages {
    fn metrics(&self, format: Format) -> String {
        let mut page = Page::in_format(format);
        if let Some(kernel) = &self.kernel {
            let counters = kernel.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let around = self.around.get();
            let name = |ifindex: u32| match around.interface(ifindex).0 {
                "" => ifindex.to_string(),
                name => name.to_owned(),
            };
            accounting::kernel(&mut page, &counters, &name, kernel.unread.load(Relaxed), kernel.ring_bytes.load(Relaxed));
        }
        intake(&mut page, self.intake());
        problems(&mut page, self.problems().len());
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let logs: Vec<LogView<'_>> = view
            .logs
            .iter()
            .map(|log| LogView {
                name: &log.name,
                snapshot: log.published.get(),
                spool: log.spool.metrics(),
                spool_bound: log.spool_bound,
                sinks: log
                    .sinks
                    .iter()
                    .map(|sink| SinkView { name: &sink.name, metrics: &sink.metrics, batch_max_age: sink.batch_max_age })
                    .collect(),
            })
            .collect();
        let now = self.clock.now().unix;
        accounting::flow_logs(&mut page, &logs, now);
        configuration(&mut page, &view, now);
        drop(view);
        self.flows.lock().unwrap_or_else(PoisonError::into_inner).render(&mut page);
        page.finish()
    }

    fn ready(&self) -> Result<(), String> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    fn status(&self) -> String {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let logs: Vec<Value> = view
            .logs
            .iter()
            .map(|log| {
                let snapshot = log.published.get();
                let sinks: Vec<Value> = log
                    .sinks
                    .iter()
                    .map(|SinkHandle { name, metrics: sink, .. }| {
                        json!({"name": name, "healthy": sink.healthy.load(Relaxed), "why": sink.failure(), "lagRecords": sink.lag_records.load(Relaxed),
                            "sent": sink.records_sent.load(Relaxed), "rejected": sink.records_rejected.load(Relaxed), "gaps": sink.gaps.load(Relaxed)})
                    })
                    .collect();
                json!({"name": log.name, "spool": log.spool.id().to_string(), "spoolBytes": log.spool.metrics().bytes.load(Relaxed),
                    "failing": snapshot.failing, "lost": snapshot.totals.lost, "totals": snapshot.totals, "sinks": sinks})
            })
            .collect();
        let rejection = view.rejection.clone();
        // A destination that is away makes the daemon no less ready: a restart would not bring it back.
        let delivers = view.logs.iter().flat_map(|log| &log.sinks).all(|sink| sink.metrics.failure().is_none());
        drop(view);
        let problems = self.problems();
        json!({"healthy": problems.is_empty() && delivers, "problems": problems, "rejectedReload": rejection, "flowLogs": logs}).to_string()
    }
}

impl DaemonPages {
    fn problems(&self) -> Vec<String> {
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let mut problems: Vec<String> = view.problems.iter().map(|(what, why)| format!("{what}: {why}")).collect();
        problems.extend(view.rejection.iter().map(|why| format!("the last reload was rejected: {why}")));
        for log in &view.logs {
            let snapshot = log.published.get();
            problems.extend(snapshot.failing.map(|why| format!("flow log {}: {why}", log.name)));
            if snapshot.stopped {
                problems.push(format!("flow log {} has ended", log.name));
            }
        }
        problems
    }

    fn intake(&self) -> [u64; INTAKE.len()] {
        let metrics = self.intake.readers().metrics();
        [
            metrics.bytes.load(Relaxed),
            metrics.appended_bytes.load(Relaxed),
            self.intake.full.load(Relaxed),
            self.intake.missing.load(Relaxed),
            metrics.write_errors.load(Relaxed),
            metrics.corrupt_frames.load(Relaxed),
            super::logging::held_back(),
            (self.log_dropped)(),
        ]
    }
}

/// The families of the intake and of the daemon's own log.
const INTAKE: [(&str, Kind, &str); 8] = [
    ("flowlog_intake_bytes", Kind::Gauge, "Bytes of the intake on disk."),
    ("flowlog_intake_appended_bytes_total", Kind::Counter, "Bytes appended to the intake."),
    ("flowlog_intake_full_total", Kind::Counter, "Appends that found the intake at its bound; the source waited."),
    ("flowlog_intake_missing_bytes_total", Kind::Counter, "Bytes of rings that never reached the intake."),
    ("flowlog_intake_write_errors_total", Kind::Counter, "Writes of the intake that the disk refused."),
    ("flowlog_intake_corrupt_frames_total", Kind::Counter, "Frames of the intake whose bytes changed on disk."),
    ("flowlog_log_lines_held_back_total", Kind::Counter, "Lines of the daemon's own log held back by its rate limit."),
    ("flowlog_log_lines_dropped_total", Kind::Counter, "Lines the daemon's own log had no room for."),
];

fn intake(page: &mut Page, values: [u64; INTAKE.len()]) {
    for ((name, kind, help), value) in INTAKE.into_iter().zip(values) {
        page.family(name, kind, help).sample(&[], value);
    }
}

fn problems(page: &mut Page, count: usize) {
    page.family("flowlog_problems", Kind::Gauge, "What was asked for and does not run, as /readyz lists it; 0 when all is well.")
        .sample(&[], count);
}

/// Every family of flowlog's own, for the reference. What one kind of sink adds is only known where one runs.
#[must_use]
pub fn families() -> String {
    let mut page = Page::new();
    accounting::kernel(&mut page, &Counters::default(), &|_| String::new(), 0, 0);
    intake(&mut page, [0; INTAKE.len()]);
    problems(&mut page, 0);
    accounting::flow_logs(&mut page, &[], 0);
    configuration(&mut page, &View::default(), 0);
    page.finish()
}

/// Hubble's families about exporters (Hubble digest §5.4), and ours. An entry is active until its `end`.
fn configuration(page: &mut Page, view: &View, now: i64) {
    let is_active = |log: &LogHandle| log.end.is_none_or(|end| now <= end);
    let active = view.logs.iter().filter(|log| is_active(log)).count();
    page.family("flowlog_reload_rejected_total", Kind::Counter, "Configuration files that changed nothing because they could not be read.")
        .sample(&[], view.rejected);
    page.family("hubble_dynamic_exporter_exporters_total", Kind::Untyped, "Number of configured exporters.")
        .sample(&[("status", "active")], active)
        .sample(&[("status", "inactive")], view.logs.len() - active);
    let mut family = page.family("hubble_dynamic_exporter_up", Kind::Gauge, "Status of exporter (1 - active, 0 - inactive).");
    for log in &view.logs {
        family.sample(&[("name", &log.name)], u64::from(is_active(log)));
    }
    let mut family =
        page.family("hubble_dynamic_exporter_reconfigurations_total", Kind::Counter, "Number of dynamic exporters reconfigurations.");
    for (op, count) in ["add", "update", "remove", "failure"].into_iter().zip(view.operations) {
        family.sample(&[("op", op)], count);
    }
    let head = view.hash.iter().take(8).rev().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    page.family("hubble_dynamic_exporter_config_hash", Kind::Gauge, "Hash of last applied config.").sample(&[], head as f64);
    page.family("hubble_dynamic_exporter_config_last_applied", Kind::Gauge, "Timestamp of last applied config.")
        .sample(&[], view.applied / 1_000_000_000);
}
