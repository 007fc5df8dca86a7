//! One HTTP request to Loki and its answer.
//!
//! Promises that credentials and TLS files are taken as they are at that moment (a rotated token or certificate needs no restart), that
//! credentials stand in no error, and that no request lasts longer than its time-out. Does not retry and does not judge:
//! [`super::answer`] does.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, DATE, HOST, HeaderName, RETRY_AFTER};

use crate::secret::{SecretError, SecretSource};
use crate::tls::{TlsError, TlsVersion, with_causes};

use super::answer::{Answer, classify, names_streams};
use super::config::{Auth, Encoding, Options, PUSH_PATH};
use super::sharding::desired_rate;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a push may take, answer included.
const PUSH_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of an answer is read.
const MAX_ANSWER_BYTES: usize = 16 << 10;
/// How much of Loki's configuration is read; that of 3.7 has 92 kB.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The address.
    #[error("url: {0}")]
    Url(String),
    /// The TLS files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library refuses the settings.
    #[error("no HTTP client: {0}")]
    Http(String),
}

/// Speaks to one Loki.
pub struct Client {
    options: Options,
    /// Where requests go; the host is `tls.serverName` where that is set.
    url: reqwest::Url,
    /// The host of the configured address and its port, for the `Host` header.
    host: String,
    /// The HTTP client, and what the TLS files were like when it was made.
    http: Mutex<(TlsVersion, reqwest::Client)>,
    /// Answers 429: for a rate, and for the number of streams.
    limited: [AtomicU64; 2],
}

impl Client {
    /// A client of these settings. Sends nothing.
    ///
    /// # Errors
    /// When the address or the TLS files can't be used.
    pub fn new(options: Options) -> Result<Client, ClientError> {
        let mut url = options.push_url().map_err(ClientError::Url)?;
        let host = authority(&url);
        if let Some(name) = options.tls.server_name.as_deref().filter(|_| url.scheme() == "https") {
            url.set_host(Some(name)).map_err(|error| ClientError::Url(format!("tls.serverName {name}: {error}")))?;
        }
        let http = Mutex::new((options.tls.version(), build(&options)?));
        Ok(Client { options, url, host, http, limited: Default::default() })
    }

    /// Sends one push.
    pub async fn push(&self, body: Vec<u8>) -> Answer {
        let request = self.current().post(self.url.clone()).body(body);
        let request = match self.options.encoding {
            Encoding::Protobuf => request.header(CONTENT_TYPE, "application/x-protobuf"),
            Encoding::Json => request.header(CONTENT_TYPE, "application/json"),
        };
        let request = match self.addressed(request) {
            Ok(request) => request,
            Err(error) => return later(error.to_string()),
        };
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                return later(format!("no answer from {}: {}", self.host, with_causes(&error.without_url())));
            }
        };
        let text = beginning(&mut response, MAX_ANSWER_BYTES).await;
        let header = |name: HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let text = String::from_utf8_lossy(&text);
        if response.status() == reqwest::StatusCode::TOO_MANY_REQUESTS {
            self.limited[usize::from(names_streams(&text))].fetch_add(1, Relaxed);
        }
        classify(response.status().as_u16(), header(RETRY_AFTER), &text).dated(header(DATE))
    }

    /// Pushes that met a limit of rate, and of the number of streams.
    pub fn limited(&self) -> [u64; 2] {
        [0, 1].map(|which| self.limited[which].load(Relaxed))
    }

    /// The rate above which this Loki divides streams (see [`super::sharding`]). `None` if it does not, or does not say.
    pub async fn sharding(&self) -> Option<String> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/config", url.path().strip_suffix(PUSH_PATH)?));
        let mut response =
            self.addressed(self.current().get(url)).ok()?.send().await.ok().filter(|response| response.status().is_success())?;
        let config = beginning(&mut response, MAX_CONFIG_BYTES).await;
        desired_rate(&String::from_utf8_lossy(&config)).map(str::to_owned)
    }

    /// Adds what every request carries.
    fn addressed(&self, mut request: reqwest::RequestBuilder) -> Result<reqwest::RequestBuilder, SecretError> {
        if self.options.tls.server_name.is_some() {
            request = request.header(HOST, &self.host);
        }
        if let Some(tenant) = &self.options.tenant {
            request = request.header("X-Scope-OrgID", tenant);
        }
        self.authorise(request)
    }

    fn authorise(&self, request: reqwest::RequestBuilder) -> Result<reqwest::RequestBuilder, SecretError> {
        Ok(match &self.options.auth {
            Auth::None => request,
            Auth::Basic { username, password } => request.basic_auth(username, Some(password.read()?.reveal())),
            Auth::Bearer(file) => request.bearer_auth(SecretSource::File(file.clone()).read()?.reveal()),
        })
    }

    /// The HTTP client for the TLS files as they are. While new files can't be used, the one before goes on.
    fn current(&self) -> reqwest::Client {
        let version = self.options.tls.version();
        let mut held = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != version {
            match build(&self.options) {
                Ok(client) => *held = (version, client),
                Err(error) => {
                    tracing::warn!(%error, "changed TLS files can't be used; the ones before stay in use")
                }
            }
        }
        held.1.clone()
    }
}

/// As much of a response's text as comes, and not more than this.
async fn beginning(response: &mut reqwest::Response, most: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < most {
        match response.chunk().await {
            Ok(Some(chunk)) => text.extend_from_slice(&chunk),
            // The status has come; a text that breaks off only costs the explanation.
            Ok(None) | Err(_) => break,
        }
    }
    text
}

fn later(why: String) -> Answer {
    Answer::Later { why, after: None, size_may_matter: false }
}

/// Host and port as they stand in a `Host` header.
fn authority(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn build(options: &Options) -> Result<reqwest::Client, ClientError> {
    let url = options.push_url().map_err(ClientError::Url)?;
    let plain = url.scheme() == "http";
    let builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(PUSH_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("flowlog/", env!("CARGO_PKG_VERSION")));
    let mut builder = options.tls.apply(builder, plain)?;
    if options.tls.server_name.is_some() && !plain {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        builder = builder.dns_resolver(Elsewhere { host });
    }
    builder.build().map_err(|error| ClientError::Http(with_causes(&error)))
}

/// Answers any name with the addresses of the configured host: how a server is reached under one name and proves another.
struct Elsewhere {
    host: String,
}

impl Resolve for Elsewhere {
    fn resolve(&self, _name: Name) -> Resolving {
        let host = self.host.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
