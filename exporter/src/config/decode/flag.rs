//! Filters in the syntax of Cilium's agent flags: JSON objects one after the other, with nothing but white space between them.
//!
//! Commas between the objects, lists, and quotes round them are mistakes there (`spec/hubble.md` §3.9), also the comma that the official
//! documentation shows. All of a text has one place, the flag's.

use super::fields::At;
use crate::config::place::Problems;
use crate::config::types::FilterText;
use crate::filter::FlowFilter;

/// Reads the filters of a flag's text.
pub(super) fn filters_of_flag(text: &str, at: &At<'_>, problems: &mut Problems) -> Vec<FilterText> {
    let read = match FlowFilter::list_from_flag(text) {
        Ok(filters) => filters.iter().map(|filter| serde_json::from_str(&filter.to_json())).collect::<Result<Vec<_>, _>>(),
        Err(error) => {
            problems.reject(&at.place, error.to_string(), None);
            return Vec::new();
        }
    };
    match read {
        Ok(values) => values.into_iter().map(|value| FilterText { value, place: at.place.clone() }).collect(),
        Err(error) => {
            problems.reject(&at.place, format!("a filter cannot be written: {error}"), None);
            Vec::new()
        }
    }
}
