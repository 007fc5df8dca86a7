//! From a frozen batch to the place it is for, and to the chain behind it.

use std::fs;
use std::io;

use super::chain::{Chain, newest};
use super::failure::Failure;
use super::freezing::Statement;
use super::key::Hour;
use super::manifest::{Manifest, Object};
use super::object::{Staged, Sums};
use super::sink::{Frozen, S3Sink};
use crate::spool::Cursor;

/// The staging file of the manifest that is sent.
const MANIFEST: &str = "manifest.json";

impl S3Sink {
    async fn send_object(&self, staged: &Staged, chain: &Chain, also: Option<&str>) -> Result<Chain, Failure> {
        let sums = &staged.sums;
        let name = |conflict| self.layout.object_key(sums.hour, chain.spool.0, sums.first, sums.last, conflict);
        let kept = self.store.keep(name, staged, also).await?;
        let mut chain = chain.clone();
        chain.note_object(Object::new(staged, &kept));
        Ok(chain)
    }

    pub(super) fn key_of(&self, statement: &Statement, conflict: u32) -> String {
        let chain = &statement.chain;
        self.layout.manifest_key(Hour::of(statement.hour), chain.spool.0, chain.number, conflict)
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
        let (path, text) = (self.staging.join(MANIFEST), statement.text.clone());
        let written = tokio::task::spawn_blocking(move || Staged::write(&path, text.as_bytes(), sums)).await;
        let staged = written
            .map_err(io::Error::other)
            .and_then(|staged| staged)
            .map_err(|error| Failure::refused(format!("the manifest can't be staged: {error}"), "check the state folder's disk"))?;
        let kept = self.store.keep(|conflict| self.key_of(statement, conflict), &staged, None).await?;
        let behind = chain.behind(&kept.key, statement.text.as_bytes(), statement.to);
        Ok(match statement.renewed {
            Some((id, first)) => behind.renewed(id, first),
            None => behind,
        })
    }

    /// Where the chain goes on: behind what this node knows, with the stop manifest of the process before, or behind the
    /// newest manifest of the archive when our own state is gone (a new state folder) or older (a copy of one).
    pub(super) async fn take_up(&self, from: Cursor, known: Option<Chain>) -> Result<Chain, Failure> {
        let mut chain = known.unwrap_or_else(|| Chain::new(from.spool, from.sequence, self.started));
        let mut left = fs::read(self.stop_file())
            .ok()
            .and_then(|text| serde_json::from_slice::<Statement>(&text).ok())
            .filter(|left| left.chain.number == chain.number && left.chain.spool == chain.spool);
        // Keys sort by day, so with a state only the days since its last manifest are listed, not years.
        let day = chain.previous.as_ref().and_then(|previous| previous.key.rsplit_once('/'));
        let keys = self.store.list(&self.layout.manifests(), day.map(|(day, _)| day)).await?;
        if let Some((_, key)) = newest(&keys).filter(|(number, _)| *number >= chain.number) {
            let bytes = self.store.read(key).await?;
            // The last manifest we sent may have been stored without our knowing.
            let is_left = left.as_ref().is_some_and(|left| left.text.as_bytes() == bytes);
            if !is_left && fs::read(self.staging.join(MANIFEST)).ok() != Some(bytes.clone()) {
                chain = chain.resume_behind(&read_manifest(key, &bytes)?, key, &bytes);
                left = None;
            }
        }
        match left {
            Some(left) => self.send_manifest(&left).await,
            None => Ok(chain),
        }
    }

    pub(super) async fn deliver(&self, frozen: &Frozen) -> Result<Chain, Failure> {
        match frozen {
            Frozen::Object { staged, chain, also } => {
                let chain = self.send_object(staged, chain, also.as_deref()).await?;
                staged.discard();
                Ok(chain)
            }
            Frozen::Manifest(statement, _) => self.send_manifest(statement).await,
        }
    }
}

fn read_manifest(key: &str, bytes: &[u8]) -> Result<Manifest, Failure> {
    serde_json::from_slice(bytes).map_err(|error| {
        Failure::refused(
            format!("{key} lies where manifests do and is none: {error}"),
            "a newer release may have written it; else delete that version, or give the node another name",
        )
    })
}
