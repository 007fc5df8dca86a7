//! A flow log or sink in the file's own keys with every default filled in: what `check -o json` prints, and what hashes are made of.
//!
//! What is printed can be read back and means the same. Two entries hash alike exactly if a reload from one to the other need not touch
//! anything (`spec/hubble.md` §5.2): paths count without their order, filters as a set, `end` as an instant.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::decode::values::format_duration;
use super::sink_types::{RetentionMode, RetentionPeriod, Sink, SinkKind};
use super::types::{Compress, FileOutput, FlowLog, Hash, Redact, RedactHeaders};

/// A flow log as JSON.
pub fn flow_log(entry: &FlowLog) -> Value {
    let filters = |list: &[super::types::FilterText]| list.iter().map(|filter| filter.value.clone()).collect::<Vec<_>>();
    let mut object = Map::new();
    object.insert("name".into(), json!(entry.name));
    if let Some(file) = &entry.file {
        insert_file(&mut object, file);
    }
    object.insert("fieldMask".into(), json!(entry.field_mask));
    object.insert("fieldAggregate".into(), json!(entry.field_aggregate));
    object.insert("aggregationInterval".into(), json!(format_duration(entry.aggregation_interval_ns)));
    object.insert("includeFilters".into(), json!(filters(&entry.include_filters)));
    object.insert("excludeFilters".into(), json!(filters(&entry.exclude_filters)));
    if let Some(end) = &entry.end {
        object.insert("end".into(), json!(end.text));
    }
    object.insert("window".into(), duration(entry.window));
    object.insert("foldBy".into(), json!(entry.fold_by.as_str()));
    object.insert("redact".into(), redact(&entry.redact));
    object.insert("sinks".into(), json!(entry.sinks));
    object.insert("spoolMaxBytes".into(), json!(entry.spool_max_bytes));
    Value::Object(object)
}

fn duration(duration: std::time::Duration) -> Value {
    json!(format_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)))
}

fn insert_file(object: &mut Map<String, Value>, file: &FileOutput) {
    let or_default = |written: i64, default: u64| {
        if written == 0 { json!(default) } else { json!(written) }
    };
    object.insert("filePath".into(), json!(file.path));
    object.insert("fileMaxSizeMb".into(), or_default(file.max_size_mb, super::types::DEFAULT_FILE_MAX_SIZE_MB));
    object.insert("fileMaxBackups".into(), or_default(file.max_backups, super::types::DEFAULT_FILE_MAX_BACKUPS));
    let compress = match file.compress {
        Compress::No => json!(false),
        Compress::Gzip => json!(true),
        Compress::Zstd => json!("zstd"),
    };
    object.insert("fileCompress".into(), compress);
    if let Some(age) = file.max_age {
        object.insert("fileMaxAge".into(), duration(age));
    }
    if let Some(total) = file.max_total_mb {
        object.insert("fileMaxTotalMb".into(), json!(total));
    }
    object.insert("fileMinRotateInterval".into(), duration(file.min_rotate_interval));
    object.insert("fileMode".into(), json!(format!("{:04o}", file.mode)));
    if let Some(group) = &file.group {
        object.insert("fileGroup".into(), json!(group));
    }
}

fn redact(redact: &Redact) -> Value {
    if redact.is_nothing() {
        return json!(false);
    }
    let (key, names) = match &redact.headers {
        RedactHeaders::Named(names) => ("headersDeny", names),
        RedactHeaders::AllBut(names) => ("headersAllow", names),
    };
    json!({"urlUserinfo": redact.url_userinfo, "urlQuery": redact.url_query, key: names})
}

/// A sink as JSON; a password that stands in the file is left out.
pub fn sink(sink: &Sink) -> Value {
    let mut object = Map::new();
    object.insert("type".into(), json!(sink.kind.as_str()));
    match &sink.kind {
        SinkKind::File(file) => insert_file(&mut object, file),
        SinkKind::S3(s3) => {
            let retention = s3.retention.as_ref().map(|retention| {
                let mode = match retention.mode {
                    RetentionMode::Compliance => "COMPLIANCE",
                    RetentionMode::Governance => "GOVERNANCE",
                };
                match &retention.period {
                    RetentionPeriod::Days(days) => json!({"mode": mode, "days": days}),
                    RetentionPeriod::Until(until) => json!({"mode": mode, "until": until.text}),
                }
            });
            insert_all(
                &mut object,
                json!({
                    "url": s3.url, "endpoint": s3.endpoint, "region": s3.region, "pathStyle": s3.path_style, "retention": retention,
                    "legalHold": s3.legal_hold, "compression": format!("zstd-{}", s3.zstd_level), "credentialsFile": s3.credentials_file,
                }),
            );
        }
        SinkKind::Loki(loki) => {
            let encoding = match loki.encoding {
                super::sink_types::LokiEncoding::Protobuf => "protobuf",
                super::sink_types::LokiEncoding::Json => "json",
            };
            let auth = loki.basic_auth.as_ref().map(|auth| json!({"username": auth.username, "passwordFile": auth.password_file}));
            insert_all(
                &mut object,
                json!({
                    "url": loki.url, "tenant": loki.tenant, "labels": loki.labels, "basicAuth": auth,
                    "bearerTokenFile": loki.bearer_token_file, "encoding": encoding,
                }),
            );
        }
        SinkKind::Kafka(kafka) => {
            let sasl = kafka
                .sasl
                .as_ref()
                .map(|sasl| json!({"mechanism": sasl.mechanism.as_str(), "username": sasl.username, "passwordFile": sasl.password_file}));
            insert_all(
                &mut object,
                json!({
                    "brokers": kafka.brokers, "topic": kafka.topic, "sasl": sasl, "compression": kafka.compression.as_str(),
                    "properties": kafka.properties,
                }),
            );
        }
    }
    let network = !matches!(sink.kind, SinkKind::File(_));
    let limit = |limit: u64| (limit != u64::MAX).then_some(limit);
    insert_all(
        &mut object,
        json!({
            "batch": network.then(|| json!({
                "maxBytes": limit(sink.batch.max_bytes), "maxRecords": limit(sink.batch.max_records), "maxAge": duration(sink.batch.max_age),
            })),
            "tls": (sink.tls != Default::default()).then(|| json!({
                "caFile": sink.tls.ca_file, "certFile": sink.tls.cert_file, "keyFile": sink.tls.key_file, "serverName": sink.tls.server_name,
            })),
            "whenFull": sink.when_full.as_str(),
            "drainTimeout": duration(sink.drain_timeout),
        }),
    );
    without_nulls(Value::Object(object))
}

fn insert_all(object: &mut Map<String, Value>, more: Value) {
    if let Value::Object(more) = more {
        object.extend(more);
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            entries.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, without_nulls(value))).collect()
        }
        other => other,
    }
}

/// The hash of a flow log.
pub(super) fn hash_of_flow_log(entry: &FlowLog) -> Hash {
    let mut value = flow_log(entry);
    for list in ["fieldMask", "fieldAggregate", "sinks"] {
        sort(&mut value, list, false);
    }
    for list in ["includeFilters", "excludeFilters"] {
        sort(&mut value, list, true);
    }
    if let Value::Object(object) = &mut value {
        // Filters there are all the difference: a list that became a set of one is still a list of one.
        object.insert("end".into(), json!(entry.end.as_ref().map(|end| end.unix_ns)));
    }
    sha256(sorted(value).to_string().as_bytes())
}

/// The hash of a sink.
pub(super) fn hash_of_sink(of: &Sink) -> Hash {
    let mut text = sorted(sink(of)).to_string();
    // A change of a password is a change of the sink.
    if let SinkKind::Loki(super::sink_types::Loki { basic_auth: Some(auth), .. }) = &of.kind
        && let Some(password) = &auth.password
    {
        text.push_str(password.reveal());
    }
    sha256(text.as_bytes())
}

fn sort(value: &mut Value, key: &str, set: bool) {
    let Some(list) = value.get_mut(key).and_then(Value::as_array_mut) else {
        return;
    };
    let mut texts: Vec<(String, Value)> = list.drain(..).map(sorted).map(|item| (item.to_string(), item)).collect();
    texts.sort_by(|a, b| a.0.cmp(&b.0));
    if set {
        texts.dedup_by(|a, b| a.0 == b.0);
    }
    list.extend(texts.into_iter().map(|(_, item)| item));
}

/// Objects in the order of their keys.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().collect()
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
