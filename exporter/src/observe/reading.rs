//! A line to an event that is wanted, as the real command reads `--input-file`: strictly until a field is met that it does not know, then without
//! what it does not know; the time range on the envelope's time; every event through the filters.

use std::borrow::Cow;
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
    /// Whether something unknown was met.
    pub lenient: bool,
}

impl Reading {
    /// The event of a line, if it is one and wanted. What is wrong with a line is said on standard error.
    pub fn event<'l>(&mut self, line: &'l [u8], place: &dyn Display) -> Option<ExportEvent<'l>> {
        let mut event = self.decode(line, place)?;
        if self.what == Observed::Flows && matches!(event.event, Some(Event::AgentEvent(_) | Event::DebugEvent(_))) {
            event.event = None;
            self.warn_unknown(&"an agent or debug event, which is no flow", place);
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

    fn decode<'l>(&mut self, line: &'l [u8], place: &dyn Display) -> Option<ExportEvent<'l>> {
        let options = |unknown| Options { unknown, ..Options::default() };
        if !self.lenient {
            let error = match json::decode(line, options(OnUnknown::Refuse)) {
                Ok(event) => return Some(event),
                Err(error) => error,
            };
            return match json::decode(line, options(OnUnknown::Drop)) {
                Ok(event) => {
                    self.warn_unknown(&error, place);
                    Some(event)
                }
                Err(error) => self.warn_broken(&error, place, line),
            };
        }
        match json::decode(line, options(OnUnknown::Drop)) {
            Ok(event) => Some(event),
            Err(error) => self.warn_broken(&error, place, line),
        }
    }

    fn warn_unknown(&mut self, what: &dyn Display, place: &dyn Display) {
        if !self.lenient && !self.silent {
            eprintln!("flowlog: {place}: {what}; what is not known is left out from here on, without further notice");
        }
        self.lenient = true;
    }

    #[cold]
    fn warn_broken(&self, error: &json::Error, place: &dyn Display, line: &[u8]) -> Option<ExportEvent<'static>> {
        if !self.silent {
            let shown = String::from_utf8_lossy(line.get(..120).unwrap_or(line));
            let shown: Cow<'_, str> = shown.escape_debug().to_string().into();
            eprintln!("flowlog: {place}: {error}; the line is passed over: {shown}");
        }
        None
    }
}
