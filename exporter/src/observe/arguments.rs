//! Filter flags in the order they stand on the command line: `--not` turns the one behind it.

use clap::{ArgMatches, Args, Command};

use super::tracker::Tracker;
use crate::cli::observe::FilterArgs;
use crate::filter::FlowFilter;

/// The two lists that the flags make.
#[derive(Debug, Default)]
pub struct FlagFilters {
    /// Events have to match one of these, if there are any.
    pub allow: Vec<FlowFilter<'static>>,
    /// Events must match none of these.
    pub deny: Vec<FlowFilter<'static>>,
}

/// Builds the filters of a command line.
///
/// # Errors
/// What the real command refuses: a wrong value, flags that can't be combined, a `--not` without a filter behind it.
pub fn filters(matches: &ArgMatches) -> Result<FlagFilters, String> {
    let (mut allow, mut deny) = (Tracker::default(), Tracker::default());
    let mut turned = false;
    for (_, flag, value) in given(matches) {
        if flag == "not" {
            if turned {
                return Err("consecutive --not statements".to_owned());
            }
            turned = true;
            continue;
        }
        let list = if turned { &mut deny } else { &mut allow };
        list.set(&flag, &value)?;
        turned = false;
    }
    if turned {
        return Err("trailing --not found in the arguments".to_owned());
    }
    Ok(FlagFilters { allow: allow.filters(), deny: deny.filters() })
}

/// Position, name and value of every filter flag, in order. Flags whose value is a raw filter are no part of this.
fn given(matches: &ArgMatches) -> Vec<(usize, String, String)> {
    let mut flags = Vec::new();
    for argument in FilterArgs::augment_args(Command::new("observe")).get_arguments() {
        let id = argument.get_id().as_str();
        if matches!(id, "allowlist" | "denylist") {
            continue;
        }
        let (Some(indices), Some(values)) = (matches.indices_of(id), matches.get_raw(id)) else { continue };
        let name = argument.get_long().unwrap_or(id);
        flags.extend(indices.zip(values).map(|(index, value)| (index, name.to_owned(), value.to_string_lossy().into_owned())));
    }
    flags.sort_unstable();
    flags
}
