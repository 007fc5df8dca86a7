//! Lock headers on uploads. `object_store` has no Object Lock of its own, so:
//!
//! 1. the upload carries an [`Upload`] in its extensions, which `object_store` hands on to the HTTP request
//!    (undocumented: the version is pinned, a test watches over it);
//! 2. [`LockService`], between `object_store` and the HTTP client, adds the headers and **signs again**: S3 refuses
//!    `x-amz-*` headers that are not signed, and a header a proxy could strip unnoticed would protect nothing;
//! 3. the service notes in the [`Upload`] that it did so. An upload without that note, or whose lock the server does
//!    not confirm afterwards, does not count as stored: it fails closed.
//!
//! The same service streams the object's bytes from its file (`object_store` takes payloads in memory only), gives
//! every completed multipart upload its `If-None-Match`, and learns the endpoint's clock.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_LENGTH, DATE, IF_NONE_MATCH},
};
use object_store::{
    ClientOptions,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService},
};
use tokio_util::io::ReaderStream;

use super::retention::{Clock, Lock};

/// Bytes read from the file at a time.
const CHUNK: usize = 256 << 10;

const LOCK_MODE: HeaderName = HeaderName::from_static("x-amz-object-lock-mode");
const LOCK_UNTIL: HeaderName = HeaderName::from_static("x-amz-object-lock-retain-until-date");
const LEGAL_HOLD: HeaderName = HeaderName::from_static("x-amz-object-lock-legal-hold");
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const CHECKSUM_ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");
const PAYLOAD_DIGEST: HeaderName = HeaderName::from_static("x-amz-content-sha256");

/// What the service has to add to an upload; put it into the extensions of a put or of a created multipart upload.
#[derive(Clone, Debug)]
pub struct Upload {
    /// Mode and date, if objects are to be locked.
    pub lock: Option<Lock>,
    /// Whether to set a legal hold, which has no end of its own.
    pub legal_hold: bool,
    /// For a single put: the file to send instead of the (empty) payload.
    pub file: Option<Content>,
    /// Set by the service once the headers are on a signed request.
    signed: Arc<AtomicBool>,
}

/// The bytes of a single put.
#[derive(Clone, Debug)]
pub struct Content {
    /// Where they lie.
    pub path: PathBuf,
    /// How many they are.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// Their MD5.
    pub md5: [u8; 16],
}

/// What a server said about a lock, in the headers of an answer. Copied to the response's extensions, from which
/// `object_store` hands it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The lock, if the answer names one.
    pub lock: Option<Lock>,
    /// Whether it names a legal hold.
    pub legal_hold: bool,
}

impl Upload {
    /// An upload with these locks; `file` for a single put, `None` for a multipart upload.
    pub fn new(lock: Option<Lock>, legal_hold: bool, file: Option<Content>) -> Self {
        Self { lock, legal_hold, file, signed: Arc::new(AtomicBool::new(false)) }
    }

    /// Whether the request really went through the service.
    pub fn was_signed(&self) -> bool {
        self.signed.load(Ordering::Acquire)
    }

    fn write_headers(&self, headers: &mut HeaderMap) -> Result<(), Failed> {
        if let Some(lock) = &self.lock {
            headers.insert(LOCK_MODE, HeaderValue::from_static(lock.mode.as_str()));
            headers.insert(LOCK_UNTIL, value(&lock.until_text())?);
        }
        if self.legal_hold {
            headers.insert(LEGAL_HOLD, HeaderValue::from_static("ON"));
        }
        headers.insert(CHECKSUM_ALGORITHM, HeaderValue::from_static("SHA256"));
        if let Some(file) = &self.file {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(file.bytes));
            headers.insert(CHECKSUM, value(&BASE64_STANDARD.encode(file.sha256))?);
            headers.insert(CONTENT_MD5, value(&BASE64_STANDARD.encode(file.md5))?);
        }
        Ok(())
    }
}

/// Makes [`LockService`]s: the connector to give to `object_store`.
#[derive(Debug)]
pub struct LockConnector {
    /// Sends everything without content.
    pub client: reqwest::Client,
    /// Sends objects and parts. Without a read timeout: reqwest counts it from the start of a request to the head of its answer, so an upload that takes
    /// longer would never be stored, however often it is tried.
    pub uploads: reqwest::Client,
    /// The same provider `object_store` signs with.
    pub credentials: AwsCredentialProvider,
    /// The region in the signature.
    pub region: String,
    /// Learns from every answer.
    pub clock: Arc<Clock>,
}

impl HttpConnector for LockConnector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(LockService {
            client: self.client.clone(),
            uploads: self.uploads.clone(),
            credentials: Arc::clone(&self.credentials),
            region: self.region.clone(),
            clock: Arc::clone(&self.clock),
        }))
    }
}

/// Sends requests, with lock headers where an [`Upload`] asks for them.
#[derive(Debug)]
struct LockService {
    client: reqwest::Client,
    uploads: reqwest::Client,
    credentials: AwsCredentialProvider,
    region: String,
    clock: Arc<Clock>,
}

/// Why a request could not be prepared; it was not sent.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0:?} can't stand in a header")]
    Header(String),
    #[error("the request came unsigned, so its payload's digest is unknown")]
    Unsigned,
    #[error("the staged object {0} can't be read: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the request can't be signed: {0}")]
    Sign(#[from] object_store::Error),
    #[error("the request's address can't be read: {0}")]
    Address(String),
}

impl From<Failed> for HttpError {
    fn from(failed: Failed) -> Self {
        HttpError::new(HttpErrorKind::Unknown, failed)
    }
}

#[async_trait]
impl HttpService for LockService {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let upload = request.extensions().get::<Upload>().cloned();
        if let Some(upload) = &upload {
            upload.write_headers(request.headers_mut())?;
            let digest = match &upload.file {
                Some(file) => file.sha256,
                None => digest_of(request.headers())?,
            };
            self.sign(&mut request, digest).await?;
            upload.signed.store(true, Ordering::Release);
        } else if completes_upload(&request) {
            request.headers_mut().insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
            let digest = digest_of(request.headers())?;
            self.sign(&mut request, digest).await?;
        }
        let answer = match upload.and_then(|upload| upload.file) {
            Some(file) => self.send_file(request, &file).await?,
            None => {
                let client = if request.method() == Method::PUT { &self.uploads } else { &self.client };
                HttpClient::new(client.clone()).execute(request).await?
            }
        };
        Ok(self.note(answer))
    }
}

impl LockService {
    /// Signs, or signs again: signing overwrites date, digest and authorization. The digest is always passed, since the
    /// signer of object_store 0.14.2 would take every payload for an empty one.
    async fn sign(&self, request: &mut HttpRequest, digest: [u8; 32]) -> Result<(), Failed> {
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(request, Some(&digest))?;
        Ok(())
    }

    async fn send_file(&self, request: HttpRequest, content: &Content) -> Result<HttpResponse, HttpError> {
        let (parts, _empty) = request.into_parts();
        let file = tokio::fs::File::open(&content.path).await.map_err(|error| Failed::File(content.path.clone(), error))?;
        let url = parts.uri.to_string().parse().map_err(|_| Failed::Address(parts.uri.to_string()))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(reqwest::Body::wrap_stream(ReaderStream::with_capacity(file, CHUNK)));
        let answer = self.uploads.execute(request).await.map_err(failed_to_send)?;
        let (parts, body) = http::Response::from(answer).into_parts();
        let body = http_body_util::BodyExt::map_err(body, failed_to_send);
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }

    fn note(&self, mut answer: HttpResponse) -> HttpResponse {
        let text = |name: &HeaderName| answer.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(date) = text(&DATE) {
            self.clock.learn(date);
        }
        let seen = Seen {
            lock: Lock::parse(text(&LOCK_MODE).unwrap_or(""), text(&LOCK_UNTIL).unwrap_or("")),
            legal_hold: text(&LEGAL_HOLD) == Some("ON"),
        };
        answer.extensions_mut().insert(seen);
        answer
    }
}

fn value(text: &str) -> Result<HeaderValue, Failed> {
    HeaderValue::from_str(text).map_err(|_| Failed::Header(text.to_owned()))
}

/// The payload's SHA-256 as the first signature states it.
fn digest_of(headers: &HeaderMap) -> Result<[u8; 32], Failed> {
    let text = headers.get(PAYLOAD_DIGEST).and_then(|value| value.to_str().ok()).unwrap_or("");
    let mut digest = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(Failed::Unsigned);
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[at * 2..at * 2 + 2], 16).map_err(|_| Failed::Unsigned)?;
    }
    Ok(digest)
}

/// Whether this is CompleteMultipartUpload: the only POST that names an upload.
fn completes_upload(request: &HttpRequest) -> bool {
    request.method() == Method::POST && request.uri().query().is_some_and(|query| query.starts_with("uploadId="))
}

/// Sorts a failure as `object_store` needs it: whether the request may have reached the server.
fn failed_to_send(error: reqwest::Error) -> HttpError {
    let kind = if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}
