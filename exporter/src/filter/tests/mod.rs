//! The filters as a whole: upstream's own answers (`tests/data/hubble-vectors.jsonl`), then what has to hold for any filter and flow.

mod advice;
mod cached;
mod differential;
mod vectors;

use super::*;
use crate::flow::json::{Options, decode};

/// Filters of these JSON objects.
fn filters(include: &[&str], exclude: &[&str]) -> Result<Filters, Vec<BuildError>> {
    let read = |texts: &[&str]| -> Vec<FlowFilter<'static>> { texts.iter().map(|text| FlowFilter::from_json(text).unwrap()).collect() };
    Filters::compile(&read(include), &read(exclude))
}

fn event(json: &str) -> ExportEvent<'_> {
    decode(json.as_bytes(), Options::default()).unwrap()
}
