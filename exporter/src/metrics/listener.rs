//! Serves `/metrics`, `/healthz`, `/readyz` and `/status` over HTTP/1.1, on loopback and without TLS by default.
//!
//! The listener never touches the data path: each request calls a function that reads counters. A connection that sends nothing is closed after ten
//! seconds, and at most 64 are open at once, so that a stuck scraper can't exhaust descriptors of a node daemon.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::text::Format;
use super::tls::{Acceptor, ListenTls, TlsError};

/// How long a client may take for its handshake, and for its request.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the listener shows. The daemon implements it over its own counters.
pub trait Pages: Send + Sync + 'static {
    /// The Prometheus exposition.
    fn metrics(&self, format: Format) -> String;
    /// Whether everything that was asked for is running, and if not, why (one reason a line).
    fn ready(&self) -> Result<(), String>;
    /// The document behind `flowlog status`, as JSON.
    fn status(&self) -> String;
}

/// Why the listener could not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be had.
    #[error("cannot listen on {address}: {source}; choose another address with --listen")]
    Address {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of its TLS can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A running listener; dropping it closes the port.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    tls: bool,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and serves until dropped. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address can't be bound, or a file of its TLS can't be used.
    pub async fn start(address: SocketAddr, tls: Option<ListenTls>, pages: Arc<dyn Pages>) -> Result<Self, ListenError> {
        let acceptor = tls.map(Acceptor::new).transpose()?;
        let listener = TcpListener::bind(address).await.map_err(|source| ListenError::Address { address, source })?;
        let address = listener.local_addr().map_err(|source| ListenError::Address { address, source })?;
        Ok(Self { address, tls: acceptor.is_some(), task: tokio::spawn(accept(listener, acceptor, pages)) })
    }

    /// The address that is really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its pages are.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}{}", if self.tls { "https://" } else { "" }, self.address)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, mut acceptor: Option<Acceptor>, pages: Arc<dyn Pages>) {
    let open = Arc::new(Semaphore::new(64));
    loop {
        let Ok(permit) = Arc::clone(&open).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // EMFILE and the like pass; a tight loop would only make them worse.
                tracing::warn!(%error, "cannot accept a connection on the metrics port");
                tokio::time::sleep(Duration::from_millis(200)).await;
                continue;
            }
        };
        let (pages, acceptor) = (Arc::clone(&pages), acceptor.as_mut().map(Acceptor::current));
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, pages).await,
                Some(acceptor) => match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, pages).await,
                    Ok(Err(error)) => tracing::debug!(%error, "a client on the metrics port was not let in"),
                    Err(_) => tracing::debug!("a client on the metrics port did not finish its handshake"),
                },
            }
            drop(permit);
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, pages: Arc<dyn Pages>) {
    let service = service_fn(move |request| {
        let answer = answer(&request, pages.as_ref());
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection on the metrics port ended early");
    }
}

fn answer(request: &Request<Incoming>, pages: &dyn Pages) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return reply(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is answered here\n".to_owned());
    }
    match request.uri().path() {
        "/metrics" => {
            let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let format = Format::accepted(accept);
            reply(StatusCode::OK, format.content_type(), pages.metrics(format))
        }
        "/healthz" => reply(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => match pages.ready() {
            Ok(()) => reply(StatusCode::OK, "text/plain", "ready\n".to_owned()),
            Err(why) => reply(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{why}\n")),
        },
        "/status" => reply(StatusCode::OK, "application/json", pages.status()),
        _ => reply(StatusCode::NOT_FOUND, "text/plain", "try /metrics, /healthz, /readyz or /status\n".to_owned()),
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
