//! Passwords and tokens: values that are used in one place and appear in no other.
//!
//! Promises that neither `Debug` nor `Display` shows a secret, and that one kept in a file is read again each time it is wanted, so that a
//! rotated password or token works without a restart. Does not wipe memory: whoever can read the daemon's memory can read the file as well.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The largest secret file that is read. Kubernetes tokens are about 1 KiB; anything far larger is the wrong file.
const MAX_BYTES: u64 = 64 * 1024;

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration itself.
    Given(Secret),
    /// In a file, read again at each use. One line ending at its end is not part of the secret.
    File(PathBuf),
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file can't be read.
    #[error("{path}: {error}; check that the file exists and that flowlog may read it", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is empty, too large or no text.
    #[error("{path}: {why}", path = path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; never a part of its content.
        why: &'static str,
    },
}

impl SecretSource {
    /// The secret as it is now.
    ///
    /// # Errors
    /// When the file can't be read, is empty, is larger than 64 KiB, or holds a control character or something that is not UTF-8.
    pub fn read(&self) -> Result<Secret, SecretError> {
        match self {
            SecretSource::Given(secret) => Ok(secret.clone()),
            SecretSource::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<Secret, SecretError> {
    let unreadable = |error| SecretError::Unreadable { path: path.to_owned(), error };
    let unusable = |why| SecretError::Unusable { path: path.to_owned(), why };
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(unreadable)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unusable("is larger than 64 KiB, so it is not a password or token"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| unusable("is not UTF-8 text"))?;
    for ending in ['\n', '\r'] {
        if text.ends_with(ending) {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(unusable("is empty; write the password or token into it"));
    }
    // A header or a SASL message can't carry them, and the error would come from deep below.
    if text.chars().any(char::is_control) {
        return Err(unusable("holds more than one line or a control character"));
    }
    Ok(Secret(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_with(content: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    #[test]
    fn a_secret_prints_neither_by_debug_nor_by_display() {
        let secret = Secret::new("hunter2");
        let source = SecretSource::Given(secret.clone());
        for printed in [format!("{secret}"), format!("{secret:?}"), format!("{source:?}")] {
            assert!(!printed.contains("hunter2"), "{printed}");
        }
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn a_file_is_read_again_and_loses_one_line_ending() {
        let file = file_with(b"first\n");
        let source = SecretSource::File(file.path().to_owned());
        assert_eq!(source.read().unwrap().reveal(), "first");
        std::fs::write(file.path(), "second with blanks \r\n").unwrap();
        assert_eq!(source.read().unwrap().reveal(), "second with blanks ");
    }

    #[test]
    fn what_is_no_secret_is_refused_with_the_path_and_without_the_content() {
        for content in [&b""[..], b"\n", b"secret\nother\n", b"sec\0ret", b"\xff\xfe", &[b's'; 65 * 1024]] {
            let file = file_with(content);
            let error = SecretSource::File(file.path().to_owned()).read().unwrap_err().to_string();
            assert!(error.starts_with(&file.path().display().to_string()), "{error}");
            assert!(!error.contains("sec\0ret") && !error.contains("secret\n"), "{error}");
        }
        let missing = SecretSource::File("/nonexistent/token".into()).read().unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/token") && missing.contains("check that"), "{missing}");
    }
}
