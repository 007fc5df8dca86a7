//! How the daemon was started last, for `flowlog detach`: that has to find the same node, interfaces and sizes, or it would set up others before it takes
//! them away.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::Attach;
use crate::config::settings::Settings;

/// The settings that outlive a daemon. Unknown fields are passed over: another release may have written more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastStart {
    node_name: String,
    cluster_name: String,
    interfaces: Vec<String>,
    attach: Attach,
    pin_dir: PathBuf,
    ring_bytes: Option<u32>,
    flow_rows: u32,
    report_interval: Duration,
    intake_max_bytes: u64,
    disk_reserve_percent: u8,
    identities: Option<PathBuf>,
}

impl LastStart {
    /// Of these settings; the node's name and the pins as they came out.
    #[must_use]
    pub fn new(settings: &Settings, node: &str, pins: &Path) -> Self {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Self {
            node_name: node.to_owned(),
            cluster_name: settings.cluster_name.clone(),
            interfaces: settings.interfaces.clone(),
            attach: settings.attach,
            pin_dir: absolute(pins),
            ring_bytes: settings.ring_bytes,
            flow_rows: settings.flow_rows,
            report_interval: settings.report_interval,
            intake_max_bytes: settings.intake_max_bytes,
            disk_reserve_percent: settings.disk_reserve_percent,
            identities: settings.identities.as_deref().map(absolute),
        }
    }

    /// Writes it into a state folder.
    ///
    /// # Errors
    /// When the folder does not take it.
    pub fn write(&self, state_dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let temporary = state_dir.join("started.json.new");
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?.write_all(&text)?;
        fs::rename(&temporary, state_dir.join("started.json"))
    }

    /// Reads it; `None` where no daemon has left one.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn read(state_dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(state_dir.join("started.json")) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts it into settings. A folder of pins that was named there stays.
    pub fn apply(self, settings: &mut Settings) {
        settings.node_name = Some(self.node_name);
        settings.cluster_name = self.cluster_name;
        settings.interfaces = self.interfaces;
        settings.attach = self.attach;
        settings.pin_dir = settings.pin_dir.take().or(Some(self.pin_dir));
        settings.ring_bytes = self.ring_bytes;
        settings.flow_rows = self.flow_rows;
        settings.report_interval = self.report_interval;
        settings.intake_max_bytes = self.intake_max_bytes;
        settings.disk_reserve_percent = self.disk_reserve_percent;
        settings.identities = self.identities;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::DaemonArgs;
    use crate::config::settings::settings;

    #[test]
    fn a_later_command_finds_the_settings_of_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(LastStart::read(folder.path()).unwrap(), None);
        let flags =
            DaemonArgs { interfaces: vec!["lo".into()], flow_rows: Some(1024), ring_bytes: Some("64KiB".into()), ..DaemonArgs::default() };
        let daemon = settings(&flags, None).unwrap();
        LastStart::new(&daemon, "n1", Path::new("/pins")).write(folder.path()).unwrap();
        let mut later = settings(&DaemonArgs::default(), None).unwrap();
        LastStart::read(folder.path()).unwrap().unwrap().apply(&mut later);
        let expected = Settings { node_name: Some("n1".into()), pin_dir: Some("/pins".into()), ..daemon };
        assert_eq!(format!("{later:?}"), format!("{expected:?}"));
    }
}
