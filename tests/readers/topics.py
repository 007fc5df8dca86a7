"""Kafka without librdkafka: makes topics and reads them back, over a client that shares no code with ours.

usage: topics.py BROKER create TOPIC PARTITIONS
       topics.py BROKER read TOPIC          one JSON object a record, partitions one after another, offsets rising, up to the present end
"""
import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import NewTopic


def create(broker, topic, partitions):
    admin = KafkaAdminClient(bootstrap_servers=broker)
    admin.create_topics([NewTopic(topic, num_partitions=int(partitions), replication_factor=1)])
    admin.close()


def read(broker, topic):
    consumer = KafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, isolation_level="read_committed")
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or [])]
    ends = consumer.end_offsets(partitions)
    for partition in partitions:
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        while consumer.position(partition) < ends[partition]:
            for record in consumer.poll(timeout_ms=1000).get(partition, []):
                if record.offset >= ends[partition]:
                    continue
                print(json.dumps({
                    "partition": record.partition,
                    "offset": record.offset,
                    "key": record.key.decode() if record.key is not None else None,
                    "timestamp": record.timestamp,
                    "headers": {name: value.decode() for name, value in record.headers},
                    "value": record.value.decode(),
                }))
    consumer.close()


broker, verb, *rest = sys.argv[1:]
{"create": create, "read": read}[verb](broker, *rest)
