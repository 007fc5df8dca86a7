//! A strict S3 server of our own, in memory, that fails on command.
//!
//! Strict: it checks every signature, refuses `x-amz-*` headers that are not signed, lock headers of which one is
//! missing, locked puts without a checksum, and checksums that are wrong. What it can't do it refuses with 501, so that
//! a test never passes on something it did not look at.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::http::{self, Message};
use super::sigv4::{Signed, hex};

/// The one key the server knows.
pub const KEY: (&str, &str) = ("stub-key", "stub-secret");
/// A session token that counts as expired; any other is taken.
pub const EXPIRED_TOKEN: &str = "expired";

/// What the next request that stores something meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this status and code, nothing stored.
    Answer(u16, &'static str),
    /// The connection ends after the body, nothing stored.
    CutAfterBody,
    /// Stored, and the connection ends without an answer.
    LoseAnswer,
    /// Somebody else stores other bytes under the key first.
    Overtaken,
    /// A proxy takes the lock headers off on the way.
    StripLock,
    /// A proxy adds an `x-amz-` header on the way.
    AddHeader,
}

/// One version of an object.
#[derive(Clone, Debug)]
pub struct Version {
    /// Its id.
    pub id: String,
    /// Its bytes; `None` for a delete marker.
    pub bytes: Option<Vec<u8>>,
    /// Headers given back by HEAD and GET: metadata, lock, checksum.
    pub headers: BTreeMap<String, String>,
}

/// What the server is like.
#[derive(Debug)]
pub struct State {
    /// Objects with their versions, oldest first.
    pub objects: BTreeMap<String, Vec<Version>>,
    /// Faults to come, one a storing request.
    pub faults: VecDeque<Fault>,
    /// Whether the bucket has Object Lock.
    pub lock_enabled: bool,
    /// Whether lock headers are taken and forgotten.
    pub forgets_locks: bool,
    /// The server's clock minus the real one, seconds.
    pub clock_ahead: i64,
    /// First lines of all requests, in order.
    pub requests: Vec<String>,
    uploads: BTreeMap<String, (BTreeMap<String, String>, BTreeMap<u32, Vec<u8>>)>,
    versions: u64,
}

/// A running server. It ends with the test program.
pub struct Stub {
    state: Arc<Mutex<State>>,
    /// `http://127.0.0.1:port`.
    pub endpoint: String,
}

impl Stub {
    /// Starts a server whose every bucket is the same one, with Object Lock.
    pub fn start() -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State {
            objects: BTreeMap::new(),
            faults: VecDeque::new(),
            lock_enabled: true,
            forgets_locks: false,
            clock_ahead: 0,
            requests: Vec::new(),
            uploads: BTreeMap::new(),
            versions: 0,
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Stub { state, endpoint }
    }

    /// The server's state, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the stub's state")
    }

    /// The keys of all objects whose newest version is no delete marker.
    pub fn keys(&self) -> Vec<String> {
        let state = self.state();
        let shown = state.objects.iter().filter(|(_, versions)| versions.last().is_some_and(|last| last.bytes.is_some()));
        shown.map(|(key, _)| key.clone()).collect()
    }
}

/// An answer before it is written.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

fn refuse(status: u16, code: &str, message: &str) -> Answer {
    answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn serve(stream: TcpStream, shared: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = http::read(&mut stream, false) {
        let mut state = shared.lock().expect("the stub's state");
        state.requests.push(request.first.clone());
        let stores = request.first.starts_with("PUT") || request.first.starts_with("POST");
        let fault = if stores { state.faults.pop_front() } else { None };
        match fault {
            Some(Fault::StripLock) => request.headers.retain(|(name, _)| !name.contains("object-lock")),
            Some(Fault::AddHeader) => request.headers.push(("x-amz-added".into(), "by a proxy".into())),
            _ => {}
        }
        let made = match fault {
            Some(Fault::Answer(status, code)) => refuse(status, code, "as the test wants it"),
            Some(Fault::CutAfterBody) => return,
            _ => match check(&request, &state) {
                Some(refusal) => refusal,
                None => {
                    if fault == Some(Fault::Overtaken) {
                        let key = split(&request).1;
                        state.add(&key, Some(b"somebody else's".to_vec()), BTreeMap::new());
                    }
                    perform(&request, &mut state)
                }
            },
        };
        let date = Timestamp::from_second(Timestamp::now().as_second() + state.clock_ahead).expect("a date");
        drop(state);
        if fault == Some(Fault::LoseAnswer) {
            return;
        }
        let mut head = format!("HTTP/1.1 {} X\r\nDate: {}\r\n", made.status, date.strftime("%a, %d %b %Y %H:%M:%S GMT"));
        let names_length = made.headers.iter().any(|(name, _)| name == "content-length");
        for (name, value) in &made.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !names_length {
            head.push_str(&format!("content-length: {}\r\n", made.body.len()));
        }
        let body = if request.first.starts_with("HEAD") { &[][..] } else { &made.body };
        let stream = stream.get_mut();
        if stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(body)).is_err() {
            return;
        }
    }
}

/// Method, key, query.
fn split(request: &Message) -> (String, String, String) {
    let mut words = request.first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let key = path.trim_start_matches('/').split_once('/').map_or("", |(_bucket, key)| key);
    (method.to_owned(), decode(key), query.to_owned())
}

fn decode(text: &str) -> String {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let digits = [bytes.clone().next(), bytes.clone().nth(1)];
        match (byte, digits) {
            (b'%', [Some(high), Some(low)]) => {
                let digits = String::from_utf8(vec![high, low]).expect("digits");
                out.push(u8::from_str_radix(&digits, 16).expect("two hexadecimal digits"));
                bytes.next();
                bytes.next();
            }
            (byte, _) => out.push(byte),
        }
    }
    String::from_utf8(out).expect("a key in UTF-8")
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| decode(value))
}

/// Signature, clock, checksums, lock headers: what is wrong with a request, if anything.
fn check(request: &Message, state: &State) -> Option<Answer> {
    let (method, _, query) = split(request);
    let target = request.first.split(' ').nth(1).unwrap_or("");
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let presigned = parameter(&query, "X-Amz-Signature");
    let (credential, names, signature, time, payload, token, query) = match &presigned {
        Some(signature) => {
            let rest: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
            let value = |name| parameter(&query, name).unwrap_or_default();
            let token = parameter(&query, "X-Amz-Security-Token");
            let unsigned = "UNSIGNED-PAYLOAD".to_owned();
            (value("X-Amz-Credential"), value("X-Amz-SignedHeaders"), signature.clone(), value("X-Amz-Date"), unsigned, token, rest.join("&"))
        }
        None => {
            let Some(text) = request.header("authorization") else { return Some(refuse(403, "AccessDenied", "not signed at all")) };
            let part = |name: &str| {
                let (_, rest) = text.split_once(name).unwrap_or_default();
                rest.split([',', ' ']).next().unwrap_or("").to_owned()
            };
            let header = |name| request.header(name).unwrap_or_default().to_owned();
            let token = request.header("x-amz-security-token").map(str::to_owned);
            (part("Credential="), part("SignedHeaders="), part("Signature="), header("x-amz-date"), header("x-amz-content-sha256"), token, query)
        }
    };
    if token.as_deref() == Some(EXPIRED_TOKEN) {
        return Some(refuse(400, "ExpiredToken", "The provided token has expired."));
    }
    let region = credential.split('/').nth(2).unwrap_or("").to_owned();
    if credential.split('/').next() != Some(KEY.0) {
        return Some(refuse(403, "InvalidAccessKeyId", "The access key Id you provided does not exist in our records."));
    }
    let sent = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &time).ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    let behind = Timestamp::now().as_second() + state.clock_ahead - sent.timestamp().as_second();
    if behind.abs() > 900 {
        return Some(refuse(403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large."));
    }
    let names: Vec<&str> = names.split(';').collect();
    let unsigned = request.headers.iter().find(|(name, _)| name.starts_with("x-amz-") && !names.contains(&name.as_str()));
    if let Some((name, _)) = unsigned {
        let message = format!("There were headers present in the request which were not signed: {name}");
        return Some(refuse(403, "AccessDenied", &message));
    }
    let header = |name: &&str| ((*name).to_owned(), request.header(name).unwrap_or_default().to_owned());
    let headers: Vec<(String, String)> = names.iter().map(header).collect();
    let signed = Signed { method: &method, path, query: &query, headers: &headers, payload: &payload, time: &time, region: &region };
    if signed.signature(KEY.1) != signature {
        return Some(refuse(403, "SignatureDoesNotMatch", "The request signature we calculated does not match."));
    }
    if presigned.is_none() && payload != hex(&Sha256::digest(&request.body)) {
        return Some(refuse(400, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 does not match."));
    }
    check_content(request, state)
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
        return Some(refuse(400, "InvalidArgument", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied"));
    }
    let creates = request.first.contains("?uploads");
    if (locks[0].is_some() || hold.is_some()) && !creates && sha256.is_none() && md5.is_none() {
        return Some(refuse(400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters"));
    }
    if (locks[0].is_some() || hold.is_some()) && !state.lock_enabled && !state.forgets_locks {
        return Some(refuse(400, "InvalidRequest", "Bucket is missing Object Lock Configuration"));
    }
    None
}

impl State {
    fn add(&mut self, key: &str, bytes: Option<Vec<u8>>, headers: BTreeMap<String, String>) -> String {
        self.versions += 1;
        let id = format!("v{}", self.versions);
        self.objects.entry(key.to_owned()).or_default().push(Version { id: id.clone(), bytes, headers });
        id
    }

    /// Hides an object behind a delete marker.
    pub fn hide(&mut self, key: &str) {
        self.add(key, None, BTreeMap::new());
    }

    fn current(&self, key: &str) -> Option<&Version> {
        self.objects.get(key)?.last().filter(|version| version.bytes.is_some())
    }

    fn kept_headers(&self, request: &Message) -> BTreeMap<String, String> {
        let keeps = |name: &str| {
            name.starts_with("x-amz-meta-") || name == "x-amz-checksum-sha256" || (name.contains("object-lock") && !self.forgets_locks)
        };
        request.headers.iter().filter(|(name, _)| keeps(name)).cloned().collect()
    }
}

fn perform(request: &Message, state: &mut State) -> Answer {
    let (method, key, query) = split(request);
    let has = |name: &str| parameter(&query, name).is_some();
    let taken = request.header("if-none-match") == Some("*")
        && state.objects.get(&key).is_some_and(|versions| !versions.is_empty());
    match method.as_str() {
        "GET" if key.is_empty() && has("object-lock") && state.lock_enabled => answer(
            200,
            "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>",
        ),
        "GET" if key.is_empty() && has("object-lock") => {
            refuse(404, "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
        }
        "GET" if key.is_empty() && has("versioning") => {
            answer(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        }
        "GET" if key.is_empty() && has("list-type") => list(&query, state),
        "GET" | "HEAD" => show(&key, state),
        "PUT" if has("retention") => set(request, &key, &query, state, &[("Mode", "x-amz-object-lock-mode"), ("RetainUntilDate", "x-amz-object-lock-retain-until-date")]),
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
    let shown = state.objects.keys().filter(|key| key.starts_with(&prefix) && state.current(key).is_some());
    let contents: String = shown
        .map(|key| format!("<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>\"e\"</ETag></Contents>"))
        .collect();
    answer(200, format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"))
}

fn show(key: &str, state: &State) -> Answer {
    let Some(version) = state.current(key) else { return refuse(404, "NoSuchKey", "The specified key does not exist.") };
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
    let Some(version) = version else { return refuse(404, "NoSuchVersion", &id) };
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
