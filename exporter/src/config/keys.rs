//! Every key of `flowlog.yaml`, with its type, default and meaning: the one list that decoding, suggestions and the reference share.
//!
//! A decoder asks for keys by these names and the tests make sure that it asks for all of them, so nothing can be documented
//! that is not read, nor read without being documented.

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What is written there, with the unit.
    pub kind: &'static str,
    /// What holds without it; a dash where it is required.
    pub default: &'static str,
    /// Whether Cilium does not know it.
    pub ours: bool,
    /// What it does.
    pub doc: &'static str,
}

const fn cilium(name: &'static str, kind: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, ours: false, doc }
}

const fn ours(name: &'static str, kind: &'static str, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, ours: true, doc }
}

const FILE_PATH: &str = "File of JSON lines, or `stdout` (for one flow log only).";
const FILE_MAX_SIZE: &str = "Size at which the file is rotated.";
const FILE_MAX_BACKUPS: &str = "Rotated files kept. A negative number keeps all.";
const FILE_COMPRESS: &str = "Compression of rotated files; `true` is gzip. The newest stays plain, for tailers.";
const FILE_COMPRESS_KIND: &str = "true, false, gzip or zstd";

/// Keys at the top of the file.
pub const TOP: &[Key] = &[
    cilium("flowLogs", "list of flow logs", "none", "What to record, and where."),
    ours("sinks", "map of name to sink", "none", "Destinations that flow logs name."),
    cilium(
        "static",
        "static block",
        "none",
        "One more flow log, in the keys of Cilium's static exporter. They may stand at the top of the file too.",
    ),
    cilium(
        "hubble",
        "Helm values",
        "none",
        "Only `hubble.export.static` and `hubble.export.dynamic.config.content` are read, so that a values file works as it is.",
    ),
];

/// Keys of a rotated file, in a flow log and in a sink of type `file`.
pub const FILE: &[Key] = &[
    cilium("filePath", "path", "-", FILE_PATH),
    cilium("fileMaxSizeMb", "number of MiB", "10", FILE_MAX_SIZE),
    cilium("fileMaxBackups", "number of files", "5", FILE_MAX_BACKUPS),
    cilium("fileCompress", FILE_COMPRESS_KIND, "false", FILE_COMPRESS),
    ours("fileMaxAge", "duration", "none", "Rotated files older than this are removed."),
    ours("fileMaxTotalMb", "number of MiB", "none", "Bound of all rotated files together; the oldest are removed."),
    ours(
        "fileMinRotateInterval",
        "duration",
        "10s",
        "Shortest time between two rotations, so that tailers can follow; meanwhile the file may grow to four times its limit.",
    ),
    ours("fileMode", "octal permission bits", "0640", "Permissions of the file."),
    ours("fileGroup", "group name or number", "the daemon's", "Group of the file, for tailers that run as another user."),
];

/// Keys of a flow log, beside those of [`FILE`].
pub const FLOW_LOG: &[Key] = &[
    cilium("name", "text", "-", "Unique name; the flow log's identity over reloads, and a label of its metrics."),
    cilium("fieldMask", "list of paths", "every field", "Fields to write, in proto spelling, as in `source.pod_name`."),
    cilium("fieldAggregate", "list of paths", "none", "Fields to count flows by, as Cilium does; needs `aggregationInterval`."),
    cilium("aggregationInterval", "duration", "0s", "Time between two outputs of the counts; 0 or less is off."),
    cilium("includeFilters", "list of FlowFilter", "everything", "A flow is kept if one of these matches."),
    cilium("excludeFilters", "list of FlowFilter", "nothing", "A flow is left out if one of these matches."),
    cilium("end", "RFC 3339 date and time", "never", "Nothing is written after this moment."),
    ours(
        "window",
        "duration, 0 or 100ms to 1h",
        "1s",
        "Lines that are identical after the mask become one line per window; 0 writes a line per event.",
    ),
    ours(
        "foldBy",
        "connection or service",
        "connection",
        "Whether the client's port tells lines apart (`connection`) or is left out (`service`).",
    ),
    ours("redact", "true, false or a map", "true", "What is hidden in L7 data; false gives Hubble's raw line."),
    ours("sinks", "list of names", "none", "Further destinations."),
    ours("spoolMaxBytes", "size", "1GiB", "Bound of this flow log's spool on disk."),
];

/// Keys of `redact`.
pub const REDACT: &[Key] = &[
    ours("urlUserinfo", "true or false", "true", "Hide passwords in URLs."),
    ours("urlQuery", "true or false", "false", "Drop query and fragment of URLs."),
    ours("headersAllow", "list of names", "none", "Hide the values of all HTTP headers but these."),
    ours(
        "headersDeny",
        "list of names",
        "Authorization, Proxy-Authorization, Cookie, Set-Cookie",
        "Hide the values of these HTTP headers.",
    ),
];

/// Keys of the static block, beside `filePath`, `fileMaxSizeMb`, `fileMaxBackups`, `fileCompress`, `fieldMask`, `fieldAggregate` and
/// `aggregationInterval`, which mean what they mean in a flow log.
pub const STATIC: &[Key] = &[
    cilium("enabled", "true or false", "true", "Whether the block counts."),
    cilium("filePath", "path", "/var/run/cilium/hubble/events.log in Helm values, else required", FILE_PATH),
    cilium("fileMaxSizeMb", "number of MiB", "10", FILE_MAX_SIZE),
    cilium("fileMaxBackups", "number of files", "5", FILE_MAX_BACKUPS),
    cilium("fileCompress", FILE_COMPRESS_KIND, "false", FILE_COMPRESS),
    cilium("fieldMask", "list of paths, or paths separated by commas or blanks", "every field", "Fields to write."),
    cilium("fieldAggregate", "list of paths, or paths separated by commas or blanks", "none", "Fields to count flows by."),
    cilium("aggregationInterval", "duration", "0s", "Time between two outputs of the counts."),
    cilium("allowList", "list of FlowFilter, as JSON texts or maps", "everything", "A flow is kept if one of these matches."),
    cilium("denyList", "list of FlowFilter, as JSON texts or maps", "nothing", "A flow is left out if one of these matches."),
];

/// Keys that every sink has.
pub const SINK: &[Key] = &[
    ours("type", "s3, loki, kafka or file", "-", "What it is."),
    ours(
        "whenFull",
        "hold, dropOldest or detach",
        "hold for s3, else dropOldest",
        "What gives way when a spool reaches its bound because of this sink.",
    ),
    ours("drainTimeout", "duration", "5m", "How long a sink that was removed may go on delivering what is spooled; the rest is a gap."),
];

/// Keys of `batch`; those of network sinks alone.
pub const BATCH: &[Key] = &[
    ours("maxBytes", "size", "s3 64MiB (compressed), loki 4MiB, kafka 4MiB", "Bytes at which a batch is closed."),
    ours("maxRecords", "number", "s3 no limit, loki 100000, kafka 20000", "Records at which a batch is closed."),
    ours("maxAge", "duration", "s3 10m, loki 1s, kafka 100ms", "Age of its oldest record at which a batch is closed."),
];

/// Keys of `tls`.
pub const TLS: &[Key] = &[
    ours("caFile", "path of a PEM file", "the system's authorities", "Authorities that may have signed the server's certificate."),
    ours("certFile", "path of a PEM file", "none", "Client certificate."),
    ours("keyFile", "path of a PEM file", "none", "Key of the client certificate."),
    ours("serverName", "text", "the host in the address", "Name expected in the server's certificate; for loki alone."),
];

/// Keys that network sinks share.
pub const NETWORK: &[Key] =
    &[ours("batch", "map", "by type", "Limits of a batch."), ours("tls", "map", "none", "Files of the TLS client.")];

/// Keys of an s3 sink.
pub const S3: &[Key] = &[
    ours("url", "s3://bucket/prefix or file:///folder", "-", "Where objects go."),
    ours("endpoint", "URL", "Amazon's", "Address of another server."),
    ours("region", "text", "the environment's, else us-east-1", "Region."),
    ours("pathStyle", "true or false", "true with `endpoint`", "Bucket in the path instead of the host name."),
    ours(
        "credentialsFile",
        "path",
        "environment, web identity, `~/.aws/credentials`, container or instance role",
        "File with `aws_access_key_id` and `aws_secret_access_key`.",
    ),
    ours("retention", "map", "none", "Object Lock of every object."),
    ours("legalHold", "true or false", "false", "Legal hold on every object."),
    ours("compression", "zstd, or zstd-1 to zstd-19", "zstd-3", "Compression of objects, and its level."),
];

/// Keys of `retention`.
pub const RETENTION: &[Key] = &[
    ours("mode", "COMPLIANCE or GOVERNANCE", "-", "Whether nobody may shorten it, or those with a special permission."),
    ours("days", "number of days", "-", "How long, from the moment of storing; or give `until`."),
    ours("until", "RFC 3339 date and time", "-", "Until when; or give `days`."),
];

/// Keys of a loki sink.
pub const LOKI: &[Key] = &[
    ours("url", "URL", "-", "Base address, as in `http://loki:3100`."),
    ours("tenant", "text", "none", "Value of X-Scope-OrgID."),
    ours(
        "labels",
        "map of label to path, or list of paths",
        "none",
        "Labels beside job, cluster, node and flow_log, taken from the masked flow. Few values each.",
    ),
    ours("basicAuth", "map", "none", "HTTP basic authentication."),
    ours("bearerTokenFile", "path", "none", "File with a bearer token; read again when it changes."),
    ours("encoding", "protobuf or json", "protobuf", "Form of a push."),
];

/// Keys of `basicAuth`.
pub const BASIC_AUTH: &[Key] = &[
    ours("username", "text", "-", "User."),
    ours("passwordFile", "path", "-", "File with the password; or give `password`."),
    ours("password", "text", "-", "The password itself."),
];

/// Keys of a kafka sink.
pub const KAFKA: &[Key] = &[
    ours("brokers", "list of host:port", "-", "Some of the brokers."),
    ours("topic", "text", "-", "The topic."),
    ours("sasl", "map", "none", "SASL authentication."),
    ours("compression", "none, gzip, snappy, lz4 or zstd", "zstd", "Compression of messages."),
    ours("properties", "map of text to text", "none", "Further properties of librdkafka; those that could weaken delivery are refused."),
];

/// Keys of `sasl`.
pub const SASL: &[Key] = &[
    ours("mechanism", "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", "-", "Mechanism."),
    ours("username", "text", "-", "User."),
    ours("passwordFile", "path", "-", "File with the password."),
];

/// Keys of a file of identities.
pub const IDENTITIES: &[Key] =
    &[ours("identities", "map of address or network to identity", "none", "Who addresses are; the longest network counts.")];

/// Keys of one identity.
pub const IDENTITY: &[Key] = &[
    ours("reserved", "host, remote-node, world-ipv4 or world-ipv6", "world where nothing says otherwise", "Reserved identity."),
    ours("identity", "number", "that of `reserved`, else 0", "Security identity."),
    ours("cluster", "text", "none", "Name of its cluster."),
    ours("node", "text", "this node, for a pod at a single address", "Node it runs on; decides the direction of its traffic."),
    ours("namespace", "text", "none", "Namespace."),
    ours("pod", "text", "none", "Name of the pod."),
    ours("labels", "list of key=value, or a map", "none", "Labels; `k8s:` is put in front where no source is given."),
    ours("workload", "Kind/name", "none", "What the pod belongs to."),
    ours("service", "namespace/name", "none", "Service whose frontend the address is."),
    ours("names", "list of DNS names", "none", "Its DNS names."),
];

/// Keys of the daemon's own settings file. Each is also a flag of `flowlog run`, which wins.
pub const SETTINGS: &[Key] = &[
    ours("sources", "list of kernel, jsonl:PATH or -", "[kernel]", "Where flows come from."),
    ours("interfaces", "list of names or globs", "the uplink and the host side of pod veths", "Interfaces to watch."),
    ours("attach", "auto, tcx or clsact", "auto", "How the kernel programs are attached; auto takes tcx from Linux 6.6 on."),
    ours("identities", "path", "none", "File of identities."),
    ours("stateDir", "path", "/var/lib/flowlog", "Folder of intake, spools and cursors."),
    ours("listen", "address:port, or off", "127.0.0.1:9965", "Address of /metrics, /healthz and /readyz."),
    ours("listenCertFile", "path", "none: plain HTTP", "Certificate of the listener, PEM; with listenKeyFile."),
    ours("listenKeyFile", "path", "none", "Private key of the listener, PEM."),
    ours("listenClientCaFile", "path", "none: any client", "Authority of the clients that are let in, PEM: mutual TLS."),
    ours(
        "metrics",
        "list of texts and maps",
        "dns drop tcp flow icmp httpV2",
        "Hubble metrics: texts in Cilium's syntax, as `--metrics` takes them, and maps, as in Cilium's `dynamic-metrics.yaml`.",
    ),
    ours("nodeName", "text", "the host name", "Name of this node."),
    ours("clusterName", "text", "default", "Name of the cluster."),
    ours("intakeMaxBytes", "size", "256MiB", "Bound of the intake on disk."),
    ours("ringBytes", "size, 4KiB to 1GiB", "1 MiB per CPU, between 8 and 64 MiB", "Size of the kernel ring."),
    ours("flowRows", "number, 64 to 4194304", "131072", "Flows the kernel can hold at a time."),
    ours("reportInterval", "duration, 100ms to 5m", "5s", "How often the kernel reports an active flow."),
    ours("diskReservePercent", "percent, 0 to 90", "10", "Part of the disk that spools leave free."),
    ours("pinDir", "path in a bpffs", "/sys/fs/bpf/flowlog, and a part that stands for the state folder", "Folder of the pins."),
    ours("logFormat", "text or json", "text", "Form of the daemon's own log."),
    ours("logLevel", "text", "info", "Level of the daemon's own log, also per module."),
    ours("logDir", "path", "none: standard error", "Folder of the daemon's own log, a file per day."),
];

/// Keys at the top of a file of metrics, Cilium's `dynamic-metrics.yaml`.
pub const DYNAMIC_METRICS: &[Key] = &[cilium("metrics", "list of metrics", "none", "Hubble metrics.")];

/// Keys of a metric that is a map.
pub const METRIC: &[Key] = &[
    cilium("name", "text", "-", "Name of the metric. One that is not known is passed over, with a warning."),
    cilium("contextOptions", "list of options", "none", "Its options."),
    cilium("includeFilters", "list of FlowFilter", "everything", "A flow counts if one of these matches."),
    cilium("excludeFilters", "list of FlowFilter", "nothing", "A flow does not count if one of these matches."),
];

/// Keys of an option of a metric.
pub const CONTEXT_OPTION: &[Key] = &[
    cilium(
        "name",
        "text",
        "-",
        "`sourceContext`, `sourceEgressContext`, `sourceIngressContext`, the same of `destination`, `labelsContext`, or an option of the metric's own, \
         as `exemplars`.",
    ),
    cilium(
        "values",
        "list of texts",
        "none",
        "Its values: of a context those to try in turn, of `labelsContext` all labels, of `exemplars` true.",
    ),
];

/// All tables with their headings, in the order of the reference.
pub const TABLES: &[(&str, &[&[Key]])] = &[
    ("Top of the file", &[TOP]),
    ("`flowLogs[]`", &[FLOW_LOG, FILE]),
    ("`flowLogs[].redact`", &[REDACT]),
    ("`static`", &[STATIC]),
    ("`sinks.NAME`", &[SINK]),
    ("`sinks.NAME` of s3, loki and kafka", &[NETWORK]),
    ("`sinks.NAME.batch`", &[BATCH]),
    ("`sinks.NAME.tls`", &[TLS]),
    ("`sinks.NAME` of type s3", &[S3]),
    ("`sinks.NAME.retention` of type s3", &[RETENTION]),
    ("`sinks.NAME` of type loki", &[LOKI]),
    ("`sinks.NAME.basicAuth` of type loki", &[BASIC_AUTH]),
    ("`sinks.NAME` of type kafka", &[KAFKA]),
    ("`sinks.NAME.sasl` of type kafka", &[SASL]),
    ("`sinks.NAME` of type file", &[FILE]),
    ("Top of a file of identities", &[IDENTITIES]),
    ("`identities.ADDRESS`", &[IDENTITY]),
    ("The daemon's settings file", &[SETTINGS]),
    ("Top of a file of metrics", &[DYNAMIC_METRICS]),
    ("`metrics[]`, where it is a map", &[METRIC]),
    ("`metrics[].contextOptions[]`", &[CONTEXT_OPTION]),
];
