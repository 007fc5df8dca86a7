//! From a frozen batch to the place it is for, and to the chain behind it.

use std::io;

use super::chain::{Chain, newest};
use super::failure::Failure;
use super::freezing::Statement;
use super::key::Hour;
use super::manifest::{self, Manifest, Object};
use super::object::{Staged, Sums};
use super::sink::{Frozen, S3Sink};

impl S3Sink {
    async fn send_object(
        &self,
        staged: &Staged,
        chain: &Chain,
        also: Option<&str>,
    ) -> Result<Chain, Failure> {
        let sums = &staged.sums;
        let name = |conflict| {
            self.layout
                .object_key(sums.hour, chain.spool.0, sums.first, sums.last, conflict)
        };
        let kept = self.store.keep(name, staged, also).await?;
        let mut chain = chain.clone();
        chain.note_object(Object::new(staged, &kept));
        Ok(chain)
    }

    pub(super) fn key_of(&self, statement: &Statement, conflict: u32) -> String {
        let chain = &statement.chain;
        self.layout.manifest_key(
            Hour::of(statement.hour),
            chain.spool.0,
            chain.number,
            conflict,
        )
    }

    pub(super) async fn send_manifest(&self, statement: &Statement) -> Result<Chain, Failure> {
        let chain = &statement.chain;
        let hour = Hour::of(statement.hour);
        let sums = Sums {
            hour,
            first: chain.first,
            last: chain.next,
            records: 0,
            plain_bytes: statement.text.len() as u64,
            flow_times: (0, 0),
            commit_times: (0, 0),
        };
        let (path, text) = (self.staging.join("manifest.json"), statement.text.clone());
        let written =
            tokio::task::spawn_blocking(move || Staged::write(&path, text.as_bytes(), sums)).await;
        let staged = written
            .map_err(io::Error::other)
            .and_then(|staged| staged)
            .map_err(|error| {
                Failure::refused(
                    format!("the manifest can't be staged: {error}"),
                    "check the state folder's disk",
                )
            })?;
        let kept = self
            .store
            .keep(|conflict| self.key_of(statement, conflict), &staged, None)
            .await?;
        let behind = chain.behind(&kept.key, statement.text.as_bytes(), statement.to);
        Ok(match statement.renewed {
            Some((id, first)) => behind.renewed(id, first),
            None => behind,
        })
    }

    /// Looks for the newest manifest of this flow log and node. The chain goes on behind it when our own state is gone or
    /// older: then this is a new state folder, or an old copy of one.
    async fn ask(&self, chain: &Chain, pending: Option<&str>) -> Result<Chain, Failure> {
        let keys = self.store.list(&self.layout.manifests()).await?;
        let newest =
            newest(&keys).filter(|(number, _)| *number >= chain.number || chain.previous.is_none());
        let Some((_, key)) = newest else {
            return Ok(chain.clone());
        };
        let bytes = self.store.read(key).await?;
        if pending == Some(manifest::sha256(&bytes).as_str()) {
            return Ok(chain.clone());
        }
        match serde_json::from_slice::<Manifest>(&bytes) {
            Ok(last) => {
                self.memory().left = None;
                Ok(chain.clone().resume_behind(&last, key, &bytes))
            }
            Err(error) => Err(Failure::refused(
                format!("{key} lies where manifests do and is none: {error}"),
                "a newer release may have written it; else delete that version, or give the node another name",
            )),
        }
    }

    /// Stores the stop manifest of the process before, if it has not been seen stored yet.
    async fn settle_what_was_left(&self) -> Result<(), Failure> {
        let left = self.memory().left.clone();
        if let Some(left) = left {
            self.send_manifest(&left).await?;
            self.memory().left = None;
        }
        Ok(())
    }

    pub(super) async fn deliver(&self, frozen: &Frozen) -> Result<Chain, Failure> {
        if let Frozen::Ask { chain, pending } = frozen {
            return self.ask(chain, pending.as_deref()).await;
        }
        self.settle_what_was_left().await?;
        match frozen {
            Frozen::Ask { chain, .. } => Ok(chain.clone()),
            Frozen::Object {
                staged,
                chain,
                also,
            } => {
                let chain = self.send_object(staged, chain, also.as_deref()).await?;
                staged.discard();
                Ok(chain)
            }
            Frozen::Manifest(statement, _) => self.send_manifest(statement).await,
        }
    }
}
