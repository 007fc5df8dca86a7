//! Where the daemon's credentials may come from, each against a real MinIO; what is changed, renewed or has ended while it runs needs no restart.

use std::path::Path;
use std::time::Duration;

use flowlog_tests::daemon::Daemon;
use flowlog_tests::flows::numbered;
use flowlog_tests::s3::client::Client;
use flowlog_tests::s3::identity::{Metadata, Provider, Session};
use flowlog_tests::service::Service;

use crate::locked::client;

/// Everything of the environment that could name credentials is taken away first.
const NOTHING: [&str; 12] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_METADATA_ENDPOINT",
];

/// A daemon with an S3 sink and this environment, and the lines it was given.
struct Delivering {
    daemon: Daemon,
    written: u64,
}

impl Delivering {
    fn start(endpoint: &str, bucket: &str, tls: &str, environment: &[(&str, &str)]) -> Delivering {
        let daemon = Daemon::following(&format!(
            "flowLogs:\n  - {{name: all, window: 0s, sinks: [archive]}}\n\
             sinks:\n  archive: {{type: s3, url: \"s3://{bucket}/flows\", endpoint: \"{endpoint}\", batch: {{maxAge: 200ms}}, \
             retention: {{mode: GOVERNANCE, days: 1}}{tls}}}\n"
        ));
        let mut words: Vec<String> = vec!["env".to_owned()];
        words.extend(NOTHING.iter().flat_map(|name| ["-u".to_owned(), (*name).to_owned()]));
        words.push(format!("HOME={}", daemon.path("").display()));
        words.extend(environment.iter().map(|(name, value)| format!("{name}={value}")));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Delivering { daemon: daemon.through(&words).started(), written: 0 }
    }

    fn feed(&mut self) {
        use std::io::Write;
        let text: String = (self.written..self.written + 100).map(|number| numbered(number) + "\n").collect();
        let mut input = std::fs::File::options().append(true).open(self.daemon.path("flows.jsonl")).expect("the input");
        input.write_all(text.as_bytes()).expect("lines");
        self.written += 100;
        let written = self.written;
        self.daemon.wait("the lines", |daemon| daemon.metrics().sum("flowlog_lines_total", &[]) >= written);
    }

    fn arrives(&self) {
        self.daemon.wait("the bucket", |daemon| {
            let metrics = daemon.metrics();
            metrics.sum("flowlog_sink_lag_records", &[]) == 0 && metrics.sum("flowlog_sink_records_sent_total", &[]) == self.written
        });
    }

    /// Waits until the status says this, and nothing arrives meanwhile.
    fn says(&self, what: &str) {
        self.daemon
            .wait(what, |daemon| daemon.flowlog_status().0.contains(what) && daemon.metrics().sum("flowlog_sink_lag_records", &[]) == 100);
    }
}

/// Fails unless the bucket holds so many lines, each once.
fn assert_holds(client: &Client, bucket: &str, lines: u64) {
    let mut found = Vec::new();
    for key in client.keys(bucket, "flows/flows/v1") {
        let text = zstd::decode_all(client.get(bucket, &key).as_slice()).expect("zstd");
        let line = |line: &str| serde_json::from_str(line).ok().and_then(|line| flowlog_tests::flows::number_of(&line));
        found.extend(String::from_utf8(text).expect("UTF-8").lines().filter_map(line));
    }
    found.sort_unstable();
    assert!(found.iter().copied().eq(0..lines), "{} lines in the bucket, {lines} were given", found.len());
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    std::fs::write(path.with_extension("new"), text).expect("a file");
    std::fs::rename(path.with_extension("new"), path).expect("a rename");
}

#[test]
fn the_environment_and_the_shared_file_are_taken_and_a_mended_file_needs_no_restart() {
    let minio = Service::start("minio");
    let (endpoint, id, secret) = (minio.value("S3_ENDPOINT"), minio.value("S3_KEY"), minio.value("S3_SECRET"));
    let client = client(&minio);
    client.make_bucket("environment", true);
    let environment = [("AWS_ACCESS_KEY_ID", id.as_str()), ("AWS_SECRET_ACCESS_KEY", &secret)];
    let mut delivering = Delivering::start(&endpoint, "environment", "", &environment);
    delivering.feed();
    delivering.arrives();
    assert_holds(&client, "environment", delivering.written);

    client.make_bucket("profile", true);
    let mut delivering = Delivering::start(&endpoint, "profile", "", &[("AWS_PROFILE", "audit")]);
    delivering.feed();
    delivering.says(".aws/credentials can't be read");
    let file = delivering.daemon.path(".aws/credentials");
    write(&file, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n");
    delivering.says("in its section [audit] (AWS_PROFILE)");
    write(&file, &format!("[audit]\naws_access_key_id = {id}\naws_secret_access_key = wrong\n"));
    delivering.says("check key, secret and region");
    write(&file, &format!("[audit]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
    delivering.arrives();
    assert_holds(&client, "profile", delivering.written);
}

#[test]
fn an_instances_role_is_fetched_again_and_one_that_has_ended_fails_closed_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let provider = Provider::start(folder.path());
    let environment = provider.environment();
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let minio = Service::start_with("minio", &[], &environment);
    let client = client(&minio);
    client.make_bucket("role", true);
    const LASTS: i64 = 12;
    let metadata = Metadata::start(Session::of(minio.port(), &provider.token(LASTS)));
    let address = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.address.as_str())];
    let mut delivering = Delivering::start(&minio.value("S3_ENDPOINT"), "role", "", &address);
    delivering.feed();
    delivering.arrives();
    let fetched = metadata.state().fetched;
    assert!(fetched > 0);
    // The service goes on giving out what has ended.
    std::thread::sleep(Duration::from_secs(LASTS as u64 + 1));
    delivering.feed();
    delivering.says("have expired");
    metadata.state().session = Session::of(minio.port(), &provider.token(600));
    delivering.arrives();
    assert!(metadata.state().fetched > fetched, "fetched again");
    assert_holds(&client, "role", delivering.written);
}

#[test]
fn a_web_identity_is_exchanged_at_a_private_sts_and_a_renewed_token_is_read_without_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    crate::tls::certificates(folder.path());
    let provider = Provider::start(folder.path());
    let mut environment = provider.environment().map(|(name, value)| (name, value)).to_vec();
    environment.push(("MINIO_CERTS", folder.path().display().to_string()));
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let minio = Service::start_with("minio", &[], &environment);
    let (endpoint, token) = (minio.value("S3_ENDPOINT"), folder.path().join("token"));
    write(&token, &provider.token(-60));
    let path = token.display().to_string();
    let environment =
        [("AWS_WEB_IDENTITY_TOKEN_FILE", path.as_str()), ("AWS_ROLE_ARN", "arn:aws:iam::1:role/node"), ("AWS_ENDPOINT_URL_STS", &endpoint)];
    let tls = format!(", tls: {{caFile: {}}}", folder.path().join("ca.pem").display());
    let mut delivering = Delivering::start(&endpoint, "web-identity", &tls, &environment);
    delivering.feed();
    delivering.says("check that the token in AWS_WEB_IDENTITY_TOKEN_FILE is renewed");
    write(&token, &provider.token(600));
    delivering.says("create the bucket");
}

#[test]
fn no_credentials_anywhere_is_said_with_what_to_do() {
    let minio = Service::start("minio");
    let mut delivering =
        Delivering::start(&minio.value("S3_ENDPOINT"), "nobody", "", &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:9")]);
    delivering.feed();
    delivering.says("no credentials were found: name a file in credentialsFile");
}
