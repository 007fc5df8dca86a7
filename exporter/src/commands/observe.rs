//! `flowlog observe`: prints the events that match, as `hubble observe` does.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use clap::ArgMatches;

use super::{Failure, print};
use crate::cli::observe::ObserveArgs;
use crate::config::settings::DEFAULT_STATE_DIR;
use crate::daemon::state;
use crate::flow::Timestamp;
use crate::observe::block::{Block, Purpose, Work};
use crate::observe::input::{self, Consumer};
use crate::observe::printer::Printer;
use crate::observe::raw_filters::to_yaml;
use crate::observe::reading::Reading;
use crate::observe::request::{Number, Request};
use crate::observe::table::Table;

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
    let silent = request.silent;
    let reading = Reading { what: request.what, filters, since: request.since, until: request.until, silent };
    let work = Arc::new(Work::new(reading, request.style));
    let mut observer = Observer::new(&work, request.number, &path, silent);
    let read = if request.follow { input::follow(&path, &work, &mut observer) } else { input::read(&path, !silent, &work, &mut observer) };
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

/// Takes what the threads printed, in order, and writes it.
struct Observer {
    work: Arc<Work>,
    number: Number,
    /// Events of a selection so far.
    selected: u64,
    /// Records printed so far.
    records: u64,
    table: Table,
    /// Not yet written.
    out: Vec<u8>,
    /// Bytes that are collected before they are written.
    collect: usize,
    /// Lines of the newest events, for `--last`.
    held: VecDeque<Vec<u8>>,
    /// Whether what was there when the command began has been printed.
    live: bool,
    /// Whether something unknown was met.
    lenient: bool,
    silent: bool,
    failure: Option<io::Error>,
}

impl Consumer for Observer {
    fn purpose(&self) -> Purpose {
        match self.number {
            _ if self.live => Purpose::Print,
            Number::All => Purpose::Print,
            Number::Last(0) => Purpose::Skip,
            Number::First(_) | Number::Last(_) => Purpose::Select,
        }
    }

    fn take(&mut self, block: &mut Block) -> ControlFlow<()> {
        match self.number {
            _ if block.purpose != Purpose::Select => {
                self.note(block, usize::MAX);
                self.print(block)
            }
            Number::First(most) => self.take_first(block, most),
            Number::Last(most) => {
                self.note(block, usize::MAX);
                self.hold(block, most);
                ControlFlow::Continue(())
            }
            Number::All => ControlFlow::Continue(()),
        }
    }

    fn caught_up(&mut self) -> ControlFlow<()> {
        self.live = true;
        self.collect = 0;
        self.print_held()?;
        self.flush()
    }
}

impl Observer {
    fn new(work: &Arc<Work>, number: Number, path: &Path, silent: bool) -> Self {
        Self {
            work: Arc::clone(work),
            number,
            selected: 0,
            records: 0,
            table: Table::default(),
            out: Vec::new(),
            // Whoever writes to a pipe waits for what comes of it.
            collect: if path == Path::new("-") { 0 } else { OUTPUT_BYTES },
            held: VecDeque::new(),
            live: false,
            lenient: false,
            silent,
            failure: None,
        }
    }

    /// Prints the first events of a selection.
    fn take_first(&mut self, block: &mut Block, most: u64) -> ControlFlow<()> {
        let left = usize::try_from(most - self.selected).unwrap_or(usize::MAX);
        self.note(block, left);
        let lines = block.ends.len().min(left);
        self.selected += lines as u64;
        let end = lines.checked_sub(1).and_then(|last| block.ends.get(last)).copied().unwrap_or_default();
        block.printer.out.truncate(end);
        std::mem::swap(&mut block.lines, &mut block.printer.out);
        self.print_lines(block)?;
        if lines == left { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Keeps the lines of a selection, as many as are asked for.
    fn hold(&mut self, block: &Block, most: usize) {
        for line in block.selected() {
            // The line of the oldest one becomes that of the newest.
            let mut kept = if self.held.len() >= most { self.held.pop_front().unwrap_or_default() } else { Vec::new() };
            kept.clear();
            kept.extend_from_slice(line);
            self.held.push_back(kept);
        }
    }

    fn print_held(&mut self) -> ControlFlow<()> {
        let mut block = Block::new(&self.work.style);
        let mut held = std::mem::take(&mut self.held).into_iter().peekable();
        while held.peek().is_some() {
            block.lines.clear();
            while block.lines.len() < OUTPUT_BYTES
                && let Some(line) = held.next()
            {
                block.lines.extend_from_slice(&line);
            }
            self.print_lines(&mut block)?;
        }
        ControlFlow::Continue(())
    }

    /// Prints the lines of a block, of which all that is wrong was said already.
    fn print_lines(&mut self, block: &mut Block) -> ControlFlow<()> {
        let work = Arc::clone(&self.work);
        block.purpose = Purpose::Print;
        work.on(block, self.records);
        let flow = self.print(block);
        block.purpose = Purpose::Select;
        flow
    }

    /// Writes out what a block printed.
    fn print(&mut self, block: &mut Block) -> ControlFlow<()> {
        if self.records == 0 && block.records_before > 0 && block.printer.has_printed() && Printer::counts_records(&self.work.style) {
            // It begins the output, which it did not know.
            self.work.on(block, 0);
        }
        self.records += block.printer.records - block.records_before;
        self.table.append(&block.printer.table);
        if !self.silent && !block.printer.errors.is_empty() {
            // Nothing better can be done about a standard error that fails.
            let _ = io::stderr().write_all(&block.printer.errors);
        }
        if self.out.is_empty() && block.printer.out.len() >= self.collect {
            return self.write(&block.printer.out);
        }
        self.out.extend_from_slice(&block.printer.out);
        if self.out.len() >= self.collect { self.flush() } else { ControlFlow::Continue(()) }
    }

    /// Says what is to be said of a block, up to so many events of it.
    fn note(&mut self, block: &Block, events: usize) {
        for note in block.notes.iter().filter(|note| note.behind < events) {
            if !(note.unknown && self.lenient) {
                let _ = io::stderr().write_all(note.text.as_bytes());
            }
            self.lenient |= note.unknown;
        }
    }

    fn finish(&mut self) {
        if self.print_held().is_continue() && self.flush().is_continue() {
            self.failure = self.table.finish(&mut io::stdout().lock()).err();
        }
    }

    fn flush(&mut self) -> ControlFlow<()> {
        let mut out = std::mem::take(&mut self.out);
        let flow = self.write(&out);
        out.clear();
        self.out = out;
        flow
    }

    fn write(&mut self, text: &[u8]) -> ControlFlow<()> {
        if self.failure.is_none() && !text.is_empty() {
            let mut out = io::stdout().lock();
            self.failure = out.write_all(text).and_then(|()| out.flush()).err();
        }
        if self.failure.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
