//! Configuration and settings: reading any text ends in an answer; what is accepted is printed so that it reads back as the same, and a
//! file that passes strictly passes.

use flowlog::cli::DaemonArgs;
use flowlog::config::{Checked, File, build, canonical, read, settings::settings};

/// Reads the input as both files.
pub fn run(input: &[u8]) {
    let _ = settings(&DaemonArgs::default(), Some(input));
    let strict = read(input, true);
    match read(input, false) {
        Ok(Checked { file, .. }) => accepted(&file),
        Err(problems) => {
            assert!(strict.is_err(), "passes strictly, and else not: {problems}");
            assert!(!problems.to_string().is_empty(), "refused without a word");
        }
    }
}

fn accepted(file: &File) {
    for entry in &file.flow_logs {
        let _ = build::check(entry);
    }
    let entries: Vec<_> = file.flow_logs.iter().map(canonical::flow_log).collect();
    let sinks: serde_json::Map<_, _> = file.sinks.iter().map(|(name, sink)| (name.clone(), canonical::sink(sink))).collect();
    let printed = serde_json::json!({"flowLogs": entries, "sinks": sinks}).to_string();
    let again = read(printed.as_bytes(), true).unwrap_or_else(|problems| panic!("what is printed is refused: {problems}\n{printed}"));
    let hashes = |file: &File| file.flow_logs.iter().map(|entry| entry.hash).collect::<Vec<_>>();
    assert_eq!(hashes(file), hashes(&again.file), "what is printed means something else: {printed}");
}
