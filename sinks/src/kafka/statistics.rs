//! The few numbers of librdkafka's statistics that an operator acts on.
//!
//! The whole document is tens of kilobytes on a large cluster and names every broker and partition; a metrics page with a series for
//! each would be larger than everything else of flowlog. So: sums over the brokers, and the slowest round trip.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::driver::Number;

/// Numbers of one producer, as of its last report (every 5 s by default).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Gauge: messages in the producer's queue or on their way.
    pub messages_waiting: u64,
    /// Gauge: their bytes.
    pub bytes_waiting: u64,
    /// Messages sent since the producer was made, repeats included.
    pub messages_sent: u64,
    /// Their bytes, before compression.
    pub message_bytes_sent: u64,
    /// Bytes sent to brokers since the producer was made.
    pub bytes_sent: u64,
    /// Requests sent again since the producer was made.
    pub requests_retried: u64,
    /// Transmission errors since the producer was made.
    pub errors: u64,
    /// Gauge: brokers known.
    pub brokers: u64,
    /// Gauge: brokers with a working connection.
    pub brokers_up: u64,
    /// Gauge: the slowest broker's 99th percentile of round trips, microseconds.
    pub slowest_round_trip_us: u64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    msg_cnt: u64,
    #[serde(default)]
    msg_size: u64,
    #[serde(default)]
    txmsgs: u64,
    #[serde(default)]
    txmsg_bytes: u64,
    #[serde(default)]
    tx_bytes: u64,
    #[serde(default)]
    brokers: BTreeMap<String, Broker>,
}

#[derive(Deserialize)]
struct Broker {
    #[serde(default)]
    nodeid: i64,
    #[serde(default)]
    state: String,
    #[serde(default)]
    txretries: u64,
    #[serde(default)]
    txerrs: u64,
    #[serde(default)]
    rtt: RoundTrip,
}

#[derive(Default, Deserialize)]
struct RoundTrip {
    #[serde(default)]
    p99: i64,
}

impl Statistics {
    /// As they stand on `/metrics`, with the number of producers that were replaced.
    pub fn numbers(&self, producers_replaced: u64) -> Vec<Number> {
        let counter = |name, help, value| Number { name, help, is_counter: true, value };
        let gauge = |name, help, value| Number { name, help, is_counter: false, value };
        vec![
            gauge("flowlog_kafka_messages_waiting", "Messages in the producer's queue or on their way.", self.messages_waiting),
            gauge("flowlog_kafka_bytes_waiting", "Bytes of these messages.", self.bytes_waiting),
            counter("flowlog_kafka_messages_sent_total", "Messages the present producer has sent, repeats included.", self.messages_sent),
            counter("flowlog_kafka_message_bytes_sent_total", "Bytes of these messages, before compression.", self.message_bytes_sent),
            counter("flowlog_kafka_bytes_sent_total", "Bytes the present producer has sent to brokers.", self.bytes_sent),
            counter("flowlog_kafka_requests_retried_total", "Requests the present producer has sent again.", self.requests_retried),
            counter("flowlog_kafka_transmission_errors_total", "Transmission errors of the present producer.", self.errors),
            gauge("flowlog_kafka_brokers", "Brokers known.", self.brokers),
            gauge("flowlog_kafka_brokers_up", "Brokers with a working connection.", self.brokers_up),
            gauge(
                "flowlog_kafka_round_trip_microseconds",
                "The slowest broker's 99th percentile of round trips.",
                self.slowest_round_trip_us,
            ),
            counter(
                "flowlog_kafka_producers_replaced_total",
                "Producers replaced: broken, or made from files that have changed.",
                producers_replaced,
            ),
        ]
    }

    /// Reads librdkafka's JSON; none if it is not that.
    pub fn parse(json: &[u8]) -> Option<Statistics> {
        let document: Document = serde_json::from_slice(json).ok()?;
        // Bootstrap addresses stand in the list too, under node -1, until the brokers behind them are known.
        let known = || document.brokers.values().filter(|broker| broker.nodeid >= 0);
        Some(Statistics {
            messages_waiting: document.msg_cnt,
            bytes_waiting: document.msg_size,
            messages_sent: document.txmsgs,
            message_bytes_sent: document.txmsg_bytes,
            bytes_sent: document.tx_bytes,
            requests_retried: document.brokers.values().map(|broker| broker.txretries).sum(),
            errors: document.brokers.values().map(|broker| broker.txerrs).sum(),
            brokers: known().count() as u64,
            brokers_up: known().filter(|broker| broker.state == "UP").count() as u64,
            slowest_round_trip_us: known().filter_map(|broker| u64::try_from(broker.rtt.p99).ok()).max().unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_leave_out_what_is_not_a_broker_yet() {
        let json = br#"{"name":"x","msg_cnt":3,"msg_size":900,"txmsgs":10,"txmsg_bytes":3000,"tx_bytes":4000,"topics":{"a":{}},"brokers":{
            "a:1/bootstrap":{"nodeid":-1,"state":"INIT","txretries":1,"txerrs":2,"rtt":{"p99":0}},
            "a:1/1":{"nodeid":1,"state":"UP","txretries":4,"txerrs":0,"rtt":{"p99":700,"min":1}},
            "a:1/2":{"nodeid":2,"state":"DOWN","txretries":0,"txerrs":1,"rtt":{"p99":900}}}}"#;
        let wanted = Statistics {
            messages_waiting: 3,
            bytes_waiting: 900,
            messages_sent: 10,
            message_bytes_sent: 3000,
            bytes_sent: 4000,
            requests_retried: 5,
            errors: 3,
            brokers: 2,
            brokers_up: 1,
            slowest_round_trip_us: 900,
        };
        assert_eq!(Statistics::parse(json), Some(wanted));
        assert_eq!(Statistics::parse(b"nonsense"), None);
    }
}
