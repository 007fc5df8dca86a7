//! The daemon's main loop: reloads, signals, the watchdog, the status line.

use std::io::{IsTerminal, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::RunArgs;
use crate::commands::Failure;
use crate::config::settings::{Settings, SourceSpec};
use crate::config::watch::{Timing, Update, watch};
use crate::config::{Checked, File, diff};
use crate::daemon::identities::IdentitySources;
use crate::daemon::last_start::LastStart;
use crate::daemon::life::{Life, interface_names};
use crate::daemon::logging::{self, LogGuard, LogOptions};
use crate::daemon::manager::View;
use crate::daemon::notify_systemd::Systemd;
use crate::daemon::pages::DaemonPages;
use crate::daemon::privileges;
use crate::daemon::start::{self, Prepared};
use crate::daemon::state::{Running, State};
use crate::metrics::listener::Listener;

/// How often memory that was freed, and lies between what is in use, is given back to the system.
const GIVE_BACK_EVERY: Duration = Duration::from_secs(5);

/// Runs the daemon.
pub async fn serve(
    arguments: &RunArgs,
    settings: &Settings,
    checked: Checked,
    identities: IdentitySources,
    prepared: Prepared,
    log: LogOptions,
) -> Result<(), Failure> {
    let log = Arc::new(logging::start(log));
    let state = Arc::clone(&prepared.state);
    let signals = Signals::hear()?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), capabilities = ?privileges::effective(), "starting");
    if let Some(started) = &prepared.kernel {
        tracing::info!("{}", started.kernel.features());
        let pins = start::pins(settings.pin_dir.as_deref(), &settings.state_dir);
        if let Err(error) = LastStart::new(settings, &prepared.node, &pins).write(&settings.state_dir) {
            tracing::warn!(%error, "`flowlog detach` will not know how this daemon was started");
        }
    }
    let systemd = Systemd::from_environment();
    let mut file = checked.file;
    let life = Life::begin(settings, prepared, identities, &file).await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let view = life.manager.view();
    let listener = listen(settings, &life, &log).await?;
    announce(&state, arguments, &life, &file, listener.as_ref());
    let interfaces = interface_names(&life.commons.around.get());
    tracing::info!(config = %arguments.config.display(), flow_logs = file.flow_logs.len(), ?interfaces, listen = ?listener.as_ref().map(Listener::address), "running");
    systemd.ready(&format!("{} flow logs", file.flow_logs.len()));

    let mut life = life;
    let surroundings = Surroundings { arguments, settings, state: &state, listener: listener.as_ref(), systemd: &systemd, view: &view };
    let delivered_all = follow(&surroundings, signals, &mut life, &mut file).await?;
    systemd.stopping();
    tracing::info!("stopping");
    drop(life.end(delivered_all).await);
    drop(listener);
    Ok(())
}

/// What may be said to a daemon. Heard from its very start: what comes before it runs is done as soon as it does, and ends nothing half-way.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn hear() -> Result<Self, Failure> {
        let hear = |kind| signal(kind).map_err(|error| Failure::Runtime(format!("cannot listen for signals: {error}")));
        Ok(Self {
            terminate: hear(SignalKind::terminate())?,
            interrupt: hear(SignalKind::interrupt())?,
            hangup: hear(SignalKind::hangup())?,
        })
    }
}

/// What a running daemon has beside its life and its configuration.
struct Surroundings<'s> {
    arguments: &'s RunArgs,
    settings: &'s Settings,
    state: &'s State,
    listener: Option<&'s Listener>,
    systemd: &'s Systemd,
    view: &'s Mutex<View>,
}

/// Follows configuration and signals; true when standard input has ended, so that everything is to be delivered.
async fn follow(surroundings: &Surroundings<'_>, mut signals: Signals, life: &mut Life, file: &mut File) -> Result<bool, Failure> {
    let Surroundings { arguments, settings, state, listener, systemd, view } = *surroundings;
    let (watching, updates) = watch(&arguments.config, arguments.strict, Some(file.hash), Timing::default())
        .map_err(|error| Failure::Runtime(format!("cannot watch the configuration: {error}")))?;
    let mut updates = forward(updates);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    // At once too: loading the programs took much for a moment.
    let mut give_back = tokio::time::interval(GIVE_BACK_EVERY);
    let only_input = settings.sources.iter().all(|source| *source == SourceSpec::StandardInput);
    let mut status = StatusLine::new();
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => return Ok(false),
            _ = signals.interrupt.recv() => return Ok(false),
            _ = signals.hangup.recv() => watching.reload(),
            Some(update) = updates.recv() => {
                apply(update, arguments, life, file).await;
                announce(state, arguments, life, file, listener);
            }
            _ = give_back.tick() => drop(tokio::task::spawn_blocking(flowlog_bpf::memory::give_back)),
            _ = second.tick() => {
                let text = status.text(&view.lock().unwrap_or_else(PoisonError::into_inner), life);
                if systemd.watchdog_interval().is_some() {
                    systemd.alive(&text);
                }
                status.show(&text);
                if only_input && life.lines.ended.load(Relaxed) {
                    status.end();
                    return Ok(true);
                }
            }
        }
    }
}

/// Hands the watcher's updates, which come on a thread, to this loop.
fn forward(updates: std::sync::mpsc::Receiver<Update>) -> tokio::sync::mpsc::Receiver<Update> {
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        while let Ok(update) = updates.recv() {
            if sender.blocking_send(update).is_err() {
                return;
            }
        }
    });
    receiver
}

async fn apply(update: Update, arguments: &RunArgs, life: &mut Life, file: &mut File) {
    match update {
        Update::Accepted(checked) => {
            let shorter = diff::shorter_retentions(file, &checked.file);
            if !shorter.is_empty() && !arguments.allow_shorter_retention {
                tracing::error!(target: logging::ANSWER, problems = %shorter, "the reload is refused; start with --allow-shorter-retention to allow it");
                return life.manager.reject(&shorter.to_string());
            }
            for warning in &checked.warnings.0 {
                tracing::warn!(%warning, "configuration");
            }
            *file = checked.file;
            life.manager.apply(file).await;
            tracing::info!(target: logging::ANSWER, flow_logs = file.flow_logs.len(), "reloaded");
        }
        Update::Rejected { problems, .. } => {
            tracing::error!(target: logging::ANSWER, %problems, "the reload is refused; whatever runs goes on");
            life.manager.reject(&problems.to_string());
        }
        Update::Unreadable(error) => {
            tracing::error!(target: logging::ANSWER, %error, "the configuration cannot be read; whatever runs goes on");
            life.manager.reject(&format!("{}: {error}", arguments.config.display()));
        }
        Update::Polling(error) => tracing::warn!(%error, "changes of the configuration are found by polling"),
    }
}

async fn listen(settings: &Settings, life: &Life, log: &Arc<LogGuard>) -> Result<Option<Listener>, Failure> {
    let Some(address) = settings.listen else { return Ok(None) };
    let log = Arc::clone(log);
    let pages = DaemonPages {
        view: life.manager.view(),
        intake: Arc::clone(&life.intake),
        kernel: life.kernel.clone(),
        around: Arc::clone(&life.commons.around),
        flows: life.metrics.registry(),
        clock: Arc::clone(&life.commons.clock),
        log_dropped: Box::new(move || log.dropped_lines() as u64),
    };
    Listener::start(address, settings.listen_tls.clone(), Arc::new(pages))
        .await
        .map(Some)
        .map_err(|error| Failure::Runtime(error.to_string()))
}

fn announce(state: &State, arguments: &RunArgs, life: &Life, file: &File, listener: Option<&Listener>) {
    let config = std::fs::canonicalize(&arguments.config).unwrap_or_else(|_| arguments.config.clone());
    let listen = listener.map(Listener::url);
    let running = Running { pid: std::process::id(), listen, config, files: life.manager.files(file) };
    if let Err(error) = state.announce(&running) {
        tracing::warn!(%error, "`flowlog status` and `flowlog observe` will not find this daemon");
    }
}

/// One line at the foot of a terminal: what the daemon does.
struct StatusLine {
    shown: bool,
    events: u64,
    lines: u64,
}

impl StatusLine {
    fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), events: 0, lines: 0 }
    }

    fn text(&mut self, view: &View, life: &Life) -> String {
        let (mut events, mut lines, mut lost, mut lag) = (0, 0, 0, 0);
        for log in &view.logs {
            let totals = log.published.get().totals;
            events = events.max(totals.events + totals.input_lines);
            lines += totals.lines;
            lost += totals.lost.values().sum::<u64>();
            lag += log.sinks.iter().map(|sink| sink.metrics.lag_records.load(Relaxed)).sum::<u64>();
        }
        let unread = life.kernel.as_ref().map_or(0, |kernel| kernel.unread.load(Relaxed));
        let text = format!(
            "{} events/s, {} lines/s, {lost} lost, {lag} records behind, {unread} ring bytes unread",
            events.saturating_sub(self.events),
            lines.saturating_sub(self.lines)
        );
        (self.events, self.lines) = (events, lines);
        text
    }

    fn show(&self, text: &str) {
        if self.shown {
            // A terminal that is gone ends the daemon by SIGHUP or not at all; it is no error here.
            let _ = write!(std::io::stderr(), "\r\x1b[K{text}");
        }
    }

    fn end(&self) {
        self.show("");
    }
}
