//! What a flow is: Hubble's model, with every field of its schema, and its JSON and protobuf forms.
//!
//! A `Flow<'a>` borrows its texts from the line or frame it was read from; [`value::IntoStatic`] cuts it loose. A number or text
//! that is zero or empty is unset, as in proto3; a message or wrapper is an `Option`, because for those presence counts.
//! Fields and enum numbers this build does not know are kept and passed on.

#[macro_use]
pub(crate) mod message;
#[macro_use]
mod enums;

mod any;
pub mod datapath;
mod events;
mod few;
pub(crate) mod fields;
pub mod icmp;
pub mod json;
mod layer7;
mod layers;
mod model;
mod reasons;
pub mod summary;
mod tcp_flags;
mod texts;
mod time;
mod unknown;
pub mod value;
pub mod wire;

pub use any::Any;
pub use enums::*;
pub use events::*;
pub use few::Few;
pub use layer7::*;
pub use layers::*;
pub use model::*;
pub use reasons::*;
pub use tcp_flags::{Flags, TcpFlags};
pub use texts::Texts;
pub use time::Timestamp;
pub use unknown::Unknown;

/// A text of a flow, borrowed from where the flow was read, or owned.
pub type Text<'a> = std::borrow::Cow<'a, str>;

#[cfg(test)]
mod tests;
