//! AWS Signature Version 4 for S3, written from the documentation and independent of `object_store`: the server checks
//! with it, the tests' own client signs with it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Who signs.
#[derive(Clone, Debug)]
pub struct Key {
    /// The access key's id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

/// What is signed.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// GET, PUT …
    pub method: &'a str,
    /// The path as on the wire, encoded.
    pub path: &'a str,
    /// The query as on the wire, encoded, without `X-Amz-Signature`.
    pub query: &'a str,
    /// Names (lower case, sorted) and values of the signed headers.
    pub headers: &'a [(String, String)],
    /// `x-amz-content-sha256`, or `UNSIGNED-PAYLOAD`.
    pub payload: &'a str,
    /// `20261121T120000Z`.
    pub time: &'a str,
    /// The region.
    pub region: &'a str,
}

impl Signed<'_> {
    /// The signature, hexadecimal.
    pub fn signature(&self, secret: &str) -> String {
        let mut pairs: Vec<String> = self
            .query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") })
            .collect();
        pairs.sort();
        let mut headers = String::new();
        for (name, value) in self.headers {
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(headers, "{name}:{value}");
        }
        let names = self.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";");
        let request = format!("{}\n{}\n{}\n{headers}\n{names}\n{}", self.method, self.path, pairs.join("&"), self.payload);
        let day = &self.time[..8];
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.time, hex(&Sha256::digest(request)));
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), day.as_bytes());
        for part in [self.region, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        hex(&hmac(&key, text.as_bytes()))
    }
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS's published example "GET Object" (Signature Calculations for the Authorization Header).
    #[test]
    fn the_published_example_is_signed_alike() {
        let empty = hex(&Sha256::digest(""));
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", &empty),
            ("x-amz-date", "20130524T000000Z"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let signed = Signed {
            method: "GET",
            path: "/test.txt",
            query: "",
            headers: &headers,
            payload: &empty,
            time: "20130524T000000Z",
            region: "us-east-1",
        };
        assert_eq!(
            signed.signature("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
    }
}
