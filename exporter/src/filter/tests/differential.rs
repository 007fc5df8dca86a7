//! Cases beyond the shared vectors, made at random and asked of upstream's own filters (Cilium 1.20.1 built with Go 1.26): our filters and events,
//! its answers, one letter an event.

use super::*;
use serde_json::Value;

#[test]
fn random_filters_give_upstreams_verdicts() {
    let mut wrong = Vec::new();
    let cases: Vec<&str> = include_str!("cases.jsonl").lines().collect();
    assert!(cases.len() > 700, "the cases are there");
    for case in cases {
        let parsed: Value = serde_json::from_str(case).unwrap();
        let compiled = FlowFilter::from_json(&parsed["filter"].to_string()).ok().and_then(|filter| Filters::compile(&[filter], &[]).ok());
        let found: String = match compiled {
            None => "invalid".to_owned(),
            Some(filters) => {
                let events = parsed["events"].as_array().unwrap().iter();
                let passes = |e: &Value| filters.matches(&event(&e.to_string()));
                events.map(|e| if passes(e) { 'T' } else { '.' }).collect()
            }
        };
        if parsed["answer"] != found {
            wrong.push(format!("{found}: {case}"));
        }
    }
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}
