//! Who gives out credentials, for the tests: an OpenID provider that a real MinIO trusts, MinIO's own STS, and the metadata service of an instance.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde_json::{Value, json};

use super::client::elements;
use super::http::{self, Message};

/// The name under which MinIO knows us at the provider.
const CLIENT: &str = "flowlog";

/// Answers each request with what `answer` makes of it: status and body.
fn serve(answer: impl Fn(&Message) -> (u16, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                while let Some(request) = http::read(&mut stream, false) {
                    let (status, body) = answer(&request);
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                    if stream.get_mut().write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// An OpenID provider. It ends with the test program.
pub struct Provider {
    folder: PathBuf,
    address: String,
}

impl Provider {
    /// Starts one that keeps its key in a folder.
    pub fn start(folder: &Path) -> Provider {
        let key = folder.join("provider.key");
        openssl(&["genrsa", "-out", &key.display().to_string(), "2048"], None);
        let modulus = openssl(&["rsa", "-in", &key.display().to_string(), "-noout", "-modulus"], None);
        let modulus = String::from_utf8(modulus).expect("text");
        let digits = modulus.trim().trim_start_matches("Modulus=");
        let number = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
        let modulus: Vec<u8> = (0..digits.len()).step_by(2).map(number).collect();
        let key = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": BASE64.encode(modulus), "e": "AQAB"});
        let keys = json!({"keys": [key]}).to_string();
        let address = serve(move |request| {
            let path = request.first.split(' ').nth(1).unwrap_or_default();
            let host = format!("http://{}", request.header("host").unwrap_or_default());
            match path {
                "/.well-known/openid-configuration" => {
                    let (authorize, keys) = (format!("{host}/authorize"), format!("{host}/keys"));
                    let about = json!({"issuer": host, "authorization_endpoint": authorize, "token_endpoint": authorize, "jwks_uri": keys,
                        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"], "scopes_supported": ["openid"]});
                    (200, about.to_string())
                }
                "/keys" => (200, keys.clone()),
                _ => (404, String::new()),
            }
        });
        Provider { folder: folder.to_owned(), address }
    }

    /// What MinIO has to be started with to trust it. A token's `policy` says what its bearer may do.
    pub fn environment(&self) -> [(&'static str, String); 2] {
        let configuration = format!("{}/.well-known/openid-configuration", self.address);
        [("MINIO_IDENTITY_OPENID_CONFIG_URL", configuration), ("MINIO_IDENTITY_OPENID_CLIENT_ID", CLIENT.to_owned())]
    }

    /// A token that ends that many seconds from now; negative for one that has ended.
    pub fn token(&self, seconds: i64) -> String {
        let now = jiff::Timestamp::now().as_second();
        let head = json!({"alg": "RS256", "kid": "k", "typ": "JWT"});
        let claims = json!({"iss": self.address, "sub": format!("node-{now}-{seconds}"), "aud": CLIENT, "iat": now - 60, "exp": now + seconds,
            "policy": "readwrite"});
        let text = format!("{}.{}", BASE64.encode(head.to_string()), BASE64.encode(claims.to_string()));
        let key = self.folder.join("provider.key").display().to_string();
        let signature = openssl(&["dgst", "-sha256", "-sign", &key], Some(text.as_bytes()));
        format!("{text}.{}", BASE64.encode(signature))
    }
}

fn openssl(arguments: &[&str], input: Option<&[u8]>) -> Vec<u8> {
    use std::process::Stdio;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("its input").write_all(input.unwrap_or_default()).expect("input");
    let output = child.wait_with_output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

/// Temporary credentials.
#[derive(Clone, Debug)]
pub struct Session {
    id: String,
    secret: String,
    token: String,
    ends: String,
}

impl Session {
    /// Those that MinIO's STS gives for a token; they end with the token.
    pub fn of(port: u16, token: &str) -> Session {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let query = format!("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&WebIdentityToken={token}");
        write!(stream, "POST /?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .expect("a request");
        let answer = http::read(&mut BufReader::new(stream), false).expect("an answer");
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let text = answer.text();
        let one = |name: &str| elements(&text, name).remove(0);
        Session { id: one("AccessKeyId"), secret: one("SecretAccessKey"), token: one("SessionToken"), ends: one("Expiration") }
    }
}

/// An instance's metadata service, version 2 only. It ends with the test program.
pub struct Metadata {
    /// `http://127.0.0.1:port`.
    pub address: String,
    state: Arc<Mutex<State>>,
}

/// What it gives out and was asked.
pub struct State {
    /// The role's credentials.
    pub session: Session,
    /// How often they were fetched.
    pub fetched: usize,
    tokens: VecDeque<String>,
}

impl Metadata {
    /// Starts one with a role of these credentials.
    pub fn start(session: Session) -> Metadata {
        let state = Arc::new(Mutex::new(State { session, fetched: 0, tokens: VecDeque::new() }));
        let shared = Arc::clone(&state);
        let address = serve(move |request| {
            let mut state = shared.lock().expect("its state");
            let mut words = request.first.split(' ');
            let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            if (method, path) == ("PUT", "/latest/api/token") {
                if request.header("x-aws-ec2-metadata-token-ttl-seconds").is_none() {
                    return (400, String::new());
                }
                let token = format!("token-{}", state.tokens.len());
                state.tokens.push_back(token.clone());
                return (200, token);
            }
            let token = request.header("x-aws-ec2-metadata-token").unwrap_or_default();
            if !state.tokens.iter().any(|known| known == token) {
                return (401, String::new());
            }
            match (method, path.trim_start_matches("/latest/meta-data/iam/security-credentials/")) {
                ("GET", "") => (200, "node-role".to_owned()),
                ("GET", "node-role") => {
                    state.fetched += 1;
                    (200, state.session.credentials().to_string())
                }
                _ => (404, String::new()),
            }
        });
        Metadata { address, state }
    }

    /// Its state, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("its state")
    }
}

impl Session {
    fn credentials(&self) -> Value {
        json!({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", "AccessKeyId": self.id,
            "SecretAccessKey": self.secret, "Token": self.token, "Expiration": self.ends})
    }
}
