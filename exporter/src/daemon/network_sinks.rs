//! The settings of Loki, Kafka and S3 sinks, from the configuration's words to those of their crates.

use std::path::PathBuf;

use flowlog_sinks::driver::Limits;
use flowlog_sinks::secret::{Secret, SecretSource};
use flowlog_sinks::tls::Tls;
use flowlog_sinks::{kafka, loki, s3};

use crate::config::{self, Batch, RetentionMode, RetentionPeriod};

/// Who and where a flow log is, for sinks that say so with each record or object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The cluster's name.
    pub cluster: String,
    /// The node's name, without its cluster.
    pub node: String,
    /// The flow log's name.
    pub log: String,
}

/// The settings of a Loki sink.
#[must_use]
pub fn loki(loki: &config::Loki, batch: &Batch, tls: &config::Tls, origin: &Origin) -> loki::Options {
    let auth = match (&loki.basic_auth, &loki.bearer_token_file) {
        (Some(basic), _) => loki::config::Auth::Basic { username: basic.username.clone(), password: password(basic) },
        (None, Some(file)) => loki::config::Auth::Bearer(file.into()),
        (None, None) => loki::config::Auth::None,
    };
    let fixed =
        [("job", "flowlog"), ("cluster", origin.cluster.as_str()), ("node", origin.node.as_str()), ("flow_log", origin.log.as_str())];
    loki::Options {
        tenant: loki.tenant.clone(),
        fixed: fixed.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        labels: loki.labels.iter().map(|(name, path)| loki::labels::Label { name: name.clone(), path: path.clone() }).collect(),
        auth,
        encoding: match loki.encoding {
            config::LokiEncoding::Protobuf => loki::config::Encoding::Protobuf,
            config::LokiEncoding::Json => loki::config::Encoding::Json,
        },
        tls: tls_files(tls),
        limits: limits(batch),
        ..loki::Options::new(loki.url.clone())
    }
}

fn password(basic: &config::BasicAuth) -> SecretSource {
    match (&basic.password_file, &basic.password) {
        (Some(file), _) => SecretSource::File(file.into()),
        (None, Some(password)) => SecretSource::Given(Secret::new(password.reveal().to_owned())),
        (None, None) => SecretSource::Given(Secret::new(String::new())),
    }
}

/// The settings of a Kafka sink.
#[must_use]
pub fn kafka(kafka: &config::Kafka, batch: &Batch, tls: &config::Tls) -> kafka::Options {
    kafka::Options {
        sasl: kafka.sasl.as_ref().map(|sasl| kafka::config::Sasl {
            mechanism: match sasl.mechanism {
                config::SaslMechanism::Plain => kafka::config::Mechanism::Plain,
                config::SaslMechanism::ScramSha256 => kafka::config::Mechanism::ScramSha256,
                config::SaslMechanism::ScramSha512 => kafka::config::Mechanism::ScramSha512,
            },
            username: sasl.username.clone(),
            password: SecretSource::File(sasl.password_file.clone().into()),
        }),
        compression: match kafka.compression {
            config::KafkaCompression::No => kafka::config::Compression::No,
            config::KafkaCompression::Gzip => kafka::config::Compression::Gzip,
            config::KafkaCompression::Snappy => kafka::config::Compression::Snappy,
            config::KafkaCompression::Lz4 => kafka::config::Compression::Lz4,
            config::KafkaCompression::Zstd => kafka::config::Compression::Zstd,
        },
        properties: kafka.properties.clone(),
        tls: tls_files(tls),
        limits: limits(batch),
        ..kafka::Options::new(kafka.brokers.clone(), kafka.topic.clone())
    }
}

/// The settings of an S3 sink.
#[must_use]
pub fn s3(s3: &config::S3, batch: &Batch, tls: &config::Tls) -> s3::Options {
    s3::Options {
        endpoint: s3.endpoint.clone(),
        region: s3.region.clone(),
        path_style: s3.path_style,
        level: i32::from(s3.zstd_level),
        credentials_file: s3.credentials_file.as_ref().map(PathBuf::from),
        retention: s3.retention.as_ref().map(|retention| s3::retention::Retention {
            mode: match retention.mode {
                RetentionMode::Compliance => s3::retention::Mode::Compliance,
                RetentionMode::Governance => s3::retention::Mode::Governance,
            },
            period: match &retention.period {
                RetentionPeriod::Days(days) => s3::retention::Period::Days(*days),
                RetentionPeriod::Until(end) => s3::retention::Period::Until(end.unix_ns.div_euclid(1_000_000_000)),
            },
        }),
        legal_hold: s3.legal_hold,
        tls: tls_files(tls),
        object_bytes: batch.max_bytes,
        object_records: batch.max_records,
        max_age: batch.max_age,
        ..s3::Options::new(s3.url.clone())
    }
}

/// Who the objects are from.
#[must_use]
pub fn s3_origin(origin: &Origin) -> s3::Origin {
    s3::Origin {
        cluster: origin.cluster.clone(),
        log: origin.log.clone(),
        node: origin.node.clone(),
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn limits(batch: &Batch) -> Limits {
    Limits { max_bytes: batch.max_bytes, max_records: batch.max_records, max_age: batch.max_age }
}

fn tls_files(tls: &config::Tls) -> Tls {
    let path = |file: &Option<String>| file.as_ref().map(PathBuf::from);
    Tls {
        ca_file: path(&tls.ca_file),
        cert_file: path(&tls.cert_file),
        key_file: path(&tls.key_file),
        server_name: tls.server_name.clone(),
    }
}
