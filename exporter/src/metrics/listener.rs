//! Serves `/metrics`, `/healthz`, `/readyz` and `/status` over plain HTTP/1.1, on loopback by default.
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
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::text::Format;

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
#[error("cannot listen on {address}: {source}; choose another address with --listen")]
pub struct ListenError {
    address: SocketAddr,
    source: std::io::Error,
}

/// A running listener; dropping it closes the port.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Listener {
    /// Binds `address` and serves until dropped. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// When the address can't be bound.
    pub async fn start(address: SocketAddr, pages: Arc<dyn Pages>) -> Result<Self, ListenError> {
        let listener = TcpListener::bind(address).await.map_err(|source| ListenError { address, source })?;
        let address = listener.local_addr().map_err(|source| ListenError { address, source })?;
        Ok(Self { address, task: tokio::spawn(accept(listener, pages)) })
    }

    /// The address that is really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, pages: Arc<dyn Pages>) {
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
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, pages.as_ref());
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(10))
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection on the metrics port ended early");
            }
            drop(permit);
        });
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
