//! From a sink's configuration to its driver. The only place that knows every kind of sink.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowlog_sinks::driver::{self, DriverOptions, Running};
use flowlog_sinks::file::{self, FileConfig, FileSink, StdoutSink};
use flowlog_sinks::kafka::KafkaSink;
use flowlog_sinks::loki::LokiSink;
use flowlog_sinks::s3::S3Sink;
use flowlog_sinks::spool::{Spool, WhenFull};

use super::network_sinks::{self, Origin};
use super::privileges;
use crate::config::{self, Batch, Compress, File, FileOutput, FlowLog, SinkKind, Tls};

/// The name of the sink that a `filePath` stands for.
pub const FILE: &str = "file";

/// One sink of one flow log, as the configuration wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedSink {
    /// Its name: `file` for `filePath`, else the name in the file.
    pub name: String,
    /// What happens at the spool's bound.
    pub when_full: WhenFull,
    /// How long it may take to deliver what is spooled when it is removed.
    pub drain_timeout: Duration,
    kind: SinkKind,
    batch: Option<Batch>,
    tls: Tls,
    origin: Origin,
    /// Tells whether anything else about it has changed.
    hash: config::Hash,
}

/// Why a sink can't be built or started.
#[derive(Debug, thiserror::Error)]
#[error("sink {name:?}: {why}")]
pub struct SinkError {
    /// Its name.
    pub name: String,
    why: String,
}

impl WantedSink {
    /// The file it writes, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match &self.kind {
            SinkKind::File(output) if !output.is_stdout() => Some(Path::new(&output.path)),
            _ => None,
        }
    }

    /// How long a record may wait for its batch to fill; files wait for none.
    #[must_use]
    pub fn batch_max_age(&self) -> Duration {
        self.batch.map_or(Duration::ZERO, |batch| batch.max_age)
    }
}

/// The sinks of a flow log.
#[must_use]
pub fn wanted(entry: &FlowLog, file: &File, origin: &Origin) -> Vec<WantedSink> {
    let origin = Origin { log: entry.name.clone(), ..origin.clone() };
    let own = entry.file.iter().map(|output| WantedSink {
        name: FILE.to_owned(),
        when_full: WhenFull::DropOldest,
        drain_timeout: Duration::from_secs(30),
        kind: SinkKind::File(output.clone()),
        batch: None,
        tls: Tls::default(),
        origin: origin.clone(),
        hash: config::Hash::default(),
    });
    let named = entry.sinks.iter().filter_map(|name| file.sinks.get(name)).map(|sink| WantedSink {
        name: sink.name.clone(),
        when_full: match sink.when_full {
            config::WhenFull::Hold => WhenFull::Hold,
            config::WhenFull::DropOldest => WhenFull::DropOldest,
            config::WhenFull::Detach => WhenFull::Detach,
        },
        drain_timeout: sink.drain_timeout,
        kind: sink.kind.clone(),
        batch: Some(sink.batch),
        tls: sink.tls.clone(),
        origin: origin.clone(),
        hash: sink.hash,
    });
    own.chain(named).collect()
}

/// The mask paths from which a flow log's sinks take labels.
#[must_use]
pub fn label_paths(entry: &FlowLog, file: &File) -> Vec<String> {
    let mut paths: Vec<String> = Vec::new();
    for sink in entry.sinks.iter().filter_map(|name| file.sinks.get(name)) {
        if let SinkKind::Loki(loki) = &sink.kind {
            paths.extend(loki.labels.values().cloned());
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

/// What starts a sink on a spool.
type StartOn = dyn FnOnce(&Spool, DriverOptions) -> std::io::Result<Running> + Send;

/// A sink whose settings work, not started yet.
pub struct Built {
    start: Box<StartOn>,
}

fn built<S: driver::Sink>(sink: S) -> Built {
    Built { start: Box::new(move |spool, options| driver::start(spool, Arc::new(sink), options)) }
}

/// Tries everything about a sink that can fail. Whatever runs under its name does not notice. `folder` is the flow log's.
///
/// # Errors
/// When its settings can't be used.
pub fn build(folder: &Path, sink: &WantedSink) -> Result<Built, SinkError> {
    let failed = |why: String| SinkError { name: sink.name.clone(), why };
    Ok(match &sink.kind {
        SinkKind::File(output) if output.is_stdout() => built(StdoutSink::default()),
        SinkKind::File(output) => built(FileSink::new(file_config(output).map_err(failed)?)),
        SinkKind::Loki(loki) => {
            let options = network_sinks::loki(loki, &batch(sink), &sink.tls, &sink.origin);
            built(LokiSink::new(options).map_err(|error| failed(error.to_string()))?)
        }
        SinkKind::Kafka(kafka) => built(KafkaSink::new(network_sinks::kafka(kafka, &batch(sink), &sink.tls))),
        SinkKind::S3(s3) => {
            let now = i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX);
            let staging = folder.join(format!("staging-{}", sink.name));
            let s3 = S3Sink::new(network_sinks::s3(s3, &batch(sink), &sink.tls), network_sinks::s3_origin(&sink.origin), staging, now);
            built(s3.map_err(|error| failed(error.to_string()))?)
        }
    })
}

/// Starts a sink at its cursor. Needs the daemon's runtime.
///
/// # Errors
/// When its cursor can't be read.
pub fn start(spool: &Spool, sink: &WantedSink, built: Built) -> Result<Running, SinkError> {
    let options = DriverOptions { name: sink.name.clone(), when_full: sink.when_full };
    (built.start)(spool, options).map_err(|error| SinkError { name: sink.name.clone(), why: error.to_string() })
}

/// Limits of a batch; a sink of `filePath` has none of its own.
fn batch(sink: &WantedSink) -> Batch {
    sink.batch.unwrap_or(Batch { max_bytes: 1 << 20, max_records: 100_000, max_age: Duration::from_secs(1) })
}

/// The groups that files of a configuration are given to, as far as they exist.
#[must_use]
pub fn groups(file: &File) -> Vec<u32> {
    let own = file.flow_logs.iter().filter_map(|entry| entry.file.as_ref());
    let named = file.sinks.values().filter_map(|sink| match &sink.kind {
        SinkKind::File(output) => Some(output),
        _ => None,
    });
    own.chain(named).filter_map(|output| file::group_id(output.group.as_deref()?).ok()).collect()
}

fn file_config(output: &FileOutput) -> Result<FileConfig, String> {
    let group = output.group.as_deref().map(file::group_id).transpose().map_err(|error| error.to_string())?;
    if let Some(group) = group.filter(|group| !privileges::may_give_to(*group)) {
        return Err(format!("files cannot be given to group {group}, which this process is not in; {}", privileges::JOIN_ADVICE));
    }
    Ok(FileConfig {
        path: PathBuf::from(&output.path),
        max_bytes: output.max_bytes(),
        max_backups: output.kept_backups().map_or(0, |kept| usize::try_from(kept).unwrap_or(usize::MAX)),
        compress: match output.compress {
            Compress::No => file::Compress::No,
            Compress::Gzip => file::Compress::Gzip,
            Compress::Zstd => file::Compress::Zstd,
        },
        max_age: output.max_age,
        max_total_bytes: output.max_total_mb.map(|megabytes| megabytes.saturating_mul(1 << 20)),
        min_rotate_interval: output.min_rotate_interval,
        mode: output.mode,
        group,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_of_every_file_are_joined_whether_it_is_named_or_the_flow_logs_own() {
        let text = "flowLogs:\n- {name: a, filePath: /x, fileGroup: '7', sinks: [f, l]}\n\
            sinks:\n  f: {type: file, filePath: /y, fileGroup: '8'}\n  l: {type: loki, url: 'http://h'}\n";
        assert_eq!(groups(&config::read(text.as_bytes(), false).unwrap().file), [7, 8]);
    }
}
