//! Keeps the table of identities up to date: a file that changed, an address this host got or lost.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Hash, Problems};
use crate::identity::{self, Identities, Source};
use crate::pipeline::surroundings::Shared;
use crate::sources::host;

/// How often is looked for changes.
const EVERY: Duration = Duration::from_secs(2);

/// What the table is made of.
pub struct IdentitySources {
    path: Option<PathBuf>,
    node: String,
    file: Option<identity::File>,
    host: Vec<IpAddr>,
    refused: Option<Hash>,
}

/// Why the file of identities can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It says something wrong.
    #[error("{path}:\n{problems}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, with lines.
        problems: Problems,
    },
}

impl IdentitySources {
    /// Reads what there is now.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn read(path: Option<PathBuf>, node: &str) -> Result<Self, IdentityError> {
        let mut sources = Self { path, node: node.to_owned(), file: None, host: Vec::new(), refused: None };
        sources.file = sources.read_file()?;
        sources.host = own_addresses().unwrap_or_default();
        Ok(sources)
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> Identities {
        let sources: Vec<Source> = self.file.clone().map(Source::File).into_iter().chain([Source::Host(self.host.clone())]).collect();
        Identities::new(&sources, &self.node)
    }

    fn read_file(&self) -> Result<Option<identity::File>, IdentityError> {
        let Some(path) = &self.path else { return Ok(None) };
        let text = std::fs::read(path).map_err(|source| IdentityError::Read { path: path.clone(), source })?;
        identity::read(&text).map(Some).map_err(|problems| IdentityError::Wrong { path: path.clone(), problems })
    }

    /// Looks for changes; true when the table has to be made again.
    fn look(&mut self) -> bool {
        let mut changed = false;
        if let Some(host) = own_addresses()
            && host != self.host
        {
            self.host = host;
            changed = true;
        }
        match self.read_file() {
            Ok(file) => {
                self.refused = None;
                if file.as_ref().map(|file| file.hash) != self.file.as_ref().map(|file| file.hash) {
                    self.file = file;
                    changed = true;
                }
            }
            Err(error) => {
                // Said once for each content, not every two seconds.
                let hash = crate::config::canonical::sha256(error.to_string().as_bytes());
                if self.refused.replace(hash) != Some(hash) {
                    tracing::error!(%error, "identities stay as they were");
                }
            }
        }
        changed
    }

    /// Keeps `shared` up to date for ever.
    pub async fn follow(mut self, shared: Arc<Shared<Identities>>) {
        loop {
            tokio::time::sleep(EVERY).await;
            let looked = tokio::task::spawn_blocking(move || {
                let changed = self.look();
                (self, changed)
            });
            let Ok((back, changed)) = looked.await else { return };
            self = back;
            if changed {
                shared.replace(self.table());
            }
        }
    }
}

fn own_addresses() -> Option<Vec<IpAddr>> {
    host::addresses().inspect_err(|error| tracing::warn!(%error, "this host's addresses cannot be read")).ok()
}
