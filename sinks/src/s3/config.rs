//! The configuration of an S3 sink, as it stands under `sinks.<name>` with `type: s3`.
//!
//! What is common to all sinks (`batch`, `whenFull`, `drainTimeout`, `tls`) is read elsewhere and handed to the sink.

use std::path::PathBuf;

use serde::Deserialize;

use super::retention::Retention;

/// Compressed size at which an object is closed.
pub const OBJECT_BYTES: u64 = 64 << 20;

/// Where objects go and how they are locked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// `s3://bucket/prefix`, or `file:///folder` for an archive on a local file system (same layout, without locks).
    pub url: String,
    /// Address of an S3 server other than AWS, like `https://minio.example:9000`. Default: AWS, by region.
    pub endpoint: Option<String>,
    /// Region in the signature. Default: `AWS_REGION`, else `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path (`true`) or in the host name. Default: `true` with an `endpoint`, else `false`.
    pub path_style: Option<bool>,
    /// A file with `aws_access_key_id = …`, `aws_secret_access_key = …` and perhaps `aws_session_token = …`; read again
    /// at every request. Default: environment, web identity, container or instance role.
    pub credentials_file: Option<PathBuf>,
    /// How long objects are locked: `mode` GOVERNANCE or COMPLIANCE, and `days` (1 to 36 500, from the put) or `until`
    /// (a date). Default: not locked by flowlog; the bucket's own default applies.
    pub retention: Option<Retention>,
    /// Whether to set a legal hold on every object, which stays until somebody takes it off. Default: `false`.
    #[serde(default)]
    pub legal_hold: bool,
    /// `zstd`, or `zstd:<level>` with a level of 1 to 19. Default: `zstd`, which is level 3.
    #[serde(default)]
    pub compression: Compression,
}

/// How objects are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Compression {
    /// The zstd level, 1 to 19.
    pub level: i32,
}

impl Default for Compression {
    fn default() -> Self {
        Self { level: 3 }
    }
}

impl TryFrom<String> for Compression {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let level = match text.strip_prefix("zstd") {
            Some("") => Some(Self::default().level),
            Some(rest) => rest.strip_prefix(':').and_then(|level| level.parse().ok()),
            None => None,
        };
        match level {
            Some(level) if (1..=19).contains(&level) => Ok(Self { level }),
            _ => Err(format!(
                "compression is {text:?}; it can be zstd or zstd:1 to zstd:19"
            )),
        }
    }
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

impl Config {
    /// Where `url` leads.
    ///
    /// # Errors
    /// When it is neither `s3://bucket[/prefix]` nor `file:///folder`.
    pub fn target(&self) -> Result<Target, Problem> {
        let wrong = |why: &str| Problem {
            key: "url",
            why: format!("{:?} {why}", self.url),
        };
        if let Some(path) = self.url.strip_prefix("file://") {
            let fits = path.len() > 1 && path.starts_with('/');
            return if fits {
                Ok(Target::Folder(path.into()))
            } else {
                Err(wrong("is not file:///folder"))
            };
        }
        let Some(rest) = self.url.strip_prefix("s3://") else {
            return Err(wrong("is neither s3://bucket/prefix nor file:///folder"));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let good_bucket = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-');
        if !good_bucket {
            return Err(wrong("names no bucket: 3 to 63 of a-z, 0-9, dot and dash"));
        }
        let good_prefix = prefix.is_empty()
            || prefix.split('/').all(|part| {
                let plain = part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"._-=".contains(&b));
                plain && !part.is_empty() && part != "." && part != ".."
            });
        if !good_prefix {
            return Err(wrong(
                "has a prefix with other characters than letters, digits, `._-=` and single slashes",
            ));
        }
        Ok(Target::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// Everything wrong with this configuration; nothing is contacted. `now` is Unix seconds.
    pub fn problems(&self, now: i64) -> Vec<Problem> {
        let mut problems = Vec::new();
        match self.target() {
            Err(problem) => problems.push(problem),
            Ok(Target::Folder(_)) => {
                let locks = [
                    ("retention", self.retention.is_some()),
                    ("legalHold", self.legal_hold),
                ];
                for (key, _) in locks.iter().filter(|(_, set)| *set) {
                    problems.push(Problem {
                        key,
                        why: "a file:// archive can't be locked; use s3://, or leave it out".into(),
                    });
                }
                let only_s3 = [
                    ("endpoint", self.endpoint.is_some()),
                    ("region", self.region.is_some()),
                    ("pathStyle", self.path_style.is_some()),
                    ("credentialsFile", self.credentials_file.is_some()),
                ];
                for (key, _) in only_s3.iter().filter(|(_, set)| *set) {
                    problems.push(Problem {
                        key,
                        why: "has no meaning for a file:// url; leave it out".into(),
                    });
                }
            }
            Ok(Target::Bucket { .. }) => {}
        }
        if let Some(endpoint) = &self.endpoint {
            let host = endpoint
                .strip_prefix("http://")
                .or_else(|| endpoint.strip_prefix("https://"));
            if !host.is_some_and(|host| {
                !host.trim_end_matches('/').is_empty()
                    && !host.trim_end_matches('/').contains(['/', '@', '?'])
            }) {
                problems.push(Problem {
                    key: "endpoint",
                    why: format!("{endpoint:?} is not http(s)://host or http(s)://host:port"),
                });
            }
        }
        if let Some(Err(error)) = self.retention.map(|retention| retention.lock(now)) {
            problems.push(Problem {
                key: "retention",
                why: error.to_string(),
            });
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_url_leads_to_a_bucket_or_a_folder_or_is_refused() {
        let bucket = |bucket: &str, prefix: &str| {
            Some(Target::Bucket {
                bucket: bucket.into(),
                prefix: prefix.into(),
            })
        };
        let cases = [
            ("s3://audit", bucket("audit", "")),
            ("s3://audit/", bucket("audit", "")),
            ("s3://audit/flows", bucket("audit", "flows")),
            ("s3://audit.eu-1/a/b=c/", bucket("audit.eu-1", "a/b=c")),
            (
                "file:///var/lib/archive",
                Some(Target::Folder("/var/lib/archive".into())),
            ),
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
            assert_eq!(
                config(&format!("{{\"url\": {url:?}}}")).target().ok(),
                target,
                "{url}"
            );
        }
    }

    #[test]
    fn all_problems_of_a_configuration_are_named_by_key() {
        let cases: [(&str, &[&str]); 5] = [
            (
                r#"{"url": "s3://audit", "retention": {"mode": "COMPLIANCE", "days": 365}, "legalHold": true}"#,
                &[],
            ),
            (
                r#"{"url": "file:///a", "retention": {"mode": "COMPLIANCE", "days": 1}, "region": "x"}"#,
                &["retention", "region"],
            ),
            (
                r#"{"url": "s3://audit", "retention": {"mode": "COMPLIANCE", "until": "2020-01-01"}}"#,
                &["retention"],
            ),
            (
                r#"{"url": "s3://audit", "endpoint": "minio:9000"}"#,
                &["endpoint"],
            ),
            (
                r#"{"url": "s3://a", "endpoint": "http://user:pw@host"}"#,
                &["url", "endpoint"],
            ),
        ];
        for (json, keys) in cases {
            let problems = config(json).problems(1_800_000_000);
            assert_eq!(
                problems
                    .iter()
                    .map(|problem| problem.key)
                    .collect::<Vec<_>>(),
                keys,
                "{problems:?}"
            );
        }
    }

    #[test]
    fn a_misspelt_key_and_an_unknown_compression_are_refused() {
        for (json, says) in [
            (
                r#"{"url": "s3://audit", "retention_days": 3}"#,
                "retention_days",
            ),
            (
                r#"{"url": "s3://audit", "compression": "gzip"}"#,
                "zstd:1 to zstd:19",
            ),
            (
                r#"{"url": "s3://audit", "compression": "zstd:20"}"#,
                "zstd:1 to zstd:19",
            ),
        ] {
            let error = serde_json::from_str::<Config>(json)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(
            config(r#"{"url": "s3://audit", "compression": "zstd:9"}"#)
                .compression
                .level,
            9
        );
    }
}
