//! What Loki's answer to a push means. Pure functions, since the rules are many and a wrong one loses data or stands still for ever.
//!
//! Loki answers 204 for what it stored and, untypically, 260 for what it did *not* store because an operator blocked ingestion. A 400 is
//! partial: the valid entries of the push are stored, the text says in prose what was wrong with the others (Loki 3.x, `pkg/distributor`
//! and `pkg/validation`). Mistakes of the whole sink (no such tenant, metadata not allowed) come as 400 too, and singling out entries for
//! them would refuse everything one by one; they hold the data instead, until somebody has changed a setting.

use std::time::Duration;

/// How long we wait before we ask again when only a person can help: credentials, a blocked tenant, a wrong address.
const WAIT_FOR_A_PERSON: Duration = Duration::from_secs(60);
/// The longest that a `Retry-After` can hold us up.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(600);
/// How much of an answer is shown.
const MAX_TEXT_BYTES: usize = 1024;

/// What to do after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every entry is stored.
    Stored,
    /// Some entries are refused for what they are; find out which.
    Invalid {
        /// Loki's own words.
        why: String,
    },
    /// Some entries are refused because their time has not come, and perhaps others for what they are.
    TooNew {
        /// Loki's own words.
        why: String,
        /// What its clock showed, nanoseconds since 1970.
        now: i64,
    },
    /// The push is larger than this server takes.
    TooLarge {
        /// Loki's own words.
        why: String,
    },
    /// Nothing, or an unknown part, is stored; send the same again later.
    Later {
        /// What happened and, where a person has to help, what to do.
        why: String,
        /// How long to wait at least, where the server or the cause says so.
        after: Option<Duration>,
        /// Whether it may be the size of the push: a push above the tenant's burst gets this answer for ever.
        size_may_matter: bool,
    },
}

impl Answer {
    /// The answer in the light of its `Date`. Without one there is no telling how long it will be until an entry's time has come.
    pub fn dated(self, date: Option<&str>) -> Answer {
        let time = date.and_then(|date| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
        match (self, time.and_then(|time| i64::try_from(time.as_nanosecond()).ok())) {
            (Answer::Invalid { why }, Some(now)) if why.contains("has timestamp too new") => Answer::TooNew { why, now },
            (answer, _) => answer,
        }
    }
}

/// Reads an answer: its status, its `Retry-After` and its text.
pub fn classify(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
    let why = |what: &str| format!("{what} (HTTP {status}): {}", shown(body));
    let person = |what: &str| Answer::Later { why: why(what), after: Some(WAIT_FOR_A_PERSON), size_may_matter: false };
    match status {
        260 => person("Loki blocks ingestion for this tenant and stores nothing; ask its operator"),
        200..=299 => Answer::Stored,
        300..=399 => person("the address redirects; write the address it redirects to as the sink's url"),
        400 | 422 if holds_for_every_entry(body) => person("Loki refuses every entry of this sink; change the setting it names"),
        400 | 422 => Answer::Invalid { why: shown(body) },
        401 => person("Loki asks for credentials or a tenant; set tenant, basicAuth or bearerTokenFile"),
        403 => person("Loki refuses these credentials for this tenant"),
        404 | 405 => person("there is no push API at this address; check the sink's url"),
        413 => Answer::TooLarge { why: shown(body) },
        500 if larger_than_grpc(body) => Answer::TooLarge { why: shown(body) },
        429 if names_streams(body) => {
            let what = "this tenant has as many active streams as Loki lets it have: use fewer labels in the sink's labels, or raise its \
                        max_global_streams_per_user (limits_config)";
            Answer::Later { why: why(what), after: retry_after.and_then(wait), size_may_matter: false }
        }
        429 => {
            let what = "rate limited: raise the tenant's ingestion_rate_mb or per_stream_rate_limit (limits_config) if this lasts";
            Answer::Later { why: why(what), after: retry_after.and_then(wait), size_may_matter: true }
        }
        408 | 425 | 500..=599 => Answer::Later { why: why("not taken"), after: retry_after.and_then(wait), size_may_matter: false },
        _ => person("unexpected answer; is this a Loki?"),
    }
}

/// Whether a 429 is about the number of streams and not about a rate. It passes once streams have been idle for long enough, or somebody helps.
pub fn names_streams(body: &str) -> bool {
    body.to_ascii_lowercase().contains("active stream limit exceeded")
}

/// The instant before which Loki refuses entries, as nanoseconds since 1970, if the text names one. Two refusals do: `has timestamp too
/// old` and `entry too far behind`. Of several the latest counts, since the last push of the rest will tell if that was too strict.
pub fn oldest_acceptable(body: &str) -> Option<i64> {
    let named = body.split("oldest acceptable timestamp is: ").skip(1);
    let times = named.filter_map(|after| {
        let end = after.find(|c: char| !(c.is_ascii_digit() || "-:.TZ+".contains(c))).unwrap_or(after.len());
        let time = after[..end].trim_end_matches(['.', ':', '-']).parse::<jiff::Timestamp>().ok()?;
        i64::try_from(time.as_nanosecond()).ok()
    });
    times.max()
}

/// `Retry-After` in its form of seconds. The form of a date is not used by Loki or the usual proxies, and the back-off covers it.
fn wait(retry_after: &str) -> Option<Duration> {
    let seconds: u64 = retry_after.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

/// Words of refusals whose cause lies in a setting of ours, of the server or of something between, and not in an entry.
const SETTINGS_SIGNS: [&str; 9] = [
    "tenant id",
    "org id",
    "structured metadata, but this feature is disallowed",
    "label names; limit",
    "content-type",
    "content type",
    "http request to an https server",
    "snappy",
    "proto: ",
];

/// Whether a refusal would meet every entry alike. A page of HTML is a proxy's and says nothing of entries.
fn holds_for_every_entry(body: &str) -> bool {
    let body = body.to_ascii_lowercase();
    body.trim_start().starts_with('<') || SETTINGS_SIGNS.iter().any(|sign| body.contains(sign))
}

/// A push above the receiver's gRPC limit (4 MiB by default) is a 500 inside Loki, for ever.
fn larger_than_grpc(body: &str) -> bool {
    body.contains("received message larger than max") || body.contains("message larger than max")
}

/// The first KiB of a text, on one line.
fn shown(body: &str) -> String {
    let mut end = body.len().min(MAX_TEXT_BYTES);
    while !body.is_char_boundary(end) {
        end -= 1;
    }
    let text: Vec<&str> = body[..end].split_whitespace().collect();
    if text.is_empty() { "no text".to_owned() } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome in one word, and the seconds to wait.
    fn word(status: u16, retry_after: Option<&str>, body: &str) -> (&'static str, Option<u64>) {
        match classify(status, retry_after, body) {
            Answer::Stored => ("stored", None),
            Answer::Invalid { .. } | Answer::TooNew { .. } => ("invalid", None),
            Answer::TooLarge { .. } => ("too large", None),
            Answer::Later { after, size_may_matter: true, .. } => ("later, smaller", after.map(|after| after.as_secs())),
            Answer::Later { after, .. } => ("later", after.map(|after| after.as_secs())),
        }
    }

    #[test]
    fn each_answer_means_one_thing() {
        for (status, retry_after, body, wanted) in [
            (204, None, "", ("stored", None)),
            (200, None, "", ("stored", None)),
            (260, None, "ingestion blocked", ("later", Some(60))),
            (302, None, "", ("later", Some(60))),
            (400, None, "max entry size '262144' bytes exceeded for stream '{a=\"b\"}'", ("invalid", None)),
            (400, None, "entry for stream '{a=\"b\"}' has timestamp too new: 2030-01-01T00:00:00Z", ("invalid", None)),
            (400, None, "tenant ID 'a/b' contains unsupported character '/'", ("later", Some(60))),
            (400, None, "stream '{}' includes structured metadata, but this feature is disallowed.", ("later", Some(60))),
            (400, None, "entry for stream '{}' has 16 label names; limit 15", ("later", Some(60))),
            (400, None, "Client sent an HTTP request to an HTTPS server.", ("later", Some(60))),
            (400, None, "<html><h1>400 Bad Request</h1></html>", ("later", Some(60))),
            (401, None, "no org id", ("later", Some(60))),
            (403, None, "", ("later", Some(60))),
            (404, None, "404 page not found", ("later", Some(60))),
            (408, None, "", ("later", None)),
            (413, None, "request too large", ("too large", None)),
            (422, None, "at least one valid stream is required for ingestion", ("invalid", None)),
            (429, None, "Ingestion rate limit exceeded", ("later, smaller", None)),
            (429, None, "Maximum active stream limit exceeded when trying to create stream {a=\"b\"}", ("later", None)),
            (429, Some("7"), "", ("later, smaller", Some(7))),
            (429, Some("86400"), "", ("later, smaller", Some(600))),
            (429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "", ("later, smaller", None)),
            (500, None, "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (5 vs. 4)", ("too large", None)),
            (500, None, "internal", ("later", None)),
            (501, None, "", ("later", None)),
            (502, None, "<html>bad gateway</html>", ("later", None)),
            (503, Some("3"), "", ("later", Some(3))),
            (418, None, "", ("later", Some(60))),
        ] {
            assert_eq!(word(status, retry_after, body), wanted, "{status} {body}");
        }
    }

    #[test]
    fn an_entry_that_is_too_new_is_so_by_lokis_clock() {
        let why = "entry for stream '{a=\"b\"}' has timestamp too new: 2026-11-21T13:00:00Z".to_owned();
        let invalid = Answer::Invalid { why: why.clone() };
        assert_eq!(invalid.clone().dated(Some("Sat, 21 Nov 2026 12:00:00 GMT")), Answer::TooNew { why, now: 1_795_262_400_000_000_000 });
        assert_eq!(invalid.clone().dated(None), invalid);
        assert_eq!(invalid.clone().dated(Some("noon")), invalid);
        let other = Answer::Invalid { why: "max entry size exceeded".into() };
        assert_eq!(other.clone().dated(Some("Sat, 21 Nov 2026 12:00:00 GMT")), other);
    }

    #[test]
    fn the_oldest_acceptable_time_is_read_out_of_both_refusals() {
        let behind = "entry with timestamp 2026-11-20 10:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: \
                      2026-11-20T10:00:00Z, oldest acceptable timestamp is: 2026-11-21T08:30:00Z' for stream: {a=\"b\"}";
        let old = "entry for stream '{a=\"b\"}' has timestamp too old: 2026-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-11-14T12:00:00.5Z";
        assert_eq!(oldest_acceptable(behind), Some(1_795_249_800_000_000_000));
        assert_eq!(oldest_acceptable(old), Some(1_794_657_600_500_000_000));
        assert_eq!(oldest_acceptable(&format!("{old}\n{behind}")), Some(1_795_249_800_000_000_000));
        for text in ["", "max entry size exceeded", "oldest acceptable timestamp is: never", "oldest acceptable timestamp is: "] {
            assert_eq!(oldest_acceptable(text), None, "{text}");
        }
    }

    #[test]
    fn a_long_answer_is_cut_at_a_character() {
        let Answer::Invalid { why } = classify(400, None, &"é".repeat(2000)) else { panic!("no refusal") };
        assert_eq!(why.len(), 1024);
    }
}
