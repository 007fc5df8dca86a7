//! The kernel programs of flowlog and the only code that talks to them.
//!
//! What others need: [`Kernel`] loads, attaches and sweeps the programs; [`Ring`] lends what they report as raw
//! bytes; [`event::iterate`] reads those bytes. Nothing here knows what a flow means.

mod attach;
mod btf;
mod compare;
mod counters;
mod error;
pub mod event;
mod features;
mod interface;
mod kernel;
mod load;
mod maps;
mod netlink;
mod options;
mod pins;
pub mod probe;
mod retired;
mod ring;
mod sweep;
mod sys;
mod tables;
mod watch;

pub use btf::Reasons;
pub use counters::{Counters, InterfaceCounters, SideCounters, Unparsed, Unreported};
pub use error::Error;
pub use features::{Feature, Features};
pub use interface::{Attached, Interface, InterfaceChange, LinkCounters};
pub use kernel::{Kernel, Started};
pub use options::{AttachMode, Options, Selection, Times};
pub use retired::Retired;
pub use ring::{Batch, Ring};
pub use sweep::Swept;

#[cfg(test)]
#[path = "../../tests/lib/skip_line.rs"]
mod skip_line;
