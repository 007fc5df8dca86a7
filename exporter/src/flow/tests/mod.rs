//! The model's two forms held against each other and against the `.proto` files, on random messages of the whole schema.

mod arbitrary;

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, SerializeOptions};

use super::json::{self, Options};
use super::value::IntoStatic;
use super::{ExportEvent, wire};
use crate::flow::Flow;
use crate::flow::fields::{Below, Fields};
use crate::mask::{Encoder, Mask, Redaction};
use arbitrary::Random;

fn written(mask: &Mask, event: &ExportEvent<'_>) -> String {
    let mut line = Vec::new();
    Encoder::compile(mask, Redaction::none()).encode(event, &mut line);
    String::from_utf8(line).unwrap()
}

fn read(line: &str) -> ExportEvent<'_> {
    json::decode(line.as_bytes(), Options { unknown: crate::flow::json::OnUnknown::Refuse, ..Options::default() })
        .unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The envelope of a flow's line is made of the flow.
fn with_envelope_of_flow(mut event: ExportEvent<'_>) -> ExportEvent<'_> {
    if let Some(flow) = event.flow() {
        (event.node_name, event.time) = (flow.node_name.clone(), flow.time);
    }
    event
}

/// The same value with numbers as doubles: `1` and `1.0` are one number.
fn plain(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(elements) => elements.into_iter().map(plain).collect(),
        Value::Object(members) => members.into_iter().map(|(key, value)| (key, plain(value))).collect(),
        other => other,
    }
}

/// All paths of the schema that a mask may name.
fn paths(fields: &Fields, prefix: &str, all: &mut Vec<String>) {
    for field in fields.list() {
        let path = format!("{prefix}{}", field.name);
        if let Below::Message(inner) = field.below {
            paths(inner, &format!("{path}."), all);
        }
        all.push(path);
    }
}

fn mask(random: &mut Random) -> Mask {
    let mut all = Vec::new();
    paths(&Flow::FIELDS, "", &mut all);
    let some: Vec<&String> = (0..1 + random.below(8)).map(|_| &all[random.below(all.len() as u64) as usize]).collect();
    Mask::parse(&some).unwrap()
}

#[test]
fn every_field_of_the_proto_files_is_in_the_model_and_the_other_way_round() {
    fn compare(descriptor: &prost_reflect::MessageDescriptor, fields: &Fields) {
        let mut theirs: Vec<(String, u32)> = descriptor.fields().map(|field| (field.name().to_owned(), field.number())).collect();
        let mut ours: Vec<(String, u32)> = fields.list().iter().map(|field| (field.name.to_owned(), field.number)).collect();
        theirs.sort();
        ours.sort();
        assert_eq!(ours, theirs, "{}", descriptor.full_name());
        for field in fields.list() {
            let kind = descriptor.get_field(field.number).unwrap().kind();
            if let (Below::Message(inner), prost_reflect::Kind::Message(message)) = (field.below, kind) {
                compare(&message, inner);
            }
        }
    }
    let schema = &*arbitrary::SCHEMA;
    compare(&schema.get_message_by_name("observer.ExportEvent").unwrap(), &ExportEvent::FIELDS);
}

proptest! {
    #[test]
    fn protobuf_is_read_and_written_as_the_proto_files_say(seed: u64) {
        let schema = &*arbitrary::SCHEMA;
        let theirs = arbitrary::event(schema, &mut Random(seed));
        let bytes = theirs.encode_to_vec();
        let event = wire::decode(&bytes).unwrap();
        let mut again = Vec::new();
        wire::encode(&event, &mut again);
        let back = DynamicMessage::decode(theirs.descriptor(), again.as_slice()).unwrap();
        // Maps have no order on the wire, so structs are compared behind JSON below.
        if event.flow().is_none_or(|flow| flow.extensions.is_none()) {
            let theirs = DynamicMessage::decode(theirs.descriptor(), bytes.as_slice()).unwrap();
            prop_assert!(back == theirs, "{back}\n{theirs}");
        }
        prop_assert_eq!(wire::decode(&again).unwrap(), event.clone());
        prop_assert_eq!(event.clone().into_static(), event);
    }

    #[test]
    fn json_is_written_as_another_implementation_writes_it(seed: u64) {
        let schema = &*arbitrary::SCHEMA;
        let theirs = arbitrary::event(schema, &mut Random(seed));
        let bytes = theirs.encode_to_vec();
        let event = with_envelope_of_flow(wire::decode(&bytes).unwrap());
        let mut same = Vec::new();
        wire::encode(&event, &mut same);
        let theirs = DynamicMessage::decode(theirs.descriptor(), same.as_slice()).unwrap();
        let options = SerializeOptions::new().use_proto_field_name(true);
        let expected = theirs.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
        let line = written(&Mask::everything(), &event);
        prop_assert_eq!(plain(serde_json::from_str(&line).unwrap()), plain(expected.clone()));
        // Theirs, in their order of fields and without our escapes, says the same to us.
        let text = expected.to_string();
        prop_assert_eq!(&read(&text), &event);
        let escaped = ['<', '>', '&', '\u{2028}', '\n'];
        prop_assert!(!line.contains(escaped));
        prop_assert_eq!(read(&line), event);
    }

    #[test]
    fn a_masked_line_masked_again_stays_as_it_is(seed: u64) {
        let schema = &*arbitrary::SCHEMA;
        let mut random = Random(seed);
        let bytes = arbitrary::event(schema, &mut random).encode_to_vec();
        let event = wire::decode(&bytes).unwrap();
        let mask = mask(&mut random);
        let once = written(&mask, &event);
        prop_assert_eq!(written(&mask, &read(&once)), once);
    }

    #[test]
    fn what_is_read_is_json_and_what_is_not_json_is_not_read(seed: u64) {
        let schema = &*arbitrary::SCHEMA;
        let mut random = Random(seed);
        let bytes = arbitrary::event(schema, &mut random).encode_to_vec();
        let mut line = written(&Mask::everything(), &wire::decode(&bytes).unwrap()).into_bytes();
        for _ in 0..1 + random.below(3) {
            const BYTES: &[u8] = b"\"\\{}[]:, \nue1-0.a\xff\xc3\x00";
            let at = random.below(line.len() as u64) as usize;
            match random.below(3) {
                0 => line[at] = BYTES[random.below(BYTES.len() as u64) as usize],
                1 => line.insert(at, BYTES[random.below(BYTES.len() as u64) as usize]),
                _ => line.truncate(at.max(1)),
            }
        }
        let options = Options { unknown: if random.below(2) == 0 { crate::flow::json::OnUnknown::Keep } else { crate::flow::json::OnUnknown::Refuse }, ..Options::default() };
        let read = json::decode(&line, options);
        if serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_err() {
            let line = String::from_utf8_lossy(&line);
            prop_assert!(read.is_err(), "{line}");
        }
        if let Err(error) = read {
            prop_assert!(error.at <= line.len());
        }
    }
}
