//! Random messages of the schema, built by reflection from the `.proto` files, so that no field is forgotten.

use std::sync::LazyLock;

use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// The schema as the `.proto` files have it.
pub static SCHEMA: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    let files = protox::compile(["observer/observer.proto", "google/protobuf/struct.proto"], [folder]).unwrap();
    DescriptorPool::from_file_descriptor_set(files).unwrap()
});

/// A source of numbers from a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    /// A text, now and then an awkward one.
    pub fn text(&mut self) -> String {
        const AWKWARD: [&str; 12] =
            ["", "\"", "\\", "<b>&amp;</b>", "\u{2028}", "é", "😀", "\u{0}\u{1f}\u{7f}", "\n\t\r\u{8}\u{c}", "/", "a\\\"b", "\u{fffd}"];
        let mut text = String::new();
        for _ in 0..self.below(4) {
            match self.below(4) {
                0 => text.push_str(AWKWARD[self.below(AWKWARD.len() as u64) as usize]),
                _ => text.push_str(&"k8s:app=web-0123456789"[..self.below(22) as usize]),
            }
        }
        text
    }
}

/// A random event of the schema, as a message that reflection can encode.
pub fn event(schema: &DescriptorPool, random: &mut Random) -> DynamicMessage {
    message(&schema.get_message_by_name("observer.ExportEvent").unwrap(), random)
}

fn message(descriptor: &MessageDescriptor, random: &mut Random) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            let nanos = [0, 5_000_000, 7_000, 123_456_789][random.below(4) as usize];
            message.set_field_by_name("seconds", Value::I64(random.below(315_537_897_599) as i64 - 62_135_596_800));
            message.set_field_by_name("nanos", Value::I32(nanos));
            return message;
        }
        "google.protobuf.Any" => {
            let value = structure(descriptor.parent_pool(), random, 3);
            message.set_field_by_name("type_url", Value::String("type.googleapis.com/google.protobuf.Struct".into()));
            message.set_field_by_name("value", Value::Bytes(value.encode_to_vec().into()));
            return message;
        }
        _ => {}
    }
    // Few fields of a wide message, so that small and large lines both come up.
    let likely = 1 + random.below(4);
    for field in descriptor.fields().filter(|field| field.containing_oneof().is_none()) {
        if random.below(5) < likely {
            message.set_field(&field, value(&field, random));
        }
    }
    for oneof in descriptor.oneofs() {
        let members: Vec<FieldDescriptor> = oneof.fields().collect();
        // A flow more often than not.
        let pick = if descriptor.name() == "ExportEvent" && random.below(3) > 0 { 0 } else { random.below(members.len() as u64) as usize };
        message.set_field(&members[pick], value(&members[pick], random));
    }
    message
}

fn value(field: &FieldDescriptor, random: &mut Random) -> Value {
    if field.is_list() {
        return Value::List((0..random.below(4)).map(|_| one(field, random)).collect());
    }
    one(field, random)
}

fn one(field: &FieldDescriptor, random: &mut Random) -> Value {
    let number = match random.below(4) {
        0 => 0,
        1 => random.below(300),
        _ => random.below(u64::MAX),
    };
    match field.kind() {
        Kind::Uint32 => Value::U32(number as u32),
        Kind::Int32 => Value::I32(number as i32),
        Kind::Uint64 => Value::U64(number),
        Kind::Int64 => Value::I64(number as i64),
        Kind::Bool => Value::Bool(number % 2 == 0),
        Kind::String => Value::String(random.text()),
        Kind::Enum(numbers) => {
            let known: Vec<i32> = numbers.values().map(|value| value.number()).collect();
            let unnamed = random.below(8) == 0;
            Value::EnumNumber(if unnamed { 990 + random.below(9) as i32 } else { known[random.below(known.len() as u64) as usize] })
        }
        Kind::Message(inner) => Value::Message(message(&inner, random)),
        other => panic!("the schema has no {other:?}"),
    }
}

/// A struct whose numbers are written alike by everybody.
fn structure(pool: &DescriptorPool, random: &mut Random, depth: u64) -> DynamicMessage {
    let object: serde_json::Value = (0..random.below(4)).map(|at| (format!("k{at}<{}", random.text()), json(random, depth))).collect();
    let descriptor = pool.get_message_by_name("google.protobuf.Struct").unwrap();
    DynamicMessage::deserialize(descriptor, object).unwrap()
}

fn json(random: &mut Random, depth: u64) -> serde_json::Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => serde_json::Value::Null,
        1 => (random.below(2) == 0).into(),
        2 => random.text().into(),
        3 => (random.below(1 << 40) as f64 / 4.0).into(),
        4 => (0..random.below(3)).map(|_| json(random, depth - 1)).collect::<Vec<_>>().into(),
        _ => (0..random.below(3)).map(|at| (at.to_string(), json(random, depth - 1))).collect(),
    }
}
