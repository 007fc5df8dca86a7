//! `flowlog observe`: whatever stands in a line, it is printed in each format, to files and to terminals, and nothing in it steers a
//! terminal.

use std::cell::RefCell;

use clap::{CommandFactory, FromArgMatches};
use flowlog::cli::observe::Observed;
use flowlog::cli::{Cli, Command};
use flowlog::filter::Filters;
use flowlog::flow::Timestamp;
use flowlog::observe::printer::{Format, Printer, Style};
use flowlog::observe::reading::Reading;
use flowlog::observe::request::Request;

const FLAGS: [&str; 6] = [
    "-o compact --color always --print-node-name --print-policy-names --debug",
    "-o compact --numeric --time-format RFC1123Z",
    "-o dict --print-node-name --time-format RFC3339Nano --color always --debug",
    "-o table --ip-translation=false --print-policy-names",
    "-o table --print-node-name --time-format yearmonthday",
    "-o json --debug",
];

thread_local! {
    static COMMAND: RefCell<clap::Command> = RefCell::new(Cli::command());
    static STYLES: Vec<(Style, bool)> = FLAGS
        .iter()
        .flat_map(|flags| [(flags, false), (flags, true)])
        .map(|(flags, terminal)| (request(flags.split(' '), terminal).expect("flags that make sense").style, terminal))
        .collect();
}

/// The request that a command line makes, if it makes sense.
pub fn request<'f>(flags: impl Iterator<Item = &'f str>, terminal: bool) -> Option<Request> {
    let line = ["flowlog", "observe"].into_iter().chain(flags);
    let matches = COMMAND.with_borrow_mut(|command| command.try_get_matches_from_mut(line)).ok()?;
    let Ok(Cli { command: Command::Observe(arguments) }) = Cli::from_arg_matches(&matches) else { return None };
    let observed = matches.subcommand_matches("observe")?;
    Request::build(&arguments, observed, Timestamp::from_unix_nanos(1_700_000_000_000_000_000), terminal).ok()
}

/// Prints the input's lines in every style.
pub fn run(input: &[u8]) {
    STYLES.with(|styles| {
        for (style, terminal) in styles {
            for what in [Observed::Flows, Observed::AgentEvents, Observed::DebugEvents] {
                let (printed, errors) = print(input, style, what);
                check(&printed, style, *terminal);
                check(&errors, style, *terminal);
            }
        }
    });
    print(input, &Style { format: Format::LegacyJson, ..Style::default() }, Observed::Flows);
}

/// What is printed on standard output and on standard error.
fn print(input: &[u8], style: &Style, what: Observed) -> (Vec<u8>, Vec<u8>) {
    let filters = Filters::compile(&[], &[]).expect("no filter");
    let reading = Reading { what, filters, since: None, until: None, silent: true };
    let (mut printer, mut lenient, mut notes) = (Printer::new(style.clone()), false, Vec::new());
    for line in input.split(|byte| *byte == b'\n') {
        if let Some(event) = reading.event(line, &"", &mut lenient, &mut notes) {
            printer.print(&event);
        }
    }
    let mut out = printer.out;
    printer.table.finish(&mut out).expect("memory takes it");
    (out, printer.errors)
}

/// Nothing but newlines and tabs of all control characters, and of ours the colours, reaches a terminal; no escape reaches a file.
fn check(printed: &[u8], style: &Style, terminal: bool) {
    let text = std::str::from_utf8(printed).expect("what is printed is UTF-8");
    let mut plain = text.to_owned();
    if style.colors.on {
        for color in ["\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m"] {
            plain = plain.replace(color, "");
        }
    }
    let bad = |c: char| match terminal {
        true => c.is_control() && !matches!(c, '\n' | '\t'),
        false => matches!(c, '\x1b' | '\r'),
    };
    assert!(!plain.contains(bad), "a control character is printed: {plain:?}");
    if style.format == Format::Json {
        for line in text.lines() {
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok(), "what is printed is no JSON: {line}");
        }
    }
}
