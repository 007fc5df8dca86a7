//! A line to an event that is wanted, as the real command reads `--input-file`: strictly until a field is met that it does not know, then without
//! what it does not know; the time range on the envelope's time; every event through the filters.

use std::fmt::Display;

use crate::cli::observe::Observed;
use crate::filter::Filters;
use crate::flow::json::{self, OnUnknown, Options};
use crate::flow::{Event, ExportEvent, Timestamp};

/// Reads lines.
#[derive(Debug)]
pub struct Reading {
    /// Which events are asked for.
    pub what: Observed,
    /// The filters.
    pub filters: Filters,
    /// Not earlier than this.
    pub since: Option<Timestamp>,
    /// Not later than this.
    pub until: Option<Timestamp>,
    /// Whether to say nothing of lines that can't be read.
    pub silent: bool,
}

/// A word on a line, for standard error.
#[derive(Debug)]
pub struct Note {
    /// Whether it is of something unknown, which is said once.
    pub unknown: bool,
    /// How many events of its block, up to its own line, are wanted.
    pub behind: usize,
    /// What is said.
    pub text: String,
}

impl Reading {
    /// The event of a line, if it is one and wanted. What is wrong with the line becomes a note. `lenient`: whether something unknown was met.
    pub fn event<'l>(&self, line: &'l [u8], place: &dyn Display, lenient: &mut bool, notes: &mut Vec<Note>) -> Option<ExportEvent<'l>> {
        let mut event = self.decode(line, place, lenient, notes)?;
        if self.what == Observed::Flows && matches!(event.event, Some(Event::AgentEvent(_) | Event::DebugEvent(_))) {
            event.event = None;
            self.note_unknown(&"an agent or debug event, which is no flow", place, lenient, notes);
        }
        // An event without a time counts as one of 1970.
        let time = event.time.unwrap_or_default();
        let in_time = self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time <= until);
        (in_time && self.is_wanted(&mut event)).then_some(event)
    }

    fn is_wanted(&self, event: &mut ExportEvent<'_>) -> bool {
        match (self.what, &event.event) {
            (Observed::Flows, Some(Event::Flow(flow))) => self.filters.matches_flow(flow.as_ref()),
            (Observed::Flows, _) => {
                // To the filters of a file everything else is a flow that is not there.
                let other = event.event.take();
                let wanted = self.filters.matches(event);
                event.event = other;
                wanted
            }
            (Observed::AgentEvents, Some(Event::AgentEvent(_))) | (Observed::DebugEvents, Some(Event::DebugEvent(_))) => true,
            _ => false,
        }
    }

    fn decode<'l>(&self, line: &'l [u8], place: &dyn Display, lenient: &mut bool, notes: &mut Vec<Note>) -> Option<ExportEvent<'l>> {
        let options = |unknown| Options { unknown, ..Options::default() };
        let mut unknown = None;
        if !*lenient {
            match json::decode(line, options(OnUnknown::Refuse)) {
                Ok(event) => return Some(event),
                Err(error) => unknown = Some(error),
            }
        }
        match json::decode(line, options(OnUnknown::Drop)) {
            Ok(event) => {
                if let Some(error) = unknown {
                    self.note_unknown(&error, place, lenient, notes);
                }
                Some(event)
            }
            Err(error) => {
                self.note_broken(&error, place, line, notes);
                None
            }
        }
    }

    #[cold]
    fn note_unknown(&self, what: &dyn Display, place: &dyn Display, lenient: &mut bool, notes: &mut Vec<Note>) {
        if !*lenient && !self.silent {
            let text = format!("flowlog: {place}: {what}; what is not known is left out from here on, without further notice\n");
            notes.push(Note { unknown: true, behind: 0, text });
        }
        *lenient = true;
    }

    #[cold]
    fn note_broken(&self, error: &json::Error, place: &dyn Display, line: &[u8], notes: &mut Vec<Note>) {
        if !self.silent {
            let shown = String::from_utf8_lossy(line.get(..120).unwrap_or(line));
            let text = format!("flowlog: {place}: {error}; the line is passed over: {}\n", shown.escape_debug());
            notes.push(Note { unknown: false, behind: 0, text });
        }
    }
}
