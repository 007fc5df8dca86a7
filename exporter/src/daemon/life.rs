//! The daemon's life: opens its logs, starts sources, flow logs and sinks, follows its configuration, and ends in the reverse order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use flowlog_bpf::{Kernel, Retired, Ring, Started};
use flowlog_sinks::denied::At;
use flowlog_sinks::spool::{Gap, Intake, IntakeOptions, OpenError, Options, boot_id, inspect};

use super::identities::IdentitySources;
use super::manager::Manager;
use super::metrics_reader::MetricsReader;
use super::network_sinks::Origin;
use super::running_log::Place;
use super::start::Prepared;
use super::state;
use crate::config::File;
use crate::config::settings::{Settings, SourceSpec};
use crate::pipeline::commons::Commons;
use crate::pipeline::note::cause;
use crate::pipeline::surroundings::{Shared, Surroundings, absolute_node_name};
use crate::sources::clock::ArrivalClock;
use crate::sources::intake::SharedIntake;
use crate::sources::kernel::KernelSource;
use crate::sources::lines::LinesSource;
use crate::sources::ring_ends::RingEnds;

/// How long the intake may take to close.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why the daemon's logs can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LifeError {
    /// The intake.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in the state folder.
    #[error("the state folder cannot be read: {}", At(folder, source))]
    State {
        /// The state folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Threads, and what the kernel says of itself.
    #[error("the daemon cannot begin: {0}")]
    Io(#[from] std::io::Error),
}

/// A daemon at work.
pub struct Life {
    /// Its flow logs.
    pub manager: Manager,
    /// Its intake.
    pub intake: Arc<SharedIntake>,
    /// What its flow logs share.
    pub commons: Commons,
    /// The kernel side, if it is a source.
    pub kernel: Option<Arc<KernelSource>>,
    /// The JSONL sources.
    pub lines: Arc<LinesSource>,
    /// Hubble's metrics.
    pub metrics: MetricsReader,
    stop: Arc<AtomicBool>,
    drains: Vec<JoinHandle<()>>,
    tend: Option<JoinHandle<Kernel>>,
}

impl Life {
    /// Opens everything, applies the configuration, and starts the sources.
    ///
    /// # Errors
    /// When the intake or the state folder can't be opened.
    pub async fn begin(settings: &Settings, prepared: Prepared, identities: IdentitySources, file: &File) -> Result<Self, LifeError> {
        for warning in &settings.warnings.0 {
            tracing::warn!(%warning, "settings");
        }
        let Prepared { state, mut kernel, node } = prepared;
        let boot = boot_id()?;
        let resume_at =
            highest_position(&settings.state_dir).map_err(|source| LifeError::State { folder: settings.state_dir.clone(), source })?;
        let options = IntakeOptions { max_bytes: settings.intake_max_bytes, resume_at, ..IntakeOptions::new(&node, &boot) };
        let (intake, found) = Intake::open(&state.intake(), &options)?;
        let last_arrival = intake.arrival();
        let clock = Arc::new(ArrivalClock::after(last_arrival.max(0)));
        let rings = kernel.as_mut().map(|started| started.kernel.take_rings()).unwrap_or_default();
        let renew = kernel.as_ref().and_then(|started| ahead(&intake, started.kernel.instance(), &rings));
        let intake = Arc::new(SharedIntake::new(intake, Arc::clone(&clock)));
        // Before a flow log can let go of what they are noted in.
        let stop = Arc::new(AtomicBool::new(false));
        let lines = Arc::new(LinesSource::new(Arc::clone(&intake), Arc::clone(&stop)));
        let ends = kernel.as_ref().map(|started| RingEnds::new(started.kernel.instance(), Arc::clone(&intake)));

        let around = Arc::new(Shared::new(surroundings(settings, &node, kernel.as_ref())));
        let table = Arc::new(Shared::new(identities.table()));
        tokio::spawn(identities.follow(Arc::clone(&table)));
        let commons = Commons { identities: table, around: Arc::clone(&around), clock: Arc::clone(&clock) };
        let place = Place {
            options: Options { min_free_percent: u64::from(settings.disk_reserve_percent), renew, ..Options::new(&node, &boot) },
            intake: intake.readers().clone(),
            commons: commons.clone(),
            origin: Origin { cluster: settings.cluster_name.clone(), node: node.clone(), log: String::new() },
        };
        let mut manager = Manager::new(Arc::clone(&state), place);
        manager.apply(file).await;
        if found.corrupt_bytes > 0 {
            // What of it a flow log had not read, it declares where it comes to it.
            tracing::error!(bytes = found.corrupt_bytes, "the intake has bytes that changed on disk");
        }

        let source = ends.map(|ends| {
            Arc::new(KernelSource {
                intake: Arc::clone(&intake),
                clock: Arc::clone(&clock),
                around,
                stop: Arc::clone(&stop),
                counters: Mutex::default(),
                unread: AtomicU64::new(0),
                ring_bytes: AtomicU64::new(rings.iter().map(Ring::size).sum()),
                stop_sweeps: AtomicBool::new(false),
                empty_rings: AtomicBool::new(false),
                owed: Mutex::default(),
                ends,
            })
        });
        let metrics = MetricsReader::start(&settings.metrics, &intake, &commons)?;
        let mut life = Self { manager, intake, commons, kernel: source, lines, metrics, stop, drains: Vec::new(), tend: None };
        if let Some(started) = kernel {
            life.begin_kernel(started, rings, last_arrival)?;
        }
        life.begin_lines(settings)?;
        Ok(life)
    }

    fn begin_kernel(&mut self, started: Started, rings: Vec<Ring>, last_arrival: i64) -> std::io::Result<()> {
        let Some(source) = self.kernel.clone() else { return Ok(()) };
        let Started { kernel, retired, adopted, changes } = started;
        let unobserved = (!adopted && last_arrival > 0).then(|| Gap {
            cause: cause::UNOBSERVED.to_owned(),
            first: Some(last_arrival),
            last: Some(self.commons.clock.now().unix),
            ..Gap::default()
        });
        let instance = kernel.instance();
        for ring in rings {
            let source = Arc::clone(&source);
            self.drains
                .push(std::thread::Builder::new().name(format!("drain {}", ring.number())).spawn(move || source.drain(instance, ring))?);
        }
        // All of this may have to wait for room in the intake, which must not keep the daemon from starting, or from stopping.
        let tend = move || {
            if let Some(gap) = unobserved {
                source.owe(gap);
            }
            retired.into_iter().for_each(|retired| empty(retired, &source));
            source.learn(changes);
            source.tend(kernel)
        };
        self.tend = Some(std::thread::Builder::new().name("sweep".to_owned()).spawn(tend)?);
        Ok(())
    }

    fn begin_lines(&mut self, settings: &Settings) -> std::io::Result<()> {
        if settings.sources.iter().all(|spec| matches!(spec, SourceSpec::Kernel)) {
            self.lines.follow_nothing();
        }
        for spec in &settings.sources {
            let source = Arc::clone(&self.lines);
            let thread = std::thread::Builder::new().name("lines".to_owned());
            match spec {
                SourceSpec::Kernel => {}
                SourceSpec::JsonLines(path) => {
                    let path = path.display().to_string();
                    self.drains.push(thread.spawn(move || source.follow(&path))?);
                }
                // Not joined at the stop: a read of standard input can't be called back.
                SourceSpec::StandardInput => drop(thread.spawn(move || source.read_standard_input())?),
            }
        }
        Ok(())
    }

    /// Ends everything: sources first, then flow logs, then sinks. With `deliver_all` sinks get all the time they need. Gives the kernel side back.
    pub async fn end(self, deliver_all: bool) -> Option<Kernel> {
        let Self { manager, intake, stop, drains, tend, metrics, .. } = self;
        let kernel = tokio::task::spawn_blocking(move || {
            stop.store(true, Ordering::Release);
            // The sweep first: what it reports last is still drained.
            let kernel = tend.and_then(|tend| tend.join().ok());
            drains.into_iter().for_each(|drain| drop(drain.join()));
            kernel
        })
        .await
        .ok()
        .flatten();
        drop(metrics);
        manager.stop(deliver_all).await;
        let _ = tokio::task::spawn_blocking(move || intake.close(PATIENCE)).await;
        kernel
    }

    /// Detaches the kernel side, takes its last counts over, removes the pins, and delivers what there is.
    ///
    /// # Errors
    /// When the programs can't be detached; then they are still attached.
    pub async fn detach(mut self) -> Result<(), flowlog_bpf::Error> {
        let (tend, source, stop) = (self.tend.take(), self.kernel.clone(), Arc::clone(&self.stop));
        let (Some(tend), Some(source)) = (tend, source) else { return Ok(()) };
        let drains = std::mem::take(&mut self.drains);
        let detached = tokio::task::spawn_blocking(move || {
            source.stop_tending();
            let Ok(kernel) = tend.join() else { return Ok(None) };
            let mut retired = kernel.detach()?;
            // The drains still run: they make room for what is flushed.
            while retired.flush()?.refused > 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
            source.empty_rings.store(true, Ordering::Release);
            stop.store(true, Ordering::Release);
            drains.into_iter().for_each(|drain| drop(drain.join()));
            // Flow logs have made room meanwhile.
            source.pay_up();
            Ok(Some(retired))
        })
        .await;
        // All that the kernel counted is in the intake: however long a destination takes, the kernel is left as it was found.
        if let Some(retired) = detached.unwrap_or(Ok(None))? {
            retired.remove()?;
        }
        self.end(true).await;
        Ok(())
    }
}

/// Empties what an earlier release or another size left attached.
fn empty(mut retired: Retired, source: &KernelSource) {
    let instance = retired.instance();
    let mut rings = retired.take_rings();
    loop {
        let refused = match retired.flush() {
            Ok(swept) => swept.refused,
            Err(error) => {
                tracing::error!(%error, "programs of an earlier start cannot be emptied; their pins stay");
                return;
            }
        };
        let mut moved = true;
        for ring in &mut rings {
            moved &= source.drain_once(instance, ring);
        }
        if refused == 0 && moved {
            break;
        }
        if source.stop.load(Ordering::Acquire) {
            tracing::warn!("programs of an earlier start are not emptied yet; the next start goes on with them");
            return;
        }
        // The flow logs make room.
        std::thread::sleep(Duration::from_millis(5));
    }
    if let Err(error) = retired.remove() {
        tracing::error!(%error, "pins of an earlier start cannot be removed");
    }
}

/// Says why the spools need new identities: the ring has been read further than the intake knows, so the intake is not the one that belongs to it.
fn ahead(intake: &Intake, instance: [u8; 16], rings: &[Ring]) -> Option<String> {
    let ring = rings.iter().find(|ring| ring.position() > intake.ring_end(&instance, ring.number()).unwrap_or_default())?;
    Some(format!("ring {} has been read up to byte {}, which is further than the intake knows", ring.number(), ring.position()))
}

/// The highest intake position that any spool's last commit names.
fn highest_position(state_dir: &Path) -> std::io::Result<u64> {
    let mut highest = 0;
    for (_, folder) in state::logs(state_dir)? {
        if let Some(commit) = inspect::last_commit(&folder.join("spool"))? {
            highest = highest.max(commit.intake_position);
        }
    }
    Ok(highest)
}

fn surroundings(settings: &Settings, node: &str, kernel: Option<&Started>) -> Surroundings {
    let mut around = Surroundings {
        node_name: absolute_node_name(&settings.cluster_name, node),
        report_interval: settings.report_interval,
        ..Surroundings::default()
    };
    if let Some(started) = kernel {
        around.drop_reasons = started.kernel.reasons().iter().map(|(number, name)| (number, name.to_owned())).collect();
        around.interfaces = started
            .kernel
            .interfaces()
            .map(|interface| (interface.ifindex, (interface.name.clone(), crate::sources::kernel::side(interface))))
            .collect();
    }
    around
}

/// The interfaces that are watched, for the first message.
#[must_use]
pub fn interface_names(around: &Surroundings) -> Vec<String> {
    let names: BTreeMap<u32, String> = around.interfaces.iter().map(|(index, (name, _))| (*index, name.clone())).collect();
    names.into_values().collect()
}
