// An independent reader of a Kafka topic, on Kafka's own client: what flowlog sent through librdkafka is read back by somebody else.
//
//   java -cp 'LIBS/*' Client.java create BROKERS TOPIC PARTITIONS [topic settings key=value …]
//   java -cp 'LIBS/*' Client.java read BROKERS TOPIC     all messages up to the end at this moment, one a line, tabs between:
//                                                        partition, offset, timestamp (ms), key, uid, sequence, content type, value

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public class Client {
    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "create" -> create(args);
            case "read" -> read(args[1], args[2]);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void create(String[] args) throws Exception {
        Map<String, String> settings = new HashMap<>();
        for (int i = 4; i < args.length; i++) {
            String[] pair = args[i].split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[1]))) {
            NewTopic topic = new NewTopic(args[2], Integer.parseInt(args[3]), (short) 1).configs(settings);
            admin.createTopics(List.of(topic)).all().get();
        }
    }

    static void read(String brokers, String name) {
        Map<String, Object> settings = Map.of("bootstrap.servers", brokers, "enable.auto.commit", false);
        ByteArrayDeserializer raw = new ByteArrayDeserializer();
        StringBuilder out = new StringBuilder();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings, raw, raw)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(name).forEach(info -> partitions.add(new TopicPartition(name, info.partition())));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(partition -> consumer.position(partition) < ends.get(partition))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    out.append(record.partition()).append('\t').append(record.offset()).append('\t').append(record.timestamp());
                    out.append('\t').append(text(record.key()));
                    for (String header : List.of("flowlog-uid", "flowlog-sequence", "content-type")) {
                        Header found = record.headers().lastHeader(header);
                        out.append('\t').append(text(found == null ? null : found.value()));
                    }
                    out.append('\t').append(text(record.value())).append('\n');
                }
                System.out.print(out);
                out.setLength(0);
            }
        }
    }

    static String text(byte[] bytes) {
        return bytes == null ? "" : new String(bytes, StandardCharsets.UTF_8);
    }
}
