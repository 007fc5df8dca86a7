//! Uploads to a server that takes its time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use md5::{Digest, Md5};

use super::*;
use crate::s3::object::{Arrived, Open};

const PATIENCE: Duration = Duration::from_millis(300);

/// A server that has read a body only when `PATIENCE` is long over, and never answers a request without one.
fn slow_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || while answer(&stream).is_some() {});
        }
    });
    endpoint
}

fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).map_or(0, |rest| rest.split("\r\n").next().unwrap().parse::<u64>().unwrap());
    let body = match head.split(' ').next().unwrap() {
        "put" => {
            std::thread::sleep(3 * PATIENCE);
            ""
        }
        "post" if head.contains("?uploads") => "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        "post" => "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>",
        _ => {
            std::thread::park();
            return None;
        }
    };
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    stream.write_all(format!("HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).ok()
}

#[tokio::test]
async fn an_upload_may_take_as_long_as_its_size_allows_and_an_answer_may_not() {
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(&credentials, "[default]\naws_access_key_id = k\naws_secret_access_key = s\n").unwrap();
    // Lines that zstd can't make small, so that size alone gives the upload several seconds.
    let lines: Vec<String> = (0_u64..40_000).map(|n| format!("{:x}", Md5::digest(n.to_le_bytes()))).collect();
    let record = |at: usize| Arrived { sequence: at as u64, time: 0, committed: 0, line: lines[at].as_bytes() };
    let mut open = Open::create(&folder.path().join("object"), 3, record(0)).unwrap();
    (1..lines.len()).for_each(|at| open.push(record(at)).unwrap());
    let staged = open.finish().unwrap();
    assert!(staged.bytes / SLOWEST_UPLOAD >= 4, "{} bytes", staged.bytes);
    for single_put_bytes in [u64::MAX, 0] {
        let options = Options {
            endpoint: Some(slow_server()),
            credentials_file: Some(credentials.clone()),
            single_put_bytes,
            ..Options::new("s3://b")
        };
        let bucket = Bucket::with_patience(&options, "b", PATIENCE).unwrap();
        bucket.create("key", &staged, None, false).await.unwrap();
        assert_eq!(bucket.find("key").await.unwrap_err().kind, Kind::Unknown);
    }
}
