//! A flow as the JSON of `events.log` (Hubble digest §2.2).

pub(super) mod text;
