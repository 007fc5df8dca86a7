//! Cases beyond the shared vectors, asked of upstream's filters (Cilium 1.20.1) in the same form: our filters and events, its answers.

use super::*;

#[test]
fn x() {
    let Ok(input) = std::env::var("DIFF_IN") else { return };
    let mut out = String::new();
    for line in std::fs::read_to_string(input).unwrap().lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let filter = match FlowFilter::from_json(&case["filter"].to_string()) {
            Ok(f) => f,
            Err(e) => { out += &format!("decode {e}\n"); continue }
        };
        match Filters::compile(&[filter], &[]) {
            Err(e) => out += &format!("build {}\n", e[0].to_string().replace('\n', " ")),
            Ok(f) => {
                for e in case["events"].as_array().unwrap() {
                    let e = e.to_string();
                    out.push(if f.matches(&event(&e)) { 'T' } else { '.' });
                }
                out.push('\n');
            }
        }
    }
    std::fs::write(std::env::var("DIFF_OUT").unwrap(), out).unwrap();
}
