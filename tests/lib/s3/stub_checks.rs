//! What makes the stub strict: signature, clock, checksums, lock headers.

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::http::Message;
use super::sigv4::{Signed, hex};
use super::stub::{Answer, EXPIRED_TOKEN, KEY, State, parameter, refuse, split};

/// Signature, clock, checksums, lock headers: what is wrong with a request, if anything.
pub(super) fn check(request: &Message, state: &State) -> Option<Answer> {
    let (method, _, query) = split(request);
    let target = request.first.split(' ').nth(1).unwrap_or("");
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let presigned = parameter(&query, "X-Amz-Signature");
    let (credential, names, signature, time, payload, token, query) = match &presigned {
        Some(signature) => {
            let rest: Vec<&str> = query
                .split('&')
                .filter(|pair| !pair.starts_with("X-Amz-Signature="))
                .collect();
            let value = |name| parameter(&query, name).unwrap_or_default();
            let token = parameter(&query, "X-Amz-Security-Token");
            let unsigned = "UNSIGNED-PAYLOAD".to_owned();
            (
                value("X-Amz-Credential"),
                value("X-Amz-SignedHeaders"),
                signature.clone(),
                value("X-Amz-Date"),
                unsigned,
                token,
                rest.join("&"),
            )
        }
        None => {
            let Some(text) = request.header("authorization") else {
                return Some(refuse(403, "AccessDenied", "not signed at all"));
            };
            let part = |name: &str| {
                let (_, rest) = text.split_once(name).unwrap_or_default();
                rest.split([',', ' ']).next().unwrap_or("").to_owned()
            };
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            let token = request.header("x-amz-security-token").map(str::to_owned);
            (
                part("Credential="),
                part("SignedHeaders="),
                part("Signature="),
                header("x-amz-date"),
                header("x-amz-content-sha256"),
                token,
                query,
            )
        }
    };
    if token.as_deref() == Some(EXPIRED_TOKEN) {
        return Some(refuse(
            400,
            "ExpiredToken",
            "The provided token has expired.",
        ));
    }
    let region = credential.split('/').nth(2).unwrap_or("").to_owned();
    if credential.split('/').next() != Some(KEY.0) {
        return Some(refuse(
            403,
            "InvalidAccessKeyId",
            "The access key Id you provided does not exist in our records.",
        ));
    }
    let sent = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &time)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    let behind = Timestamp::now().as_second() + state.clock_ahead - sent.timestamp().as_second();
    if behind.abs() > 900 {
        return Some(refuse(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's time is too large.",
        ));
    }
    let names: Vec<&str> = names.split(';').collect();
    let unsigned = request
        .headers
        .iter()
        .find(|(name, _)| name.starts_with("x-amz-") && !names.contains(&name.as_str()));
    if let Some((name, _)) = unsigned {
        let message =
            format!("There were headers present in the request which were not signed: {name}");
        return Some(refuse(403, "AccessDenied", &message));
    }
    let header = |name: &&str| {
        (
            (*name).to_owned(),
            request.header(name).unwrap_or_default().to_owned(),
        )
    };
    let headers: Vec<(String, String)> = names.iter().map(header).collect();
    let signed = Signed {
        method: &method,
        path,
        query: &query,
        headers: &headers,
        payload: &payload,
        time: &time,
        region: &region,
    };
    if signed.signature(KEY.1) != signature {
        return Some(refuse(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match.",
        ));
    }
    if presigned.is_none() && payload != hex(&Sha256::digest(&request.body)) {
        return Some(refuse(
            400,
            "XAmzContentSHA256Mismatch",
            "The provided x-amz-content-sha256 does not match.",
        ));
    }
    check_content(request, state)
}

fn check_content(request: &Message, state: &State) -> Option<Answer> {
    let sha256 = request.header("x-amz-checksum-sha256");
    let md5 = request.header("content-md5");
    if sha256.is_some_and(|sum| sum != BASE64_STANDARD.encode(Sha256::digest(&request.body))) {
        return Some(refuse(
            400,
            "BadDigest",
            "The SHA256 you specified did not match.",
        ));
    }
    if md5.is_some_and(|sum| sum != BASE64_STANDARD.encode(md5::Md5::digest(&request.body))) {
        return Some(refuse(
            400,
            "BadDigest",
            "The Content-MD5 you specified did not match.",
        ));
    }
    let locks = [
        "x-amz-object-lock-mode",
        "x-amz-object-lock-retain-until-date",
    ]
    .map(|name| request.header(name));
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
        return Some(refuse(
            400,
            "InvalidRequest",
            "Bucket is missing Object Lock Configuration",
        ));
    }
    None
}
