//! Which of a record's values become labels of its stream, and which stay structured metadata.
//!
//! Each combination of label values is a stream of its own in Loki, with its own chunks, and 5000 streams are the default bound of a
//! tenant. So a label is only taken from a path whose values are few by nature; a pod name, an address or a port as a label would work in a
//! small cluster and bring Loki down in a large one. The list below is the bound: the number of streams of one node can't exceed the
//! product of these few. Everything else a record carries is found as structured metadata, which costs no stream.

/// A label: its name in Loki and the path of the flow its value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Name in Loki.
    pub name: String,
    /// Mask path, in proto spelling, as in `source.namespace`.
    pub path: String,
}

/// Paths with few values: the flow's enums and booleans, and the names an operator gives one by one.
pub const BOUNDED_PATHS: &[&str] = &[
    "IP.ipVersion",
    "Type",
    "auth_type",
    "debug_capture_point",
    "destination.cluster_name",
    "destination.namespace",
    "destination_service.namespace",
    "drop_reason",
    "drop_reason_desc",
    "event_type.sub_type",
    "event_type.type",
    "is_reply",
    "l7.type",
    "node_name",
    "policy_match_type",
    "reply",
    "sock_xlate_point",
    "source.cluster_name",
    "source.namespace",
    "source_service.namespace",
    "trace_observation_point",
    "trace_reason",
    "traffic_direction",
    "verdict",
];

/// Longest label value that Loki takes, in bytes. A longer one is left to the metadata.
pub const MAX_VALUE_BYTES: usize = 2048;
/// Longest label name that Loki takes, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// Whether a label can be used.
///
/// # Errors
/// A sentence that says what to change.
pub fn check(label: &Label) -> Result<(), String> {
    let mut characters = label.name.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{}` is no label name; use letters, digits and `_`, and no digit first", label.name));
    }
    if label.name.starts_with("__") {
        return Err(format!("`{}` starts with `__`, which Loki keeps for itself", label.name));
    }
    if label.name.len() > MAX_NAME_BYTES {
        return Err(format!("is {} bytes long; Loki takes {MAX_NAME_BYTES}", label.name.len()));
    }
    if !BOUNDED_PATHS.contains(&label.path.as_str()) {
        return Err(format!(
            "`{}` has too many values for a label, since each value is a stream of its own; every path of the mask that is not a label is \
             structured metadata, or part of the line, and can be searched there. Label paths: {}",
            label.path,
            BOUNDED_PATHS.join(", ")
        ));
    }
    Ok(())
}

/// Whether a value can stand in a label. An absent and an empty label are the same to Loki, so an empty one is left out.
pub fn fits(value: &[u8]) -> bool {
    !value.is_empty() && value.len() <= MAX_VALUE_BYTES
}

/// Appends `value` in double quotes, as a Prometheus label value is written.
pub fn quote(value: &str, into: &mut Vec<u8>) {
    into.push(b'"');
    for byte in value.bytes() {
        match byte {
            b'"' => into.extend(b"\\\""),
            b'\\' => into.extend(b"\\\\"),
            b'\n' => into.extend(b"\\n"),
            b'\r' => into.extend(b"\\r"),
            b'\t' => into.extend(b"\\t"),
            0..0x20 | 0x7f => into.extend(format!("\\x{byte:02x}").bytes()),
            other => into.push(other),
        }
    }
    into.push(b'"');
}

/// Appends a path as the name of a metadata entry: Loki itself would turn `source.pod_name` into `source_pod_name`, and only once
/// the names agree are two pushes of one entry the same.
pub fn metadata_name(path: &[u8], into: &mut Vec<u8>) {
    into.extend(path.iter().map(|byte| if byte.is_ascii_alphanumeric() { *byte } else { b'_' }));
}

#[cfg(test)]
pub(crate) fn blob(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut blob = Vec::new();
    for (path, value) in pairs {
        blob.push(u8::try_from(path.len()).unwrap());
        blob.extend(path.as_bytes());
        blob.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        blob.extend(value.as_bytes());
    }
    blob
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_paths_is_sorted_so_that_a_reader_finds_a_path() {
        assert!(BOUNDED_PATHS.is_sorted());
    }

    #[test]
    fn only_paths_with_few_values_can_be_labels() {
        for (path, fine) in [
            ("verdict", true),
            ("source.namespace", true),
            ("source.pod_name", false),
            ("IP.source", false),
            ("IP", false),
            ("uuid", false),
            ("time", false),
            ("l4.TCP.source_port", false),
            ("Summary", false),
            ("", false),
        ] {
            assert_eq!(check(&Label { name: "a".into(), path: path.into() }).is_ok(), fine, "{path}");
        }
    }

    #[test]
    fn a_label_name_is_what_loki_takes() {
        for (name, fine) in
            [("source_ns", true), ("_a", true), ("__a", false), ("9a", false), ("a-b", false), ("a.b", false), ("", false), ("é", false)]
        {
            assert_eq!(check(&Label { name: name.into(), path: "verdict".into() }).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn a_value_is_quoted_so_that_it_can_not_leave_its_quotes() {
        let mut quoted = Vec::new();
        quote("a\"b\\c\nd\te\u{1}é", &mut quoted);
        assert_eq!(String::from_utf8(quoted).unwrap(), r#""a\"b\\c\nd\te\x01é""#);
    }
}
