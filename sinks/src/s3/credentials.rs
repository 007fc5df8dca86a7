//! Where the credentials come from: our own file key if the configuration names one, else the chain that AWS's own tools follow: environment
//! (`AWS_ACCESS_KEY_ID`), web identity (`AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`), the shared file (`AWS_SHARED_CREDENTIALS_FILE` or
//! `~/.aws/credentials`, section `AWS_PROFILE`), container and pod identity, instance metadata (IMDSv2).
//!
//! Nothing has to be restarted for new credentials: files are read again at every request, temporary ones are fetched again some minutes before they expire.
//! Which source it is, is decided once, at the start. A source that fails is named in the error; another is not tried behind its back.

use std::path::{Path, PathBuf};
use std::{fs, sync::Arc};

use async_trait::async_trait;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider};
use object_store::{Certificate, ClientOptions, CredentialProvider};

use super::config::{Options, Problem};

/// Where credentials come from, where the configuration does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Environment,
    WebIdentity,
    Shared(CredentialsFile),
    Container,
    Instance,
}

/// The provider of a sink's credentials. `base` is the builder of its store.
///
/// # Errors
/// When the settings of the source can't be used.
pub fn provider(options: &Options, base: &AmazonS3Builder) -> Result<AwsCredentialProvider, Problem> {
    if let Some(path) = &options.credentials_file {
        return Ok(Arc::new(CredentialsFile::new(path.clone())));
    }
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let source = match source(&env) {
        Source::Shared(file) => return Ok(Arc::new(file)),
        Source::Environment => "the environment (AWS_ACCESS_KEY_ID)",
        Source::WebIdentity => "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)",
        Source::Container => "the container (AWS_CONTAINER_CREDENTIALS_…)",
        Source::Instance => "the instance metadata service",
    };
    let mut base = base.clone().with_client_options(trusting(options)?);
    if let Some(endpoint) = env("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        base = base.with_metadata_endpoint(endpoint.trim_end_matches('/'));
    }
    let built = base.build().map_err(|error| Problem { key: "url", why: format!("no credentials from {source}: {error}") })?;
    Ok(Arc::new(Named { source, provider: Arc::clone(built.credentials()) }))
}

/// The authorities of `tls.caFile` beside the system's: the server that gives out credentials may be the same private one.
fn trusting(options: &Options) -> Result<ClientOptions, Problem> {
    let Some(path) = &options.tls.ca_file else {
        return Ok(ClientOptions::new());
    };
    let wrong = |why: String| Problem { key: "tls.caFile", why: format!("{}: {why}", path.display()) };
    let pem = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    Ok(found.into_iter().fold(ClientOptions::new(), ClientOptions::with_root_certificate))
}

fn source(env: &dyn Fn(&str) -> Option<String>) -> Source {
    let any = |names: &[&str]| names.iter().any(|name| env(name).is_some());
    if any(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]) {
        return Source::Environment;
    }
    if env("AWS_WEB_IDENTITY_TOKEN_FILE").and(env("AWS_ROLE_ARN")).is_some() {
        return Source::WebIdentity;
    }
    let shared = env("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let shared = shared.or_else(|| Some(Path::new(&env("HOME")?).join(".aws/credentials")));
    if let Some(path) = shared {
        let file = CredentialsFile { path, section: Some(env("AWS_PROFILE").unwrap_or_else(|| "default".to_owned())) };
        // What nobody asked for by name may be there for something else.
        if any(&["AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE"]) || file.read().is_ok() {
            return Source::Shared(file);
        }
    }
    if any(&["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]) {
        Source::Container
    } else {
        Source::Instance
    }
}

/// A provider whose errors say which one it is.
#[derive(Debug)]
struct Named {
    source: &'static str,
    provider: AwsCredentialProvider,
}

/// No credentials can be had just now.
#[derive(Debug, thiserror::Error)]
#[error("no credentials from {source_name}")]
struct NoCredentials {
    source_name: &'static str,
    source: object_store::Error,
}

#[async_trait]
impl CredentialProvider for Named {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        self.provider.get_credential().await.map_err(|source| {
            let source = Box::new(NoCredentials { source_name: self.source, source });
            object_store::Error::Generic { store: "S3", source }
        })
    }
}

/// Reads key and secret from a file in the form of `~/.aws/credentials`: `aws_access_key_id = …`,
/// `aws_secret_access_key = …` and, for temporary ones, `aws_session_token = …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsFile {
    path: PathBuf,
    /// The section they stand in; `None` takes the first one, or what stands before any.
    section: Option<String>,
}

/// Why a credentials file can't be used. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// It can't be read.
    #[error("the credentials file {0} can't be read: {1}; is it there, and may flowlog's user read it?")]
    Read(PathBuf, std::io::Error),
    /// A line is missing.
    #[error("the credentials file {0} has no line `{1} = …`{section}", section = .2.as_ref().map(|name| format!(" in its section [{name}] (AWS_PROFILE)")).unwrap_or_default())]
    Missing(PathBuf, &'static str, Option<String>),
}

impl CredentialsFile {
    /// The provider for the file at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, section: None }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it can't be read or lacks key or secret.
    pub fn read(&self) -> Result<AwsCredential, CredentialsError> {
        let text = fs::read_to_string(&self.path).map_err(|error| CredentialsError::Read(self.path.clone(), error))?;
        let mut lines = text.lines().map(str::trim);
        if let Some(name) = &self.section {
            let is_it =
                |line: &str| line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).is_some_and(|found| found.trim() == name);
            lines.by_ref().find(|line| is_it(line));
        }
        let section: Vec<(&str, &str)> = lines
            .skip_while(|line| line.is_empty() || line.starts_with(['#', ';']) || (self.section.is_none() && line.starts_with('[')))
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.trim(), value.trim()))
            .collect();
        let find = |name: &str| section.iter().find(|(found, _)| *found == name).map(|(_, value)| (*value).to_owned());
        let need = |name: &'static str| find(name).ok_or_else(|| CredentialsError::Missing(self.path.clone(), name, self.section.clone()));
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
    fn a_named_section_is_used_wherever_it_stands_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credentials");
        let text = "[default]\naws_access_key_id = A\naws_secret_access_key = B\n\n[ audit ]\n# ours\naws_access_key_id = C\naws_secret_access_key = D\n[empty]\n[last]\naws_access_key_id = E\n";
        fs::write(&path, text).unwrap();
        let read = |section: &str| CredentialsFile { path: path.clone(), section: Some(section.to_owned()) }.read();
        assert_eq!(read("audit").map(|found| found.key_id).unwrap(), "C");
        assert_eq!(read("default").map(|found| found.key_id).unwrap(), "A");
        for section in ["empty", "last", "none"] {
            let error = read(section).unwrap_err().to_string();
            assert!(error.contains(&format!("[{section}] (AWS_PROFILE)")), "{error}");
        }
    }

    #[test]
    fn the_chain_takes_the_first_source_there_is_and_the_shared_file_only_if_it_fits_or_is_asked_for() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(".aws/credentials");
        fs::create_dir(home.path().join(".aws")).unwrap();
        let shared = |path: &Path, section: &str| Source::Shared(CredentialsFile { path: path.into(), section: Some(section.into()) });
        let home_is = ("HOME", home.path().to_str().unwrap());
        let found = |vars: &[(&str, &str)]| source(&|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        assert_eq!(found(&[]), Source::Instance);
        assert_eq!(found(&[home_is]), Source::Instance, "no file");
        fs::write(&path, "[other]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
        assert_eq!(found(&[home_is]), Source::Instance, "a file for something else");
        assert_eq!(found(&[home_is, ("AWS_PROFILE", "other")]), shared(&path, "other"));
        assert_eq!(found(&[home_is, ("AWS_PROFILE", "none")]), shared(&path, "none"), "asked for, so its absence has to be said");
        assert_eq!(found(&[home_is, ("AWS_SHARED_CREDENTIALS_FILE", "/k")]), shared(Path::new("/k"), "default"));
        fs::write(&path, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
        let container = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
        let web = [("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"), ("AWS_ROLE_ARN", "arn")];
        assert_eq!(found(&[home_is, container]), shared(&path, "default"));
        assert_eq!(found(&[container]), Source::Container);
        assert_eq!(found(&[home_is, web[0], web[1]]), Source::WebIdentity);
        assert_eq!(found(&[home_is, web[0]]), shared(&path, "default"));
        assert_eq!(found(&[web[0], web[1], ("AWS_ACCESS_KEY_ID", "a")]), Source::Environment);
    }

    #[test]
    fn a_file_without_a_secret_is_refused_by_name_and_the_key_is_not_printed() {
        let error = read("aws_access_key_id = AKIASECRET\n").unwrap_err().to_string();
        assert!(error.contains("aws_secret_access_key") && !error.contains("AKIASECRET"), "{error}");
        let error = CredentialsFile::new("/nowhere/at/all".into()).read().unwrap_err().to_string();
        assert!(error.contains("/nowhere/at/all") && error.contains("can't be read"), "{error}");
    }
}
