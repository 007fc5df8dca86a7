//! What makes the stub strict: signature, clock, checksums, lock headers.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::http::Message;
use super::sigv4::{Signed, hex};
use super::stub::{Answer, EXPIRED_TOKEN, KEY, State, parameter, refuse, split};

/// Signature, clock, checksums, lock headers: what is wrong with a request, if anything.
pub(super) fn check(request: &Message, state: &State) -> Option<Answer> {
    let Some(claim) = Claim::of(request) else {
        return Some(refuse(403, "AccessDenied", "not signed at all"));
    };
    check_who(&claim, state).or_else(|| check_signature(request, &claim)).or_else(|| check_content(request, state))
}

/// What a request says of its signature, in its header or in its query.
struct Claim {
    credential: String,
    names: String,
    signature: String,
    time: String,
    payload: String,
    token: Option<String>,
    /// The query as it was signed.
    query: String,
    presigned: bool,
}

impl Claim {
    fn of(request: &Message) -> Option<Claim> {
        let (_, _, query) = split(request);
        if let Some(signature) = parameter(&query, "X-Amz-Signature") {
            let value = |name| parameter(&query, name).unwrap_or_default();
            let pairs = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature="));
            return Some(Claim {
                credential: value("X-Amz-Credential"),
                names: value("X-Amz-SignedHeaders"),
                signature,
                time: value("X-Amz-Date"),
                payload: "UNSIGNED-PAYLOAD".to_owned(),
                token: parameter(&query, "X-Amz-Security-Token"),
                query: pairs.collect::<Vec<_>>().join("&"),
                presigned: true,
            });
        }
        let text = request.header("authorization")?;
        let part = |name: &str| {
            let (_, rest) = text.split_once(name).unwrap_or_default();
            rest.split([',', ' ']).next().unwrap_or("").to_owned()
        };
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        Some(Claim {
            credential: part("Credential="),
            names: part("SignedHeaders="),
            signature: part("Signature="),
            time: header("x-amz-date"),
            payload: header("x-amz-content-sha256"),
            token: request.header("x-amz-security-token").map(str::to_owned),
            query,
            presigned: false,
        })
    }
}

fn check_who(claim: &Claim, state: &State) -> Option<Answer> {
    if claim.token.as_deref() == Some(EXPIRED_TOKEN) {
        return Some(refuse(400, "ExpiredToken", "The provided token has expired."));
    }
    if claim.credential.split('/').next() != Some(KEY.0) {
        let message = "The access key Id you provided does not exist in our records.";
        return Some(refuse(403, "InvalidAccessKeyId", message));
    }
    let sent = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &claim.time).and_then(|sent| sent.to_zoned(jiff::tz::TimeZone::UTC));
    let Ok(sent) = sent else {
        return Some(refuse(403, "AccessDenied", "the request has no date"));
    };
    let behind = Timestamp::now().as_second() + state.clock_ahead - sent.timestamp().as_second();
    let message = "The difference between the request time and the server's time is too large.";
    (behind.abs() > 900).then(|| refuse(403, "RequestTimeTooSkewed", message))
}

fn check_signature(request: &Message, claim: &Claim) -> Option<Answer> {
    let (method, _, _) = split(request);
    let target = request.first.split(' ').nth(1).unwrap_or("");
    let names: Vec<&str> = claim.names.split(';').collect();
    let is_unsigned = |name: &str| name.starts_with("x-amz-") && !names.contains(&name);
    if let Some((name, _)) = request.headers.iter().find(|(name, _)| is_unsigned(name)) {
        let message = format!("There were headers present in the request which were not signed: {name}");
        return Some(refuse(403, "AccessDenied", &message));
    }
    let header = |name: &&str| ((*name).to_owned(), request.header(name).unwrap_or_default().to_owned());
    let headers: Vec<(String, String)> = names.iter().map(header).collect();
    let signed = Signed {
        method: &method,
        path: target.split_once('?').map_or(target, |(path, _)| path),
        query: &claim.query,
        headers: &headers,
        payload: &claim.payload,
        time: &claim.time,
        region: claim.credential.split('/').nth(2).unwrap_or(""),
    };
    if signed.signature(KEY.1) != claim.signature {
        let message = "The request signature we calculated does not match.";
        return Some(refuse(403, "SignatureDoesNotMatch", message));
    }
    let is_wrong = !claim.presigned && claim.payload != hex(&Sha256::digest(&request.body));
    let message = "The provided x-amz-content-sha256 does not match.";
    is_wrong.then(|| refuse(400, "XAmzContentSHA256Mismatch", message))
}

fn check_content(request: &Message, state: &State) -> Option<Answer> {
    let sha256 = request.header("x-amz-checksum-sha256");
    let md5 = request.header("content-md5");
    if sha256.is_some_and(|sum| sum != BASE64_STANDARD.encode(Sha256::digest(&request.body))) {
        return Some(refuse(400, "BadDigest", "The SHA256 you specified did not match."));
    }
    if md5.is_some_and(|sum| sum != BASE64_STANDARD.encode(md5::Md5::digest(&request.body))) {
        return Some(refuse(400, "BadDigest", "The Content-MD5 you specified did not match."));
    }
    let locks = ["x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"].map(|name| request.header(name));
    let hold = request.header("x-amz-object-lock-legal-hold");
    if locks.iter().flatten().count() == 1 {
        return Some(refuse(
            400,
            "InvalidArgument",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        ));
    }
    let creates = request.first.contains("?uploads");
    if (locks[0].is_some() || hold.is_some()) && !creates && sha256.is_none() && md5.is_none() {
        return Some(refuse(
            400,
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        ));
    }
    if (locks[0].is_some() || hold.is_some()) && !state.lock_enabled && !state.forgets_locks {
        return Some(refuse(400, "InvalidRequest", "Bucket is missing Object Lock Configuration"));
    }
    None
}
