//! HTTP/1.1 on blocking sockets, as much as an S3 server and client for tests need: one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A request or an answer: its first line, headers with lower-case names, and body.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// `PUT /bucket/key?query HTTP/1.1` or `HTTP/1.1 200 OK`.
    pub first: String,
    /// In the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The status of an answer.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads one message; `None` when the other side has closed. `bodiless` is for answers to HEAD.
pub fn read(stream: &mut BufReader<TcpStream>, bodiless: bool) -> Option<Message> {
    let mut message = Message { first: line(stream)?, ..Message::default() };
    loop {
        let line = line(stream)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        message.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    if message.header("expect") == Some("100-continue") {
        stream.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    if bodiless {
        return Some(message);
    }
    if message.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(line(stream)?.trim(), 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).ok()?;
            line(stream)?;
            if size == 0 {
                return Some(message);
            }
            message.body.extend(chunk);
        }
    }
    match message.header("content-length").map(str::parse) {
        Some(length) => {
            message.body = vec![0; length.ok()?];
            stream.read_exact(&mut message.body).ok()?;
        }
        None if message.first.starts_with("HTTP/") => {
            stream.read_to_end(&mut message.body).ok()?;
        }
        None => {}
    }
    Some(message)
}

fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}
