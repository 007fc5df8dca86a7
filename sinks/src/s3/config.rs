//! What an S3 sink is told, and what is checked before anything is contacted.
//!
//! Promises that a setting no put could succeed with is refused at start, by its key in the configuration. Does not
//! read the configuration file; the exporter does, and fills in [`Options`].

use std::path::PathBuf;
use std::time::Duration;

use super::retention::Retention;
use crate::tls::Tls;

/// Where objects go, how they are cut, packed and locked.
#[derive(Clone, Debug)]
pub struct Options {
    /// `s3://bucket/prefix`, or `file:///folder` for an archive on a local file system (same layout, without locks).
    pub url: String,
    /// Address of an S3 server other than AWS, like `https://minio.example:9000`. Default: AWS, by region.
    pub endpoint: Option<String>,
    /// Region in the signature. Default: `AWS_REGION` or `AWS_DEFAULT_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path (`true`) or in the host name. Default: `true` with an `endpoint`, else
    /// `false`.
    pub path_style: Option<bool>,
    /// A file with `aws_access_key_id = …`, `aws_secret_access_key = …` and perhaps `aws_session_token = …`; read
    /// again at every request. Default: environment, web identity, `~/.aws/credentials`, container or instance role.
    pub credentials_file: Option<PathBuf>,
    /// How long objects are locked. Default: not locked by flowlog; the bucket's own default applies.
    pub retention: Option<Retention>,
    /// Whether to set a legal hold on every object, which stays until somebody takes it off. Default: `false`.
    pub legal_hold: bool,
    /// The zstd level, 1 to 19. Default: 3.
    pub level: i32,
    /// TLS files.
    pub tls: Tls,
    /// Packed size at which an object is closed. Default: 64 MiB.
    pub object_bytes: u64,
    /// Records at which an object is closed. Default: no limit.
    pub object_records: u64,
    /// Age of the oldest record's commit at which an object is closed. Default: 10 min; at most an hour helps, since
    /// an object ends with its hour.
    pub max_age: Duration,
    /// Size up to which an object is one put; above it goes up in parts. Default: 128 MiB.
    pub single_put_bytes: u64,
}

impl Options {
    /// The defaults, for a `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            endpoint: None,
            region: None,
            path_style: None,
            credentials_file: None,
            retention: None,
            legal_hold: false,
            level: 3,
            tls: Tls::default(),
            object_bytes: 64 << 20,
            object_records: u64::MAX,
            max_age: Duration::from_secs(600),
            single_put_bytes: 128 << 20,
        }
    }
}

/// Whose records they are: the values in keys and manifests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The cluster's name.
    pub cluster: String,
    /// The flow log's name.
    pub log: String,
    /// The node's name.
    pub node: String,
    /// The daemon's version, as `flowlog --version` prints it.
    pub daemon: String,
}

/// Where `url` leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A bucket, and the prefix of all keys without slashes at its ends.
    Bucket {
        /// The bucket's name.
        bucket: String,
        /// May be empty.
        prefix: String,
    },
    /// A folder.
    Folder(PathBuf),
}

/// A key of the configuration with what is wrong about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct Problem {
    /// The key, as written in the file.
    pub key: &'static str,
    /// What is wrong, and what to write instead.
    pub why: String,
}

impl Options {
    /// Where `url` leads.
    ///
    /// # Errors
    /// When it is neither `s3://bucket[/prefix]` nor `file:///folder`.
    pub fn target(&self) -> Result<Target, Problem> {
        let wrong = |why: &str| Problem { key: "url", why: format!("{:?} {why}", self.url) };
        if let Some(path) = self.url.strip_prefix("file://") {
            let fits = path.len() > 1 && path.starts_with('/');
            return if fits { Ok(Target::Folder(path.into())) } else { Err(wrong("is not file:///folder")) };
        }
        let Some(rest) = self.url.strip_prefix("s3://") else {
            return Err(wrong("is neither s3://bucket/prefix nor file:///folder"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        if !is_bucket(bucket) {
            return Err(wrong("names no bucket: 3 to 63 of a-z, 0-9, dot and dash"));
        }
        if !prefix.is_empty() && !prefix.split('/').all(is_prefix_part) {
            return Err(wrong("has a prefix with other characters than letters, digits, `._-=` and single slashes"));
        }
        Ok(Target::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }

    /// Everything wrong with these options; nothing is contacted. `now` is Unix seconds.
    pub fn problems(&self, now: i64) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.target() {
            Err(problem) => problems.push(problem),
            Ok(Target::Folder(_)) => problems.extend(self.problems_of_a_folder()),
            Ok(Target::Bucket { .. }) => {}
        }
        if let Some(endpoint) = &self.endpoint
            && !is_endpoint(endpoint)
        {
            let why = format!("{endpoint:?} is not http(s)://host or http(s)://host:port");
            problems.push(Problem { key: "endpoint", why });
        }
        if let Some(Err(error)) = self.retention.map(|retention| retention.lock(now)) {
            problems.push(Problem { key: "retention", why: error.to_string() });
        }
        if !(1..=19).contains(&self.level) {
            problems.push(Problem { key: "compression", why: format!("level {} is not 1 to 19", self.level) });
        }
        if let Err(error) = self.tls.check() {
            problems.push(Problem { key: "tls", why: error.to_string() });
        }
        if self.tls.server_name.is_some() {
            let why = "is not for S3: the server has to prove the name in `endpoint`, which is signed with each request; leave it out";
            problems.push(Problem { key: "tls.serverName", why: why.to_owned() });
        }
        problems
    }

    fn problems_of_a_folder(&self) -> impl Iterator<Item = Problem> {
        let lock = "a file:// archive can't be locked; use s3://, or leave it out";
        let other = "has no meaning for a file:// url; leave it out";
        let keys = [
            ("retention", self.retention.is_some(), lock),
            ("legalHold", self.legal_hold, lock),
            ("endpoint", self.endpoint.is_some(), other),
            ("region", self.region.is_some(), other),
            ("pathStyle", self.path_style.is_some(), other),
            ("credentialsFile", self.credentials_file.is_some(), other),
        ];
        keys.into_iter().filter(|(_, set, _)| *set).map(|(key, _, why)| Problem { key, why: why.to_owned() })
    }
}

fn is_bucket(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
    (3..=63).contains(&name.len()) && name.bytes().all(fits)
}

fn is_prefix_part(part: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-=".contains(&b);
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(fits)
}

fn is_endpoint(address: &str) -> bool {
    let host = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"));
    let host = host.unwrap_or("").trim_end_matches('/');
    !host.is_empty() && !host.contains(['/', '@', '?', '#', ' '])
}

#[cfg(test)]
mod tests {
    use super::super::retention::{Mode, Period};
    use super::*;

    #[test]
    fn a_url_leads_to_a_bucket_or_a_folder_or_is_refused() {
        let bucket = |bucket: &str, prefix: &str| Some(Target::Bucket { bucket: bucket.into(), prefix: prefix.into() });
        let cases = [
            ("s3://audit", bucket("audit", "")),
            ("s3://audit/", bucket("audit", "")),
            ("s3://audit/flows", bucket("audit", "flows")),
            ("s3://audit.eu-1/a/b=c/", bucket("audit.eu-1", "a/b=c")),
            ("file:///var/lib/archive", Some(Target::Folder("/var/lib/archive".into()))),
            ("s3://", None),
            ("s3://Audit/x", None),
            ("s3://audit//x", None),
            ("s3://audit/../x", None),
            ("s3://audit/a b", None),
            ("s3://audit/a%20b", None),
            ("file://relative/path", None),
            ("file:///", None),
            ("https://audit/flows", None),
        ];
        for (url, target) in cases {
            assert_eq!(Options::new(url).target().ok(), target, "{url}");
        }
    }

    #[test]
    fn all_problems_of_a_configuration_are_named_by_key() {
        let retention = |period| Some(Retention { mode: Mode::Compliance, period });
        let good = Options { retention: retention(Period::Days(365)), legal_hold: true, ..Options::new("s3://audit") };
        let locked_folder = Options { retention: retention(Period::Days(1)), region: Some("x".into()), ..Options::new("file:///archive") };
        let past = Options { retention: retention(Period::Until(1_700_000_000)), ..Options::new("s3://audit") };
        let endpoint = |text: &str| Options { endpoint: Some(text.into()), ..Options::new("s3://audit") };
        let tls = crate::tls::Tls { server_name: Some("minio".into()), ..crate::tls::Tls::default() };
        let named = Options { tls, ..Options::new("s3://audit") };
        let level = Options { level: 20, ..Options::new("s3://audit") };
        let cases: [(Options, &[&str]); 9] = [
            (good, &[]),
            (locked_folder, &["retention", "region"]),
            (past, &["retention"]),
            (endpoint("http://127.0.0.1:9000/"), &[]),
            (endpoint("minio:9000"), &["endpoint"]),
            (endpoint("http://user:password@host"), &["endpoint"]),
            (level, &["compression"]),
            (named, &["tls.serverName"]),
            (Options { level: 0, ..Options::new("s3://A") }, &["url", "compression"]),
        ];
        for (options, keys) in cases {
            let problems = options.problems(1_800_000_000);
            assert_eq!(problems.iter().map(|problem| problem.key).collect::<Vec<_>>(), keys, "{problems:?}");
        }
    }
}
