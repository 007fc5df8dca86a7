//! Every `filter`, `lists` and `filter_flag` record of the shared vectors.

use super::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../../tests/data/hubble-vectors.jsonl");

fn records(kind: &str) -> Vec<Value> {
    let all = VECTORS.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|record| record["kind"] == kind).collect()
}

/// The filters of a list of the record; `null` acts as `{}`.
fn list(of: &Value) -> Result<Vec<FlowFilter<'static>>, String> {
    let filters = of.as_array().unwrap().iter();
    filters
        .map(|f| if f.is_null() { Ok(FlowFilter::default()) } else { FlowFilter::from_json(&f.to_string()).map_err(|e| e.to_string()) })
        .collect()
}

/// What differs from the record, if anything does.
fn difference(
    record: &Value,
    include: Result<Vec<FlowFilter<'static>>, String>,
    exclude: Result<Vec<FlowFilter<'static>>, String>,
) -> Option<String> {
    let wrong = |what: String| Some(format!("{what}: {record}"));
    let (include, exclude) = match (include, exclude) {
        (Ok(include), Ok(exclude)) => (include, exclude),
        (Err(why), _) | (_, Err(why)) => {
            return if record.get("decode_error").is_some() { None } else { wrong(why) };
        }
    };
    let compiled = match Filters::compile(&include, &exclude) {
        Ok(compiled) => compiled,
        Err(errors) => {
            return if record.get("build_error").is_some() { None } else { wrong(format!("{errors:?}")) };
        }
    };
    let Some(expected) = record["match"].as_array() else {
        return wrong("should have been refused".to_owned());
    };
    let events: Vec<String> = record["events"].as_array().unwrap().iter().map(Value::to_string).collect();
    let found: Vec<Value> = events.iter().map(|e| Value::Bool(compiled.matches(&event(e)))).collect();
    if found == *expected { None } else { wrong(format!("{found:?}")) }
}

fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_filter_gives_upstreams_verdicts() {
    let records = records("filter");
    assert_eq!(records.len(), 275);
    let none = || Ok(Vec::new());
    assert_none(records.iter().filter_map(|r| difference(r, list(&Value::Array(vec![r["filter"].clone()])), none())).collect());
}

#[test]
fn a_filter_as_the_only_deny_filter_gives_the_opposite() {
    for record in records("filter").iter().filter(|r| r.get("match").is_some()) {
        let filter = list(&Value::Array(vec![record["filter"].clone()])).unwrap();
        let (allow, deny) = (Filters::compile(&filter, &[]).unwrap(), Filters::compile(&[], &filter).unwrap());
        for json in record["events"].as_array().unwrap().iter().map(Value::to_string) {
            assert_ne!(allow.matches(&event(&json)), deny.matches(&event(&json)), "{record}");
        }
    }
}

#[test]
fn lists_combine_as_upstream_combines_them() {
    let records = records("lists");
    assert_eq!(records.len(), 14);
    assert_none(records.iter().filter_map(|r| difference(r, list(&r["allow"]), list(&r["deny"]))).collect());
}

#[test]
fn flag_texts_hold_as_many_filters_as_upstream_reads() {
    let records = records("filter_flag");
    assert_eq!(records.len(), 18);
    for record in records {
        let found = FlowFilter::list_from_flag(record["text"].as_str().unwrap()).ok().map(|filters| filters.len() as u64);
        assert_eq!(found, record["count"].as_u64(), "{record}");
    }
}
