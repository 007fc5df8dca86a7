//! One S3 bucket: create-only uploads with locks, and what the server says about an object.
//!
//! It never overwrites and never deletes; it needs no permission to. A put that the server confirmed is not yet a
//! stored object: whether the lock is there is asked for separately (`Store` in `store.rs` does).

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use http::Method;
use object_store::{
    Attribute, Attributes, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutMultipartOptions,
    PutOptions, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, AwsCredentialProvider, Checksum},
    path::Path as Key,
    signer::{SignedUrlOptions, Signer},
};

use super::{
    config::{Config, Problem},
    credentials::CredentialsFile,
    failure::{Failure, Kind},
    lock::{Content, LockConnector, Seen, Upload},
    object::Staged,
    retention::{Clock, Lock},
};

/// Up to this size an object is one put, which is atomic and conditional; above it is uploaded in parts.
const SINGLE_PUT_BYTES: u64 = 128 << 20;
/// Size of a part, and memory an upload in parts needs.
const PART_BYTES: usize = 8 << 20;
/// Uploads are given this many bytes per second at least before they time out.
const SLOWEST_UPLOAD: u64 = 128 << 10;
/// A presigned request is used at once.
const PRESIGNED_FOR: Duration = Duration::from_secs(300);

/// Certificates for the connection.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// PEM of the issuers to trust instead of the system's.
    pub issuers: Option<Vec<u8>>,
    /// PEM of the client's certificate followed by its key.
    pub client: Option<Vec<u8>>,
}

/// A bucket.
#[derive(Debug)]
pub struct Bucket {
    store: AmazonS3,
    http: reqwest::Client,
    clock: Arc<Clock>,
    name: String,
    single_put_bytes: u64,
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
    pub fn new(
        config: &Config,
        bucket: &str,
        certificates: &Certificates,
    ) -> Result<Self, Problem> {
        let http = http_client(certificates)?;
        let clock = Arc::new(Clock::default());
        let region = config
            .region
            .clone()
            .or_else(|| std::env::var("AWS_REGION").ok())
            .unwrap_or_else(|| "us-east-1".to_owned());
        let base = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_region(&region);
        let credentials: AwsCredentialProvider = match &config.credentials_file {
            Some(path) => Arc::new(CredentialsFile::new(path.clone())),
            None => Arc::clone(base.clone().build().map_err(unusable)?.credentials()),
        };
        let connector = LockConnector {
            client: http.clone(),
            credentials: Arc::clone(&credentials),
            region,
            clock: Arc::clone(&clock),
        };
        let retry = RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(30),
            ..RetryConfig::default()
        };
        let mut builder = base
            .with_credentials(credentials)
            .with_http_connector(connector)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_retry(retry);
        let path_style = config.path_style.unwrap_or(config.endpoint.is_some());
        builder = builder.with_virtual_hosted_style_request(!path_style);
        if let Some(endpoint) = &config.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            let endpoint = match endpoint.split_once("://") {
                Some((scheme, host)) if !path_style => format!("{scheme}://{bucket}.{host}"),
                _ => endpoint.to_owned(),
            };
            builder = builder
                .with_allow_http(endpoint.starts_with("http://"))
                .with_endpoint(endpoint);
        }
        let store = builder.build().map_err(unusable)?;
        Ok(Self {
            store,
            http,
            clock,
            name: bucket.to_owned(),
            single_put_bytes: SINGLE_PUT_BYTES,
        })
    }

    /// The same bucket with another limit between one put and parts.
    #[must_use]
    pub fn with_single_put_bytes(self, single_put_bytes: u64) -> Self {
        Self {
            single_put_bytes,
            ..self
        }
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
    pub async fn create(
        &self,
        key: &str,
        staged: &Staged,
        lock: Option<Lock>,
        legal_hold: bool,
    ) -> Result<(), Failure> {
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
        let limit = Duration::from_secs(60 + staged.bytes / SLOWEST_UPLOAD);
        let doing = format!("putting {path}");
        match tokio::time::timeout(limit, self.store.put_opts(path, PutPayload::new(), options))
            .await
        {
            Ok(answer) => answer
                .map(|_| ())
                .map_err(|error| Failure::of(&doing, &error)),
            Err(_) => Err(Failure {
                kind: Kind::Unknown,
                why: format!("{doing}: no answer within {} s", limit.as_secs()),
                hint: None,
            }),
        }
    }

    /// Uploads in parts, one at a time. The lock goes on the creation only, `If-None-Match` on the completion only.
    async fn put_parts(&self, path: &Key, staged: &Staged, upload: Upload) -> Result<(), Failure> {
        let doing = format!("putting {path} in parts");
        let failed = |error: object_store::Error| Failure::of(&doing, &error);
        let mut options = PutMultipartOptions::default();
        options.attributes = attributes(staged);
        options.extensions.insert(upload);
        let mut parts = self
            .store
            .put_multipart_opts(path, options)
            .await
            .map_err(failed)?;
        let result = async {
            let mut at = 0;
            while at < staged.bytes {
                let part = read_part(staged, at).await?;
                at += part.len() as u64;
                parts.put_part(part.into()).await.map_err(failed)?;
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
                return if failure.kind == Kind::NotFound {
                    Ok(None)
                } else {
                    Err(failure)
                };
            }
        };
        let meta = |name: &'static str| {
            found
                .attributes
                .get(&Attribute::Metadata(name.into()))
                .map(|value| value.to_string())
        };
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

    /// All keys below `folder`.
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, Failure> {
        let below = key_path(folder)?;
        let found = self
            .store
            .list(Some(&below))
            .map_ok(|meta| meta.location.to_string())
            .try_collect();
        found
            .await
            .map_err(|error| Failure::of(&format!("listing {folder}"), &error))
    }

    /// Locks a version that is there, or locks it longer (PutObjectRetention).
    ///
    /// # Errors
    /// What the server or the network said.
    pub async fn lengthen(&self, key: &str, version: &str, lock: &Lock) -> Result<(), Failure> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>",
            lock.mode.as_str(),
            lock.until_text()
        );
        self.presigned(
            Method::PUT,
            key,
            &[("retention", ""), ("versionId", version)],
            body,
        )
        .await
        .map(|_| ())
    }

    /// The answer to `GET ?name` on the bucket.
    pub(super) async fn configuration(&self, name: &str) -> Result<String, Failure> {
        self.presigned(Method::GET, "", &[(name, "")], String::new())
            .await
    }

    /// Sends a request that `object_store` has no call for.
    async fn presigned(
        &self,
        method: Method,
        key: &str,
        query: &[(&str, &str)],
        body: String,
    ) -> Result<String, Failure> {
        let name = query.first().map_or("", |(name, _)| name);
        let place = if key.is_empty() {
            format!("bucket {}", self.name)
        } else {
            key.to_owned()
        };
        let doing = format!("{method} ?{name} of {place}");
        let options = SignedUrlOptions::default().with_query(query.iter().copied());
        let url = self
            .store
            .signed_url_opts(method.clone(), &key_path(key)?, PRESIGNED_FOR, &options)
            .await
            .map_err(|error| Failure::of(&doing, &error))?;
        let unknown = |error: reqwest::Error| {
            let why = format!("{doing}: {}", error.without_url());
            Failure {
                kind: Kind::Unknown,
                why,
                hint: None,
            }
        };
        let mut request = self.http.request(method, url.as_str());
        if !body.is_empty() {
            let md5 = <md5::Md5 as sha2::Digest>::digest(&body);
            request = request
                .header(
                    "content-md5",
                    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, md5),
                )
                .body(body);
        }
        let answer = request.send().await.map_err(unknown)?;
        if let Some(date) = answer
            .headers()
            .get(http::header::DATE)
            .and_then(|date| date.to_str().ok())
        {
            self.clock.learn(date);
        }
        let status = answer.status();
        let text = answer.text().await.map_err(unknown)?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(Failure::of_status(&doing, status.as_u16(), &text))
        }
    }
}

fn http_client(certificates: &Certificates) -> Result<reqwest::Client, Problem> {
    let wrong = |what: &str, error: reqwest::Error| Problem {
        key: "tls",
        why: format!("{what}: {error}"),
    };
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("flowlog/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(60))
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = &certificates.issuers {
        let issuers = reqwest::Certificate::from_pem_bundle(pem)
            .map_err(|error| wrong("caFile holds no certificates", error))?;
        builder = builder.tls_certs_only(issuers);
    }
    if let Some(pem) = &certificates.client {
        let identity = reqwest::Identity::from_pem(pem)
            .map_err(|error| wrong("certFile and keyFile don't fit", error))?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| wrong("no TLS with these files", error))
}

fn unusable(error: object_store::Error) -> Problem {
    Problem {
        key: "url",
        why: error.to_string(),
    }
}

/// Our keys are percent-encoded already; `Path::parse` takes them as they are.
fn key_path(key: &str) -> Result<Key, Failure> {
    Key::parse(key).map_err(|error| {
        Failure::refused(
            format!("{key:?} is no key: {error}"),
            "correct the sink's url",
        )
    })
}

fn content(staged: &Staged) -> Content {
    Content {
        path: staged.path.clone(),
        bytes: staged.bytes,
        sha256: staged.sha256,
        md5: staged.md5,
    }
}

fn attributes(staged: &Staged) -> Attributes {
    let hex = super::key::hex;
    let kind = if staged.path.extension().is_some_and(|ext| ext == "json") {
        "application/json"
    } else {
        "application/zstd"
    };
    let mut attributes = Attributes::new();
    attributes.insert(Attribute::ContentType, kind.into());
    attributes.insert(
        Attribute::Metadata(META_SHA256.into()),
        hex(&staged.sha256).into(),
    );
    attributes.insert(
        Attribute::Metadata(META_PLAIN_SHA256.into()),
        hex(&staged.plain_sha256).into(),
    );
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
    let read = read
        .await
        .map_err(std::io::Error::other)
        .and_then(|part| part);
    read.map_err(|error| {
        Failure::refused(
            format!(
                "the staged object {} can't be read: {error}",
                staged.path.display()
            ),
            "check the state folder's disk",
        )
    })
}
