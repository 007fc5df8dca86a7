//! What a Loki sink is told, and what is checked before the first push.
//!
//! Promises that every setting Loki itself would refuse for each push (a label name, a tenant's characters, too many labels) is refused
//! here, at start, with the key. Loki's answer to the same mistake is a 400 for each record.

use std::path::PathBuf;
use std::time::Duration;

use crate::driver::Limits;
use crate::problem::Problem;
use crate::secret::SecretSource;
use crate::tls::Tls;

use super::labels::{self, Label};

/// Where Loki takes pushes, below its address.
pub(super) const PUSH_PATH: &str = "/loki/api/v1/push";
/// Loki's default bound on labels of one stream. It adds `service_name` itself, which counts.
const MAX_LABELS: usize = 15 - 1;
/// Longest tenant name that Loki takes, in bytes.
const MAX_TENANT_BYTES: usize = 150;

/// A Loki sink.
#[derive(Clone, Debug)]
pub struct Options {
    /// Base URL, as in `http://loki:3100` or `https://gateway/prefix`; the push path is appended.
    pub url: String,
    /// Value of `X-Scope-OrgID`; needed when Loki runs with `auth_enabled`.
    pub tenant: Option<String>,
    /// Labels that are the same for every record of this cursor: `job`, `cluster`, `node`, `log`. Together they must name one writer, or
    /// entries of two writers meet in one stream.
    pub fixed: Vec<(String, String)>,
    /// Labels taken from the record, by the path of the value.
    pub labels: Vec<Label>,
    /// Who we are to the server.
    pub auth: Auth,
    /// Form of a push.
    pub encoding: Encoding,
    /// TLS files and the server's name.
    pub tls: Tls,
    /// When a batch is due. A batch holds pushes of several streams.
    pub limits: Limits,
    /// Largest push before compression, in bytes. Loki's default burst is 6 MB and a push above it can never pass. Default 1 MiB.
    pub max_push_bytes: usize,
    /// Longest line that is sent, in bytes; Loki's `max_line_size`. Default 256 KiB, Loki's own. A longer line is refused with its reason.
    pub max_line_bytes: usize,
}

/// How we prove who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Not at all, or by client certificate.
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user.
        username: String,
        /// The password.
        password: SecretSource,
    },
    /// A bearer token; the file is read again for each push.
    Bearer(PathBuf),
}

/// Form of a push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf under snappy: the cheaper one on both sides.
    #[default]
    Protobuf,
    /// JSON, for proxies that look into it and for people.
    Json,
}

impl Options {
    /// A sink of this address with defaults everywhere else.
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            tenant: None,
            fixed: Vec::new(),
            labels: Vec::new(),
            auth: Auth::None,
            encoding: Encoding::Protobuf,
            tls: Tls::default(),
            limits: Limits { max_bytes: 4 << 20, max_records: 100_000, max_age: Duration::from_secs(1) },
            max_push_bytes: 1 << 20,
            max_line_bytes: 256 << 10,
        }
    }

    /// Everything that is wrong with the settings; empty when they can work. Reads no file and asks no server.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |key: &str, why: String| found.push(Problem { key: key.to_owned(), why });
        if let Err(why) = self.push_url() {
            add("url", why);
        }
        if let Some(why) = self.tenant.as_deref().and_then(tenant_problem) {
            add("tenant", why);
        }
        for label in &self.labels {
            if let Err(why) = labels::check(label) {
                add(&format!("labels.{}", label.name), why);
            }
            if self.fixed.iter().any(|(name, _)| *name == label.name) {
                add(
                    &format!("labels.{}", label.name),
                    format!("`{}` is a label that flowlog sets itself; choose another name", label.name),
                );
            }
        }
        let count = self.fixed.len() + self.labels.len();
        if count > MAX_LABELS {
            add("labels", format!("{count} labels with flowlog's own; Loki takes {MAX_LABELS} and keeps one for `service_name`"));
        }
        for (index, label) in self.labels.iter().enumerate() {
            if self.labels[..index].iter().any(|earlier| earlier.name == label.name) {
                add(&format!("labels.{}", label.name), "stands there twice".to_owned());
            }
        }
        if self.max_line_bytes > self.max_push_bytes {
            add("maxPushBytes", format!("is less than the longest line ({} bytes)", self.max_line_bytes));
        }
        if self.tls != Tls::default() && self.url.starts_with("http:") {
            add("tls", "has no effect on an http:// address; write https://".to_owned());
        }
        found
    }

    /// Where pushes go.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the address. It never shows credentials.
    pub fn push_url(&self) -> Result<reqwest::Url, String> {
        let mut url = reqwest::Url::parse(&self.url).map_err(|error| format!("{error}; write it as http://loki:3100"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err("must be an http:// or https:// address; write it as http://loki:3100".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or password, which would be printed with it; use basicAuth".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not hold a query or a fragment".to_owned());
        }
        let path = url.path().trim_end_matches('/').to_owned();
        if !path.ends_with(PUSH_PATH) {
            url.set_path(&format!("{path}{PUSH_PATH}"));
        }
        Ok(url)
    }
}

/// Loki's rule for a tenant: `pkg/dskit/tenant`, the characters that are safe in a path and a URL.
fn tenant_problem(tenant: &str) -> Option<String> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    if tenant.is_empty() {
        Some("is empty; leave it out for a Loki without tenants".to_owned())
    } else if tenant.len() > MAX_TENANT_BYTES {
        Some(format!("is {} bytes long; Loki takes {MAX_TENANT_BYTES}", tenant.len()))
    } else if tenant == "." || tenant == ".." {
        Some("must not be a path".to_owned())
    } else {
        tenant.chars().find(|c| !safe(*c)).map(|c| format!("holds {c:?}; Loki takes letters, digits and ! - _ . * ' ( )"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(change: impl FnOnce(&mut Options)) -> Vec<String> {
        let mut options = Options::new("http://loki:3100");
        options.fixed = vec![("job".into(), "flowlog".into()), ("node".into(), "n1".into())];
        change(&mut options);
        options.problems().into_iter().map(|problem| format!("{}: {}", problem.key, problem.why)).collect()
    }

    fn label(name: &str, path: &str) -> Label {
        Label { name: name.into(), path: path.into() }
    }

    #[test]
    fn the_defaults_and_usual_labels_are_fine() {
        assert_eq!(problems(|options| options.labels = vec![label("source_ns", "source.namespace"), label("verdict", "verdict")]), [""; 0]);
    }

    #[test]
    fn the_push_path_is_appended_once() {
        for (given, wanted) in [
            ("http://loki:3100", "http://loki:3100/loki/api/v1/push"),
            ("http://loki:3100/", "http://loki:3100/loki/api/v1/push"),
            ("https://gate/tenants/a/", "https://gate/tenants/a/loki/api/v1/push"),
            ("http://[::1]:3100/loki/api/v1/push", "http://[::1]:3100/loki/api/v1/push"),
        ] {
            assert_eq!(Options::new(given).push_url().unwrap().as_str(), wanted);
        }
    }

    #[test]
    fn an_address_that_can_not_work_is_refused_without_showing_a_password() {
        for given in ["loki:3100", "ftp://loki", "http://", "http://u:hunter2@loki:3100", "http://loki/?a=b", ""] {
            let why = Options::new(given).push_url().unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn settings_that_loki_would_refuse_for_each_push_are_refused_at_start() {
        for (key, found) in [
            ("tenant:", problems(|options| options.tenant = Some("a/b".into()))),
            ("tenant:", problems(|options| options.tenant = Some("..".into()))),
            ("tenant:", problems(|options| options.tenant = Some("x".repeat(151)))),
            ("labels.node:", problems(|options| options.labels = vec![label("node", "node_name")])),
            ("labels.9x:", problems(|options| options.labels = vec![label("9x", "verdict")])),
            ("labels.pod:", problems(|options| options.labels = vec![label("pod", "source.pod_name")])),
            ("labels.v:", problems(|options| options.labels = vec![label("v", "verdict"), label("v", "Type")])),
            ("labels:", problems(|options| options.labels = (0..13).map(|n| label(&format!("v{n}"), "verdict")).collect())),
            ("maxPushBytes:", problems(|options| options.max_push_bytes = 1000)),
            ("tls:", problems(|options| options.tls.ca_file = Some("ca.pem".into()))),
        ] {
            assert_eq!(found.len(), 1, "{key} {found:?}");
            assert!(found[0].starts_with(key), "{key} {found:?}");
        }
    }
}
