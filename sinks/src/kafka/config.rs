//! What a Kafka sink is told, and the librdkafka configuration made of it.
//!
//! Promises that no setting can weaken delivery or verification: what makes it safe is set last, and only the properties of
//! [`super::properties`] are passed on. The password is read when a producer is made, so that a new producer takes a rotated one.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::driver::Limits;
use crate::problem::Problem;
use crate::secret::{SecretError, SecretSource};
use crate::tls::Tls;

use super::properties;

/// Longest topic name that Kafka takes.
const MAX_TOPIC_BYTES: usize = 249;

/// A Kafka sink.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host:port` of some brokers; the others are found through them.
    pub brokers: Vec<String>,
    /// The topic. It has to exist, or the brokers have to create topics by themselves.
    pub topic: String,
    /// SASL, if the brokers ask for it.
    pub sasl: Option<Sasl>,
    /// Compression of a batch.
    pub compression: Compression,
    /// Further properties of librdkafka, of the list in [`super::properties`].
    pub properties: BTreeMap<String, String>,
    /// TLS files. Any of them switches TLS on; for the system's authorities set the property `security.protocol` to `ssl`.
    pub tls: Tls,
    /// When a batch is due.
    pub limits: Limits,
}

/// Who we are to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sasl {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// The user.
    pub username: String,
    /// The password.
    pub password: SecretSource,
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password in clear; only over TLS.
    Plain,
    /// SCRAM with SHA-256.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

/// Compression of a batch of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// None.
    No,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard; needs Kafka 2.1.
    #[default]
    Zstd,
}

impl Options {
    /// A sink of these brokers and this topic with defaults everywhere else.
    pub fn new(brokers: Vec<String>, topic: impl Into<String>) -> Options {
        Options {
            brokers,
            topic: topic.into(),
            sasl: None,
            compression: Compression::Zstd,
            properties: BTreeMap::new(),
            tls: Tls::default(),
            limits: Limits { max_bytes: 4 << 20, max_records: 20_000, max_age: Duration::from_millis(100) },
        }
    }

    /// Everything that is wrong with the settings; empty when they can work. Reads no file and asks no broker.
    pub fn problems(&self) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut add = |key: &str, why: &str| found.push(Problem { key: key.to_owned(), why: why.to_owned() });
        if self.brokers.is_empty() {
            add("brokers", "names no broker; write it as [\"kafka:9092\"]");
        }
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
            if !matches!(port, Some(Ok(1..))) || broker.contains(['/', ',', ' ', '@']) {
                add("brokers", &format!("`{broker}` is no host:port; write it as \"kafka:9092\""));
            }
        }
        let safe = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.topic.is_empty()
            || self.topic.len() > MAX_TOPIC_BYTES
            || !self.topic.chars().all(safe)
            || matches!(&self.topic[..], "." | "..")
        {
            add("topic", &format!("`{}` is no topic name; use up to 249 letters, digits and . _ -", self.topic));
        }
        if self.tls.server_name.is_some() {
            add("tls.serverName", "is not for Kafka: each broker has to prove the name it is reached by; leave it out");
        }
        if self.sasl.is_none() && self.protocol().starts_with("sasl") {
            add("properties.security.protocol", "asks for SASL without a user; set the sink's sasl");
        }
        if let Some(sasl) = &self.sasl {
            if sasl.username.is_empty() {
                add("sasl.username", "is empty");
            }
            if sasl.mechanism == Mechanism::Plain && !self.uses_tls() {
                add(
                    "sasl.mechanism",
                    "PLAIN would send the password in clear; set tls.caFile, or the property security.protocol to ssl, or use SCRAM",
                );
            }
        }
        for (key, value) in &self.properties {
            if let Err(why) = properties::check(key, value) {
                add(&format!("properties.{key}"), &why);
            }
        }
        found
    }

    /// The librdkafka configuration of a new producer.
    ///
    /// # Errors
    /// When the password can't be read.
    pub fn client_config(&self) -> Result<ClientConfig, SecretError> {
        let mut config = ClientConfig::new();
        config.set("client.id", concat!("flowlog-", env!("CARGO_PKG_VERSION")));
        // The hash of Java clients, so that a key lies in the partition where they would put and look for it.
        config.set("partitioner", "murmur2_random");
        config.set("linger.ms", "20");
        config.set("queue.buffering.max.kbytes", "32768");
        config.set("socket.keepalive.enable", "true");
        config.set("statistics.interval.ms", "5000");
        for (key, value) in &self.properties {
            if properties::check(key, value).is_ok() {
                config.set(key, value);
            }
        }
        config.set("bootstrap.servers", self.brokers.join(","));
        config.set("compression.codec", self.compression.as_str());
        config.set("enable.idempotence", "true");
        config.set("acks", "all");
        config.set("message.timeout.ms", "0");
        config.set("security.protocol", self.security_protocol());
        if self.uses_tls() {
            let text = |path: &std::path::Path| path.display().to_string();
            config.set("ssl.ca.location", self.tls.ca_file.as_deref().map_or_else(|| "probe".to_owned(), text));
            if let (Some(certificate), Some(key)) = (&self.tls.cert_file, &self.tls.key_file) {
                config.set("ssl.certificate.location", text(certificate));
                config.set("ssl.key.location", text(key));
            }
        }
        if let Some(sasl) = &self.sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            config.set("sasl.username", &sasl.username);
            config.set("sasl.password", sasl.password.read()?.reveal());
        }
        Ok(config)
    }

    /// Whether brokers are spoken to over TLS.
    pub fn uses_tls(&self) -> bool {
        self.tls != Tls::default() || self.protocol().ends_with("ssl")
    }

    /// What the properties say of the protocol: whether TLS is wanted without files, and SASL, which needs the sink's `sasl`.
    fn protocol(&self) -> &str {
        self.properties.get("security.protocol").map_or("", String::as_str)
    }

    fn security_protocol(&self) -> &'static str {
        match (self.uses_tls(), self.sasl.is_some()) {
            (false, false) => "plaintext",
            (true, false) => "ssl",
            (false, true) => "sasl_plaintext",
            (true, true) => "sasl_ssl",
        }
    }
}

impl Mechanism {
    /// librdkafka's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl Compression {
    /// librdkafka's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Compression::No => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
