//! FlowFilter as data: every field of Hubble's message, its JSON form, and lists of filters as flags write them.
//!
//! Whether a value makes sense (is an address, is a pattern) is for [`super::Filters::compile`] to say; here only the shape counts, by protojson's
//! strict rules: an unknown or repeated field, a number where a text is wanted, `null` in a list are errors (`spec/hubble.md` §2.2, §3.9).

use crate::flow::json::{Error, OnUnknown, Out, ReadJson, Reader, WriteJson};
use crate::flow::message::message;
use crate::flow::value::IntoStatic;
use crate::flow::{DropReason, HttpHeader, IpVersion, NetworkInterface, TcpFlags, Texts, TrafficDirection, Verdict, Workload};
use serde_json::value::RawValue;

message! {
    /// One filter: all fields that are set have to match, any element of each.
    FlowFilter {
        uuid: Texts<'a> = 29,
        source_ip: Texts<'a> = 1,
        source_ip_xlated: Texts<'a> = 34,
        source_pod: Texts<'a> = 2,
        source_fqdn: Texts<'a> = 7,
        source_label: Texts<'a> = 10,
        source_service: Texts<'a> = 16,
        source_workload: Vec<Workload<'a>> = 26,
        source_cluster_name: Texts<'a> = 37,
        destination_ip: Texts<'a> = 3,
        destination_pod: Texts<'a> = 4,
        destination_fqdn: Texts<'a> = 8,
        destination_label: Texts<'a> = 11,
        destination_service: Texts<'a> = 17,
        destination_workload: Vec<Workload<'a>> = 27,
        destination_cluster_name: Texts<'a> = 38,
        traffic_direction: Vec<TrafficDirection> = 30,
        verdict: Vec<Verdict> = 5,
        drop_reason_desc: Vec<DropReason> = 33,
        interface: Vec<NetworkInterface<'a>> = 35,
        event_type: Vec<EventTypeFilter<'a>> = 6,
        http_status_code: Texts<'a> = 9,
        protocol: Texts<'a> = 12,
        source_port: Texts<'a> = 13,
        destination_port: Texts<'a> = 14,
        reply: Vec<bool> = 15,
        dns_query: Texts<'a> = 18,
        source_identity: Vec<u32> = 19,
        destination_identity: Vec<u32> = 20,
        http_method: Texts<'a> = 21,
        http_path: Texts<'a> = 22,
        http_url: Texts<'a> = 31,
        http_header: Vec<HttpHeader<'a>> = 32,
        tcp_flags: Vec<TcpFlags<'a>> = 23,
        node_name: Texts<'a> = 24,
        node_labels: Texts<'a> = 36,
        ip_version: Vec<IpVersion> = 25,
        trace_id: Texts<'a> = 28,
        ip_trace_id: Vec<u64> = 39,
        encrypted: Vec<bool> = 40,
        experimental: Option<Experimental<'a>> = 999,
    }
}

message! {
    /// One element of `event_type`.
    EventTypeFilter {
        /// 0 for any.
        r#type: i32 = 1 "type",
        /// Whether `sub_type` counts, which may be 0.
        match_sub_type: bool = 2,
        sub_type: i32 = 3,
    }
}

message! {
    /// What Hubble may change any day.
    Experimental {
        cel_expression: Texts<'a> = 1,
    }
}

/// Why a text is no list of filters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// One of the filters is none.
    #[error("filter {index}: {error}")]
    Filter {
        /// Which one, from 0.
        index: usize,
        /// What is wrong, at which byte of it.
        error: Error,
    },
    /// The text is not made of JSON objects with nothing but white space between them.
    #[error("filters are JSON objects with spaces between them, without commas, quotes or brackets round them: {0}")]
    Text(String),
}

impl FlowFilter<'static> {
    /// Reads one filter from a JSON object, with proto or camelCase names.
    ///
    /// # Errors
    /// What is wrong and at which byte.
    pub fn from_json(text: &str) -> Result<Self, Box<Error>> {
        // Unknown fields are errors in a filter.
        let mut reader = Reader::new(text, OnUnknown::Refuse);
        let mut filter = FlowFilter::default();
        filter.read_json(&mut reader)?;
        reader.end()?;
        Ok(filter.into_static())
    }

    /// Reads filters as Hubble's flags write them: `{…} {…}`.
    ///
    /// # Errors
    /// Which filter is wrong and why.
    pub fn list_from_flag(text: &str) -> Result<Vec<Self>, DecodeError> {
        let mut filters = Vec::new();
        for (index, object) in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>().enumerate() {
            let object = object.map_err(|e| DecodeError::Text(e.to_string()))?;
            filters.push(Self::from_json(object.get()).map_err(|error| DecodeError::Filter { index, error: *error })?);
        }
        Ok(filters)
    }
}

impl FlowFilter<'_> {
    /// The filter as Hubble writes it: proto names, only what is set.
    pub fn to_json(&self) -> String {
        let mut bytes = Vec::new();
        self.write_json(&mut Out::new(&mut bytes));
        String::from_utf8(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read_and_the_proto_one_written() {
        let filter = FlowFilter::from_json(
            r#"{"sourcePod":["a/"],"verdict":["DROPPED",42],"source_identity":[2,"7"],"experimental":{"celExpression":["true"]}}"#,
        );
        let written =
            r#"{"source_pod":["a/"],"verdict":["DROPPED",42],"source_identity":[2,7],"experimental":{"cel_expression":["true"]}}"#;
        assert_eq!(filter.unwrap().to_json(), written);
        assert_eq!(FlowFilter::from_json("{}").unwrap().to_json(), "{}");
    }

    #[test]
    fn what_protojson_refuses_is_refused() {
        for bad in [
            r#"{"x":1}"#,
            r#"{"source_pod":"a/"}"#,
            r#"{"destination_port":[80]}"#,
            r#"{"verdict":["1"]}"#,
            r#"{"verdict":["dropped"]}"#,
            r#"{"verdict":[null]}"#,
            r#"{"source_pod":["a/"],"sourcePod":["b/"]}"#,
            r#"{"reply":["true"]}"#,
            r#"{"source_identity":[-1]}"#,
            r#"{"source_identity":[4294967296]}"#,
            r#"{"source_pod":["a/"],}"#,
            "null",
            "[]",
            "",
        ] {
            assert!(FlowFilter::from_json(bad).is_err(), "{bad}");
        }
    }
}
