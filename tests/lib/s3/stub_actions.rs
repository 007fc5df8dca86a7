//! What the stub can do once a request has passed its checks. The rest is answered 501.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::http::Message;
use super::stub::{Answer, State, answer, parameter, refuse, split};

pub(super) fn perform(request: &Message, state: &mut State) -> Answer {
    let (method, key, query) = split(request);
    let has = |name: &str| parameter(&query, name).is_some();
    let taken = request.header("if-none-match") == Some("*") && state.objects.get(&key).is_some_and(|versions| !versions.is_empty());
    match method.as_str() {
        "GET" if key.is_empty() && has("object-lock") && state.lock_enabled => {
            answer(200, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
        }
        "GET" if key.is_empty() && has("object-lock") => {
            refuse(404, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
        }
        "GET" if key.is_empty() && has("versioning") => {
            answer(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        }
        "GET" if key.is_empty() && has("list-type") => list(&query, state),
        "GET" | "HEAD" => show(&key, state),
        "PUT" if has("retention") => set(
            request,
            &key,
            &query,
            state,
            &[("Mode", "x-amz-object-lock-mode"), ("RetainUntilDate", "x-amz-object-lock-retain-until-date")],
        ),
        "PUT" if has("legal-hold") => set(request, &key, &query, state, &[("Status", "x-amz-object-lock-legal-hold")]),
        "PUT" if has("partNumber") => put_part(request, &query, state),
        "PUT" | "POST" if taken => refuse(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"),
        "PUT" => {
            let headers = state.kept_headers(request);
            let id = state.add(&key, Some(request.body.clone()), headers);
            stored(id, String::new())
        }
        "POST" if has("uploads") => {
            let id = format!("upload-{}", state.uploads.len());
            let headers = state.kept_headers(request);
            state.uploads.insert(id.clone(), (headers, BTreeMap::new()));
            answer(200, format!("<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"))
        }
        "POST" if has("uploadId") => complete(&key, &query, state),
        "DELETE" if has("uploadId") => {
            state.uploads.remove(&parameter(&query, "uploadId").unwrap_or_default());
            answer(204, "")
        }
        _ => refuse(501, "NotImplemented", &request.first),
    }
}

fn stored(id: String, body: String) -> Answer {
    Answer { status: 200, headers: vec![("etag".into(), "\"e\"".into()), ("x-amz-version-id".into(), id)], body: body.into_bytes() }
}

fn list(query: &str, state: &State) -> Answer {
    let prefix = parameter(query, "prefix").unwrap_or_default();
    let after = parameter(query, "start-after").unwrap_or_default();
    let is_shown = |key: &&String| key.starts_with(&prefix) && **key > after && state.current(key).is_some();
    let shown = state.objects.keys().filter(is_shown);
    let contents: String = shown
        .map(|key| {
            format!(
                "<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag></Contents>"
            )
        })
        .collect();
    answer(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"))
}

fn show(key: &str, state: &State) -> Answer {
    let Some(version) = state.current(key) else {
        return refuse(404, "NoSuchKey", "The specified key does not exist.");
    };
    let bytes = version.bytes.clone().unwrap_or_default();
    let now = Timestamp::from_second(Timestamp::now().as_second() + state.clock_ahead).expect("a date");
    let mut headers = vec![
        ("content-length".to_owned(), bytes.len().to_string()),
        ("last-modified".to_owned(), now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()),
        ("etag".to_owned(), "\"e\"".to_owned()),
        ("x-amz-version-id".to_owned(), version.id.clone()),
    ];
    headers.extend(version.headers.clone());
    Answer { status: 200, headers, body: bytes }
}

fn set(request: &Message, key: &str, query: &str, state: &mut State, names: &[(&str, &str)]) -> Answer {
    if request.header("content-md5").is_none() {
        return refuse(400, "InvalidRequest", "Missing required header for this request: Content-MD5");
    }
    let id = parameter(query, "versionId").unwrap_or_default();
    let forgets = state.forgets_locks;
    let version = state.objects.get_mut(key).and_then(|versions| versions.iter_mut().find(|version| version.id == id));
    let Some(version) = version else {
        return refuse(404, "NoSuchVersion", &id);
    };
    for (element, header) in names {
        let value = super::client::elements(&request.text(), element);
        if let (Some(value), false) = (value.into_iter().next(), forgets) {
            version.headers.insert((*header).to_owned(), value);
        }
    }
    answer(200, "")
}

fn put_part(request: &Message, query: &str, state: &mut State) -> Answer {
    let number = parameter(query, "partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
    let Some((_, parts)) = parameter(query, "uploadId").and_then(|id| state.uploads.get_mut(&id)) else {
        return refuse(404, "NoSuchUpload", query);
    };
    parts.insert(number, request.body.clone());
    let sum = request.header("x-amz-checksum-sha256").unwrap_or_default().to_owned();
    Answer { status: 200, headers: vec![("etag".into(), format!("\"{number}\"")), ("x-amz-checksum-sha256".into(), sum)], body: Vec::new() }
}

fn complete(key: &str, query: &str, state: &mut State) -> Answer {
    let Some((headers, parts)) = parameter(query, "uploadId").and_then(|id| state.uploads.remove(&id)) else {
        return refuse(404, "NoSuchUpload", query);
    };
    let id = state.add(key, Some(parts.into_values().flatten().collect()), headers);
    stored(id, "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>".to_owned())
}
