//! The configuration file `flowlog.yaml`: Cilium's dynamic export file unchanged, plus our own keys.
//!
//! A reader of a file gets either all of it, checked, with every default filled in, or every problem in it with key path and
//! line; never half of it. See `spec/hubble.md` §3.9 and §5 for what Cilium accepts, the design's *Configuration* for our keys.

pub mod build;
pub mod canonical;
mod decode;
pub mod diff;
pub mod keys;
mod place;
pub mod settings;
mod sink_types;
pub mod supply;
mod types;
mod validate;
pub mod watch;
pub(crate) mod yaml;

pub(crate) use decode::metrics;
pub(crate) use decode::values::format_size;
pub(crate) use decode::{At, Fields, Unknown};
pub use place::{MOST_PROBLEMS, Place, Places, Problem, Problems, Severity};
pub use sink_types::{
    BasicAuth, Batch, Kafka, KafkaCompression, Loki, LokiEncoding, Retention, RetentionMode, RetentionPeriod, S3, Sasl, SaslMechanism,
    Secret, Sink, SinkKind, Tls, WhenFull,
};
pub use types::{CREDENTIAL_HEADERS, Compress, End, File, FileOutput, FilterText, FlowLog, FoldBy, Hash, Redact, RedactHeaders};
pub use yaml::MAX_TEXT_BYTES;
pub(crate) use yaml::parse as parse_yaml;

/// What reading a file gave: the file, and what its writer should know although it works.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file.
    pub file: File,
    /// Warnings only.
    pub warnings: Problems,
}

/// Reads a configuration file's bytes. With `strict`, keys that Cilium would ignore reject it.
///
/// # Errors
/// Every problem that rejects the file, warnings included, in the order of their lines. Nothing of such a file may be applied.
/// A mask or filter that cannot be built is not among them: that fails its own flow log.
pub fn read(text: &[u8], strict: bool) -> Result<Checked, Problems> {
    let mut problems = Problems::default();
    let decoded = yaml::parse(text, &mut problems).map(|root| decode::decode(&root, &mut problems));
    if let Some(decoded) = &decoded {
        validate::validate(decoded, &mut problems);
    }
    problems.sort();
    let (warnings, harm) = problems.split(strict);
    match decoded {
        Some(mut decoded) if harm.is_empty() => {
            decoded.flow_logs.iter_mut().for_each(|entry| entry.hash = canonical::hash_of_flow_log(entry));
            decoded.sinks.values_mut().for_each(|sink| sink.hash = canonical::hash_of_sink(sink));
            let file = File { flow_logs: decoded.flow_logs, sinks: decoded.sinks, hash: canonical::sha256(text) };
            Ok(Checked { file, warnings })
        }
        _ => {
            let mut all = harm;
            all.append(warnings);
            all.sort();
            Err(all)
        }
    }
}

#[cfg(test)]
mod tests;
