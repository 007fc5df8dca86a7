//! librdkafka's own mock brokers, and a consumer that reads back what they hold.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

pub const TOPIC: &str = "flows";
const PARTITIONS: i32 = 3;

pub type Cluster = MockCluster<'static, DefaultProducerContext>;

/// One broker with the topic.
pub fn cluster() -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
    cluster
}

#[derive(Debug, PartialEq)]
pub struct Read {
    pub sequence: u64,
    pub uid: String,
    pub key: String,
    pub line: String,
    pub milliseconds: Option<i64>,
    pub content_type: String,
}

/// Everything in the topic, partition by partition.
pub fn read(cluster: &Cluster) -> Vec<Read> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "reader").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut by_partition: BTreeMap<i32, Vec<Read>> = BTreeMap::new();
    let mut ended = 0;
    while ended < PARTITIONS {
        match consumer.poll(Duration::from_secs(10)).expect("the mock cluster answers") {
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
            Ok(message) => {
                let headers = message.headers().unwrap();
                let header = |name: &str| {
                    let header = headers.iter().find(|header| header.key == name).unwrap();
                    String::from_utf8(header.value.unwrap().to_vec()).unwrap()
                };
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                by_partition.entry(message.partition()).or_default().push(Read {
                    sequence: header("flowlog-sequence").parse().unwrap(),
                    uid: header("flowlog-uid"),
                    key: text(message.key()),
                    line: text(message.payload()),
                    milliseconds: message.timestamp().to_millis(),
                    content_type: header("content-type"),
                });
            }
        }
    }
    by_partition.into_values().flatten().collect()
}
