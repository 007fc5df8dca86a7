//! From a sink's configuration to its driver. The only place that knows every kind of sink.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flowlog_sinks::driver::{self, DriverOptions, Running};
use flowlog_sinks::file::{self, FileConfig, FileSink, StdoutSink};
use flowlog_sinks::spool::{Spool, Start, WhenFull};

use crate::config::{self, Compress, File, FileOutput, FlowLog, SinkKind};

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
    /// Tells whether anything else about it has changed.
    hash: config::Hash,
}

/// Why a sink can't be started. The others run.
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
}

/// The sinks of a flow log.
#[must_use]
pub fn wanted(entry: &FlowLog, file: &File) -> Vec<WantedSink> {
    let own = entry.file.iter().map(|output| WantedSink {
        name: FILE.to_owned(),
        when_full: WhenFull::DropOldest,
        drain_timeout: Duration::from_secs(30),
        kind: SinkKind::File(output.clone()),
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

/// Starts a sink at its cursor. Needs the daemon's runtime.
///
/// # Errors
/// When its settings can't be used or its cursor not be read.
pub fn start(spool: &Spool, sink: &WantedSink) -> Result<Running, SinkError> {
    let failed = |why: String| SinkError { name: sink.name.clone(), why };
    let options = DriverOptions { name: sink.name.clone(), when_full: sink.when_full, start: Start::Oldest };
    let running = match &sink.kind {
        SinkKind::File(output) if output.is_stdout() => driver::start(spool, Arc::new(StdoutSink::default()), options),
        SinkKind::File(output) => {
            let config = file_config(output).map_err(|error| failed(error.to_string()))?;
            driver::start(spool, Arc::new(FileSink::new(config)), options)
        }
        SinkKind::S3(_) | SinkKind::Loki(_) | SinkKind::Kafka(_) => return Err(failed("this kind of sink is not in this build yet".to_owned())),
    };
    running.map_err(|error| failed(error.to_string()))
}

fn file_config(output: &FileOutput) -> Result<FileConfig, file::GroupError> {
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
        group: output.group.as_deref().map(file::group_id).transpose()?,
    })
}
