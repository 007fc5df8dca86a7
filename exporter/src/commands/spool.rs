//! `flowlog spool ls|cat|verify`: looks into a state folder without touching it, beside a running daemon too.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use flowlog_sinks::spool::inspect::{self, Part};
use flowlog_sinks::spool::{Commit, Cursor, Kind, SpoolId, split_record, stored_cursors};
use serde_json::{Value, json};

use super::{Failure, print};
use crate::cli::{OutputFormat, SpoolArgs, SpoolCatArgs, SpoolCommand};
use crate::daemon::state;

/// Runs the command.
///
/// # Errors
/// When the folder can't be read, or what it holds is not whole.
pub fn run(command: &SpoolCommand) -> Result<(), Failure> {
    match command {
        SpoolCommand::Ls(arguments) => list(arguments),
        SpoolCommand::Cat(arguments) => cat(arguments),
        SpoolCommand::Verify(arguments) => verify(arguments),
    }
}

/// What one spool holds.
#[derive(Debug, Default)]
struct Contents {
    segments: usize,
    bytes: u64,
    /// First and last number of each identity, in order of their appearance.
    ranges: Vec<(SpoolId, u64, u64)>,
    records: u64,
    uncommitted: u64,
    commits: u64,
    last: Option<Commit>,
    cursors: Vec<(String, Cursor)>,
    findings: Vec<String>,
}

fn chosen(arguments: &SpoolArgs) -> Result<Vec<(String, PathBuf)>, Failure> {
    let all = state::logs(&arguments.state_dir)
        .map_err(|error| Failure::Runtime(format!("cannot read {}: {error}", arguments.state_dir.display())))?;
    if let Some(unknown) = arguments.flow_logs.iter().find(|name| !all.iter().any(|(known, _)| known == *name)) {
        let known: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Failure::Usage(format!(
            "{} has no flow log {unknown:?}; there are: {}",
            arguments.state_dir.display(),
            known.join(", ")
        )));
    }
    Ok(all
        .into_iter()
        .filter(|(name, _)| arguments.flow_logs.is_empty() || arguments.flow_logs.contains(name))
        .map(|(name, folder)| (name, folder.join("spool")))
        .collect())
}

fn read(folder: &Path) -> Result<Contents, Failure> {
    let failed = |error: io::Error| Failure::Runtime(format!("cannot read {}: {error}", folder.display()));
    let mut contents = Contents { cursors: cursors(folder).map_err(failed)?, ..Contents::default() };
    for segment in inspect::segments(folder).map_err(failed)? {
        contents.segments += 1;
        contents.bytes += segment.path.metadata().map_err(failed)?.len();
        let head = match &segment.head {
            Ok(head) => head,
            Err(why) => {
                contents.findings.push(format!("{}: {why}", segment.path.display()));
                continue;
            }
        };
        inspect::walk(&segment, &mut |part| contents.add(head.id, part)).map_err(failed)?;
    }
    if contents.uncommitted > 0 {
        contents.findings.push(format!("{} records behind the last commit: they are folded again at the next start", contents.uncommitted));
    }
    Ok(contents)
}

/// How far each sink has got.
fn cursors(folder: &Path) -> io::Result<Vec<(String, Cursor)>> {
    match stored_cursors(folder) {
        Ok(stored) => Ok(stored.into_iter().map(|(sink, stored)| (sink, stored.cursor)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

impl Contents {
    /// Committed records that a sink at this place has yet to take; all of them where the place is of an identity that is gone.
    fn behind(&self, cursor: &Cursor) -> u64 {
        let at = self.ranges.iter().position(|(id, ..)| *id == cursor.spool);
        let waiting = self.ranges.iter().enumerate().filter(|(n, _)| at.is_none_or(|at| *n >= at)).map(|(n, (_, first, last))| {
            let next = if at == Some(n) { cursor.sequence.max(*first) } else { *first };
            (last + 1).saturating_sub(next)
        });
        waiting.sum::<u64>().saturating_sub(self.uncommitted)
    }

    fn add(&mut self, id: SpoolId, part: Part<'_>) {
        match part {
            Part::Bad { from, to } => self.findings.push(format!("{} bytes at position {from} are no frame", to - from)),
            Part::Frame(head, payload) if head.kind == Kind::Records => {
                let mut rest = payload;
                let mut count = 0;
                while let Some((_, after)) = split_record(rest) {
                    (rest, count) = (after, count + 1);
                }
                if count != u64::from(head.count) || !rest.is_empty() {
                    self.findings.push(format!("the frame at position {} holds {count} records and says {}", head.position, head.count));
                }
                self.number(id, head.number, u64::from(head.count));
                self.records += count;
                self.uncommitted += count;
            }
            Part::Frame(head, payload) if head.kind == Kind::Commit => match serde_json::from_slice::<Commit>(payload) {
                Ok(commit) => {
                    if let Some(before) = self.last.as_ref().filter(|before| before.time > commit.time) {
                        self.findings.push(format!(
                            "the commit at position {} goes back in time, from {} to {}",
                            head.position, before.time, commit.time
                        ));
                    }
                    self.commits += 1;
                    self.uncommitted = 0;
                    self.last = Some(commit);
                }
                Err(error) => self.findings.push(format!("the commit at position {} cannot be read: {error}", head.position)),
            },
            Part::Frame(..) => {}
        }
    }

    fn number(&mut self, id: SpoolId, first: u64, count: u64) {
        match self.ranges.last_mut().filter(|(known, ..)| *known == id) {
            Some((_, _, last)) => {
                if first != *last + 1 {
                    self.findings.push(format!("spool {id}: sequence goes from {last} to {first}"));
                }
                *last = first + count - 1;
            }
            None => self.ranges.push((id, first, first + count - 1)),
        }
    }

    fn json(&self, name: &str) -> Value {
        let ranges: Vec<Value> =
            self.ranges.iter().map(|(id, first, last)| json!({"spool": id.to_string(), "first": first, "last": last})).collect();
        let cursors: Vec<Value> = self
            .cursors
            .iter()
            .map(|(sink, at)| json!({"sink": sink, "spool": at.spool.to_string(), "next": at.sequence, "behind": self.behind(at)}))
            .collect();
        json!({"flowLog": name, "segments": self.segments, "bytes": self.bytes, "records": self.records, "commits": self.commits, "ranges": ranges,
            "cursors": cursors, "lastCommit": self.last, "findings": self.findings})
    }
}

fn each(arguments: &SpoolArgs, mut show: impl FnMut(&str, &Contents) -> String) -> Result<usize, Failure> {
    let mut findings = 0;
    let mut documents = Vec::new();
    for (name, folder) in chosen(arguments)? {
        let contents = read(&folder)?;
        findings += contents.findings.len();
        match arguments.output {
            OutputFormat::Text => print(&show(&name, &contents))?,
            OutputFormat::Json => documents.push(contents.json(&name)),
        }
    }
    if arguments.output == OutputFormat::Json {
        print(&format!("{}\n", Value::from(documents)))?;
    }
    Ok(findings)
}

fn list(arguments: &SpoolArgs) -> Result<(), Failure> {
    each(arguments, |name, contents| {
        let mut text = format!(
            "{name}: {} records in {} segments, {} bytes, {} commits\n",
            contents.records, contents.segments, contents.bytes, contents.commits
        );
        for (id, first, last) in &contents.ranges {
            let _ = writeln!(text, "  {id} {first}..{last}");
        }
        for (sink, at) in &contents.cursors {
            let _ = writeln!(text, "  sink {sink} takes {} next, {} records behind", at.sequence, contents.behind(at));
        }
        text
    })
    .map(drop)
}

fn verify(arguments: &SpoolArgs) -> Result<(), Failure> {
    let findings = each(arguments, |name, contents| {
        let mut text = String::new();
        for finding in &contents.findings {
            let _ = writeln!(text, "{name}: {finding}");
        }
        if contents.findings.is_empty() {
            let _ = writeln!(text, "{name}: {} records in {} commits are whole and in sequence", contents.records, contents.commits);
        }
        text
    })?;
    if findings > 0 { Err(Failure::Runtime(format!("{findings} findings"))) } else { Ok(()) }
}

fn cat(arguments: &SpoolCatArgs) -> Result<(), Failure> {
    let mut left = arguments.limit.unwrap_or(u64::MAX);
    for (_, folder) in chosen(&arguments.spool)? {
        let failed = |error: io::Error| Failure::Runtime(format!("cannot read {}: {error}", folder.display()));
        for segment in inspect::segments(&folder).map_err(failed)? {
            let Ok(head) = segment.head.as_ref() else { continue };
            let (id, mut text) = (head.id, String::new());
            inspect::walk(&segment, &mut |part| write_part(id, part, arguments, &mut left, &mut text)).map_err(failed)?;
            print(&text)?;
            if left == 0 {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn write_part(id: SpoolId, part: Part<'_>, arguments: &SpoolCatArgs, left: &mut u64, text: &mut String) {
    match part {
        Part::Frame(head, payload) if head.kind == Kind::Records => {
            let (mut rest, mut sequence) = (payload, head.number);
            while let Some((record, after)) = split_record(rest) {
                if *left > 0 && arguments.from.is_none_or(|from| sequence >= from) {
                    *left -= 1;
                    let _ = writeln!(text, "{}\t{}", id.uid(sequence), String::from_utf8_lossy(record.line));
                }
                (rest, sequence) = (after, sequence + 1);
            }
        }
        Part::Frame(head, payload) if head.kind == Kind::Commit && arguments.commits => {
            let _ = writeln!(text, "commit\t{}", String::from_utf8_lossy(payload));
        }
        Part::Bad { from, to } if arguments.commits => {
            let _ = writeln!(text, "bad\t{from}..{to}");
        }
        Part::Frame(..) | Part::Bad { .. } => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_is_behind_by_the_committed_records_from_its_cursor_on() {
        let [old, new, gone] = [1, 2, 3].map(|byte| SpoolId([byte; 16]));
        let contents = Contents { ranges: vec![(old, 5, 9), (new, 1, 4)], uncommitted: 1, ..Contents::default() };
        for (spool, sequence, behind) in [(old, 1, 8), (old, 8, 5), (old, 10, 3), (new, 1, 3), (new, 4, 0), (new, 9, 0), (gone, 7, 8)] {
            assert_eq!(contents.behind(&Cursor { spool, sequence, position: 0 }), behind, "{spool} {sequence}");
        }
    }
}
