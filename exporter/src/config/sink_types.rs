//! What a `flowlog.yaml` says about its sinks, once it has been read.
//!
//! Secrets are named by the file that holds them, or held in a [`Secret`] that does not print.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::place::{Place, Places};
use super::types::{FileOutput, Hash};

/// A named destination.
#[derive(Clone, Debug)]
pub struct Sink {
    /// Its name in the file.
    pub name: String,
    /// What it is, with the keys of its own.
    pub kind: SinkKind,
    /// What happens when a flow log's spool reaches its bound because of this sink.
    pub when_full: WhenFull,
    /// How long a removed sink may take to deliver what is spooled.
    pub drain_timeout: Duration,
    /// Limits of one batch; ignored by file sinks.
    pub batch: Batch,
    /// Transport security; ignored by file sinks.
    pub tls: Tls,
    /// SHA-256 of the sink in canonical form, with the defaults filled in.
    pub hash: Hash,
    /// Where it stands.
    pub place: Place,
    /// Where everything in it stands.
    pub places: Places,
}

/// The kinds of sinks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Objects under Object Lock.
    S3(S3),
    /// Loki's push API.
    Loki(Loki),
    /// A Kafka topic.
    Kafka(Kafka),
    /// Rotated files.
    File(FileOutput),
}

/// What happens at the bound of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// This sink's oldest segments stay, up to three quarters of the bound; the default of s3.
    Hold,
    /// This sink's oldest records become a declared gap; the default of the others.
    DropOldest,
    /// This sink's cursor no longer counts for what is kept.
    Detach,
}

/// Limits of one batch; whichever is reached first closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Batch {
    /// Encoded bytes, after compression for s3 and before it otherwise.
    pub max_bytes: u64,
    /// Records.
    pub max_records: u64,
    /// Time since its first record was committed.
    pub max_age: Duration,
}

/// Files of a TLS client, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// Client certificate.
    pub cert_file: Option<String>,
    /// Its key.
    pub key_file: Option<String>,
    /// Name expected in the server's certificate, where it differs from the address.
    pub server_name: Option<String>,
}

/// An archive in a bucket, or below a folder with the same layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// `s3://bucket/prefix` or `file:///folder`.
    pub url: String,
    /// Address of a server other than Amazon's.
    pub endpoint: Option<String>,
    /// Region; the environment's by default.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name; by default where `endpoint` is given.
    pub path_style: Option<bool>,
    /// Object Lock on every object.
    pub retention: Option<Retention>,
    /// Whether a legal hold is put on every object.
    pub legal_hold: bool,
    /// Level of the zstd compression, 1 to 19.
    pub zstd_level: u8,
    /// File with an access key; the environment's chain otherwise.
    pub credentials_file: Option<String>,
}

/// Object Lock retention of each object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Who may shorten it.
    pub mode: RetentionMode,
    /// How long it lasts.
    pub period: RetentionPeriod,
}

/// Who may shorten a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetentionMode {
    /// Nobody.
    Compliance,
    /// Those with the permission to bypass it.
    Governance,
}

/// How long a retention lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetentionPeriod {
    /// Days from the moment the object is stored.
    Days(u32),
    /// Until a moment, RFC 3339.
    Until(super::types::End),
}

/// A Loki tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loki {
    /// Base URL, as in `http://loki:3100`.
    pub url: String,
    /// Value of `X-Scope-OrgID`.
    pub tenant: Option<String>,
    /// Label names and the mask paths their values come from, sorted by name.
    pub labels: BTreeMap<String, String>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// File with a bearer token, read again when it changes.
    pub bearer_token_file: Option<String>,
    /// Form of a push request.
    pub encoding: LokiEncoding,
}

/// HTTP basic authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// File with the password.
    pub password_file: Option<String>,
    /// The password itself, where it stands in the file.
    pub password: Option<Secret>,
}

/// Form of a Loki push request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LokiEncoding {
    /// Protobuf, snappy-compressed.
    #[default]
    Protobuf,
    /// JSON.
    Json,
}

/// A Kafka topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port` of some brokers.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// SASL, if the brokers ask for it.
    pub sasl: Option<Sasl>,
    /// librdkafka's `compression.codec`.
    pub compression: KafkaCompression,
    /// Further properties of librdkafka, none of which can weaken delivery.
    pub properties: BTreeMap<String, String>,
}

/// SASL of a Kafka client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// The mechanism.
    pub mechanism: SaslMechanism,
    /// The user.
    pub username: String,
    /// File with the password.
    pub password_file: String,
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslMechanism {
    /// The password in clear; only over TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SinkKind {
    /// The word in the file.
    pub fn as_str(&self) -> &'static str {
        match self {
            SinkKind::S3(_) => "s3",
            SinkKind::Loki(_) => "loki",
            SinkKind::Kafka(_) => "kafka",
            SinkKind::File(_) => "file",
        }
    }
}

impl WhenFull {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            WhenFull::Hold => "hold",
            WhenFull::DropOldest => "dropOldest",
            WhenFull::Detach => "detach",
        }
    }
}

impl SaslMechanism {
    /// librdkafka's name.
    pub fn as_str(self) -> &'static str {
        match self {
            SaslMechanism::Plain => "PLAIN",
            SaslMechanism::ScramSha256 => "SCRAM-SHA-256",
            SaslMechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Compression of Kafka messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum KafkaCompression {
    /// None.
    No,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    #[default]
    Zstd,
}

impl KafkaCompression {
    /// librdkafka's name.
    pub fn as_str(self) -> &'static str {
        match self {
            KafkaCompression::No => "none",
            KafkaCompression::Gzip => "gzip",
            KafkaCompression::Snappy => "snappy",
            KafkaCompression::Lz4 => "lz4",
            KafkaCompression::Zstd => "zstd",
        }
    }
}

/// A text that must not appear in logs, errors or `check`'s output.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// The text, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        let auth = BasicAuth { username: "u".into(), password_file: None, password: Some(Secret::new("hunter2".into())) };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }
}
