//! The writing end of a flow log: lines, hidden frames and commits into its spool.
//!
//! Hidden frames carry what must outlive a commit although its events are behind it. Their first byte says what they are:
//! `R` a run of a long window (then `u32` epoch), `O` the rows with packets whose fate is open, as of the commit that follows, with `o` for more of them than
//! one frame takes. Only the last `O` and the `o`s behind it count.

use std::collections::HashSet;
use std::time::Duration;

use flowlog_sinks::spool::cause::{CORRUPT, FULL};
use flowlog_sinks::spool::{Commit, Found, Gap, ReadError, Renewal, Stalled, Writer};

use super::fold::{FoldTable, Group};
use super::line::{self, Prepared};
use super::note::cause;
use super::partial::{self, Damaged, Entry, Merge};
use super::sums::Sums;
use super::surroundings::Surroundings;
use super::totals::Totals;

/// A spool whose identity changed has lost what it held, or may have; a folder that was never there has not. What it lost lies between its last commit and
/// `now`, when it goes on.
fn renewal_gap(found: &Found, now: i64) -> Vec<Gap> {
    let Some(renewal) = found.renewal.as_ref().filter(|renewal| !matches!(renewal, Renewal::New) || found.previous.is_some()) else {
        return Vec::new();
    };
    tracing::warn!(?renewal, previous = ?found.previous, "the spool has a new identity; the change-over is declared as a gap");
    let first = found.last.as_ref().map(|(commit, _)| commit.time);
    vec![Gap { cause: flowlog_sinks::spool::cause::RENEWED.to_owned(), first, last: Some(now), ..Gap::default() }]
}

/// Splits a run's frame into its epoch and its entries.
fn run_of(frame: &[u8]) -> Option<(u32, &[u8])> {
    let (epoch, run) = frame.strip_prefix(&[RUN])?.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*epoch), run))
}

const RUN: u8 = b'R';
const OPEN: u8 = b'O';
const MORE_OPEN: u8 = b'o';
/// A run is cut into frames of about this size, so that no frame is larger than a spool takes.
const RUN_BYTES: usize = 4 << 20;
/// So are open rows.
const OPEN_BYTES: usize = 16 << 20;

/// The runs of an unfinished window, while they are read back.
#[derive(Default)]
struct StoredWindow {
    /// Its lines; `None` once they are more than memory may hold.
    merge: Option<Merge>,
    most: usize,
    /// Hashes of their fold keys.
    lines: HashSet<u64>,
    epoch: u32,
}

impl StoredWindow {
    fn absorb(&mut self, epoch: u32, run: &[u8]) -> Result<(), Damaged> {
        self.epoch = self.epoch.max(epoch);
        partial::hashes(run, &mut self.lines)?;
        if self.lines.len() > self.most {
            self.merge = None;
        }
        self.merge.as_mut().map_or(Ok(()), |merge| merge.absorb(epoch, run))
    }
}

/// Where a flow log goes on.
#[derive(Debug, Default)]
pub struct Resumed {
    /// The intake position of the last commit; `None` for a spool without one.
    pub position: Option<u64>,
    /// Its time on the arrival clock.
    pub time: Option<i64>,
    /// The totals of the last commit.
    pub totals: Totals,
    /// What the opening itself has to declare.
    pub gaps: Vec<Gap>,
    /// The rows that were open, as `KernelEvents::open_rows` wrote them.
    pub open: Vec<u8>,
}

/// A flow log's spool, being written.
pub struct Output {
    writer: Writer,
    line: Vec<u8>,
    run: Vec<u8>,
    /// Where the runs of the open window begin, and how many lines they hold.
    runs: Option<u64>,
    epoch: u32,
    /// Lines in epochs that are over; 0 as long as memory holds the whole window.
    spilled: usize,
    /// Inputs and packets in them.
    spilled_volume: (u64, u64),
}

/// What a line is written into beside the spool.
pub struct Books<'b> {
    /// Names of interfaces.
    pub around: &'b Surroundings,
    /// The accounting.
    pub totals: &'b mut Totals,
    /// Gaps of the next commit.
    pub gaps: &'b mut Vec<Gap>,
}

impl Output {
    /// Takes over an open spool at `now`, and what its last commit left open. Sums of an unfinished window go back into `fold`, or stay on disk where they
    /// are too many.
    ///
    /// # Errors
    /// When hidden frames can't be read.
    pub fn open(writer: Writer, found: &Found, fold: &mut FoldTable, now: i64) -> Result<(Self, Resumed), ReadError> {
        let mut output = Self { writer, line: Vec::new(), run: Vec::new(), runs: None, epoch: 0, spilled: 0, spilled_volume: (0, 0) };
        let gaps = renewal_gap(found, now);
        let Some((commit, _)) = &found.last else { return Ok((output, Resumed { gaps, ..Resumed::default() })) };
        let totals: Totals = serde_json::from_value(commit.totals.clone()).unwrap_or_default();
        let mut resumed = Resumed { position: Some(commit.intake_position), time: Some(commit.time), totals, gaps, open: Vec::new() };
        if let Some(from) = commit.partials {
            let mut window = StoredWindow { merge: Some(Merge::new(0, 1)), most: fold.most(), ..StoredWindow::default() };
            let mut damaged = None;
            let whole = output.writer.hidden(from, &mut |frame| match (run_of(frame), frame.split_first()) {
                (Some((epoch, run)), _) => damaged = damaged.take().or(window.absorb(epoch, run).err()),
                (None, Some((&OPEN, rows))) => resumed.open = rows.to_vec(),
                (None, Some((&MORE_OPEN, rows))) => resumed.open.extend_from_slice(rows),
                (None, _) => {}
            })?;
            if !whole || damaged.is_some() {
                tracing::error!(damaged = ?damaged, "the stored sums of the open window are not whole; what could be read is kept");
                *resumed.totals.lost.entry(cause::PARTIAL.to_owned()).or_default() += 1;
                resumed.gaps.push(Gap { cause: cause::PARTIAL.to_owned(), first: resumed.time, last: resumed.time, ..Gap::default() });
            }
            match window.merge {
                // They count as changed, so the next run holds them all and takes the place of those just read.
                Some(merge) => merge.finish().into_iter().for_each(|entry| fold.restore(entry)),
                None => {
                    (output.runs, output.epoch, output.spilled) = (Some(from), window.epoch.saturating_add(1), window.lines.len());
                    output.spilled_volume = (resumed.totals.open_inputs, resumed.totals.open_packets);
                }
            }
        }
        Ok((output, resumed))
    }

    /// The spool that is written.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Writes the line of a group.
    pub fn group(&mut self, group: Group<'_>, books: &mut Books<'_>) {
        self.line(group.prepared, group.sums, group.single, books);
    }

    fn line(&mut self, prepared: &Prepared, sums: &Sums, single: Option<&[u8]>, books: &mut Books<'_>) {
        self.line.clear();
        match single.filter(|_| sums.inputs == 1) {
            Some(single) => self.line.extend_from_slice(single),
            None => {
                let own = line::Uuid::new(self.writer.id().uuid8(self.writer.next_sequence()));
                line::write(prepared, sums, &own, books.around, &mut self.line);
            }
        }
        books.totals.lines_inputs = books.totals.lines_inputs.wrapping_add(sums.inputs);
        books.totals.lines_volume.add(sums.counted);
        let line = std::mem::take(&mut self.line);
        self.append(sums.first, prepared.key(), prepared.labels(), &line, books.totals, books.gaps);
        self.line = line;
    }

    /// Writes a line that is encoded already.
    pub fn append(&mut self, time: i64, key: &[u8], labels: &[u8], line: &[u8], totals: &mut Totals, gaps: &mut Vec<Gap>) {
        match self.writer.append(time, key, labels, line) {
            Ok(_) => {
                totals.lines += 1;
                totals.lines_bytes += line.len() as u64 + 1;
            }
            Err(error) => {
                tracing::error!(%error, "a line is larger than a record may be; it is declared as a gap");
                *totals.lost.entry(cause::LINE_TOO_LARGE.to_owned()).or_default() += 1;
                gaps.push(Gap {
                    cause: cause::LINE_TOO_LARGE.to_owned(),
                    first: Some(time),
                    last: Some(time),
                    records: Some(1),
                    ..Gap::default()
                });
            }
        }
    }

    /// Stores the sums of a window that goes on.
    pub fn store_run(&mut self, fold: &mut FoldTable) {
        let mut run = std::mem::take(&mut self.run);
        fold.changes(|group| {
            if run.is_empty() {
                run.push(RUN);
                run.extend_from_slice(&self.epoch.to_le_bytes());
            }
            partial::put(&mut run, group.prepared, group.sums, group.single);
            if run.len() >= RUN_BYTES {
                self.write_run(&mut run);
            }
        });
        self.write_run(&mut run);
        self.run = run;
    }

    fn write_run(&mut self, run: &mut Vec<u8>) {
        if !run.is_empty()
            && let Some(position) = self.hidden(run)
        {
            self.runs.get_or_insert(position);
        }
        run.clear();
    }

    /// Empties the table of a window that has too many lines for memory; its sums stay in the runs.
    pub fn spill(&mut self, fold: &mut FoldTable) {
        self.store_run(fold);
        self.spilled += fold.lines();
        self.spilled_volume = self.open_volume(fold);
        self.epoch += 1;
        fold.drain(|_| {});
    }

    /// Inputs and packets in the lines of the open window.
    #[must_use]
    pub fn open_volume(&self, fold: &FoldTable) -> (u64, u64) {
        let (inputs, packets) = fold.volume();
        (inputs.wrapping_add(self.spilled_volume.0), packets.wrapping_add(self.spilled_volume.1))
    }

    /// Ends a long window: writes its lines from memory or, where it did not fit, from the runs, a share of them at a time. Where [`Output::spilled`], the
    /// last run has to be committed before this.
    pub fn end_long_window(&mut self, fold: &mut FoldTable, books: &mut Books<'_>) {
        if let (Some(from), true) = (self.runs, self.spilled > 0) {
            let shares = (self.spilled + fold.lines()).div_ceil(fold.at_once()) as u64;
            let mut all_whole = true;
            for share in 0..shares {
                let (entries, whole) = self.read_share(from, share, shares);
                all_whole &= whole;
                for entry in entries {
                    self.line(&entry.prepared, &entry.sums, entry.single.as_deref(), books);
                }
            }
            if !all_whole {
                *books.totals.lost.entry(cause::PARTIAL.to_owned()).or_default() += 1;
                books.gaps.push(Gap { cause: cause::PARTIAL.to_owned(), ..Gap::default() });
            }
            fold.drain(|_| {});
        } else {
            fold.drain(|group| self.group(group, books));
        }
        (self.runs, self.spilled, self.spilled_volume, self.epoch) = (None, 0, (0, 0), 0);
    }

    /// Reads one share of the window's lines back, and says whether all of it was there. A disk that can't be read just now is waited for: the window's end
    /// has no other source.
    fn read_share(&self, from: u64, share: u64, shares: u64) -> (Vec<Entry>, bool) {
        loop {
            let mut merge = Merge::new(share, shares);
            let mut damaged = None;
            let read = self.writer.hidden(from, &mut |frame| {
                if let Some((epoch, run)) = run_of(frame) {
                    damaged = damaged.take().or(merge.absorb(epoch, run).err());
                }
            });
            match read {
                Ok(whole) => {
                    let whole = whole && damaged.is_none();
                    if !whole {
                        tracing::error!(damaged = ?damaged, "the stored sums of a long window are not whole; what could be read is written");
                    }
                    return (merge.finish(), whole);
                }
                Err(error) => {
                    tracing::error!(%error, "the sums of a long window cannot be read; trying again");
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        }
    }

    /// Whether the window is too large for memory, so that its end is read from the runs.
    #[must_use]
    pub fn spilled(&self) -> bool {
        self.spilled > 0
    }

    /// Whether sums of an unfinished window are stored.
    #[must_use]
    pub fn has_runs(&self) -> bool {
        self.runs.is_some()
    }

    /// Writes the line that declares a gap. Neither filters nor mask touch it.
    pub fn gap_line(&mut self, around: &Surroundings, gap: &Gap, at: i64, totals: &mut Totals, gaps: &mut Vec<Gap>) {
        self.line.clear();
        line::write_gap(gap, at, &around.node_name, &mut self.line);
        let line = std::mem::take(&mut self.line);
        self.append(at, b"", b"", &line, totals, gaps);
        self.line = line;
    }

    /// Whether a sink has met damage in the spool that is not declared yet.
    #[must_use]
    pub fn has_damage(&self) -> bool {
        self.writer.has_damage()
    }

    /// Declares, with the next commit, what sinks found damaged in the spool (the records are lost, although not every sink may have lost them), and what was
    /// gone from it before a sink came to it, which is that sink's loss alone and is counted there.
    pub fn take_damage(&mut self, totals: &mut Totals, gaps: &mut Vec<Gap>) {
        for damage in self.writer.take_damage() {
            let (records, spool) = (damage.next - damage.first, self.writer.spool());
            let folder = spool.folder().display();
            let cause = match &damage.sink {
                None => {
                    tracing::error!(records, %folder, "records of the spool changed on disk and are lost; this is declared as a gap");
                    *totals.lost.entry(CORRUPT.to_owned()).or_default() += records;
                    CORRUPT
                }
                Some(sink) => {
                    tracing::error!(records, sink, %folder, "the spool was at its bound and the sink has lost records; this is declared as a gap");
                    FULL
                }
            };
            // Without their numbers: the sink that met them states those itself, and a manifest adds up what is stated.
            let (first, last) = (damage.from.or(damage.to), damage.to.or(damage.from));
            gaps.push(Gap { cause: cause.to_owned(), first, last, records: Some(records), sink: damage.sink, ..Gap::default() });
        }
    }

    /// Makes everything since the last commit visible. A commit that stalls is kept by the writer: go on with [`Output::retry`].
    ///
    /// # Errors
    /// When the disk does not take it just now.
    pub fn commit(&mut self, position: u64, at: i64, hash: &[u8; 32], gaps: Vec<Gap>, totals: &Totals, open: &[u8]) -> Result<(), Stalled> {
        let mut partials = self.runs;
        if !open.is_empty() || partials.is_some() {
            let (first, more) = open.split_at(open.len().min(OPEN_BYTES));
            let at = self.hidden(&[&[OPEN], first].concat());
            for more in more.chunks(OPEN_BYTES) {
                self.hidden(&[&[MORE_OPEN], more].concat());
            }
            partials = partials.or(at);
        }
        let totals = serde_json::to_value(totals).unwrap_or_default();
        self.writer.commit(Commit { intake_position: position, time: at, config_hash: *hash, gaps, totals, partials, ..Commit::default() })
    }

    /// Tries again what stalled.
    ///
    /// # Errors
    /// When the disk still does not take it.
    pub fn retry(&mut self) -> Result<(), Stalled> {
        self.writer.retry()
    }

    /// The intake is not needed before this position, even after a power loss.
    #[must_use]
    pub fn durable(&self) -> u64 {
        self.writer.durable().intake_position
    }

    /// Waits until all is on disk and closes the spool.
    pub fn close(self, patience: Duration) {
        if let Err(error) = self.writer.close(patience) {
            tracing::error!(%error, "the spool was not closed in time; the next start treats this as a crash, which loses nothing");
        }
    }

    fn hidden(&mut self, frame: &[u8]) -> Option<u64> {
        match self.writer.append_hidden(frame) {
            Ok(position) => Some(position),
            Err(error) => {
                // Frames are cut far below the bound; only a single entry of tens of mebibytes could come here.
                tracing::error!(%error, "sums of the open window cannot be stored; a crash before its end would lose them");
                None
            }
        }
    }
}
