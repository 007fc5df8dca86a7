//! Whatever stands in a file, reading it ends, and ends in an answer; what is accepted is printed so that it reads back as the same.

use proptest::prelude::*;

use crate::config::*;

/// Pieces that configurations are made of, so that random texts get past the first line.
const PIECES: &[&str] = &[
    "flowLogs:",
    "\n",
    "\n  ",
    "\n- ",
    "  - ",
    "name: ",
    "filePath: ",
    "/x",
    "a",
    "includeFilters: ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "source_pod",
    "verdict",
    "DROPPED",
    "80",
    "'80'",
    "\"",
    "'",
    "&a ",
    "*a",
    "<<: ",
    "null",
    "~",
    "yes",
    "1e9",
    "0x",
    "-1",
    "window: ",
    "1s",
    "sinks: ",
    "type: s3",
    "url: s3://b",
    "retention: ",
    "mode: COMPLIANCE",
    "days: ",
    "redact: ",
    "end: ",
    "2023-10-09T23:59:59Z",
    "fieldMask: ",
    "time",
    "|",
    ">",
    "\t",
    "#",
    "---",
    "\u{e9}",
    "!!int ",
    "static:",
    "allowList: ",
    "{\"source_pod\":[\"a/\"]}",
    "labels: ",
    "identities: ",
    "10.0.0.0/8: ",
    "fileMode: ",
    "fileCompress: ",
    "aggregationInterval: ",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn reading_any_bytes_ends_in_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes, false);
        let _ = crate::filter::FlowFilter::list_from_flag(&String::from_utf8_lossy(&bytes));
        let _ = crate::identity::read(&bytes);
    }

    #[test]
    fn reading_anything_made_of_the_right_pieces_ends_in_an_answer(text in text()) {
        let _ = crate::identity::read(text.as_bytes());
        let _ = settings::settings(&Default::default(), Some(text.as_bytes()));
        if let Ok(checked) = read(text.as_bytes(), false) {
            for entry in &checked.file.flow_logs {
                let _ = build::check(entry);
            }
            let entries: Vec<_> = checked.file.flow_logs.iter().map(canonical::flow_log).collect();
            let sinks: serde_json::Map<_, _> = checked.file.sinks.iter().map(|(name, sink)| (name.clone(), canonical::sink(sink))).collect();
            let printed = serde_json::json!({"flowLogs": entries, "sinks": sinks}).to_string();
            let again = read(printed.as_bytes(), true).map_err(|problems| TestCaseError::fail(format!("{printed}\n{problems}")))?;
            let hashes = |file: &File| file.flow_logs.iter().map(|entry| entry.hash).collect::<Vec<_>>();
            prop_assert_eq!(hashes(&checked.file), hashes(&again.file));
        }
    }

    #[test]
    fn a_duration_that_is_written_reads_back(nanoseconds in any::<i64>()) {
        prop_assert_eq!(decode::values::go_duration(&decode::values::format_duration(nanoseconds), false), Ok(nanoseconds));
    }

    #[test]
    fn a_valid_file_s_entries_do_not_depend_on_the_order_of_keys(mut keys in Just(vec!["name: a", "filePath: /x", "window: 2s", "fieldMask: [time]", "foldBy: service"]).prop_shuffle()) {
        let text = format!("flowLogs:\n- {}\n", keys.join("\n  "));
        let shuffled = read(text.as_bytes(), true).unwrap().file.flow_logs.remove(0).hash;
        keys.sort_unstable();
        let sorted = read(format!("flowLogs:\n- {}\n", keys.join("\n  ")).as_bytes(), true).unwrap().file.flow_logs.remove(0).hash;
        prop_assert_eq!(shuffled, sorted);
    }
}
