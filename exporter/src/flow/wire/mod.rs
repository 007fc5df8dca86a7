//! A flow as protobuf: the numbers of Hubble's schema (Hubble digest §2.3–2.5), read from and written to the model itself.
//!
//! The schema stands in `exporter/proto`, and a test holds this code against it. Reading borrows texts from the frame; fields of newer schemas are kept
//! and written again. A JSON field that is not in the schema has no number and is not written here.

mod any;
mod decode;
mod value;

pub(crate) use decode::{Field, Fields};
pub(crate) use value::{Wire, write_nested};

use super::ExportEvent;

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes end in the middle of a field.
    #[error("the message ends in the middle of a field")]
    Torn,
    /// A number of more than ten bytes, or a field number that is none.
    #[error("a number is not one")]
    Number,
    /// A field of another type than the schema's.
    #[error("field {0} is of another type")]
    Type(u32),
    /// A text that is not UTF-8.
    #[error("field {0} is not UTF-8")]
    NotUtf8(u32),
    /// A time that is not in the years 1 to 9999.
    #[error("field {0} is not a time of the years 1 to 9999")]
    Time(u32),
    /// Nested too deeply.
    #[error("nested more than {0} deep")]
    TooDeep(usize),
}

/// Reading's outcome.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Reads an event.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode(bytes: &[u8]) -> Result<ExportEvent<'_>> {
    let mut event = ExportEvent::default();
    event.merge(bytes)?;
    Ok(event)
}

/// Appends an event.
pub fn encode(event: &ExportEvent<'_>, out: &mut Vec<u8>) {
    event.write_fields(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::json;

    fn of_json(line: &str) -> ExportEvent<'_> {
        json::decode(line.as_bytes(), json::Options::default()).unwrap()
    }

    #[test]
    fn a_flow_has_the_bytes_of_the_schema() {
        let event = of_json(r#"{"flow":{"uuid":"u","verdict":"DROPPED","is_reply":false,"Summary":"s"},"node_name":"n"}"#);
        let mut bytes = Vec::new();
        encode(&event, &mut bytes);
        let flow = b"\x92\x02\x01u\x10\x02\xd2\x01\x00\x82\xea\x30\x01s";
        assert_eq!(bytes, [b"\xc2\x3e\x01n\x0a\x0e".as_slice(), flow].concat());
        assert_eq!(decode(&bytes).unwrap(), event);
    }

    #[test]
    fn fields_of_a_newer_schema_are_written_again() {
        // Field 99 of the flow: a number; field 98: a group with a number in it; field 5 of the flow's flags.
        let flow = b"\x98\x06\x07\x93\x06\x08\x01\x94\x06\x10\x01";
        let bytes = [b"\x0a\x0b".as_slice(), flow].concat();
        let event = decode(&bytes).unwrap();
        assert_eq!(event.flow().map(|flow| flow.verdict), Some(crate::flow::Verdict::FORWARDED));
        let mut again = Vec::new();
        encode(&event, &mut again);
        assert_eq!(decode(&again).unwrap(), event);
        assert!(again.windows(9).any(|window| window == &flow[..9]));
    }

    #[test]
    fn bytes_that_are_no_message_are_refused() {
        for (bytes, error) in [
            (&b"\x0a"[..], Error::Torn),
            (b"\x0a\x05\x10", Error::Torn),
            (b"\x08\x01", Error::Type(1)),
            (b"\xc2\x3e\x01\xff", Error::NotUtf8(1000)),
            (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", Error::Number),
            (b"\x00\x00", Error::Number),
            (b"\x0f", Error::Type(1)),
            (b"\xca\x3e\x02\x10\xff", Error::Torn),
            (b"\xca\x3e\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Error::Time(1001)),
        ] {
            assert_eq!(decode(bytes).unwrap_err(), error, "{bytes:x?}");
        }
        let groups = [0x0b; 1000];
        assert_eq!(decode(&groups).unwrap_err(), Error::TooDeep(100));
    }

    #[test]
    fn an_extension_of_another_type_keeps_its_bytes() {
        let any = b"\x0a\x03a/b\x12\x02\x08\x01";
        let bytes = [b"\x0a\x0d\x82\x9f\x49".as_slice(), &[any.len() as u8], any].concat();
        let event = decode(&bytes).unwrap();
        let mut again = Vec::new();
        encode(&event, &mut again);
        assert_eq!(again, bytes);
        let any = event.flow().unwrap().extensions.clone().unwrap();
        assert_eq!(any.json(), r#"{"@type":"a/b","value":"CAE="}"#);
    }
}
