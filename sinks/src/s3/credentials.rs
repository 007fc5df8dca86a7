//! Where the credentials come from: our own file key if the configuration names one, else the chain of `object_store`:
//! environment, web identity (IRSA), container and pod identity, instance metadata (IMDSv2).
//!
//! The file is read again at every request, so renewing a key needs neither reload nor signal.

use std::{fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use object_store::{CredentialProvider, aws::AwsCredential};

/// Reads key and secret from a file in the form of `~/.aws/credentials`: `aws_access_key_id = …`,
/// `aws_secret_access_key = …` and, for temporary ones, `aws_session_token = …`, in the first section or none.
#[derive(Debug)]
pub struct CredentialsFile {
    path: PathBuf,
}

/// Why a credentials file can't be used. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read.
    #[error("credentialsFile {0} can't be read: {1}; is it there, and may flowlog's user read it?")]
    Read(PathBuf, std::io::Error),
    /// A line is missing.
    #[error("credentialsFile {0} has no line `{1} = …`")]
    Missing(PathBuf, &'static str),
}

impl CredentialsFile {
    /// The provider for the file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read or lacks key or secret.
    pub fn read(&self) -> Result<AwsCredential, CredentialsError> {
        let text = fs::read_to_string(&self.path).map_err(|error| CredentialsError::Read(self.path.clone(), error))?;
        let mut lines = text.lines().map(str::trim).skip_while(|line| line.is_empty() || line.starts_with(['#', ';', '[']));
        let section: Vec<(&str, &str)> = lines
            .by_ref()
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let find = |name: &str| section.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        let need = |name: &'static str| find(name).ok_or_else(|| CredentialsError::Missing(self.path.clone(), name));
        Ok(AwsCredential {
            key_id: need("aws_access_key_id")?,
            secret_key: need("aws_secret_access_key")?,
            token: find("aws_session_token"),
        })
    }
}

#[async_trait]
impl CredentialProvider for CredentialsFile {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.read().map(Arc::new).map_err(|error| object_store::Error::Generic { store: "S3", source: Box::new(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AwsCredential, CredentialsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        fs::write(&path, text).unwrap();
        CredentialsFile::new(path).read()
    }

    #[test]
    fn the_first_section_of_an_aws_credentials_file_is_used() {
        let text = "# ours\n\n[default]\naws_access_key_id = AKIA1\naws_secret_access_key=s/e=c\naws_session_token = t\n[other]\naws_access_key_id = AKIA2\n";
        let found = read(text).unwrap();
        assert_eq!((found.key_id.as_str(), found.secret_key.as_str(), found.token.as_deref()), ("AKIA1", "s/e=c", Some("t")));
        let bare = read("aws_access_key_id=a\naws_secret_access_key=b").unwrap();
        assert_eq!((bare.key_id.as_str(), bare.secret_key.as_str(), bare.token), ("a", "b", None));
    }

    #[test]
    fn a_file_without_a_secret_is_refused_by_name_and_the_key_is_not_printed() {
        let error = read("aws_access_key_id = AKIASECRET\n").unwrap_err().to_string();
        assert!(error.contains("aws_secret_access_key") && !error.contains("AKIASECRET"), "{error}");
        let error = CredentialsFile::new("/nowhere/at/all".into()).read().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("can't be read"), "{error}");
    }
}
