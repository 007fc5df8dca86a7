//! The daemon's own log: structured lines on stderr, or a daily file by `tracing-appender`; each message at most ten times in ten seconds.
//!
//! The rate limit exists because the places that log are the places that fail in loops: a disk that is full, a broker that is away. What was held
//! back is counted, and the count stands on `/metrics`. Answers to a person ([`ANSWER`]) are not limited: whoever saves a file ten times wants ten of them.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::Metadata;
use tracing::callsite::Identifier;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::{InitError, RollingFileAppender, Rotation};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Messages of one place that pass in one [`PERIOD`].
const BURST: u32 = 10;
/// The length of a rate-limit period.
const PERIOD: Duration = Duration::from_secs(10);

/// Messages that wait to be written. Room for them is taken at once; each place has few in a period.
const MOST_WAITING: usize = 4096;

/// The target of lines that answer what a person did, as a reload that is refused: these are never held back.
pub const ANSWER: &str = "flowlog::answer";

static HELD_BACK: AtomicU64 = AtomicU64::new(0);

/// Where the daemon logs to.
#[derive(Debug, Default)]
pub enum Destination {
    /// Standard error.
    #[default]
    Stderr,
    /// Files, one a day.
    Daily(RollingFileAppender),
}

/// Why the daemon can't log where it is told to.
#[derive(Debug, thiserror::Error)]
#[error("--log-dir {folder}: {source}; name a folder that this user may write, or leave it out for standard error")]
pub struct LogError {
    folder: PathBuf,
    source: InitError,
}

/// Opens the log in a folder, or standard error without one. It has no thread yet.
///
/// # Errors
/// When the folder can't be made, or no file in it.
pub fn open(folder: Option<&Path>) -> Result<Destination, LogError> {
    let Some(folder) = folder else { return Ok(Destination::Stderr) };
    let files = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix("flowlog.log").build(folder);
    files.map(Destination::Daily).map_err(|source| LogError { folder: folder.to_owned(), source })
}

/// How the daemon logs.
#[derive(Debug, Default)]
pub struct LogOptions {
    /// Where to.
    pub to: Destination,
    /// JSON objects instead of text.
    pub json: bool,
    /// A filter in `RUST_LOG`'s syntax; default `info`.
    pub level: Option<String>,
}

/// Keeps the log's writer thread alive; dropping it flushes what is buffered.
#[derive(Debug)]
pub struct LogGuard {
    _worker: WorkerGuard,
    dropped: ErrorCounter,
}

impl LogGuard {
    /// Lines that the log's own queue had no room for since the start.
    #[must_use]
    pub fn dropped_lines(&self) -> usize {
        self.dropped.dropped_lines()
    }
}

/// Lines held back by the rate limit since the start.
#[must_use]
pub fn held_back() -> u64 {
    HELD_BACK.load(Ordering::Relaxed)
}

/// What is wrong with a level, if anything is. A bare word that is no level would be taken for a module, and everything else, errors too, be switched off.
///
/// # Errors
/// What is wrong, for whoever wrote it.
pub fn check_level(level: &str) -> Result<(), String> {
    let bare = level.split(',').find(|part| !part.contains(['=', '[']) && part.parse::<LevelFilter>().is_err());
    match (bare, EnvFilter::try_new(level)) {
        (Some(part), _) => Err(format!("`{part}` is no level")),
        (None, Err(error)) => Err(error.to_string()),
        (None, Ok(_)) => Ok(()),
    }
}

/// Starts the log of this process. A second call leaves the first in place.
///
/// The queue to the writer is lossy on purpose: a log that can't be written must not hold up the drain. Its losses are counted.
#[must_use]
pub fn start(options: LogOptions) -> LogGuard {
    let writer = NonBlockingBuilder::default().buffered_lines_limit(MOST_WAITING);
    let on_terminal = matches!(options.to, Destination::Stderr) && std::io::stderr().is_terminal();
    let (writer, worker) = match options.to {
        Destination::Daily(files) => writer.finish(files),
        Destination::Stderr => writer.finish(std::io::stderr()),
    };
    let dropped = writer.error_counter();
    let level = options.level.as_deref().unwrap_or("info");
    let level = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let colour = on_terminal && std::env::var_os("NO_COLOR").is_none();
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colour).with_target(false);
    let limit = RateLimit::default();
    let registry = tracing_subscriber::registry().with(level);
    let started = if options.json {
        registry.with(layer.json().with_filter(limit)).try_init()
    } else {
        registry.with(layer.with_filter(limit)).try_init()
    };
    if let Err(error) = started {
        tracing::debug!(%error, "a log was already started in this process");
    }
    LogGuard { _worker: worker, dropped }
}

/// Lets each place in the code log [`BURST`] times a [`PERIOD`].
#[derive(Debug, Default)]
struct RateLimit {
    places: Mutex<HashMap<Identifier, (Instant, u32)>>,
}

impl RateLimit {
    fn passes(&self, place: Identifier, now: Instant) -> bool {
        let Ok(mut places) = self.places.lock() else { return true };
        let (since, count) = places.entry(place).or_insert((now, 0));
        if now.duration_since(*since) >= PERIOD {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= BURST
    }
}

impl<S> Filter<S> for RateLimit {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &tracing::Event<'_>, _: &Context<'_, S>) -> bool {
        let passes = event.metadata().target() == ANSWER || self.passes(event.metadata().callsite(), Instant::now());
        if !passes {
            HELD_BACK.fetch_add(1, Ordering::Relaxed);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Callsite;

    struct Place;
    impl Callsite for Place {
        fn set_interest(&self, _: tracing::subscriber::Interest) {}
        fn metadata(&self) -> &Metadata<'_> {
            unreachable!("the rate limit never asks a place for more than its identity")
        }
    }
    static PLACE: Place = Place;

    #[test]
    fn a_word_that_is_no_level_is_refused_alone_and_in_a_list() {
        for level in ["info", "WARN", "off", "flowlog=debug", "warn,flowlog_sinks=trace", "[span]=debug"] {
            assert_eq!(check_level(level), Ok(()), "{level}");
        }
        for (level, word) in [("warning", "`warning`"), ("info,verbose", "`verbose`"), ("flowlog=warning", "expected one of")] {
            assert!(check_level(level).is_err_and(|why| why.contains(word)), "{level}: {:?}", check_level(level));
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_an_error_that_names_option_and_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open(Some(&file.join("logs"))).unwrap_err().to_string();
        assert!(error.contains("--log-dir") && error.contains("file/logs"), "{error}");
        open(Some(&folder.path().join("made"))).unwrap();
    }

    #[test]
    fn a_place_that_logs_in_a_loop_is_held_back_until_the_period_is_over() {
        let limit = RateLimit::default();
        let start = Instant::now();
        assert_eq!((0..100).filter(|_| limit.passes(Identifier(&PLACE), start)).count(), BURST as usize);
        assert!(limit.passes(Identifier(&PLACE), start + PERIOD));
    }
}
