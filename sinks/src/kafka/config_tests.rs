//! What is refused, and what librdkafka is told in the end.

use super::*;
use crate::secret::Secret;

fn options() -> Options {
    Options::new(vec!["kafka:9092".into()], "flows")
}

fn sasl(mechanism: Mechanism) -> Option<Sasl> {
    Some(Sasl { mechanism, username: "me".into(), password: SecretSource::Given(Secret::new("hunter2")) })
}

#[test]
fn settings_that_can_not_work_are_refused_with_their_key() {
    for (key, change) in [
        ("brokers", Box::new(|options: &mut Options| options.brokers.clear()) as Box<dyn Fn(&mut Options)>),
        ("brokers", Box::new(|options| options.brokers = vec!["kafka".into()])),
        ("brokers", Box::new(|options| options.brokers = vec!["http://kafka:9092".into()])),
        ("brokers", Box::new(|options| options.brokers = vec!["a:9092,b:9092".into()])),
        ("brokers", Box::new(|options| options.brokers = vec![":9092".into()])),
        ("topic", Box::new(|options| options.topic = "a b".into())),
        ("topic", Box::new(|options| options.topic = "..".into())),
        ("topic", Box::new(|options| options.topic = "x".repeat(250))),
        ("tls.serverName", Box::new(|options| options.tls.server_name = Some("x".into()))),
        (
            "properties.security.protocol",
            Box::new(|options| {
                let (key, value) = ("security.protocol", "sasl_ssl");
                drop(options.properties.insert(key.into(), value.into()));
            }),
        ),
        ("sasl.mechanism", Box::new(|options| options.sasl = sasl(Mechanism::Plain))),
        ("properties.acks", Box::new(|options| drop(options.properties.insert("acks".into(), "1".into())))),
    ] {
        let mut options = options();
        change(&mut options);
        let found = options.problems();
        assert_eq!(found.iter().map(|problem| problem.key.as_str()).collect::<Vec<_>>(), [key], "{found:?}");
    }
    assert_eq!(options().problems(), []);
}

#[test]
fn what_makes_delivery_safe_is_set_whatever_the_properties_say() {
    let mut options = options();
    options.properties = [("acks", "0"), ("enable.idempotence", "false"), ("message.timeout.ms", "1"), ("linger.ms", "7")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let config = options.client_config().unwrap();
    for (key, value) in
        [("acks", "all"), ("enable.idempotence", "true"), ("message.timeout.ms", "0"), ("linger.ms", "7"), ("compression.codec", "zstd")]
    {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
    assert!(config.create_native_config().is_ok());
}

#[test]
fn the_protocol_follows_from_tls_and_sasl() {
    let tls = Tls { ca_file: Some("ca.pem".into()), ..Tls::default() };
    let ssl: BTreeMap<String, String> = [("security.protocol".to_owned(), "ssl".to_owned())].into();
    for (tls, sasl, properties, wanted) in [
        (Tls::default(), None, BTreeMap::new(), "plaintext"),
        (Tls::default(), sasl(Mechanism::ScramSha512), BTreeMap::new(), "sasl_plaintext"),
        (tls.clone(), None, BTreeMap::new(), "ssl"),
        (tls, sasl(Mechanism::ScramSha256), BTreeMap::new(), "sasl_ssl"),
        (Tls::default(), sasl(Mechanism::Plain), ssl, "sasl_ssl"),
    ] {
        let options = Options { tls, sasl, properties, ..options() };
        assert_eq!(options.client_config().unwrap().get("security.protocol"), Some(wanted));
        assert_eq!(options.problems(), []);
    }
}

#[test]
fn the_password_is_read_from_its_file_each_time_and_does_not_print() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut options = options();
    options.sasl =
        Some(Sasl { mechanism: Mechanism::ScramSha512, username: "me".into(), password: SecretSource::File(file.path().into()) });
    for password in ["first", "second"] {
        std::fs::write(file.path(), password).unwrap();
        let config = options.client_config().unwrap();
        assert_eq!(config.get("sasl.password"), Some(password));
    }
    let given = Options { sasl: sasl(Mechanism::Plain), ..options };
    assert!(!format!("{given:?}").contains("hunter2"));
}
