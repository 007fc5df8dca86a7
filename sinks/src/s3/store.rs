//! Keeping an object exactly once: what counts as stored, and what to do when its place is taken.
//!
//! A key and its bytes are a function of the spool, so the same put may be made any number of times. Whatever a put
//! came to, the server is asked what it has under the key: the same bytes are a success (also when they are from a put
//! whose answer was lost), nothing is a retry, other bytes are a conflict, declared and stored under `.conflict-<n>`.
//! Nothing is stored until the lock that was asked for is confirmed.

use std::sync::atomic::AtomicBool;

use super::bucket::{Bucket, Found};
use super::config::{Options, Problem, Target};
use super::failure::{Failure, Kind};
use super::folder::Folder;
use super::key::hex;
use super::object::Staged;
use super::retention::{Clock, Lock, Retention};

/// How many other objects may lie in an object's way before something must be badly wrong.
const CONFLICTS_MAX: u32 = 1000;

/// Where objects are kept.
#[derive(Debug)]
pub struct Store {
    pub(super) place: Place,
    pub(super) retention: Option<Retention>,
    pub(super) legal_hold: bool,
    /// Whether the bucket was seen to have Object Lock, where it is needed.
    pub(super) lockable: AtomicBool,
    pub(super) node_clock: Clock,
}

#[derive(Debug)]
pub(super) enum Place {
    Bucket(Box<Bucket>),
    Folder(Folder),
}

/// An object that is stored and locked as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its key; with `.conflict-<n>` where its own was taken.
    pub key: String,
    /// Its version, where the place has versions.
    pub version: Option<String>,
    /// Its ETag.
    pub etag: Option<String>,
    /// Its size. Differs from the staged one if it was stored by a release with another zstd.
    pub bytes: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its lock as the server states it.
    pub lock: Option<Lock>,
    /// Whether the server states a legal hold.
    pub legal_hold: bool,
    /// The keys where other bytes were found.
    pub conflicts: Vec<String>,
}

impl Store {
    /// Prepares the place `options` names; nothing is contacted. Also returns the prefix of its keys.
    ///
    /// # Errors
    /// When an option can't be used.
    pub fn new(options: &Options) -> Result<(Self, String), Problem> {
        let (place, prefix) = match options.target()? {
            Target::Bucket { bucket, prefix } => (Place::Bucket(Box::new(Bucket::new(options, &bucket)?)), prefix),
            Target::Folder(root) => (Place::Folder(Folder::new(root)), String::new()),
        };
        let store = Self {
            place,
            retention: options.retention,
            legal_hold: options.legal_hold,
            lockable: AtomicBool::new(false),
            node_clock: Clock::default(),
        };
        Ok((store, prefix))
    }

    /// The place, as manifests state it.
    pub fn place(&self) -> String {
        match &self.place {
            Place::Bucket(bucket) => format!("s3://{}", bucket.name()),
            Place::Folder(folder) => format!("file://{}", folder.root().display()),
        }
    }

    /// The clock of the place.
    pub fn clock(&self) -> &Clock {
        match &self.place {
            Place::Bucket(bucket) => bucket.clock(),
            Place::Folder(_) => &self.node_clock,
        }
    }

    /// Stores `staged` under `name(0)`, or where that is taken by other bytes under `name(1)` and so on. Bytes whose
    /// lines have the SHA-256 `also` count as the same too: they are what an earlier process had meant to store.
    ///
    /// # Errors
    /// When it is not stored, or not known to be stored and locked; try again.
    pub async fn keep(&self, name: impl Fn(u32) -> String, staged: &Staged, also: Option<&str>) -> Result<Kept, Failure> {
        self.refuse_what_cannot_be_locked().await?;
        let mut conflicts = Vec::new();
        for number in 0..CONFLICTS_MAX {
            let key = name(number);
            let kept = match &self.place {
                Place::Bucket(bucket) => self.offer(bucket, &key, staged, also).await?,
                Place::Folder(folder) => put_in_folder(folder, &key, staged).await?,
            };
            match kept {
                Some(kept) => return Ok(Kept { conflicts, ..kept }),
                None => {
                    tracing::error!(
                        key,
                        "Other bytes lie under this object's name, or a delete marker hides it; the object goes under the next name."
                    );
                    conflicts.push(key);
                }
            }
        }
        let hint = "somebody else writes into this archive; give every node, flow log and cluster names of its own";
        Err(Failure::refused(format!("{}: {CONFLICTS_MAX} other objects lie in its way", name(0)), hint))
    }

    /// The content of `key`, for small objects.
    ///
    /// # Errors
    /// What the server or the disk said.
    pub async fn read(&self, key: &str) -> Result<Vec<u8>, Failure> {
        match &self.place {
            Place::Bucket(bucket) => bucket.read(key).await,
            Place::Folder(folder) => {
                let (folder, path) = (folder.clone(), key.to_owned());
                on_disk(key, move || folder.read(&path)).await
            }
        }
    }

    /// All keys below `folder`; only those that sort behind `after` where it is given.
    ///
    /// # Errors
    /// What the server or the disk said.
    pub async fn list(&self, below: &str, after: Option<&str>) -> Result<Vec<String>, Failure> {
        match &self.place {
            Place::Bucket(bucket) => bucket.list(below, after).await,
            Place::Folder(folder) => {
                let (folder, path) = (folder.clone(), below.to_owned());
                let mut keys = on_disk(below, move || folder.list(&path)).await?;
                keys.retain(|key| after.is_none_or(|after| key.as_str() > after));
                Ok(keys)
            }
        }
    }

    /// Puts, then looks. `None` when other bytes, or a delete marker, are in the way.
    async fn offer(&self, bucket: &Bucket, key: &str, staged: &Staged, also: Option<&str>) -> Result<Option<Kept>, Failure> {
        let now = bucket.clock().now();
        let asked = match self.retention.map(|retention| retention.lock(now)).transpose() {
            Ok(asked) => asked,
            Err(error) => {
                return Err(Failure::refused(format!("retention: {error}"), "change the sink's retention"));
            }
        };
        let put = bucket.create(key, staged, asked, self.legal_hold).await;
        let found = match &put {
            Ok(()) => bucket.find(key).await?,
            Err(failure) if matches!(failure.kind, Kind::Refused | Kind::NotFound) => {
                return put.map(|()| None);
            }
            Err(failure) if failure.kind == Kind::Exists => look_twice(bucket, key, |found| is_same(found, staged, also)).await?,
            Err(_) => bucket.find(key).await.unwrap_or_default(),
        };
        match (found, put) {
            (Some(found), put) if is_same(&found, staged, also) => self.confirm(bucket, key, found, asked, put.is_ok()).await.map(Some),
            (Some(_other), Err(_)) => Ok(None),
            (Some(_other), Ok(())) => Err(Failure::refused(
                format!("putting {key}: the server confirmed it and shows other bytes"),
                "look at what stands between flowlog and the server, and who else writes into this archive",
            )),
            (None, Err(failure)) if failure.kind == Kind::Exists => Ok(None),
            (None, Err(failure)) => Err(failure),
            (None, Ok(())) => Err(Failure::refused(
                format!("putting {key}: the server confirmed it and does not have it"),
                "look at what stands between flowlog and the server",
            )),
        }
    }

    /// Holds what the server says about the lock against what was asked. An object of an earlier put that is locked too
    /// short is locked longer; a fresh one that is not locked as asked shows that locks get lost, so nothing is hidden.
    async fn confirm(&self, bucket: &Bucket, key: &str, found: Found, asked: Option<Lock>, fresh: bool) -> Result<Kept, Failure> {
        let least = if fresh { asked } else { self.retention.map(|retention| retention.least(found.modified)) };
        let mut found = found;
        if !fresh && !self.is_locked(&found, least) {
            let version = found.version.clone().unwrap_or_default();
            tracing::warn!(key, version, "An object of an earlier put is not locked as asked; locking it now.");
            if let Some(lock) = asked {
                bucket.lengthen(key, &version, &lock).await?;
            }
            if self.legal_hold {
                bucket.hold(key, &version).await?;
            }
            found = bucket.find(key).await?.unwrap_or(found);
        }
        if self.is_locked(&found, least) {
            return Ok(Kept {
                key: key.to_owned(),
                version: found.version,
                etag: found.etag,
                bytes: found.bytes,
                sha256: found.sha256.unwrap_or_default(),
                lock: found.seen.lock,
                legal_hold: found.seen.legal_hold,
                conflicts: Vec::new(),
            });
        }
        let say = |lock: Option<Lock>| lock.map_or("none".to_owned(), |lock| format!("{} until {}", lock.mode.as_str(), lock.until_text()));
        Err(Failure::refused(
            format!(
                "{key} is stored, but not locked as asked: asked {}, the server states {}{}",
                say(least),
                say(found.seen.lock),
                if self.legal_hold && !found.seen.legal_hold { ", and no legal hold" } else { "" }
            ),
            "it does not count as delivered. Either something strips lock headers, or the credentials lack s3:GetObjectRetention (and s3:GetObjectLegalHold) and can't see them",
        ))
    }

    fn is_locked(&self, found: &Found, least: Option<Lock>) -> bool {
        let retained = match (least, found.seen.lock) {
            (None, _) => true,
            (Some(least), Some(lock)) => lock.covers(&least),
            (Some(_), None) => false,
        };
        retained && (found.seen.legal_hold || !self.legal_hold)
    }
}

/// What lies under a key that is taken. What is not ours has to be met twice, and an error is neither: a copy under the next name can't be taken back.
async fn look_twice(bucket: &Bucket, key: &str, is_ours: impl Fn(&Found) -> bool) -> Result<Option<Found>, Failure> {
    match bucket.find(key).await? {
        Some(found) if is_ours(&found) => Ok(Some(found)),
        _ => bucket.find(key).await,
    }
}

fn is_same(found: &Found, staged: &Staged, also: Option<&str>) -> bool {
    let same_bytes = found.bytes == staged.bytes && found.sha256.as_deref() == Some(hex(&staged.sha256).as_str());
    let lines = found.plain_sha256.as_deref();
    let same_lines = lines.is_some() && (lines == Some(hex(&staged.plain_sha256).as_str()) || lines == also);
    same_bytes || (same_lines && found.sha256.is_some())
}

async fn put_in_folder(folder: &Folder, key: &str, staged: &Staged) -> Result<Option<Kept>, Failure> {
    let (folder, path, object) = (folder.clone(), key.to_owned(), staged.clone());
    let same = on_disk(key, move || folder.keep(&path, &object)).await?;
    Ok(same.then(|| Kept {
        key: key.to_owned(),
        version: None,
        etag: None,
        bytes: staged.bytes,
        sha256: hex(&staged.sha256),
        lock: None,
        legal_hold: false,
        conflicts: Vec::new(),
    }))
}

pub(super) async fn on_disk<T: Send + 'static>(
    what: &str,
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other).and_then(|result| result);
    done.map_err(|error| Failure {
        kind: if error.kind() == std::io::ErrorKind::NotFound { Kind::NotFound } else { Kind::Unknown },
        why: format!("{what}: {error}"),
        hint: None,
    })
}
