//! The sinks of a file, and how flow logs name them.

use super::{accepted, refused};
use crate::config::*;

#[test]
fn a_label_whose_path_the_mask_removes_is_an_error() {
    let file = |mask: &str, label: &str| {
        format!(
            "flowLogs:\n- name: a\n  fieldMask: {mask}\n  sinks: [l]\nsinks:\n  l:\n    type: loki\n    url: http://h\n    labels: {label}\n"
        )
    };
    assert!(
        refused(&file("[time, verdict, extensions]", "{ns: source.namespace}"))
            .contains("line 9: sinks.l.labels.ns: source.namespace is removed")
    );
    accepted(&file("[time, source, extensions]", "[source.namespace]"));
    accepted(&file("[]", "{ns: source.namespace}"));
    accepted(&file("[time, is_reply.value, extensions]", "[is_reply]"));
    assert!(refused(&file("[]", "[source.namespace, destination.namespace]")).contains("twice"));
    for (label, why) in
        [("{a-b: verdict}", "no label name"), ("{a: source.pod_name}", "too many values"), ("{job: verdict}", "flowlog sets itself")]
    {
        let message = refused(&file("[]", label));
        assert!(message.starts_with("line 9: sinks.l.labels.") && message.contains(why), "{label}: {message}");
    }
}

#[test]
fn every_key_of_every_sink_is_read() {
    let text = "\
flowLogs:
- {name: a, sinks: [archive, search, stream, folder, copy]}
sinks:
  archive:
    type: s3
    url: s3://audit/flows
    endpoint: https://minio:9000
    region: eu-west-1
    pathStyle: false
    credentialsFile: /k
    retention: {mode: COMPLIANCE, days: 365}
    legalHold: true
    compression: zstd-9
    whenFull: detach
    drainTimeout: 1h
    batch: {maxBytes: 16MiB, maxRecords: 1000, maxAge: 60s}
    tls: {caFile: /c, certFile: /d, keyFile: /e}
  search:
    type: loki
    url: https://loki:3100
    tenant: t
    labels: {source_ns: source.namespace}
    basicAuth: {username: u, password: hunter2}
    encoding: json
    tls: {caFile: /c, serverName: loki.internal}
  stream:
    type: kafka
    brokers: [kafka:9092]
    topic: flows
    sasl: {mechanism: SCRAM-SHA-512, username: u, passwordFile: /p}
    compression: lz4
    properties: {linger.ms: 50}
  folder: {type: s3, url: 'file:///archive'}
  copy: {type: file, filePath: /y, fileMaxAge: 7d, fileMaxTotalMb: 100, fileMinRotateInterval: 0, fileMode: 0600, fileGroup: adm}
";
    let sinks = accepted(text).file.sinks;
    let SinkKind::S3(archive) = &sinks["archive"].kind else { panic!("not s3") };
    assert!(archive.path_style == Some(false) && archive.legal_hold && archive.zstd_level == 9);
    assert_eq!(
        (sinks["archive"].when_full, sinks["folder"].when_full, sinks["stream"].when_full),
        (WhenFull::Detach, WhenFull::Hold, WhenFull::DropOldest)
    );
    assert_eq!(sinks["archive"].batch.max_bytes, 16 << 20);
    assert_eq!(sinks["search"].tls.server_name.as_deref(), Some("loki.internal"));
    let SinkKind::Kafka(stream) = &sinks["stream"].kind else { panic!("not kafka") };
    assert_eq!(stream.properties["linger.ms"], "50");
    let SinkKind::File(copy) = &sinks["copy"].kind else { panic!("not a file") };
    assert_eq!((copy.mode, copy.max_age), (0o600, Some(std::time::Duration::from_secs(7 * 86_400))));
    assert!(!format!("{sinks:?}").contains("hunter2"));
}

#[test]
fn settings_of_sinks_that_cannot_work_are_refused() {
    let sink = |body: &str| format!("flowLogs: [{{name: a, sinks: [s]}}]\nsinks:\n  s: {{{body}}}\n");
    for (body, answer) in [
        ("url: 'http://h'", "type is missing"),
        ("type: s3", "url is missing"),
        ("type: s3, url: 'https://b'", "neither s3://"),
        ("type: s3, url: 's3://bucket', retention: {mode: compliance, days: 1}", "COMPLIANCE, GOVERNANCE"),
        ("type: s3, url: 's3://bucket', retention: {mode: COMPLIANCE}", "neither days nor until"),
        ("type: s3, url: 's3://bucket', retention: {mode: COMPLIANCE, days: 0}", "between 1 and 36500"),
        ("type: s3, url: 'file:///b', legalHold: true", "can't be locked"),
        ("type: s3, url: 's3://bucket', tls: {serverName: n}", "is not for S3"),
        ("type: s3, url: 's3://bucket', batch: {maxAge: 2h}", "between 1ms and 1h0m0s"),
        ("type: loki, url: 'http://h', basicAuth: {username: u}", "one of passwordFile and password"),
        ("type: loki, url: 'http://h', tls: {certFile: /x}", "certFile and keyFile together"),
        ("type: kafka, brokers: kafka:9092, topic: t", r#"write ["kafka:9092"]"#),
        ("type: kafka, brokers: ['k:1'], topic: 'a b'", "no topic name"),
        ("type: kafka, brokers: [k], topic: t", "no host:port"),
        ("type: kafka, brokers: ['k:1'], topic: t, sasl: {mechanism: PLAIN, username: u, passwordFile: /p}", "password in clear"),
        ("type: kafka, brokers: ['k:1'], topic: t, properties: {acks: 1}", "delivery rests on it"),
        ("type: kafka, brokers: ['k:1'], topic: t, properties: {sasl.password: x}", "under the sink's `sasl`"),
        ("type: loki, url: 'http://u:hunter2@h'", "use basicAuth"),
        ("type: file", "filePath is missing"),
        ("type: file, filePath: /x, fileMode: '0999'", "permissions"),
        ("type: file, filePath: /x, batch: {}", "known here"),
    ] {
        let message = refused(&sink(body));
        assert!(message.contains(answer) && !message.contains("hunter2"), "{body}: {message}");
        assert!(message.starts_with("line 3: sinks.s"), "{body}: {message}");
    }
}

#[test]
fn a_file_and_a_sink_have_one_writer_and_names_are_unique() {
    for text in [
        "flowLogs:\n- {name: a, filePath: /x}\n- {name: a, filePath: /y}",
        "flowLogs:\n- {name: a, filePath: /x}\n- {name: b, filePath: /x}",
        "flowLogs:\n- {name: a, filePath: /x, sinks: [f]}\nsinks: {f: {type: file, filePath: /x}}",
        "flowLogs:\n- {name: a, sinks: [f]}\n- {name: b, sinks: [f]}\nsinks: {f: {type: file, filePath: /x}}",
        "flowLogs:\n- {name: a, sinks: [f, f]}\nsinks: {f: {type: file, filePath: /x}}",
        "filePath: /x\nflowLogs:\n- {name: a, filePath: /x}",
        "filePath: /x\nflowLogs:\n- {name: static, filePath: /y}",
        "flowLogs:\n- {name: a, sinks: []}",
    ] {
        refused(text);
    }
    accepted("flowLogs:\n- {name: a, sinks: [f]}\n- {name: b, filePath: /y}\nsinks: {f: {type: file, filePath: /x}}");
}

#[test]
fn a_sink_is_not_called_as_the_one_that_file_path_stands_for() {
    let file = |own: &str| format!("flowLogs:\n- {{name: a, {own}sinks: [file]}}\nsinks: {{file: {{type: loki, url: 'http://h'}}}}\n");
    let message = refused(&file("filePath: /x, "));
    assert!(
        message.contains("line 2: flowLogs[0].sinks[0]: file is the name") && message.contains("give the sink another name"),
        "{message}"
    );
    accepted(&file(""));
}
