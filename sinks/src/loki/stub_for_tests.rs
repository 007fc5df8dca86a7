//! A Loki for tests that answers as it is told to: what a real one can't be made to do at will.
//!
//! It keeps entries as Loki does (equal stream, timestamp, line and metadata are one entry), refuses a push of more than one stream, and
//! remembers each body. Its message types are prost's and not those of [`super::push`], so the two check each other.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, PartialEq, Message)]
pub struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Stream {
    #[prost(string, tag = "1")]
    pub labels: String,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<EntryMessage>,
    #[prost(uint64, tag = "3")]
    pub hash: u64,
}

#[derive(Clone, PartialEq, Message)]
pub struct EntryMessage {
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    #[prost(string, tag = "2")]
    pub line: String,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// What the stub does with a push.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Stores it and answers 204.
    Store,
    /// Answers with this status, these header lines and this text, and stores nothing.
    Refuse(u16, &'static str, &'static str),
    /// Stores it and closes the connection without an answer.
    StoreAndCut,
    /// Closes the connection in the middle of the request.
    Cut,
    /// Stores every entry whose line does not hold this text; answers 400 if there was one that does.
    RefuseLinesWith(&'static str),
}

/// An entry as the stub keeps it: labels, timestamp, line.
pub type Kept = (String, i64, String);

#[derive(Default)]
struct State {
    script: VecDeque<Reply>,
    otherwise: Option<Reply>,
    kept: BTreeSet<Kept>,
    bodies: Vec<Vec<u8>>,
    heads: Vec<String>,
}

/// The stub.
pub struct Stub {
    port: u16,
    state: Arc<Mutex<State>>,
}

impl Stub {
    /// Listens on loopback. Follows `script` one push at a time, then answers `otherwise` for ever.
    pub async fn start(script: Vec<Reply>, otherwise: Reply) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State { script: script.into(), otherwise: Some(otherwise), ..State::default() }));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Stub { port, state }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it holds.
    pub fn kept(&self) -> Vec<Kept> {
        self.state.lock().unwrap().kept.iter().cloned().collect()
    }

    /// The bodies of all pushes, in order.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().bodies.clone()
    }

    /// The request lines and headers of all pushes, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.state.lock().unwrap().heads.clone()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).to_lowercase();
        let length: usize = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        let reply = {
            let mut state = state.lock().unwrap();
            state.script.pop_front().or(state.otherwise.clone()).unwrap()
        };
        if matches!(reply, Reply::Cut) {
            return;
        }
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        let Some(answer) = answer(&reply, &body, head, &mut state.lock().unwrap()) else {
            return;
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Does what the reply says; none to close the connection.
fn answer(reply: &Reply, body: &[u8], head: String, state: &mut State) -> Option<String> {
    state.bodies.push(body.to_vec());
    state.heads.push(head);
    let (status, headers, text) = match reply {
        Reply::Refuse(status, headers, text) => (*status, *headers, *text),
        Reply::Store => keep(body, "\0never", state),
        Reply::StoreAndCut => {
            keep(body, "\0never", state);
            return None;
        }
        Reply::RefuseLinesWith(bad) => keep(body, bad, state),
        Reply::Cut => return None,
    };
    Some(format!("HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n{text}", text.len()))
}

fn keep(body: &[u8], bad: &str, state: &mut State) -> (u16, &'static str, &'static str) {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let request = PushRequest::decode(&plain[..]).unwrap();
    let [stream] = &request.streams[..] else {
        return (400, "", "one stream a push, please");
    };
    let mut refused = false;
    for entry in &stream.entries {
        if entry.line.contains(bad) {
            refused = true;
            continue;
        }
        let time = entry.timestamp.clone().unwrap();
        state.kept.insert((stream.labels.clone(), time.seconds * 1_000_000_000 + i64::from(time.nanos), entry.line.clone()));
    }
    if refused { (400, "", "max entry size exceeded") } else { (204, "", "") }
}
