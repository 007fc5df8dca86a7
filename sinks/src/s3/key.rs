//! Object and manifest keys. These formats are for ever: objects under Object Lock can't be renamed, and every reader
//! of the archive (DuckDB, Athena, `flowlog verify`) finds its way by them.
//!
//! Partitions are Hive's `name=value`. `dt` and `hour` are the UTC hour of the *commit* time, which never goes
//! backwards within a spool, so late or shuffled flows open no object of an hour long closed.
//! A key is a function of the spool's position alone: sending again after a crash meets the same key, and that is what
//! makes delivery exactly once.

use jiff::{Timestamp, tz::TimeZone};

/// Nanoseconds in an hour.
const HOUR_NANOSECONDS: i64 = 3_600_000_000_000;

/// A UTC hour, counted from the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(i64);

impl Hour {
    /// The hour in which `unix_nanoseconds` falls.
    pub fn of(unix_nanoseconds: i64) -> Self {
        Self(unix_nanoseconds.div_euclid(HOUR_NANOSECONDS))
    }

    /// The first nanosecond of the hour, Unix time.
    pub fn start(self) -> i64 {
        self.0.saturating_mul(HOUR_NANOSECONDS)
    }

    /// The first nanosecond behind the hour, Unix time.
    pub fn end(self) -> i64 {
        self.0.saturating_add(1).saturating_mul(HOUR_NANOSECONDS)
    }

    /// The hour after this one.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// `YYYY-MM-DD` and `HH`, UTC.
    fn date_and_hour(self) -> (String, String) {
        let at = Timestamp::from_nanosecond(i128::from(self.start())).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC);
        (at.strftime("%Y-%m-%d").to_string(), at.strftime("%H").to_string())
    }
}

/// Where the objects of one flow log of one node lie: everything of a key but the numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The path of the sink's url, without slashes at its ends; may be empty.
    pub prefix: String,
    /// The cluster's name, as configured (unencoded).
    pub cluster: String,
    /// The flow log's name, as configured (unencoded).
    pub log: String,
    /// The node's name, as configured (unencoded).
    pub node: String,
}

impl Layout {
    /// The key of the object that holds the records `first..=last` of spool `id`, all committed within `hour`.
    ///
    /// `conflict` 0 is the object's own key; a higher number is the place to go to when that is taken by other bytes.
    pub fn object_key(&self, hour: Hour, id: [u8; 16], first: u64, last: u64, conflict: u32) -> String {
        let (date, hour) = hour.date_and_hour();
        let suffix = if conflict == 0 { String::new() } else { format!(".conflict-{conflict}") };
        format!(
            "{}flows/v1/cluster={}/log={}/dt={date}/hour={hour}/node={}/{}-{first:020}-{last:020}{suffix}.jsonl.zst",
            self.prefix_and_slash(),
            encode(&self.cluster),
            encode(&self.log),
            encode(&self.node),
            hex(&id),
        )
    }

    /// The key of manifest `number`, written for spool `id`; `dt` is the day of `hour`, the last one it covers.
    pub fn manifest_key(&self, hour: Hour, id: [u8; 16], number: u64, conflict: u32) -> String {
        let (date, _) = hour.date_and_hour();
        let suffix = if conflict == 0 { String::new() } else { format!(".conflict-{conflict}") };
        format!("{}/dt={date}/{}-{number:020}{suffix}.json", self.manifests(), hex(&id))
    }

    /// The folder of all manifests of this flow log and node, without a slash at its end.
    pub fn manifests(&self) -> String {
        format!(
            "{}manifests/v1/cluster={}/log={}/node={}",
            self.prefix_and_slash(),
            encode(&self.cluster),
            encode(&self.log),
            encode(&self.node),
        )
    }

    fn prefix_and_slash(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

/// The number in a manifest's key, if it is one of ours.
pub fn manifest_number(key: &str) -> Option<u64> {
    let name = key.rsplit('/').next()?.strip_suffix(".json")?;
    let (id, rest) = name.split_once('-')?;
    let digits = rest.split_once('.').map_or(rest, |(digits, _conflict)| digits);
    let ours = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && digits.len() == 20;
    if ours { digits.parse().ok() } else { None }
}

/// Percent-encodes every byte outside `[A-Za-z0-9._-]`, with upper-case digits (RFC 3986 §2.1).
pub fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xff];

    fn layout(prefix: &str, cluster: &str, log: &str, node: &str) -> Layout {
        Layout { prefix: prefix.into(), cluster: cluster.into(), log: log.into(), node: node.into() }
    }

    fn nanoseconds(text: &str) -> i64 {
        i64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn object_keys_are_exactly_as_published() {
        let id = "000102030405060708090a0b0c0d0eff";
        let cases = [
            (
                layout("", "prod", "all-l7", "node-1"),
                "2026-11-21T09:59:59.999999999Z",
                (0, 41, 0),
                format!(
                    "flows/v1/cluster=prod/log=all-l7/dt=2026-11-21/hour=09/node=node-1/{id}-00000000000000000000-00000000000000000041.jsonl.zst"
                ),
            ),
            (
                layout("audit/eu", "c", "l", "n"),
                "2026-11-21T10:00:00Z",
                (42, u64::MAX, 0),
                format!(
                    "audit/eu/flows/v1/cluster=c/log=l/dt=2026-11-21/hour=10/node=n/{id}-00000000000000000042-18446744073709551615.jsonl.zst"
                ),
            ),
            (
                layout("audit", "a b/c", "ü%", "ip-10-0-0-1.eu_west"),
                "2024-02-29T23:30:00Z",
                (7, 7, 3),
                format!(
                    "audit/flows/v1/cluster=a%20b%2Fc/log=%C3%BC%25/dt=2024-02-29/hour=23/node=ip-10-0-0-1.eu_west/{id}-00000000000000000007-00000000000000000007.conflict-3.jsonl.zst"
                ),
            ),
        ];
        for (layout, time, (first, last, conflict), expected) in cases {
            assert_eq!(layout.object_key(Hour::of(nanoseconds(time)), ID, first, last, conflict), expected);
        }
    }

    #[test]
    fn manifest_keys_are_exactly_as_published_and_give_their_number_back() {
        let layout = layout("p", "c", "l", "n~");
        let hour = Hour::of(nanoseconds("2026-01-01T00:00:00Z"));
        let key = layout.manifest_key(hour, ID, 12, 0);
        assert_eq!(
            key,
            "p/manifests/v1/cluster=c/log=l/node=n%7E/dt=2026-01-01/000102030405060708090a0b0c0d0eff-00000000000000000012.json"
        );
        assert_eq!(manifest_number(&key), Some(12));
        let conflict = layout.manifest_key(hour, ID, 13, 2);
        assert!(conflict.ends_with("-00000000000000000013.conflict-2.json"), "{conflict}");
        assert_eq!(manifest_number(&conflict), Some(13));
        for other in ["", "p/readme.json", "p/abc-00000000000000000012.json", "p/000102030405060708090a0b0c0d0eff-12.json"] {
            assert_eq!(manifest_number(other), None, "{other}");
        }
    }

    #[test]
    fn the_hour_is_the_utc_hour_of_the_commit_time() {
        let cases = [
            ("1970-01-01T00:00:00Z", "1970-01-01", "00"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31", "23"),
            ("2026-11-21T11:45:00+13:00", "2026-11-20", "22"),
            ("2026-12-31T23:59:59.999999999Z", "2026-12-31", "23"),
            ("2027-01-01T00:00:00Z", "2027-01-01", "00"),
        ];
        for (time, date, hour) in cases {
            assert_eq!(Hour::of(nanoseconds(time)).date_and_hour(), (date.to_string(), hour.to_string()), "{time}");
        }
        let hour = Hour::of(nanoseconds("2026-11-21T09:15:00Z"));
        assert_eq!(hour.start(), nanoseconds("2026-11-21T09:00:00Z"));
        assert_eq!(hour.end(), nanoseconds("2026-11-21T10:00:00Z"));
        assert_eq!(hour.next(), Hour::of(hour.end()));
    }

    #[test]
    fn values_are_encoded_outside_letters_digits_dot_underscore_and_dash() {
        let cases = [
            ("AZaz09._-", "AZaz09._-"),
            ("a/b", "a%2Fb"),
            ("..", ".."),
            ("a=b", "a%3Db"),
            ("~*' +", "%7E%2A%27%20%2B"),
            ("100%", "100%25"),
            ("\u{e9}\n", "%C3%A9%0A"),
        ];
        for (value, expected) in cases {
            assert_eq!(encode(value), expected, "{value:?}");
        }
    }
}
