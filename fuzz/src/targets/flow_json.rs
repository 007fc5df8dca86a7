//! Lines of `events.log`: any bytes are an event or refused with a place in the line; what is read is written as JSON, on one line, that
//! reads as the same; and what passes strictly passes.

use flowlog::flow::ExportEvent;
use flowlog::flow::json::{Error, OnUnknown, Options, Problem, decode};
use flowlog::mask::{Encoder, Mask, Redaction};

/// Reads the input as a line.
pub fn run(input: &[u8]) {
    let read = |unknown| decode(input, Options { unknown, max_bytes: 1 << 20 });
    let (kept, dropped, strict) = (read(OnUnknown::Keep), read(OnUnknown::Drop), read(OnUnknown::Refuse));
    match &kept {
        Ok(event) => {
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(input).is_ok(), "what is read is no JSON");
            // Without its type's schema an `Any` can be kept, and not be read.
            let no_type = |error: &Error| matches!(error.problem, Problem::AnyType(_));
            let refused = dropped.as_ref().is_err_and(|error| !no_type(error));
            assert!(!refused, "what is read is refused where unknown things are dropped: {dropped:?}");
            written(event);
        }
        Err(error) => assert!(error.at <= input.len(), "{error}: behind the end"),
    }
    if let Ok(strict) = strict {
        assert_eq!(kept.as_ref(), Ok(&strict), "what passes strictly is another event else");
    }
}

/// Writes an event and reads it back.
fn written(event: &ExportEvent<'_>) {
    let encoder = Encoder::compile(&Mask::everything(), Redaction::none());
    let mut line = Vec::new();
    encoder.encode(event, &mut line);
    let text = std::str::from_utf8(&line).expect("a line is UTF-8");
    assert!(!text.contains(['\n', '\r', '<', '>', '&', '\u{2028}', '\u{2029}']), "not escaped: {text}");
    let back = decode(&line, Options::default()).unwrap_or_else(|error| panic!("what is written is refused: {error}: {text}"));
    assert_eq!(back, with_envelope_of_flow(event.clone()), "what is written reads as something else: {text}");
    let mut again = Vec::new();
    encoder.encode(&back, &mut again);
    assert_eq!(String::from_utf8_lossy(&again), text, "a line changes when it is written again");
}

/// The envelope of a flow's line is made of the flow.
fn with_envelope_of_flow(mut event: ExportEvent<'_>) -> ExportEvent<'_> {
    if let Some(flow) = event.flow() {
        (event.node_name, event.time) = (flow.node_name.clone(), flow.time);
    }
    event
}
