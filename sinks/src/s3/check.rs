//! Whether objects can be kept as asked: the bucket's configuration, looked at before the first put.

use std::sync::atomic::Ordering;

use super::failure::{Failure, Kind};
use super::store::{Place, Store, on_disk};

impl Store {
    /// Whether the place looks usable; returns what is worth a warning.
    ///
    /// # Errors
    /// What the server or the disk said, or that objects can't be locked as asked.
    pub async fn check(&self) -> Result<Vec<String>, Failure> {
        let bucket = match &self.place {
            Place::Bucket(bucket) => bucket,
            Place::Folder(folder) => {
                let folder_to_check = folder.clone();
                on_disk("the archive", move || folder_to_check.check()).await?;
                return Ok(Vec::new());
            }
        };
        if self.retention.is_none() && !self.legal_hold {
            bucket.find("flowlog-check").await?;
            return Ok(vec!["no retention is configured: objects are only locked if the bucket has a default".to_owned()]);
        }
        let lock = bucket.lock_configuration().await?;
        let keeps_versions = bucket.keeps_versions().await?;
        if !lock.enabled {
            return Err(without_lock(bucket.name()));
        }
        if !keeps_versions {
            let why = format!("bucket {} does not keep versions", bucket.name());
            return Err(Failure::refused(why, "switch versioning on; Object Lock needs it"));
        }
        let mut warnings = Vec::new();
        if lock.default.is_none() {
            warnings
                .push(format!("bucket {} has no default retention, the second belt should this sink's headers get lost", bucket.name()));
        }
        if let Some(offset) = self.clock().offset_milliseconds().filter(|offset| offset.abs() > 60_000) {
            warnings.push(format!("this node's clock and the server's differ by {} s; above 900 s it refuses everything", offset / 1000));
        }
        Ok(warnings)
    }

    /// Some servers take lock headers on a bucket without Object Lock and forget them. An object stored so would have
    /// to be locked later, if ever, so the bucket is asked before the first put.
    pub(super) async fn refuse_what_cannot_be_locked(&self) -> Result<(), Failure> {
        let Place::Bucket(bucket) = &self.place else {
            return Ok(());
        };
        if (self.retention.is_none() && !self.legal_hold) || self.lockable.load(Ordering::Acquire) {
            return Ok(());
        }
        match bucket.lock_configuration().await {
            Ok(lock) if !lock.enabled => {
                // Some servers say the same of a bucket that is not there; this question they answer with the truth.
                bucket.keeps_versions().await?;
                return Err(without_lock(bucket.name()));
            }
            Ok(_) => {}
            Err(failure) if failure.kind == Kind::Refused && failure.why.contains("AccessDenied") => {
                tracing::warn!(%failure, "The bucket's Object Lock configuration can't be read; each object's lock is still checked.");
            }
            Err(failure) => return Err(failure),
        }
        self.lockable.store(true, Ordering::Release);
        Ok(())
    }
}

fn without_lock(bucket: &str) -> Failure {
    Failure::refused(
        format!("bucket {bucket} has no Object Lock"),
        "make a bucket with Object Lock switched on, or switch it on for this one; nothing is sent unlocked while retention or legalHold is configured",
    )
}
