//! The encoder held against Hubble's own answers and against captures of real clusters.

use super::*;
use crate::flow::json::{Options, decode};
use serde_json::Value;

/// Results of the unmodified upstream code on our inputs (digest §13.3).
const VECTORS: &str = include_str!("../../../../tests/data/hubble-vectors.jsonl");

fn vectors(kind: &str) -> Vec<Value> {
    let all = VECTORS.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|vector| vector["kind"] == kind).collect()
}

fn paths(vector: &Value, key: &str) -> Vec<String> {
    let list = vector[key].as_array().cloned().unwrap_or_default();
    list.iter().map(|path| path.as_str().unwrap().to_owned()).collect()
}

/// What the run behind the vectors put round events that are not flows.
fn envelope(event: &mut ExportEvent<'_>) {
    if event.flow().is_none() {
        event.node_name = "n1".into();
        event.time = crate::flow::json::time::parse("2026-01-02T03:04:05Z");
    }
}

fn encode(encoder: &Encoder, input: &str, prepare: impl Fn(&mut ExportEvent<'_>)) -> String {
    let mut event = decode(input.as_bytes(), Options::default()).unwrap_or_else(|error| panic!("{error}: {input}"));
    prepare(&mut event);
    let mut line = Vec::new();
    encoder.encode(&event, &mut line);
    String::from_utf8(line).unwrap()
}

/// Where upstream repeats an earlier flow's protocol, the line that a fresh flow gives.
fn without_stale_oneofs(mask: &[String], input: &Value, line: &str) -> String {
    let flow = &input["flow"];
    let mut corrected: Value = serde_json::from_str(line).unwrap();
    for (group, prefix) in [("l4", "l4."), ("l7", "l7.")] {
        let nested = mask.iter().filter(|path| path.starts_with(prefix) && path.matches('.').count() > 1);
        let variants: Vec<&str> = nested.filter_map(|path| path.split('.').nth(1)).collect();
        if !variants.is_empty() && !variants.iter().any(|variant| flow[group].get(variant).is_some()) {
            corrected["flow"][group] = serde_json::json!({});
        }
    }
    corrected.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[test]
fn every_export_vector_gives_upstreams_lines_but_for_its_stale_oneofs() {
    let mut compared = 0;
    for vector in vectors("export").iter().filter(|vector| vector.get("aggregate").is_none()) {
        let mask_paths = paths(vector, "mask");
        let mask = Mask::parse(&mask_paths);
        if vector.get("build_error").is_some() {
            assert!(mask.is_err(), "{mask_paths:?}");
            compared += 1;
            continue;
        }
        let encoder = Encoder::compile(&mask.unwrap(), Redaction::none());
        let lines = vector["lines"].as_array().unwrap();
        for (input, line) in vector["events"].as_array().unwrap().iter().zip(lines) {
            let expected = match line.as_str().unwrap() {
                line if vector["group"] == "mask" => without_stale_oneofs(&mask_paths, input, line),
                line => line.to_owned(),
            };
            assert_eq!(encode(&encoder, &input.to_string(), envelope), expected, "{mask_paths:?} {input}");
            compared += 1;
        }
    }
    assert!(compared > 200, "{compared}");
}

/// Published captures of real clusters, which are kept beside the repository and not in it.
fn captures() -> Option<String> {
    let above = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    above.map(|folder| folder.join("shared/data/real-flows.jsonl")).find_map(|path| std::fs::read_to_string(path).ok())
}

#[test]
fn real_captures_survive_json_and_protobuf_byte_for_byte() {
    let Some(captures) = captures() else {
        let test = "mask::encoder::tests::real_captures_survive_json_and_protobuf_byte_for_byte";
        let command = "put them beside the repository as ../shared/data/real-flows.jsonl";
        crate::skip_line::write(test, "the captures are not on this machine", command);
        return;
    };
    let encoder = Encoder::compile(&Mask::everything(), Redaction::none());
    let mut reordered = 0;
    for line in captures.lines() {
        let written = encode(&encoder, line, |_| {});
        let mut wire = Vec::new();
        crate::flow::wire::encode(&decode(line.as_bytes(), Options::default()).unwrap(), &mut wire);
        let mut through_wire = Vec::new();
        encoder.encode(&crate::flow::wire::decode(&wire).unwrap(), &mut through_wire);
        assert_eq!(String::from_utf8(through_wire).unwrap(), written);
        if written != line {
            let (mut ours, mut theirs): (Value, Value) = (serde_json::from_str(&written).unwrap(), serde_json::from_str(line).unwrap());
            ours.sort_all_objects();
            theirs.sort_all_objects();
            assert_eq!(ours.to_string(), theirs.to_string());
            reordered += 1;
        }
    }
    assert!(captures.lines().count() >= 955 && reordered <= 1, "{reordered} lines in another order");
}
