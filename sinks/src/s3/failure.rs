//! What a failed request means: may the object be stored all the same, and what should the operator do.
//!
//! Servers differ in status and code for the same refusal, so the decision to retry never depends on them: everything
//! is retried for as long as the spool holds the records. They choose the advice only.

use std::time::Duration;

use crate::tls::with_causes;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{why}{}", hint.map(|hint| format!(" — {hint}")).unwrap_or_default())]
pub struct Failure {
    /// What it means for the object.
    pub kind: Kind,
    /// What was tried, and the server's answer.
    pub why: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

/// What a failure means for the object that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something is stored under this key already (412).
    Exists,
    /// Somebody else is writing this key (409): look, and try again.
    Busy,
    /// No telling whether it was stored (time-out, cut connection, 5xx): look.
    Unknown,
    /// Not stored, and it will not be before somebody changes something.
    Refused,
    /// There is no such key.
    NotFound,
}

impl Failure {
    /// A failure of our own making, not a server's answer.
    pub fn refused(why: impl Into<String>, hint: &'static str) -> Self {
        Self { kind: Kind::Refused, why: why.into(), hint: Some(hint) }
    }

    /// Sorts an answer of `object_store` to `doing`.
    pub fn of(doing: &str, error: &object_store::Error) -> Self {
        let text = with_causes(error);
        let status = |number: &str| text.contains(&format!("status code: {number}"));
        let kind = match error {
            object_store::Error::AlreadyExists { source, .. } => match source.downcast_ref::<object_store::Error>() {
                Some(_precondition) => Kind::Exists,
                None => Kind::Busy,
            },
            object_store::Error::NotFound { .. } if is_about_the_key(&text) => Kind::NotFound,
            _ if status("412") => Kind::Exists,
            _ if status("409") => Kind::Busy,
            _ if status("408") || status("429") => Kind::Unknown,
            object_store::Error::Generic { .. } if !status("4") => Kind::Unknown,
            _ => Kind::Refused,
        };
        Self { kind, why: format!("{doing}: {}", shorten(&text)), hint: hint(&text) }
    }

    /// Sorts a plain HTTP answer to `doing`.
    pub fn of_status(doing: &str, status: u16, body: &str) -> Self {
        let kind = match status {
            404 if is_about_the_key(body) => Kind::NotFound,
            412 => Kind::Exists,
            409 => Kind::Busy,
            408 | 429 | 500.. => Kind::Unknown,
            _ => Kind::Refused,
        };
        Self { kind, why: format!("{doing}: status {status}: {}", shorten(body)), hint: hint(body) }
    }

    /// Sorts a request to `host` that got no answer.
    pub fn of_connection(doing: &str, host: &str, error: &reqwest::Error) -> Self {
        let text = with_causes(error);
        Self { kind: Kind::Unknown, why: format!("{doing} at {host}: {text}"), hint: hint(&text) }
    }

    /// How long to wait at least, where the answer says that the server is overloaded.
    pub fn after(&self) -> Option<Duration> {
        (self.why.contains("SlowDown") || self.why.contains(" 429 ")).then_some(Duration::from_secs(1))
    }
}

/// Whether a 404 is about the key and not about the bucket, the user or the configuration; HEAD's has no text.
fn is_about_the_key(text: &str) -> bool {
    code(text).is_none_or(|code| code == "NoSuchKey" || code == "NoSuchVersion")
}

/// S3's error code in an XML answer.
fn code(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

/// Of an XML answer only code and message; else the first 300 characters.
fn shorten(text: &str) -> String {
    let message = text.split_once("<Message>").and_then(|(_, rest)| rest.split_once("</Message>"));
    match (code(text), message) {
        (Some(code), Some((message, _))) => format!("{code}: {message}").chars().take(400).collect(),
        _ => text.replace('\n', " ").chars().take(300).collect(),
    }
}

/// Code or words in an answer, and what to do about it. The first that fits counts.
const HINTS: &[(&[&str], &str)] = &[
    (
        &["no credentials from the instance metadata service"],
        "no credentials were found: name a file in credentialsFile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run with a role",
    ),
    (
        &["no credentials from web identity"],
        "check that the token in AWS_WEB_IDENTITY_TOKEN_FILE is renewed, and that the role in AWS_ROLE_ARN trusts who issued it",
    ),
    (&["no credentials from"], "check the source of the credentials; nothing is lost, the spool holds the records"),
    (
        &["RequestTimeTooSkewed"],
        "this node's clock and the server's are too far apart: repair time synchronisation (NTP); nothing is lost, the spool holds the records",
    ),
    (
        &["ExpiredToken", "TokenRefreshRequired", "InvalidToken"],
        "the credentials have expired: renew them where they come from (files are read again at every request); nothing is lost, the spool holds the records",
    ),
    (
        &["InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidClientTokenId", "XAdminUserNotFound"],
        "the server does not know these credentials: check key, secret and region, and renew temporary ones, which may have expired; if they are right, something on the way changes headers",
    ),
    (&["NoSuchBucket"], "create the bucket with Object Lock switched on, or correct the sink's url"),
    (
        &["ObjectLockConfiguration", "Object Lock", "ObjectLock", "object lock"],
        "the bucket has no Object Lock: switch it on for this bucket or use another; objects are not sent unlocked",
    ),
    (
        &["headers not signed", "HeadersNotSigned", "not signed"],
        "something between flowlog and the server changes headers; take the proxy out of the path",
    ),
    (
        &["AccessDenied", "403 Forbidden", "401 Unauthorized"],
        "the credentials need s3:PutObject, s3:PutObjectRetention, s3:GetObject, s3:GetObjectRetention, s3:ListBucket, s3:GetBucketObjectLockConfiguration and s3:GetBucketVersioning here (and s3:PutObjectLegalHold and s3:GetObjectLegalHold for legalHold)",
    ),
    (&["certificate", "UnknownIssuer"], "the server's certificate is not trusted: name its issuer in tls.caFile"),
    (
        &["Connection refused", "dns error", "tcp connect error"],
        "the server can't be reached: check endpoint and network; the spool holds the records meanwhile",
    ),
];

fn hint(text: &str) -> Option<&'static str> {
    HINTS.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(code: &str, message: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message><Key>k</Key></Error>")
    }

    #[test]
    fn answers_are_sorted_by_what_they_mean_for_the_object() {
        let cases = [
            (412, xml("PreconditionFailed", "exists"), Kind::Exists),
            (409, xml("ConditionalRequestConflict", "busy"), Kind::Busy),
            (404, xml("NoSuchKey", "none"), Kind::NotFound),
            (404, xml("NoSuchBucket", "none"), Kind::Refused),
            (404, xml("XAdminUserNotFound", "none"), Kind::Refused),
            (404, String::new(), Kind::NotFound),
            (403, xml("AccessDenied", "no"), Kind::Refused),
            (400, xml("InvalidRequest", "Bucket is missing ObjectLockConfiguration"), Kind::Refused),
            (429, String::new(), Kind::Unknown),
            (500, xml("InternalError", "oops"), Kind::Unknown),
            (503, xml("SlowDown", "slow down"), Kind::Unknown),
        ];
        for (status, body, kind) in cases {
            assert_eq!(Failure::of_status("putting k", status, &body).kind, kind, "{status} {body}");
        }
    }

    #[test]
    fn the_example_names_the_permissions_that_the_hint_names() {
        let permissions = |text: &str| -> std::collections::BTreeSet<String> {
            let words = text.split("s3:").skip(1);
            words
                .map(|word| word.chars().take_while(char::is_ascii_alphabetic).collect())
                .filter(|word: &String| !word.is_empty())
                .collect()
        };
        let example = include_str!("../../../configs/s3.yaml");
        let hint = hint("AccessDenied").unwrap();
        assert_eq!(permissions(example), permissions(hint));
        assert!(permissions(hint).len() > 7, "{hint}");
    }

    #[test]
    fn every_refusal_an_operator_can_cure_says_how() {
        let cases = [
            (xml("RequestTimeTooSkewed", "skew"), "NTP"),
            (xml("ExpiredToken", "expired"), "renew them"),
            (xml("SignatureDoesNotMatch", "sig"), "key, secret and region"),
            (xml("NoSuchBucket", "no"), "create the bucket with Object Lock"),
            (xml("InvalidRequest", "Bucket is missing Object Lock Configuration"), "has no Object Lock"),
            (xml("AccessDenied", "There were headers present in the request which were not signed"), "proxy"),
            (xml("AccessDenied", "Access Denied."), "s3:PutObjectRetention"),
        ];
        for (body, says) in cases {
            let text = Failure::of_status("putting k", 403, &body).to_string();
            assert!(text.contains(says), "{text}");
            assert!(text.starts_with("putting k: status 403: ") && !text.contains("<Key>"), "{text}");
        }
    }
}
