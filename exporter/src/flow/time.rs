//! A moment, as protobuf's Timestamp has it: years 1 to 9999, nanoseconds.
//!
//! It has no text form of its own here; `json::time` reads and writes RFC 3339.

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// 0 to 999 999 999, counted forward even before 1970.
    pub nanos: u32,
}

use super::fields::{Below, FieldInfo, Fields};

const NANOS: i64 = 1_000_000_000;

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the first second that JSON can say.
    pub const MIN_SECONDS: i64 = -62_135_596_800;
    /// 9999-12-31T23:59:59Z, the last one.
    pub const MAX_SECONDS: i64 = 253_402_300_799;

    pub(crate) const FIELDS: Fields = Fields::new(
        "google.protobuf.Timestamp",
        &[
            FieldInfo { name: "seconds", key: "\"seconds\":", number: 1, below: Below::Nothing },
            FieldInfo { name: "nanos", key: "\"nanos\":", number: 2, below: Below::Nothing },
        ],
    );

    /// Only the seconds, only the nanoseconds, or both.
    pub(crate) fn part(self, seconds: bool, nanos: bool) -> Self {
        Self { seconds: if seconds { self.seconds } else { 0 }, nanos: if nanos { self.nanos } else { 0 } }
    }

    /// From nanoseconds since 1970.
    pub fn from_unix_nanos(nanos: i64) -> Self {
        Self { seconds: nanos.div_euclid(NANOS), nanos: nanos.rem_euclid(NANOS) as u32 }
    }

    /// Nanoseconds since 1970; years outside 1678 to 2261 give the nearest value there is.
    pub fn unix_nanos(self) -> i64 {
        self.seconds.saturating_mul(NANOS).saturating_add(i64::from(self.nanos))
    }
}
