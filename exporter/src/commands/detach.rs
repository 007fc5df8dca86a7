//! `flowlog detach`: takes the kernel programs and their pins away, after their last counts have been delivered.

use std::path::Path;

use super::Failure;
use super::run::read_config;
use crate::cli::{DaemonArgs, DetachArgs};
use crate::config::settings::{DEFAULT_STATE_DIR, Settings, settings};
use crate::daemon::identities::IdentitySources;
use crate::daemon::last_start::LastStart;
use crate::daemon::life::Life;
use crate::daemon::logging::{self, LogOptions};
use crate::daemon::start;

/// Runs the command.
///
/// # Errors
/// When a daemon still runs on the state folder, or the programs can't be taken away.
pub fn run(arguments: &DetachArgs) -> Result<(), Failure> {
    let settings = settings_of(arguments)?;
    let pins = start::pins(settings.pin_dir.as_deref(), &settings.state_dir);
    if !pins.exists() {
        return super::print(&format!("nothing is attached for {}\n", settings.state_dir.display()));
    }
    let config = match &arguments.config {
        Some(path) => read_config(path, false)?.file,
        None => crate::config::read(b"flowLogs: []", false).map_err(|problems| Failure::Runtime(problems.to_string()))?.file,
    };
    let node = start::node_name(&settings);
    let identities = IdentitySources::read(settings.identities.clone(), &node).or_else(|error| {
        // The last counts are worth more than the names of who they are of.
        eprintln!("flowlog: {error}");
        IdentitySources::read(None, &node)
    });
    let identities = identities.map_err(|error| Failure::Usage(error.to_string()))?;
    let prepared = start::prepare_detach(&settings).map_err(|error| Failure::Runtime(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Runtime(format!("cannot start the runtime: {error}")))?;
    let _log = logging::start(LogOptions { level: Some("warn".to_owned()), ..LogOptions::default() });
    runtime.block_on(async {
        let life = Life::begin(&settings, prepared, identities, &config).await.map_err(|error| Failure::Runtime(error.to_string()))?;
        life.detach().await.map_err(|error| Failure::Runtime(error.to_string()))
    })?;
    remove_folder(&pins);
    super::print(&format!("detached; nothing of {} is left in the kernel\n", settings.state_dir.display()))
}

fn settings_of(arguments: &DetachArgs) -> Result<Settings, Failure> {
    let flags = DaemonArgs {
        state_dir: Some(arguments.state_dir.clone().unwrap_or_else(|| DEFAULT_STATE_DIR.into())),
        pin_dir: arguments.pin_dir.clone(),
        ..DaemonArgs::default()
    };
    let mut settings = settings(&flags, None).map_err(|problems| Failure::Usage(problems.to_string()))?;
    match LastStart::read(&settings.state_dir) {
        Ok(Some(last)) => last.apply(&mut settings),
        Ok(None) => {}
        Err(error) => eprintln!(
            "flowlog: how the daemon was started cannot be read from {}: {error}; going on with defaults",
            settings.state_dir.display()
        ),
    }
    Ok(settings)
}

/// The folder of the pins is empty now; its parent may hold those of other state folders.
fn remove_folder(pins: &Path) {
    let _ = std::fs::remove_dir(pins);
    if let Some(parent) = pins.parent() {
        let _ = std::fs::remove_dir(parent);
    }
}
