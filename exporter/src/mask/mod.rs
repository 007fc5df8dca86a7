//! Which fields of a flow are written: masks, the encoders compiled from them, and what is hidden in any case.
//!
//! A mask keeps Hubble's grammar and copy semantics (digest §4) with one difference: a path below a protocol the flow does not
//! have (`l4.TCP.destination_port` of a UDP flow) gives what it gives on a fresh flow, `"l4":{}`, and never the previous flow's port.

mod encoder;
mod redact;

pub use encoder::Encoder;
pub use redact::{HeaderRule, Redaction};

use crate::flow::Flow;
use crate::flow::fields::{Below, Fields, Select};

/// A list of paths into a flow. Without paths it selects everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    select: Option<Select>,
}

/// A path no field of a flow has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid path {path:?} for message \"flow.Flow\": {why}")]
pub struct InvalidPath {
    /// The path as given.
    pub path: String,
    /// What is wrong with it, and the nearest path that is right.
    pub why: String,
}

impl Mask {
    /// Everything.
    pub fn everything() -> Self {
        Self { select: None }
    }

    /// Reads proto paths such as `source.namespace`. An empty list is everything; order and repetitions do not matter; a path
    /// includes those below it.
    ///
    /// # Errors
    /// The first path that is not one.
    pub fn parse<P: AsRef<str>>(paths: &[P]) -> Result<Self, InvalidPath> {
        if paths.is_empty() {
            return Ok(Self::everything());
        }
        let mut select = Select::default();
        for path in paths {
            add(&mut select, path.as_ref()).map_err(|why| InvalidPath { path: path.as_ref().to_owned(), why })?;
        }
        Ok(Self { select: Some(select) })
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.select.is_none()
    }

    /// Whether the mask selects a path, or something below it.
    pub fn touches(&self, path: &str) -> bool {
        let Some(mut select) = self.select.as_ref() else {
            return true;
        };
        let mut fields = &Flow::FIELDS;
        for name in path.split('.') {
            let Some(position) = fields.position(name.as_bytes()) else {
                return false;
            };
            if !select.has(u32::from(position)) {
                return false;
            }
            let (Some(below), Below::Message(inner)) = (select.below(u32::from(position)), below(fields, position)) else {
                return true;
            };
            (select, fields) = (below, inner);
        }
        true
    }

    /// What is selected of a flow.
    pub(crate) fn select(&self) -> Select {
        self.select.clone().unwrap_or_else(|| Select::all(&Flow::FIELDS))
    }
}

fn below(fields: &Fields, position: u8) -> Below {
    fields.list().get(usize::from(position)).map_or(Below::Nothing, |field| field.below)
}

/// Adds a path, or tells what is wrong with it.
fn add(select: &mut Select, path: &str) -> Result<(), String> {
    let mut select = Some(select);
    let mut fields = &Flow::FIELDS;
    let mut parts = path.split('.').peekable();
    while let Some(part) = parts.next() {
        let position = fields.position(part.as_bytes()).ok_or_else(|| no_such_field(fields, part))?;
        let here = select.take();
        if parts.peek().is_none() {
            if let Some(here) = here {
                here.want(u32::from(position));
            }
            return Ok(());
        }
        fields = match below(fields, position) {
            Below::Message(inner) => inner,
            Below::List => {
                return Err(format!("{part:?} is a list and can only be selected whole"));
            }
            Below::Nothing => return Err(format!("{part:?} has no fields")),
        };
        // A path below one that is selected whole still has to be a path.
        select = here.and_then(|here| here.want_below(u32::from(position)));
    }
    Ok(())
}

/// Says that a message has no such field, and which one was probably meant.
fn no_such_field(fields: &Fields, name: &str) -> String {
    let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
    let meant = fields.list().iter().find(|field| plain(field.name) == plain(name));
    match meant {
        Some(field) if !name.is_empty() => format!("{} has no field {name:?}; write {:?}", fields.message, field.name),
        _ if name.trim() != name => format!("{} has no field {name:?}; remove the spaces", fields.message),
        _ => format!("{} has no field {name:?}", fields.message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_proto_names_down_to_a_field() {
        for path in [
            "verdict",
            "l4.TCP.flags.SYN",
            "is_reply.value",
            "time.seconds",
            "source.workloads",
            "tunnel.IP.source",
            "extensions",
            "extensions.type_url",
            "trace_context.parent.trace_id",
            "egress_allowed_by",
        ] {
            assert!(Mask::parse(&[path]).is_ok(), "{path}");
        }
        for path in [
            "nope",
            "sourceIdentity",
            "source.podName",
            "ip",
            "l4.protocol",
            "source.workloads.name",
            "flow.time",
            "l7.record",
            "",
            "source.",
            ".source",
            "*",
            "source.*",
            "summary",
            "source..namespace",
            " verdict",
            "verdict.x",
            "uuid.value",
        ] {
            assert_eq!(Mask::parse(&["verdict", path]).unwrap_err().path, path);
        }
        // Also behind one that covers it.
        assert!(Mask::parse(&["source", "source.nope"]).is_err());
    }

    #[test]
    fn a_wrong_path_names_the_right_one() {
        let error = Mask::parse(&["source.podName"]).unwrap_err();
        assert!(error.to_string().contains("write \"pod_name\""), "{error}");
        let error = Mask::parse(&["ip"]).unwrap_err();
        assert!(error.to_string().contains("write \"IP\""), "{error}");
    }

    #[test]
    fn order_and_repetition_do_not_matter_and_parents_swallow_children() {
        let mask = |paths: &[&str]| Mask::parse(paths).unwrap();
        assert_eq!(mask(&["verdict", "source.namespace"]), mask(&["source.namespace", "verdict", "verdict"]));
        assert_eq!(mask(&["source", "source.namespace"]), mask(&["source.namespace", "source"]));
        assert_eq!(mask(&["source", "source.namespace"]), mask(&["source"]));
    }

    #[test]
    fn a_mask_knows_what_it_touches() {
        let mask = Mask::parse(&["source.namespace", "l4"]).unwrap();
        for (path, touched) in [
            ("source", true),
            ("source.namespace", true),
            ("source.pod_name", false),
            ("l4.TCP.flags", true),
            ("time", false),
            ("nope", false),
        ] {
            assert_eq!(mask.touches(path), touched, "{path}");
        }
        assert!(Mask::everything().touches("time"));
    }
}
