//! A strict S3 server of our own, in memory, that fails on command.
//!
//! Strict: it checks every signature, refuses `x-amz-*` headers that are not signed, lock headers of which one is
//! missing, locked puts without a checksum, and checksums that are wrong. What it can't do it refuses with 501, so that
//! a test never passes on something it did not look at.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;

use super::http::{self, Message};
use super::stub_actions::perform;
use super::stub_checks::check;

/// The one key the server knows.
pub const KEY: (&str, &str) = ("stub-key", "stub-secret");
/// A session token that counts as expired; any other is taken.
pub const EXPIRED_TOKEN: &str = "expired";

/// What a request meets.
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

/// Headers of the create request, and the parts by number.
pub(super) type Upload = (BTreeMap<String, String>, BTreeMap<u32, Vec<u8>>);

/// What the server is like.
#[derive(Debug)]
pub struct State {
    /// Objects with their versions, oldest first.
    pub objects: BTreeMap<String, Vec<Version>>,
    /// Faults to come, one a storing request.
    pub faults: VecDeque<Fault>,
    /// Faults to come, one a HEAD.
    pub blind: VecDeque<Fault>,
    /// A fault for the request that has this place in [`State::requests`], whatever it is.
    pub fault_at: Option<(usize, Fault)>,
    /// Whether the bucket has Object Lock.
    pub lock_enabled: bool,
    /// Whether lock headers are taken and forgotten.
    pub forgets_locks: bool,
    /// The server's clock minus the real one, seconds.
    pub clock_ahead: i64,
    /// First lines of all requests, in order.
    pub requests: Vec<String>,
    pub(super) uploads: BTreeMap<String, Upload>,
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
            blind: VecDeque::new(),
            fault_at: None,
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
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer { status, headers: Vec::new(), body: body.into() }
}

pub(super) fn refuse(status: u16, code: &str, message: &str) -> Answer {
    answer(status, format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"))
}

fn serve(stream: TcpStream, shared: &Mutex<State>) {
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = http::read(&mut stream, false) {
        let mut state = shared.lock().expect("the stub's state");
        state.requests.push(request.first.clone());
        let fault = match (state.fault_at, request.first.split(' ').next()) {
            (Some((at, fault)), _) if at + 1 == state.requests.len() => Some(fault),
            (_, Some("PUT" | "POST")) => state.faults.pop_front(),
            (_, Some("HEAD")) => state.blind.pop_front(),
            _ => None,
        };
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
pub(super) fn split(request: &Message) -> (String, String, String) {
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

pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| decode(value))
}

impl State {
    pub(super) fn add(&mut self, key: &str, bytes: Option<Vec<u8>>, headers: BTreeMap<String, String>) -> String {
        self.versions += 1;
        let id = format!("v{}", self.versions);
        self.objects.entry(key.to_owned()).or_default().push(Version { id: id.clone(), bytes, headers });
        id
    }

    /// Hides an object behind a delete marker.
    pub fn hide(&mut self, key: &str) {
        self.add(key, None, BTreeMap::new());
    }

    pub(super) fn current(&self, key: &str) -> Option<&Version> {
        self.objects.get(key)?.last().filter(|version| version.bytes.is_some())
    }

    pub(super) fn kept_headers(&self, request: &Message) -> BTreeMap<String, String> {
        let keeps = |name: &str| {
            name.starts_with("x-amz-meta-") || name == "x-amz-checksum-sha256" || (name.contains("object-lock") && !self.forgets_locks)
        };
        request.headers.iter().filter(|(name, _)| keeps(name)).cloned().collect()
    }
}
