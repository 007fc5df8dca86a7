//! What a `flowlog.yaml` says, once it has been read: flow logs and sinks, every default filled in.
//!
//! The types promise that a value is within its range and that names refer to something; whether a filter or a mask can be
//! *built* is decided by [`super::build`], because such a failure concerns one entry and not the file.
//! Numbers that Cilium accepts although they make no sense (a negative size) are kept as written and read through the methods here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::place::{Place, Places};
use super::sink_types::Sink;

/// The SHA-256 of a configuration, as it stands in commits and manifests.
pub type Hash = [u8; 32];

/// A whole configuration file.
#[derive(Clone, Debug)]
pub struct File {
    /// The flow logs, in the order of the file; a static block comes first.
    pub flow_logs: Vec<FlowLog>,
    /// The named sinks.
    pub sinks: BTreeMap<String, Sink>,
    /// SHA-256 of the file's text.
    pub hash: Hash,
}

impl File {
    /// The flow log of this name.
    pub fn flow_log(&self, name: &str) -> Option<&FlowLog> {
        self.flow_logs.iter().find(|entry| entry.name == name)
    }
}

/// One flow log: what to keep of the flows, in which form, and where to deliver it.
#[derive(Clone, Debug)]
pub struct FlowLog {
    /// Its name, unique in the file; its identity over reloads.
    pub name: String,
    /// The file sink given by `filePath`, if any.
    pub file: Option<FileOutput>,
    /// Mask paths in proto spelling; empty writes every field.
    pub field_mask: Vec<String>,
    /// Paths to aggregate by; empty means none (`spec/hubble.md` §6.1).
    pub field_aggregate: Vec<String>,
    /// Nanoseconds between two emissions of aggregates; 0 or negative is off.
    pub aggregation_interval_ns: i64,
    /// At least one must match, unless empty.
    pub include_filters: Vec<FilterText>,
    /// None may match.
    pub exclude_filters: Vec<FilterText>,
    /// After this moment nothing is written any more.
    pub end: Option<End>,
    /// How long identical lines are folded into one; zero writes a line per event.
    pub window: Duration,
    /// What counts as identical while folding.
    pub fold_by: FoldBy,
    /// What is hidden at encoding.
    pub redact: Redact,
    /// Names of further sinks, each of which stands in [`File::sinks`].
    pub sinks: Vec<String>,
    /// Upper bound of this flow log's spool, in bytes.
    pub spool_max_bytes: u64,
    /// SHA-256 of the entry with the defaults filled in, apart from what does not matter (`spec/hubble.md` §5.2: the order of paths and
    /// filters). Entries of one name and hash are the same; what a sink they name says is in [`Sink::hash`].
    pub hash: Hash,
    /// Where the entry stands.
    pub place: Place,
    /// Where everything in it stands.
    pub places: Places,
}

impl FlowLog {
    /// The aggregation interval where both a field list and a positive interval are given; aggregation is off otherwise.
    pub fn aggregation(&self) -> Option<Duration> {
        let nanoseconds = u64::try_from(self.aggregation_interval_ns).ok().filter(|ns| *ns > 0)?;
        (!self.field_aggregate.is_empty()).then(|| Duration::from_nanos(nanoseconds))
    }
}

/// One element of a filter list: JSON that has been checked against the fields of Hubble's FlowFilter, names in proto spelling.
#[derive(Clone, Debug)]
pub struct FilterText {
    /// A JSON object; empty for `{}` and `null`, which match everything.
    pub value: serde_json::Value,
    /// Where it stands, as in `flowLogs[0].includeFilters[1]`.
    pub place: Place,
}

/// What counts as identical while folding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FoldBy {
    /// The masked flow with its ports.
    #[default]
    Connection,
    /// The masked flow without the client's ephemeral port, in both directions.
    Service,
}

impl FoldBy {
    /// The word in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            FoldBy::Connection => "connection",
            FoldBy::Service => "service",
        }
    }
}

/// The moment after which a flow log stops writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// As written in the file, RFC 3339.
    pub text: String,
    /// The same as nanoseconds since 1970 in UTC; two texts of one instant are equal settings.
    pub unix_ns: i64,
}

/// What the encoder hides behind `HUBBLE_REDACTED` (`spec/hubble.md` §2.7).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Redact {
    /// Passwords in URLs.
    pub url_userinfo: bool,
    /// Query and fragment of URLs; dropped, not replaced.
    pub url_query: bool,
    /// Values of HTTP headers.
    pub headers: RedactHeaders,
}

/// Which HTTP header values are hidden; names are compared without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RedactHeaders {
    /// Those named; an empty list hides none.
    Named(Vec<String>),
    /// All but those named; an empty list hides all.
    AllBut(Vec<String>),
}

/// Headers that carry credentials, hidden unless the file says otherwise.
pub const CREDENTIAL_HEADERS: [&str; 4] = ["Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"];

impl Redact {
    /// Hubble's raw line: nothing is hidden.
    pub fn nothing() -> Self {
        Redact { url_userinfo: false, url_query: false, headers: RedactHeaders::Named(Vec::new()) }
    }

    /// True if no part of a flow is hidden.
    pub fn is_nothing(&self) -> bool {
        *self == Redact::nothing()
    }
}

impl Default for Redact {
    fn default() -> Self {
        let named = CREDENTIAL_HEADERS.iter().map(|name| (*name).to_owned()).collect();
        Redact { url_userinfo: true, url_query: false, headers: RedactHeaders::Named(named) }
    }
}

/// A rotated file of JSON lines, or standard output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOutput {
    /// The path as written, compared as text; `stdout` is the process's standard output.
    pub path: String,
    /// Size at which the file is rotated, in MiB, as written; 0 and below mean the default of 10 (see [`FileOutput::max_bytes`]).
    pub max_size_mb: i64,
    /// Rotated files kept, as written; 0 means the default of 5, below 0 keeps all (see [`FileOutput::kept_backups`]).
    pub max_backups: i64,
    /// How rotated files are compressed.
    pub compress: Compress,
    /// Rotated files older than this are removed.
    pub max_age: Option<Duration>,
    /// The rotated files together may take this many MiB; older ones are removed.
    pub max_total_mb: Option<u64>,
    /// Shortest time between two rotations, so that tailers can follow; the file then grows up to four times its limit.
    pub min_rotate_interval: Duration,
    /// Permission bits of the file.
    pub mode: u32,
    /// Group that owns the file, by name or number; the daemon's own by default.
    pub group: Option<String>,
}

impl FileOutput {
    /// True if lines go to standard output.
    pub fn is_stdout(&self) -> bool {
        self.path == "stdout"
    }

    /// Bytes at which the file is rotated.
    pub fn max_bytes(&self) -> u64 {
        let megabytes = u64::try_from(self.max_size_mb).unwrap_or(0);
        (if megabytes == 0 { DEFAULT_FILE_MAX_SIZE_MB } else { megabytes }).saturating_mul(1 << 20)
    }

    /// How many rotated files are kept; `None` keeps all.
    pub fn kept_backups(&self) -> Option<u64> {
        match self.max_backups {
            0 => Some(DEFAULT_FILE_MAX_BACKUPS),
            kept => u64::try_from(kept).ok(),
        }
    }
}

/// Default of `fileMaxSizeMb`, Cilium's.
pub const DEFAULT_FILE_MAX_SIZE_MB: u64 = 10;
/// Default of `fileMaxBackups`, Cilium's.
pub const DEFAULT_FILE_MAX_BACKUPS: u64 = 5;

/// How rotated files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compress {
    /// Not at all.
    #[default]
    No,
    /// To `.gz`, as Cilium does for `true`.
    Gzip,
    /// To `.zst`.
    Zstd,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_or_count_of_zero_means_the_default_as_in_cilium() {
        let file = |max_size_mb, max_backups| FileOutput {
            path: "/x".into(),
            max_size_mb,
            max_backups,
            compress: Compress::No,
            max_age: None,
            max_total_mb: None,
            min_rotate_interval: Duration::ZERO,
            mode: 0o640,
            group: None,
        };
        assert_eq!((file(0, 0).max_bytes(), file(0, 0).kept_backups()), (10 << 20, Some(5)));
        assert_eq!((file(3, 2).max_bytes(), file(3, 2).kept_backups()), (3 << 20, Some(2)));
        assert_eq!((file(-1, -1).max_bytes(), file(-1, -1).kept_backups()), (10 << 20, None));
    }
}
