//! One S3 bucket: create-only uploads with locks, and what the server says about an object.
//!
//! It never overwrites and never deletes; it needs no permission to. A put that the server confirmed is not yet a
//! stored object: whether the lock is there is asked for separately (`Store` in `store.rs` does).

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, Checksum},
    path::Path as Key,
};

use super::{
    config::{Options, Problem},
    credentials,
    failure::{Failure, Kind},
    lock::{Content, LockConnector, Seen, Upload},
    object::Staged,
    retention::{Clock, Lock},
};

/// Size of a part, and memory an upload in parts needs.
const PART_BYTES: usize = 8 << 20;
/// How long an answer may take, and its next piece, once the request is with the server.
const PATIENCE: Duration = Duration::from_secs(60);
/// Uploads are given this many bytes per second at least before they time out.
const SLOWEST_UPLOAD: u64 = 128 << 10;

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    pub(super) store: AmazonS3,
    pub(super) http: reqwest::Client,
    pub(super) clock: Arc<Clock>,
    pub(super) name: String,
    single_put_bytes: u64,
    patience: Duration,
}

/// What the server says about the current version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The version; none where the bucket has no versions.
    pub version: Option<String>,
    /// Its ETag, an opaque text.
    pub etag: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// When it was stored, Unix seconds by the server's clock.
    pub modified: i64,
    /// Its lock; `None` also where we may not see it.
    pub seen: Seen,
    /// SHA-256 of the packed bytes, as stated by who put it.
    pub sha256: Option<String>,
    /// SHA-256 of the lines, as stated by who put it.
    pub plain_sha256: Option<String>,
}

/// Name of the metadata that holds the SHA-256 of the packed bytes, hexadecimal.
pub const META_SHA256: &str = "flowlog-sha256";
/// Name of the metadata that holds the SHA-256 of the lines, hexadecimal.
pub const META_PLAIN_SHA256: &str = "flowlog-plain-sha256";

impl Bucket {
    /// Prepares the connection to `bucket`; nothing is contacted.
    ///
    /// # Errors
    /// When certificates or address can't be used.
    pub fn new(options: &Options, bucket: &str) -> Result<Self, Problem> {
        Self::with_patience(options, bucket, PATIENCE)
    }

    fn with_patience(options: &Options, bucket: &str, patience: Duration) -> Result<Self, Problem> {
        let http = http_client(options, Some(patience))?;
        let uploads = http_client(options, None)?;
        let clock = Arc::new(Clock::default());
        let named = || ["AWS_REGION", "AWS_DEFAULT_REGION"].into_iter().find_map(|name| std::env::var(name).ok());
        let region = options.region.clone().or_else(named).unwrap_or_else(|| "us-east-1".to_owned());
        let base = AmazonS3Builder::from_env().with_bucket_name(bucket).with_region(&region).with_retry(RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        });
        let credentials = credentials::provider(options, &base)?;
        let connector =
            LockConnector { client: http.clone(), uploads, credentials: Arc::clone(&credentials), region, clock: Arc::clone(&clock) };
        let mut builder = base.with_credentials(credentials).with_http_connector(connector).with_checksum_algorithm(Checksum::SHA256);
        let path_style = options.path_style.unwrap_or(options.endpoint.is_some());
        builder = builder.with_virtual_hosted_style_request(!path_style);
        if let Some(endpoint) = &options.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            let endpoint = match endpoint.split_once("://") {
                Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            };
            builder = builder.with_allow_http(endpoint.starts_with("http://")).with_endpoint(endpoint);
        }
        let store = builder.build().map_err(unusable)?;
        Ok(Self { store, http, clock, name: bucket.to_owned(), single_put_bytes: options.single_put_bytes, patience })
    }

    /// The endpoint's clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Uploads `staged` as `key`, unless something is there, with `lock` and hold in signed headers.
    ///
    /// # Errors
    /// [`Kind::Exists`] when the key is taken; else what the server or the network said.
    pub async fn create(&self, key: &str, staged: &Staged, lock: Option<Lock>, legal_hold: bool) -> Result<(), Failure> {
        let path = key_path(key)?;
        let upload = if staged.bytes <= self.single_put_bytes {
            let upload = Upload::new(lock, legal_hold, Some(content(staged)));
            self.put(&path, staged, upload.clone()).await?;
            upload
        } else {
            let upload = Upload::new(lock, legal_hold, None);
            self.put_parts(&path, staged, upload.clone()).await?;
            upload
        };
        if upload.was_signed() {
            return Ok(());
        }
        Err(Failure::refused(
            format!("putting {key}: the upload went out without its signed lock headers"),
            "this is a defect of flowlog (object_store did not hand the lock on): please report it",
        ))
    }

    async fn put(&self, path: &Key, staged: &Staged, upload: Upload) -> Result<(), Failure> {
        let mut options = PutOptions::from(PutMode::Create);
        options.attributes = attributes(staged);
        options.extensions.insert(upload);
        let sent = self.store.put_opts(path, PutPayload::new(), options);
        self.in_time(&format!("putting {path}"), staged.bytes, sent).await.map(|_| ())
    }

    /// Bounds the sending of that many bytes: nothing else does, see [`LockConnector::uploads`].
    async fn in_time<T>(&self, doing: &str, bytes: u64, sent: impl Future<Output = object_store::Result<T>>) -> Result<T, Failure> {
        let limit = self.patience + Duration::from_secs(bytes / SLOWEST_UPLOAD);
        match tokio::time::timeout(limit, sent).await {
            Ok(answer) => answer.map_err(|error| Failure::of(doing, &error)),
            Err(_) => Err(Failure { kind: Kind::Unknown, why: format!("{doing}: no answer within {} s", limit.as_secs()), hint: None }),
        }
    }

    /// Uploads in parts, one at a time. The lock goes on the creation only, `If-None-Match` on the completion only.
    async fn put_parts(&self, path: &Key, staged: &Staged, upload: Upload) -> Result<(), Failure> {
        let doing = format!("putting {path} in parts");
        let failed = |error: object_store::Error| Failure::of(&doing, &error);
        let mut options = PutMultipartOptions { attributes: attributes(staged), ..PutMultipartOptions::default() };
        options.extensions.insert(upload);
        let mut parts = self.store.put_multipart_opts(path, options).await.map_err(failed)?;
        let result = async {
            let mut at = 0;
            while at < staged.bytes {
                let part = read_part(staged, at).await?;
                let bytes = part.len() as u64;
                at += bytes;
                self.in_time(&doing, bytes, parts.put_part(part.into())).await?;
            }
            parts.complete().await.map(|_| ()).map_err(failed)
        }
        .await;
        if let Err(failure) = &result
            && let Err(error) = parts.abort().await
        {
            tracing::warn!(key = %path, %failure, %error, "An upload in parts failed and could not be aborted; a lifecycle rule should expire incomplete uploads.");
        }
        result
    }

    /// What is stored under `key` now, or `None`.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn find(&self, key: &str) -> Result<Option<Found>, Failure> {
        let options = GetOptions::new().with_head(true);
        let found = match self.store.get_opts(&key_path(key)?, options).await {
            Ok(found) => found,
            Err(error) => {
                let failure = Failure::of(&format!("looking at {key}"), &error);
                return if failure.kind == Kind::NotFound { Ok(None) } else { Err(failure) };
            }
        };
        let meta = |name: &'static str| found.attributes.get(&Attribute::Metadata(name.into())).map(|value| value.to_string());
        Ok(Some(Found {
            version: found.meta.version.clone(),
            etag: found.meta.e_tag.clone(),
            bytes: found.meta.size,
            modified: found.meta.last_modified.timestamp(),
            seen: found.extensions.get::<Seen>().copied().unwrap_or_default(),
            sha256: meta(META_SHA256),
            plain_sha256: meta(META_PLAIN_SHA256),
        }))
    }

    /// The content of `key`, for small objects.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn read(&self, key: &str) -> Result<Vec<u8>, Failure> {
        let failed = |error: object_store::Error| Failure::of(&format!("reading {key}"), &error);
        let found = self.store.get(&key_path(key)?).await.map_err(failed)?;
        Ok(found.bytes().await.map_err(failed)?.to_vec())
    }

    /// All keys below `folder`; only those that sort behind `after` where it is given.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<String>, Failure> {
        let below = key_path(folder)?;
        let found = match after {
            Some(after) => self.store.list_with_offset(Some(&below), &key_path(after)?),
            None => self.store.list(Some(&below)),
        };
        let keys = found.map_ok(|meta| meta.location.to_string()).try_collect();
        keys.await.map_err(|error| Failure::of(&format!("listing {folder}"), &error))
    }
}

fn http_client(options: &Options, read_timeout: Option<Duration>) -> Result<reqwest::Client, Problem> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("flowlog/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .redirect(reqwest::redirect::Policy::none());
    let builder = match read_timeout {
        Some(limit) => builder.read_timeout(limit),
        None => builder,
    };
    let plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let wrong = |why: String| Problem { key: "tls", why };
    let builder = options.tls.apply(builder, plain).map_err(|error| wrong(error.to_string()))?;
    builder.build().map_err(|error| wrong(error.to_string()))
}

fn unusable(error: object_store::Error) -> Problem {
    Problem { key: "url", why: error.to_string() }
}

/// Our keys are percent-encoded already; `Path::parse` takes them as they are.
pub(super) fn key_path(key: &str) -> Result<Key, Failure> {
    Key::parse(key).map_err(|error| Failure::refused(format!("{key:?} is no key: {error}"), "correct the sink's url"))
}

fn content(staged: &Staged) -> Content {
    Content { path: staged.path.clone(), bytes: staged.bytes, sha256: staged.sha256, md5: staged.md5 }
}

fn attributes(staged: &Staged) -> Attributes {
    let hex = super::key::hex;
    let kind = if staged.path.extension().is_some_and(|ext| ext == "json") { "application/json" } else { "application/zstd" };
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, kind.into());
    attributes.insert(Attribute::Metadata(META_SHA256.into()), hex(&staged.sha256).into());
    attributes.insert(Attribute::Metadata(META_PLAIN_SHA256.into()), hex(&staged.plain_sha256).into());
    attributes
}

async fn read_part(staged: &Staged, at: u64) -> Result<Vec<u8>, Failure> {
    use std::os::unix::fs::FileExt;
    let (path, left) = (staged.path.clone(), staged.bytes - at);
    let size = PART_BYTES.min(usize::try_from(left).unwrap_or(PART_BYTES));
    let read = tokio::task::spawn_blocking(move || {
        let mut part = vec![0; size];
        std::fs::File::open(path)?.read_exact_at(&mut part, at)?;
        Ok::<_, std::io::Error>(part)
    });
    let read = read.await.map_err(std::io::Error::other).and_then(|part| part);
    read.map_err(|error| {
        Failure::refused(format!("the staged object {} can't be read: {error}", staged.path.display()), "check the state folder's disk")
    })
}

#[cfg(test)]
#[path = "bucket_tests.rs"]
mod tests;
