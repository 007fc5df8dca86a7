//! Events as protobuf: any bytes are an event or refused; what is read and written again reads as the same, and can be written as a line.

use flowlog::flow::{json, wire};
use flowlog::mask::{Encoder, Mask, Redaction};

/// Reads the input as a message.
pub fn run(input: &[u8]) {
    let Ok(event) = wire::decode(input) else { return };
    let mut bytes = Vec::new();
    wire::encode(&event, &mut bytes);
    let back = wire::decode(&bytes).unwrap_or_else(|error| panic!("what is written is refused: {error}"));
    assert_eq!(back, event, "what is written reads as something else");
    let mut again = Vec::new();
    wire::encode(&back, &mut again);
    assert_eq!(again, bytes, "a message changes when it is written again");
    let mut line = Vec::new();
    Encoder::compile(&Mask::everything(), Redaction::none()).encode(&event, &mut line);
    if let Err(error) = json::decode(&line, json::Options::default()) {
        panic!("the line is refused: {error}: {}", String::from_utf8_lossy(&line));
    }
}
