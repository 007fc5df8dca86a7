//! The named sinks. All of it is ours, so nothing unknown and nothing out of range passes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::file;
use super::fields::{At, Fields, Unknown};
use crate::config::keys::{BASIC_AUTH, BATCH, FILE, KAFKA, Key, LOKI, NETWORK, RETENTION, S3 as S3_KEYS, SASL, SINK, TLS};
use crate::config::place::{Places, Problems};
use crate::config::sink_types::{
    BasicAuth, Batch, Kafka, KafkaCompression, Loki, LokiEncoding, Retention, RetentionMode, RetentionPeriod, S3, Sasl, SaslMechanism,
    Secret, Sink, SinkKind, Tls, WhenFull,
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    S3,
    Loki,
    Kafka,
    File,
}

const TYPES: &[(&str, Type)] = &[("s3", Type::S3), ("loki", Type::Loki), ("kafka", Type::Kafka), ("file", Type::File)];
const WHEN_FULL: &[(&str, WhenFull)] = &[("hold", WhenFull::Hold), ("dropOldest", WhenFull::DropOldest), ("detach", WhenFull::Detach)];
const DEFAULT_DRAIN: Duration = Duration::from_secs(300);
const NO_LIMIT: u64 = u64::MAX;

/// Reads the map of sinks.
pub(super) fn sinks(at: &At<'_>, problems: &mut Problems) -> Option<BTreeMap<String, Sink>> {
    let mut sinks = BTreeMap::new();
    for (name, value) in at.entries(problems)? {
        if name.is_empty() {
            problems.reject(&value.place, "a sink has no name", None);
        } else if let Some(sink) = sink(name, &value, problems) {
            sinks.insert(name.to_owned(), sink);
        }
    }
    Some(sinks)
}

fn sink(name: &str, at: &At<'_>, problems: &mut Problems) -> Option<Sink> {
    let kind = type_of(at, problems)?;
    let tables: &[&[Key]] = match kind {
        Type::S3 => &[SINK, NETWORK, S3_KEYS],
        Type::Loki => &[SINK, NETWORK, LOKI],
        Type::Kafka => &[SINK, NETWORK, KAFKA],
        Type::File => &[SINK, FILE],
    };
    let fields = Fields::take(at, tables, Unknown::Reject, problems)?;
    let network = kind != Type::File;
    let sink = Sink {
        name: name.to_owned(),
        when_full: fields.value("whenFull", problems, |at, problems| at.choice(problems, WHEN_FULL)).unwrap_or(if kind == Type::S3 {
            WhenFull::Hold
        } else {
            WhenFull::DropOldest
        }),
        drain_timeout: fields.value("drainTimeout", problems, At::duration).unwrap_or(DEFAULT_DRAIN),
        batch: if network { fields.whole("batch", problems, |at, problems| batch(at, kind, problems)) } else { None }
            .unwrap_or_else(|| default_batch(kind)),
        tls: if network { fields.whole("tls", problems, tls) } else { None }.unwrap_or_default(),
        kind: match kind {
            Type::S3 => s3(&fields, problems).map(SinkKind::S3),
            Type::Loki => loki(&fields, problems).map(SinkKind::Loki),
            Type::Kafka => kafka(&fields, problems).map(SinkKind::Kafka),
            Type::File => file_sink(&fields, problems),
        }?,
        hash: [0; 32],
        place: at.place.clone(),
        places: Places::new(at.place.clone(), at.node),
    };
    #[cfg(test)]
    {
        let _ = fields.raw("type");
        fields.assert_all_asked();
    }
    Some(sink)
}

/// The type decides which keys are known, so it is looked for before them.
fn type_of(at: &At<'_>, problems: &mut Problems) -> Option<Type> {
    let entries = at.entries(problems)?;
    match entries.iter().find(|(key, value)| *key == "type" && !value.node.is_null()) {
        Some((_, value)) => value.choice(problems, TYPES),
        None => {
            let advice = "write one of s3, loki, kafka, file";
            problems.reject(&at.place, "type is missing", Some(advice.into()));
            None
        }
    }
}

fn default_batch(kind: Type) -> Batch {
    match kind {
        Type::S3 => Batch { max_bytes: 64 << 20, max_records: NO_LIMIT, max_age: Duration::from_secs(600) },
        Type::Loki => Batch { max_bytes: 4 << 20, max_records: 100_000, max_age: Duration::from_secs(1) },
        Type::Kafka => Batch { max_bytes: 4 << 20, max_records: 20_000, max_age: Duration::from_millis(100) },
        Type::File => Batch { max_bytes: NO_LIMIT, max_records: NO_LIMIT, max_age: Duration::ZERO },
    }
}

fn batch(at: &At<'_>, kind: Type, problems: &mut Problems) -> Option<Batch> {
    let fields = Fields::take(at, &[BATCH], Unknown::Reject, problems)?;
    let default = default_batch(kind);
    // An object of the archive never spans two hours.
    let longest = Duration::from_secs(if kind == Type::S3 { 3600 } else { 60 });
    let batch = Batch {
        max_bytes: fields.value("maxBytes", problems, |at, problems| at.size(problems, 1 << 10)).unwrap_or(default.max_bytes),
        max_records: fields.value("maxRecords", problems, |at, problems| at.number(problems, 1, NO_LIMIT)).unwrap_or(default.max_records),
        max_age: fields
            .value("maxAge", problems, |at, problems| at.duration_within(problems, Duration::from_millis(1), longest))
            .unwrap_or(default.max_age),
    };
    #[cfg(test)]
    fields.assert_all_asked();
    Some(batch)
}

fn tls(at: &At<'_>, problems: &mut Problems) -> Option<Tls> {
    let fields = Fields::take(at, &[TLS], Unknown::Reject, problems)?;
    let tls = Tls {
        ca_file: fields.value("caFile", problems, At::word),
        cert_file: fields.value("certFile", problems, At::word),
        key_file: fields.value("keyFile", problems, At::word),
        server_name: fields.value("serverName", problems, At::word),
    };
    #[cfg(test)]
    fields.assert_all_asked();
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        problems.reject(&at.place, "needs certFile and keyFile together", Some("write both, or none".into()));
    }
    Some(tls)
}

fn s3(fields: &Fields<'_>, problems: &mut Problems) -> Option<S3> {
    Some(S3 {
        url: fields.required("url", problems, At::word).unwrap_or_default(),
        region: fields.value("region", problems, At::word),
        path_style: fields.value("pathStyle", problems, At::truth),
        endpoint: fields.value("endpoint", problems, At::word),
        retention: fields.whole("retention", problems, retention),
        legal_hold: fields.value("legalHold", problems, At::truth).unwrap_or(false),
        zstd_level: fields.value("compression", problems, zstd_level).unwrap_or(3),
        credentials_file: fields.value("credentialsFile", problems, At::word),
    })
}

fn retention(at: &At<'_>, problems: &mut Problems) -> Option<Retention> {
    let fields = Fields::take(at, &[RETENTION], Unknown::Reject, problems)?;
    let modes = [("COMPLIANCE", RetentionMode::Compliance), ("GOVERNANCE", RetentionMode::Governance)];
    let mode = fields.required("mode", problems, |at, problems| at.choice(problems, &modes));
    let days = fields.value("days", problems, |at, problems| at.number(problems, 1, 36_500));
    let until = fields.value("until", problems, At::moment);
    #[cfg(test)]
    fields.assert_all_asked();
    let period = match (days, until) {
        (Some(days), None) => RetentionPeriod::Days(u32::try_from(days).unwrap_or(u32::MAX)),
        (None, Some(until)) => RetentionPeriod::Until(until),
        (both, _) => {
            let what = if both.is_some() { "gives both days and until" } else { "gives neither days nor until" };
            problems.reject(&at.place, what, Some("write one of them".into()));
            return None;
        }
    };
    Some(Retention { mode: mode?, period })
}

fn zstd_level(at: &At<'_>, problems: &mut Problems) -> Option<u8> {
    let text = at.text(problems)?;
    let level = match text.strip_prefix("zstd") {
        Some("") => Some(3),
        Some(rest) => rest.strip_prefix('-').and_then(|level| level.parse().ok()).filter(|level| (1..=19).contains(level)),
        None => None,
    };
    if level.is_none() {
        problems.reject(&at.place, format!("`{text}` is not known here"), Some("write zstd, or zstd-1 to zstd-19".into()));
    }
    level
}

fn loki(fields: &Fields<'_>, problems: &mut Problems) -> Option<Loki> {
    let encodings = [("protobuf", LokiEncoding::Protobuf), ("json", LokiEncoding::Json)];
    let loki = Loki {
        url: fields.required("url", problems, At::word).unwrap_or_default(),
        tenant: fields.value("tenant", problems, At::word),
        labels: fields.whole("labels", problems, labels).unwrap_or_default(),
        basic_auth: fields.whole("basicAuth", problems, basic_auth),
        bearer_token_file: fields.value("bearerTokenFile", problems, At::word),
        encoding: fields.value("encoding", problems, |at, problems| at.choice(problems, &encodings)).unwrap_or_default(),
    };
    if loki.basic_auth.is_some() && loki.bearer_token_file.is_some() {
        problems.reject(fields.place(), "gives both basicAuth and bearerTokenFile", Some("keep one".into()));
    }
    Some(loki)
}

/// A map of names to paths, or a list of paths whose last parts are the names.
fn labels(at: &At<'_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    use crate::config::yaml::Kind;
    let mut labels = BTreeMap::new();
    let mut add = |name: String, path: String, at: &At<'_>, problems: &mut Problems| {
        if labels.insert(name.clone(), path).is_some() {
            problems.reject(&at.place, format!("gives the label {name} twice"), Some("write a map of label to path".into()));
        }
    };
    if let Kind::List(_) = &at.node.kind {
        for item in at.items(problems)? {
            if let Some(path) = item.word(problems) {
                add(path.rsplit('.').next().unwrap_or_default().to_owned(), path.clone(), &item, problems);
            }
        }
    } else {
        for (name, value) in at.entries(problems)? {
            if let Some(path) = value.word(problems) {
                add(name.to_owned(), path, &value, problems);
            }
        }
    }
    Some(labels)
}

fn basic_auth(at: &At<'_>, problems: &mut Problems) -> Option<BasicAuth> {
    let fields = Fields::take(at, &[BASIC_AUTH], Unknown::Reject, problems)?;
    let auth = BasicAuth {
        username: fields.required("username", problems, At::word).unwrap_or_default(),
        password_file: fields.value("passwordFile", problems, At::word),
        password: fields.value("password", problems, At::word).map(Secret::new),
    };
    #[cfg(test)]
    fields.assert_all_asked();
    if auth.password_file.is_some() == auth.password.is_some() {
        problems.reject(&at.place, "needs one of passwordFile and password", None);
    }
    Some(auth)
}

fn kafka(fields: &Fields<'_>, problems: &mut Problems) -> Option<Kafka> {
    let codecs = [
        ("none", KafkaCompression::No),
        ("gzip", KafkaCompression::Gzip),
        ("snappy", KafkaCompression::Snappy),
        ("lz4", KafkaCompression::Lz4),
        ("zstd", KafkaCompression::Zstd),
    ];
    Some(Kafka {
        brokers: fields.required("brokers", problems, At::texts).unwrap_or_default(),
        topic: fields.required("topic", problems, At::word).unwrap_or_default(),
        sasl: fields.whole("sasl", problems, sasl),
        compression: fields.value("compression", problems, |at, problems| at.choice(problems, &codecs)).unwrap_or_default(),
        properties: fields.whole("properties", problems, properties).unwrap_or_default(),
    })
}

fn sasl(at: &At<'_>, problems: &mut Problems) -> Option<Sasl> {
    let fields = Fields::take(at, &[SASL], Unknown::Reject, problems)?;
    let mechanisms =
        [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512].map(|mechanism| (mechanism.as_str(), mechanism));
    let mechanism = fields.required("mechanism", problems, |at, problems| at.choice(problems, &mechanisms));
    let username = fields.required("username", problems, At::word).unwrap_or_default();
    let password_file = fields.required("passwordFile", problems, At::word).unwrap_or_default();
    #[cfg(test)]
    fields.assert_all_asked();
    Some(Sasl { mechanism: mechanism?, username, password_file })
}

/// Texts by name; which properties may be set is for the sink to say.
fn properties(at: &At<'_>, problems: &mut Problems) -> Option<BTreeMap<String, String>> {
    let entries = at.entries(problems)?;
    Some(entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.text(problems)?))).collect())
}

fn file_sink(fields: &Fields<'_>, problems: &mut Problems) -> Option<SinkKind> {
    let file = file(fields, "", problems);
    if file.is_none() {
        problems.reject(fields.place(), "filePath is missing", None);
    }
    file.map(SinkKind::File)
}
