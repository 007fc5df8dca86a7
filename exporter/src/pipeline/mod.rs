//! The path of a flow, in reading order. Each flow log walks it alone, from its own position in the intake to its own spool.
//!
//! * `engine`: the walk itself, frame by frame, where windows are cut (`window`), what it shares with others (`commons`), and what it is told meanwhile
//!   (`orders`).
//! * decode: `kernel_events` applies what the kernel reported (`reports`; `fate` tells what became of a packet, `pending` keeps what is
//!   open, `flows` and its `row`s what was decided), `json_lines` what Hubble wrote, `note` what the daemon itself has to say.
//! * identify: `identify` makes Hubble's flow of a tuple and its `surroundings`.
//! * select and mask: `log`, the entry's compiled configuration.
//! * fold: `fold` gathers identical lines, `sums` adds up, `service` leaves client ports out, `partial` stores what a long window holds.
//! * encode and commit: `line` writes, `key` routes, `output` commits; `totals` accounts for all of it and `published` shows it.

mod bytes;
mod chunks;
pub mod commons;
pub mod engine;
pub mod fate;
pub mod flows;
pub mod fold;
pub mod identify;
pub mod json_lines;
pub mod kernel_events;
pub mod key;
pub mod line;
pub mod log;
pub mod note;
pub mod open_rows;
pub mod orders;
pub mod output;
pub mod partial;
pub mod pending;
pub mod places;
pub mod published;
pub mod replay;
mod reports;
pub mod row;
pub mod service;
pub mod sums;
pub mod surroundings;
pub mod template;
pub mod totals;
pub mod window;

#[cfg(test)]
mod tests;
