//! Making topics and reading them back with Kafka's own Java client (`tests/services/kafka/Client.java`): an independent reader.

use std::process::{Command, Output};

use crate::service::{Service, binaries, services};

/// A message of a topic.
#[derive(Clone, Debug)]
pub struct Message {
    pub partition: u32,
    pub milliseconds: i64,
    pub key: String,
    pub uid: String,
    pub sequence: u64,
    pub content_type: String,
    pub value: String,
}

/// Makes a topic.
pub fn create_topic(kafka: &Service, topic: &str, partitions: u32, settings: &[&str]) {
    let mut arguments = vec!["create".to_owned(), kafka.value("KAFKA_PLAIN"), topic.to_owned(), partitions.to_string()];
    arguments.extend(settings.iter().map(|&setting| setting.to_owned()));
    let output = client(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Everything a topic holds, partition by partition in the order of their offsets.
pub fn read(kafka: &Service, topic: &str) -> Vec<Message> {
    let output = client(&["read".to_owned(), kafka.value("KAFKA_PLAIN"), topic.to_owned()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut messages: Vec<(u64, Message)> = text.lines().map(message).collect();
    messages.sort_by_key(|(offset, message)| (message.partition, *offset));
    messages.into_iter().map(|(_, message)| message).collect()
}

fn message(line: &str) -> (u64, Message) {
    let fields: Vec<&str> = line.splitn(8, '\t').collect();
    let [partition, offset, milliseconds, key, uid, sequence, content_type, value] = fields[..] else { panic!("{line}") };
    let message = Message {
        partition: partition.parse().expect("a partition"),
        milliseconds: milliseconds.parse().expect("a time"),
        key: key.to_owned(),
        uid: uid.to_owned(),
        sequence: sequence.parse().expect("a sequence number"),
        content_type: content_type.to_owned(),
        value: value.to_owned(),
    };
    (offset.parse().expect("an offset"), message)
}

fn client(arguments: &[String]) -> Output {
    let classes = binaries().join("kafka-libs").join("*");
    let source = services().join("kafka/Client.java");
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(classes).arg(source).args(arguments);
    command.output().expect("java")
}
