//! Which of librdkafka's properties a user may set: those that tune buffers, time-outs and connections.
//!
//! A list of what is allowed and not of what is forbidden, so that a property of a later librdkafka can't get in unread. Left out on
//! purpose: what delivery rests on (`acks`, `enable.idempotence`, `message.timeout.ms`, retries), what loads code (`plugin.library.paths`),
//! what switches verification off (`enable.ssl.certificate.verification`, `ssl.endpoint.identification.algorithm`), and credentials, which
//! belong into files.

use rdkafka::ClientConfig;

/// Properties that are passed on, in alphabetical order.
pub const ALLOWED: &[&str] = &[
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.level",
    "connections.max.idle.ms",
    "debug",
    "linger.ms",
    "log.connection.close",
    "message.max.bytes",
    "metadata.max.age.ms",
    "partitioner",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queue.buffering.max.ms",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "security.protocol",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.interval.ms",
];

/// Whether a property may be set to this value; librdkafka itself judges the value.
///
/// # Errors
/// A sentence that says what to do instead.
pub fn check(key: &str, value: &str) -> Result<(), String> {
    if !ALLOWED.contains(&key) {
        let instead = match key {
            "acks" | "request.required.acks" | "enable.idempotence" | "retries" | "message.send.max.retries" => {
                "is fixed, since delivery rests on it"
            }
            "message.timeout.ms" | "delivery.timeout.ms" => "is fixed at 0: the spool keeps records for as long as it takes",
            "compression.codec" | "compression.type" => "is the sink's `compression`",
            "bootstrap.servers" | "metadata.broker.list" => "is the sink's `brokers`",
            key if key.starts_with("sasl.") => "is set under the sink's `sasl`",
            key if key.starts_with("ssl.") => "is set under the sink's `tls`",
            _ => "is not one of those that can be set",
        };
        return Err(format!("{instead}; allowed are: {}", ALLOWED.join(", ")));
    }
    let mut config = ClientConfig::new();
    config.set(key, value);
    config.create_native_config().map(drop).map_err(|error| match error {
        rdkafka::error::KafkaError::ClientConfig(_, why, _, _) => why,
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_a_reader_can_search_and_librdkafka_knows() {
        assert!(ALLOWED.is_sorted());
        for key in ALLOWED {
            let why = check(key, "\u{1}nonsense").err().unwrap_or_default();
            assert!(!why.contains("No such configuration property"), "{key}: {why}");
        }
    }

    #[test]
    fn tuning_passes_and_what_weakens_does_not() {
        for (key, value, fine) in [
            ("linger.ms", "5", true),
            ("linger.ms", "five", false),
            ("linger.ms", "-1", false),
            ("batch.size", "500000", true),
            ("security.protocol", "ssl", true),
            ("security.protocol", "sasl_ssl", true),
            ("security.protocol", "nonsense", false),
            ("partitioner", "consistent", true),
            ("partitioner", "nonsense", false),
            ("acks", "all", false),
            ("message.timeout.ms", "1000", false),
            ("enable.ssl.certificate.verification", "false", false),
            ("ssl.endpoint.identification.algorithm", "none", false),
            ("plugin.library.paths", "evil.so", false),
            ("sasl.password", "x", false),
            ("test.mock.num.brokers", "1", false),
            ("nonsense", "x", false),
        ] {
            assert_eq!(check(key, value).is_ok(), fine, "{key}={value}: {:?}", check(key, value));
        }
    }
}
