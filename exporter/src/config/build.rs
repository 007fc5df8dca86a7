//! From an entry's texts to what runs: its mask, its filters, what it hides. What cannot be built fails this entry alone.

use super::place::Problems;
use super::types::{FlowLog, Redact, RedactHeaders};
use crate::mask::{HeaderRule, InvalidPath, Mask, Redaction};

/// The mask of an entry: `fieldAggregate` where it aggregates, else `fieldMask`.
///
/// # Errors
/// The first path that is none.
pub fn mask(entry: &FlowLog) -> Result<Mask, InvalidPath> {
    Mask::parse(if entry.aggregation().is_some() {
        &entry.field_aggregate
    } else {
        &entry.field_mask
    })
}

/// What an entry hides, for the encoder.
pub fn redaction(redact: &Redact) -> Redaction {
    let headers = match &redact.headers {
        RedactHeaders::Named(names) if names.is_empty() => HeaderRule::Keep,
        RedactHeaders::Named(names) => HeaderRule::Deny(names.clone()),
        RedactHeaders::AllBut(names) if names.is_empty() => HeaderRule::HideAll,
        RedactHeaders::AllBut(names) => HeaderRule::Allow(names.clone()),
    };
    Redaction {
        url_userinfo: redact.url_userinfo,
        url_query: redact.url_query,
        headers,
    }
}

/// Builds all of an entry and throws it away: everything in it that fails, each with its place.
pub fn check(entry: &FlowLog) -> Problems {
    let mut problems = Problems::default();
    for (key, paths) in [
        ("fieldMask", &entry.field_mask),
        ("fieldAggregate", &entry.field_aggregate),
    ] {
        for (n, path) in paths.iter().enumerate() {
            if let Err(error) = Mask::parse(&[path]) {
                problems.fail_entry(
                    &entry.places.below(&format!("{key}[{n}]")),
                    format!("`{path}` is no field: {}", error.why),
                    None,
                );
            }
        }
    }
    problems
}
