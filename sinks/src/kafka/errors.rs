//! What a failure of librdkafka or a broker means for a record. A pure function: the wrong class loses data or stands still for ever.
//!
//! A quota, a missing permission or a missing topic is nothing a record is guilty of, so they are retried until somebody has helped (other
//! clients give such records up). Guilty is only what the broker can never take: too large, or invalid. Brokers judge whole batches,
//! so a guilty verdict is a suspicion until the record has been sent alone.

use rdkafka::types::RDKafkaErrorCode as Code;

use super::config::Options;

/// What to do about a failed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Send it again later.
    Retry,
    /// The broker may never take it; find out by sending it alone.
    Suspect,
    /// The producer is unusable; make a new one and send again.
    Fatal,
}

/// The class of an error.
pub fn classify(code: Code) -> Class {
    match code {
        Code::Fatal
        | Code::Fenced
        | Code::GaplessGuarantee
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::OutOfOrderSequenceNumber
        | Code::ProducerFenced
        | Code::UnknownProducerId
        | Code::Inconsistent => Class::Fatal,
        Code::BadMessage
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::MessageBatchTooLarge
        | Code::MessageSizeTooLarge => Class::Suspect,
        _ => Class::Retry,
    }
}

/// What a person can do about an error that only a person can mend; empty where waiting is enough.
pub fn advice(code: Code, options: &Options) -> String {
    let topic = &options.topic;
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            format!(
                "topic `{topic}` does not exist there; create it, for instance with kafka-topics.sh --create --topic {topic}, or mend the sink's topic"
            )
        }
        Code::InvalidTopic => format!("`{topic}` is no valid topic; mend the sink's topic"),
        Code::TopicAuthorizationFailed => format!("this user may not write to topic `{topic}`; give it the ACLs Write and Describe"),
        Code::ClusterAuthorizationFailed => {
            "this user may not write idempotently; give it the ACL IdempotentWrite on the cluster".to_owned()
        }
        Code::Authentication | Code::SaslAuthenticationFailed | Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            "the brokers refuse these credentials; check sasl.mechanism, sasl.username and sasl.passwordFile".to_owned()
        }
        Code::SSL => "TLS fails; check tls.caFile, tls.certFile and that the port speaks TLS".to_owned(),
        Code::AllBrokersDown | Code::BrokerTransportFailure if options.uses_tls() => {
            "no broker lets us in; check the sink's brokers, and where they ask for a client certificate tls.certFile".to_owned()
        }
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => {
            "no broker can be reached; check the sink's brokers".to_owned()
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            format!("topic `{topic}` has fewer replicas in sync than its min.insync.replicas")
        }
        Code::PolicyViolation | Code::ThrottlingQuotaExceeded => format!("a policy or quota of the cluster holds up topic `{topic}`"),
        Code::UnsupportedCompressionType => "the brokers are too old for this compression; set the sink's compression to lz4".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_record_is_guilty_of_is_held_against_it() {
        for (code, wanted) in [
            (Code::MessageSizeTooLarge, Class::Suspect),
            (Code::InvalidRecord, Class::Suspect),
            (Code::InvalidTimestamp, Class::Suspect),
            (Code::UnknownTopicOrPartition, Class::Retry),
            (Code::UnknownTopic, Class::Retry),
            (Code::TopicAuthorizationFailed, Class::Retry),
            (Code::SaslAuthenticationFailed, Class::Retry),
            (Code::PolicyViolation, Class::Retry),
            (Code::ThrottlingQuotaExceeded, Class::Retry),
            (Code::NotEnoughReplicas, Class::Retry),
            (Code::MessageTimedOut, Class::Retry),
            (Code::PurgeQueue, Class::Retry),
            (Code::PurgeInflight, Class::Retry),
            (Code::AllBrokersDown, Class::Retry),
            (Code::Fatal, Class::Fatal),
            (Code::UnknownProducerId, Class::Fatal),
            (Code::OutOfOrderSequenceNumber, Class::Fatal),
            (Code::ProducerFenced, Class::Fatal),
        ] {
            assert_eq!(classify(code), wanted, "{code:?}");
        }
    }

    #[test]
    fn what_a_person_can_mend_comes_with_advice() {
        let mut options = Options::new(vec!["kafka:9092".to_owned()], "flows");
        assert!(advice(Code::UnknownTopicOrPartition, &options).contains("--topic flows"));
        assert!(advice(Code::TopicAuthorizationFailed, &options).contains("ACL"));
        assert_eq!(advice(Code::RequestTimedOut, &options), "");
        assert!(!advice(Code::AllBrokersDown, &options).contains("tls"));
        options.tls.ca_file = Some("ca.pem".into());
        assert!(advice(Code::AllBrokersDown, &options).contains("tls.certFile"));
    }
}
