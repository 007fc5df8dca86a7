//! TLS of the listener: the certificate it shows, and the authority without whose signature no client is let in.
//!
//! The files are read again when one of them changes, so a rotated certificate needs no restart; while the new ones can't be used, the old ones stay.
//! There is no way to be half secure: a certificate without a client authority serves whoever connects, which is what plain TLS means; with one, nobody else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowlog_sinks::tls::{Tls as Files, TlsVersion};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

/// Files of the listener's TLS, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenTls {
    /// Its certificate, and what stands between it and its authority.
    pub cert_file: PathBuf,
    /// The certificate's private key.
    pub key_file: PathBuf,
    /// Authorities of clients; without it every client is served.
    pub client_ca_file: Option<PathBuf>,
}

/// Why they can't be used.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {path}: {why}", path = path.display())]
pub struct TlsError {
    setting: &'static str,
    path: PathBuf,
    why: String,
}

/// Accepts TLS, with the files as they are now.
pub struct Acceptor {
    tls: ListenTls,
    version: TlsVersion,
    acceptor: TlsAcceptor,
}

impl Acceptor {
    /// Reads the files.
    ///
    /// # Errors
    /// The first that can't be used.
    pub fn new(tls: ListenTls) -> Result<Self, TlsError> {
        let version = tls.version();
        Ok(Self { acceptor: tls.acceptor()?, version, tls })
    }

    /// The acceptor of the next connection.
    pub fn current(&mut self) -> TlsAcceptor {
        let version = self.tls.version();
        if version != self.version {
            match self.tls.acceptor() {
                Ok(acceptor) => self.acceptor = acceptor,
                Err(error) => tracing::warn!(%error, "the metrics port goes on with the certificate it had"),
            }
            self.version = version;
        }
        self.acceptor.clone()
    }
}

impl ListenTls {
    fn version(&self) -> TlsVersion {
        let (cert_file, key_file) = (Some(self.cert_file.clone()), Some(self.key_file.clone()));
        Files { ca_file: self.client_ca_file.clone(), cert_file, key_file, server_name: None }.version()
    }

    fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let certificates = certificates("listenCertFile", &self.cert_file)?;
        let key = read("listenKeyFile", &self.key_file)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(unusable("listenKeyFile", &self.key_file))?;
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let builder = builder.map_err(unusable("listenCertFile", &self.cert_file))?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for authority in self::certificates("listenClientCaFile", path)? {
                    roots.add(authority).map_err(unusable("listenClientCaFile", path))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(unusable("listenClientCaFile", path))?)
            }
        };
        let config = builder.with_single_cert(certificates, key).map_err(unusable("listenCertFile", &self.cert_file))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(setting: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(setting, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(unusable(setting, path))?;
    if found.is_empty() {
        return Err(unusable(setting, path)("holds no PEM certificate"));
    }
    Ok(found)
}

fn read(setting: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(unusable(setting, path))
}

fn unusable<E: ToString>(setting: &'static str, path: &Path) -> impl FnOnce(E) -> TlsError {
    move |error| TlsError { setting, path: path.to_owned(), why: error.to_string() }
}
