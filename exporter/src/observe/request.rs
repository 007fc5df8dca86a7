//! What a command line asks for, checked as the real command checks it.

use std::path::PathBuf;

use clap::ArgMatches;

use super::arguments;
use super::color::Colors;
use super::printer::{Format, Style};
use super::raw_filters::{self, ConfigFile, RawList};
use super::times::{self, Layout};
use crate::cli::observe::{FormatArgs, ObserveArgs, Observed, Selection};
use crate::filter::{Filters, FlowFilter};
use crate::flow::Timestamp;
use crate::mask::{Encoder, Mask, Redaction};

/// Newest events when nothing else is asked for.
const DEFAULT_LAST: u64 = 20;
/// Most events that are held back for `--last`.
const MOST_LAST: u64 = 1_000_000;

/// How many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// All of them.
    All,
    /// The oldest ones.
    First(u64),
    /// The newest ones.
    Last(usize),
}

/// A command line that makes sense.
#[derive(Debug)]
pub struct Request {
    /// Which kind of events.
    pub what: Observed,
    /// Filters of the allow list.
    pub allow: Vec<FlowFilter<'static>>,
    /// Filters of the deny list.
    pub deny: Vec<FlowFilter<'static>>,
    /// Not earlier than this.
    pub since: Option<Timestamp>,
    /// Not later than this.
    pub until: Option<Timestamp>,
    /// How many.
    pub number: Number,
    /// Whether to go on with new events.
    pub follow: bool,
    /// What to read; without it, what the daemon here writes.
    pub input: Option<PathBuf>,
    /// How to print.
    pub style: Style,
    /// Whether to print nothing but the filters.
    pub print_raw_filters: bool,
    /// Whether to say nothing of lines that can't be read.
    pub silent: bool,
}

impl Request {
    /// Checks a command line. `now` is the time that durations are counted back from, `terminal` whether standard output is one.
    ///
    /// # Errors
    /// What the real command refuses.
    pub fn build(arguments: &ObserveArgs, matches: &ArgMatches, now: Timestamp, terminal: bool) -> Result<Self, String> {
        let ObserveArgs { what, selection, filters, format } = arguments;
        let flags = arguments::filters(matches)?;
        let mut style = style(format, is_on(selection.follow), terminal)?;
        check_numbers(selection)?;
        let time = |name: &str, text: &Option<String>| match text.as_deref().filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => times::parse(text, now).map(Some).map_err(|error| format!("failed to parse the {name} time: {error}")),
        };
        let since = time("since", &selection.since)?;
        let until = if is_on(selection.follow) { None } else { time("until", &selection.until)? };
        let number = number(selection, since.is_some() || until.is_some());
        let file = selection.config.as_deref().map(ConfigFile::read).transpose()?.unwrap_or_default();
        let (mut allow, mut deny) = (flags.allow, flags.deny);
        allow.extend(raw_filters::filters(RawList::Allow, &filters.allowlist, &file)?);
        deny.extend(raw_filters::filters(RawList::Deny, &filters.denylist, &file)?);
        let paths: &[String] = if format.field_mask == [""] { &[] } else { &format.field_mask };
        if !paths.is_empty() {
            if style.format != Format::Json {
                return Err(format!("{} output format is not compatible with custom field mask", output(format)));
            }
            let mask = Mask::parse(paths).map_err(|error| format!("failed to construct field mask: {error}"))?;
            // Files are printed whole, as the real command does; what a daemon here writes is asked for like a server's.
            style.mask = selection.input_file.is_none().then(|| Encoder::compile(&mask, Redaction::none()));
        }
        Ok(Self {
            what: what.unwrap_or(Observed::Flows),
            allow,
            deny,
            since,
            until,
            // Whoever prints the filters alone reads no events, so their number is not looked at, as in the real command.
            number: if is_on(format.print_raw_filters) { Number::All } else { number? },
            follow: is_on(selection.follow),
            input: selection.input_file.clone(),
            style,
            print_raw_filters: is_on(format.print_raw_filters),
            silent: is_on(format.silent_errors),
        })
    }

    /// Compiles the filters.
    ///
    /// # Errors
    /// Every value that makes no filter.
    pub fn filters(&self) -> Result<Filters, String> {
        Filters::compile(&self.allow, &self.deny).map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }
}

fn is_on(switch: Option<bool>) -> bool {
    switch == Some(true)
}

fn output(format: &FormatArgs) -> &str {
    format.output.as_deref().unwrap_or("compact")
}

fn style(format: &FormatArgs, follow: bool, terminal: bool) -> Result<Style, String> {
    let legacy = std::env::var("HUBBLE_COMPAT")
        .is_ok_and(|options| options.split(',').any(|option| option.eq_ignore_ascii_case("legacy-json-output")));
    let chosen = match output(format) {
        "compact" => Format::Compact,
        "dict" => Format::Dict,
        "json" | "JSON" if legacy => Format::LegacyJson,
        "json" | "JSON" | "jsonpb" => Format::Json,
        "tab" | "table" if follow => return Err("table output format is not compatible with follow mode".to_owned()),
        "tab" | "table" => Format::Table,
        other => return Err(format!("invalid output format: {other}; write compact, dict, table, json or jsonpb")),
    };
    Ok(Style {
        format: chosen,
        times: Layout::named(format.time_format.as_deref().unwrap_or_default()),
        node_name: is_on(format.print_node_name),
        policy_names: is_on(format.print_policy_names),
        translate: format.ip_translation.unwrap_or(true) && !is_on(format.numeric),
        colors: Colors::choose(format.color.as_deref().unwrap_or("auto"), terminal),
        debug: is_on(format.debug),
        mask: None,
    })
}

fn check_numbers(selection: &Selection) -> Result<(), String> {
    let first = selection.first.is_some_and(|first| first > 0);
    let last = selection.last.is_some_and(|last| last > 0);
    for (both, one, other) in [
        (first && last, "--first", "--last"),
        (first && is_on(selection.all), "--first", "--all"),
        (first && is_on(selection.follow), "--first", "--follow"),
        (last && is_on(selection.all), "--last", "--all"),
    ] {
        if both {
            return Err(format!("cannot set both {one} and {other}"));
        }
    }
    Ok(())
}

fn number(selection: &Selection, timed: bool) -> Result<Number, String> {
    if let Some(first) = selection.first.filter(|first| *first > 0) {
        return Ok(Number::First(first));
    }
    let last = match selection.last.filter(|last| *last > 0) {
        Some(last) => last,
        None if is_on(selection.all) || timed || selection.input_file.is_some() => return Ok(Number::All),
        // Only what comes from now on.
        None if is_on(selection.follow) => return Ok(Number::Last(0)),
        None => DEFAULT_LAST,
    };
    match last {
        u64::MAX => Ok(Number::All),
        last if last > MOST_LAST => Err(format!("--last must be <= 1_000_000, got {last}")),
        last => Ok(Number::Last(usize::try_from(last).unwrap_or(usize::MAX))),
    }
}
