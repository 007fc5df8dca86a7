//! TLS towards destinations: which authorities are trusted, which certificate is shown, which name is expected.
//!
//! Promises that there is no way to switch verification off, that a broken file is named with what is wrong with it, and that
//! [`Tls::version`] changes when a file does, so that a client can be built anew with a rotated certificate. Does not watch files: who
//! sends asks before sending, which costs three `stat` calls.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use reqwest::{Certificate, ClientBuilder, Identity};

/// Files of a TLS client, all PEM, and the name the server has to prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate and what stands between it and its authority; with `key_file` only.
    pub cert_file: Option<PathBuf>,
    /// Its private key; with `cert_file` only.
    pub key_file: Option<PathBuf>,
    /// The name expected in the server's certificate, where it is not the address.
    pub server_name: Option<String>,
}

/// What the files looked like: modification time, size and inode of each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsVersion(Vec<Option<(SystemTime, u64, u64)>>);

/// Why the TLS settings can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("tls.{key}: {path}: {error}", path = path.display())]
    Unreadable {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("tls.{key}: {path}: {why}", path = path.display())]
    Unusable {
        /// Key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// One of two keys that belong together is missing.
    #[error("tls.{present} needs tls.{missing} too: a certificate and its key belong together")]
    Half {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
}

impl Tls {
    /// Checks the settings and that every named file can be read and holds PEM of the right kind.
    ///
    /// # Errors
    /// The first problem found.
    pub fn check(&self) -> Result<(), TlsError> {
        self.authorities()?;
        self.identity()?;
        Ok(())
    }

    /// Puts the settings into an HTTP client. `plain` is for `http://` addresses, which need no authorities: without it a machine that
    /// has none installed could not even speak plain HTTP.
    ///
    /// # Errors
    /// The first problem found.
    pub fn apply(&self, builder: ClientBuilder, plain: bool) -> Result<ClientBuilder, TlsError> {
        let mut builder = builder.tls_backend_rustls();
        if plain {
            return Ok(builder.tls_certs_only([]));
        }
        if let Some(authorities) = self.authorities()? {
            builder = builder.tls_certs_only(authorities);
        }
        if let Some(identity) = self.identity()? {
            builder = builder.identity(identity);
        }
        Ok(builder)
    }

    /// What the files look like now; compare with an earlier answer to learn that one changed.
    pub fn version(&self) -> TlsVersion {
        use std::os::unix::fs::MetadataExt;
        let look = |path: &Option<PathBuf>| {
            let metadata = std::fs::metadata(path.as_ref()?).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        };
        TlsVersion([&self.ca_file, &self.cert_file, &self.key_file].map(look).to_vec())
    }

    fn authorities(&self) -> Result<Option<Vec<Certificate>>, TlsError> {
        let Some(path) = &self.ca_file else {
            return Ok(None);
        };
        let unusable = |why| TlsError::Unusable { key: "caFile", path: path.clone(), why };
        let pem = read("caFile", path)?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
        if found.is_empty() {
            return Err(unusable("holds no PEM certificate".to_owned()));
        }
        Ok(Some(found))
    }

    fn identity(&self) -> Result<Option<Identity>, TlsError> {
        let (certificate, key) = match (&self.cert_file, &self.key_file) {
            (None, None) => return Ok(None),
            (Some(_), None) => {
                return Err(TlsError::Half { present: "certFile", missing: "keyFile" });
            }
            (None, Some(_)) => {
                return Err(TlsError::Half { present: "keyFile", missing: "certFile" });
            }
            (Some(certificate), Some(key)) => (certificate, key),
        };
        let mut pem = read("keyFile", key)?;
        pem.push(b'\n');
        pem.extend(read("certFile", certificate)?);
        let unusable = |error: reqwest::Error| TlsError::Unusable {
            key: "certFile",
            path: certificate.clone(),
            why: format!("does not go with {}: {}", key.display(), with_causes(&error)),
        };
        Identity::from_pem(&pem).map(Some).map_err(unusable)
    }
}

/// An error with everything beneath it on one line; reqwest's own text stops at "error sending request".
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Unreadable { key, path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_refused_and_so_is_the_reverse() {
        let half = Tls { cert_file: Some("/nonexistent/a".into()), ..Tls::default() };
        assert_eq!(half.check().unwrap_err().to_string(), "tls.certFile needs tls.keyFile too: a certificate and its key belong together");
        let half = Tls { key_file: Some("/nonexistent/a".into()), ..Tls::default() };
        assert!(half.check().unwrap_err().to_string().starts_with("tls.keyFile needs tls.certFile"));
    }

    #[test]
    fn a_missing_or_empty_authority_file_is_named() {
        let missing = Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..Tls::default() };
        assert!(missing.check().unwrap_err().to_string().starts_with("tls.caFile: /nonexistent/ca.pem: "));
        let file = tempfile::NamedTempFile::new().unwrap();
        let empty = Tls { ca_file: Some(file.path().to_owned()), ..Tls::default() };
        assert!(empty.check().unwrap_err().to_string().contains("holds no PEM certificate"));
    }

    #[test]
    fn a_replaced_file_changes_the_version() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "one").unwrap();
        let tls = Tls { ca_file: Some(path.clone()), ..Tls::default() };
        let before = tls.version();
        assert_eq!(before, tls.version());
        let next = folder.path().join("next.pem");
        std::fs::write(&next, "two!").unwrap();
        std::fs::rename(&next, &path).unwrap();
        assert_ne!(before, tls.version());
    }

    #[test]
    fn plain_http_needs_no_authorities() {
        let client = Tls::default().apply(reqwest::Client::builder(), true).unwrap().build();
        assert!(client.is_ok());
    }
}
