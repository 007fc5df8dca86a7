//! A client for S3 servers that is none of the sink's code: the auditor and the attacker of the tests.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use sha2::{Digest, Sha256};

use super::http::{self, Message};
use super::sigv4::{Key, Signed, hex};

/// Talks to one server, with a connection a request.
#[derive(Clone, Debug)]
pub struct Client {
    host: String,
    key: Key,
}

impl Client {
    /// For the server at `endpoint` (`http://host:port`).
    pub fn new(endpoint: &str, id: &str, secret: &str) -> Client {
        let host = endpoint.trim_start_matches("http://").to_owned();
        Client { host, key: Key { id: id.to_owned(), secret: secret.to_owned() } }
    }

    /// Sends a signed request. `path` and `query` are encoded as on the wire.
    pub fn request(&self, method: &str, path: &str, query: &str, headers: &[(&str, &str)], body: &[u8]) -> Message {
        let time = now();
        let payload = hex(&Sha256::digest(body));
        let mut all: Vec<(String, String)> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        all.push(("host".into(), self.host.clone()));
        all.push(("x-amz-content-sha256".into(), payload.clone()));
        all.push(("x-amz-date".into(), time.clone()));
        all.sort();
        let signed = Signed { method, path, query, headers: &all, payload: &payload, time: &time, region: "us-east-1" };
        let names = all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}/us-east-1/s3/aws4_request, SignedHeaders={names}, Signature={}",
            self.key.id,
            &time[..8],
            signed.signature(&self.key.secret)
        );
        let mut stream = TcpStream::connect(&self.host).expect("a connection to the S3 server");
        let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let mut head = format!("{method} {target} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        all.push(("authorization".into(), authorization));
        for (name, value) in &all {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("a request");
        stream.write_all(body).expect("a body");
        http::read(&mut BufReader::new(stream), method == "HEAD").expect("an answer")
    }

    /// Makes a bucket with Object Lock, or without.
    pub fn make_bucket(&self, bucket: &str, with_lock: bool) {
        let lock = [("x-amz-bucket-object-lock-enabled", "true")];
        let headers = if with_lock { &lock[..] } else { &[] };
        let mut answer = self.request("PUT", &format!("/{bucket}"), "", headers, b"");
        // MinIO says that it is ready some moments before it takes this.
        for _ in 0..100 {
            if answer.status() != 503 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
            answer = self.request("PUT", &format!("/{bucket}"), "", headers, b"");
        }
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    /// The keys below `prefix`.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let prefix = prefix.replace('/', "%2F").replace('=', "%3D");
        let answer = self.request("GET", &format!("/{bucket}"), &format!("list-type=2&prefix={prefix}"), &[], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        elements(&answer.text(), "Key")
    }

    /// Keys and version ids of all versions; delete markers are not among them.
    pub fn versions(&self, bucket: &str) -> Vec<(String, String)> {
        let answer = self.request("GET", &format!("/{bucket}"), "versions=", &[], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let text = answer.text();
        let versions = elements(&text, "Version");
        versions.iter().map(|one| (elements(one, "Key").remove(0), elements(one, "VersionId").remove(0))).collect()
    }

    /// The content of a key.
    pub fn get(&self, bucket: &str, key: &str) -> Vec<u8> {
        let answer = self.request("GET", &object_path(bucket, key), "", &[], b"");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        answer.body
    }

    /// Headers of the current version of a key.
    pub fn head(&self, bucket: &str, key: &str) -> Message {
        self.request("HEAD", &object_path(bucket, key), "", &[], b"")
    }
}

/// The path of an object on the wire.
pub fn object_path(bucket: &str, key: &str) -> String {
    let mut path = format!("/{bucket}/");
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => path.push(char::from(byte)),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path
}

/// The texts of all elements `name` of an XML answer.
pub fn elements(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(&open).skip(1);
    parts.filter_map(|part| part.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string()
}
