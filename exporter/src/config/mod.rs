//! The configuration file `flowlog.yaml`: Cilium's dynamic export file unchanged, plus our own keys.
//!
//! A reader of a file gets either all of it, checked, with every default filled in, or every problem in it with key path and
//! line; never half of it. See `spec/hubble.md` §3.9 and §5 for what Cilium accepts, the design's *Configuration* for our keys.

mod place;
mod sink_types;
mod types;
mod yaml;

pub use place::{Place, Places, Problem, Problems, Severity};
pub use sink_types::{
    BasicAuth, Batch, Kafka, KafkaCompression, Loki, LokiEncoding, Retention, RetentionMode, RetentionPeriod, S3, S3Compression, Sasl,
    SaslMechanism, Secret, Sink, SinkKind, Tls, WhenFull,
};
pub use types::{CREDENTIAL_HEADERS, Compress, End, File, FileOutput, FilterText, FlowLog, FoldBy, Hash, Redact, RedactHeaders};

/// What reading a file gave: the file, and what its writer should know although it works.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file.
    pub file: File,
    /// Warnings only.
    pub warnings: Problems,
}
