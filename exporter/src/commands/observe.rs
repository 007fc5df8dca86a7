//! `flowlog observe`: prints the events that match, as `hubble observe` does.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::SystemTime;

use clap::ArgMatches;

use super::{Failure, print};
use crate::cli::observe::ObserveArgs;
use crate::config::settings::DEFAULT_STATE_DIR;
use crate::daemon::state;
use crate::flow::Timestamp;
use crate::observe::input::{self, Consumer};
use crate::observe::printer::Printer;
use crate::observe::raw_filters::to_yaml;
use crate::observe::reading::Reading;
use crate::observe::request::{Number, Request};
use crate::sources::recorded::{self, Place};

/// Bytes of output that are collected before they are written.
const OUTPUT_BYTES: usize = 256 * 1024;

/// Runs the command. `matches` are the ones the arguments were read from: the order of filters counts.
///
/// # Errors
/// When the command line makes no sense, or the input or output fails.
pub fn run(arguments: &ObserveArgs, matches: &ArgMatches) -> Result<(), Failure> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_unix_nanos(i64::try_from(now.as_nanos()).unwrap_or(i64::MAX));
    let request = Request::build(arguments, matches, now, io::stdout().is_terminal()).map_err(Failure::Usage)?;
    if request.print_raw_filters {
        return print(&to_yaml(&request.allow, &request.deny));
    }
    let filters = request.filters().map_err(Failure::Usage)?;
    let path = match &request.input {
        Some(path) => path.clone(),
        None => daemons_file()?,
    };
    let reading =
        Reading { what: request.what, filters, since: request.since, until: request.until, silent: request.silent, lenient: false };
    let mut observer = Observer {
        reading,
        printer: Printer::new(request.style.clone()),
        number: request.number,
        printed: 0,
        held: VecDeque::new(),
        live: false,
        failure: None,
        silent: request.silent,
    };
    let read = if request.follow { input::follow(&path, &mut observer) } else { input::read(&path, !request.silent, &mut observer) };
    observer.finish();
    match (observer.failure.take(), read) {
        (Some(error), _) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        (Some(error), _) => Err(Failure::Runtime(format!("cannot write to standard output: {error}"))),
        (None, read) => read.map_err(Failure::Runtime),
    }
}

/// The first file that the daemon here writes.
fn daemons_file() -> Result<PathBuf, Failure> {
    let folder: PathBuf = std::env::var_os("FLOWLOG_STATE_DIR").map_or_else(|| DEFAULT_STATE_DIR.into(), PathBuf::from);
    let running = state::running(&folder)
        .map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", folder.join("daemon.json").display())))?;
    let Some(running) = running else {
        return Err(Failure::Runtime(format!(
            "no flowlog runs on {}; name a file with --input-file, or its folder with FLOWLOG_STATE_DIR",
            folder.display()
        )));
    };
    let file = running.files.into_iter().find(|file| file.is_file());
    file.ok_or_else(|| Failure::Runtime("the flowlog that runs here writes to no file yet; name one with --input-file".to_owned()))
}

/// Reads, selects and prints.
struct Observer {
    reading: Reading,
    printer: Printer,
    number: Number,
    printed: u64,
    /// Lines of the newest events, for `--last`.
    held: VecDeque<Vec<u8>>,
    /// Whether what was there when the command began has been printed.
    live: bool,
    failure: Option<io::Error>,
    silent: bool,
}

impl Consumer for Observer {
    fn chunk(&mut self, lines: &[u8], first: Place<'_>) -> ControlFlow<()> {
        recorded::split(lines, first, &mut |line, place| self.line(line, place))?;
        self.flush(if self.live || first.path == std::path::Path::new("-") { 0 } else { OUTPUT_BYTES })
    }

    fn caught_up(&mut self) -> ControlFlow<()> {
        self.print_held();
        self.live = true;
        self.flush(0)
    }
}

impl Observer {
    fn line(&mut self, line: &[u8], place: &Place<'_>) -> ControlFlow<()> {
        if self.number == Number::Last(0) && !self.live {
            return ControlFlow::Continue(());
        }
        let Some(event) = self.reading.event(line, place) else { return ControlFlow::Continue(()) };
        if let (Number::Last(most), false) = (self.number, self.live) {
            // The line of the oldest one becomes that of the newest.
            let mut kept = if self.held.len() >= most { self.held.pop_front().unwrap_or_default() } else { Vec::new() };
            kept.clear();
            kept.extend_from_slice(line);
            self.held.push_back(kept);
            return ControlFlow::Continue(());
        }
        self.printer.print(&event);
        self.printed += 1;
        match self.number {
            Number::First(most) if self.printed >= most => ControlFlow::Break(()),
            _ if self.printer.out.len() >= OUTPUT_BYTES => self.flush(0),
            _ => ControlFlow::Continue(()),
        }
    }

    fn print_held(&mut self) {
        for line in std::mem::take(&mut self.held) {
            if let Some(event) = self.reading.event(&line, &"") {
                self.printer.print(&event);
            }
        }
    }

    fn finish(&mut self) {
        self.print_held();
        self.printer.finish();
        let _ = self.flush(0);
    }

    /// Writes out what was printed, once it is this much.
    fn flush(&mut self, at_least: usize) -> ControlFlow<()> {
        if !self.printer.errors.is_empty() {
            if !self.silent {
                // Nothing better can be done about a standard error that fails.
                let _ = io::stderr().write_all(&self.printer.errors);
            }
            self.printer.errors.clear();
        }
        if self.failure.is_some() {
            return ControlFlow::Break(());
        }
        if self.printer.out.len() >= at_least.max(1) {
            let mut out = io::stdout().lock();
            let written = out.write_all(&self.printer.out).and_then(|()| out.flush());
            self.printer.out.clear();
            if let Err(error) = written {
                self.failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
