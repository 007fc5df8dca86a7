//! TLS to a real server: a certificate nobody trusts is refused with advice, one of the configured issuer is taken.

use std::path::Path;
use std::process::Command;

use flowlog_tests::service::{Service, binaries};
use flowlog_tests::skip::skip;

use crate::shared::Place;

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(folder).args(arguments).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes `ca.pem`, and `public.crt` and `private.key` for 127.0.0.1.
pub fn certificates(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let issuer = ["req", "-x509", "-days", "2", "-subj", "/CN=test issuer", "-keyout", "ca.key", "-out", "ca.pem"];
    openssl(folder, &[&issuer[..], &key].concat());
    let request = ["req", "-subj", "/CN=minio", "-keyout", "private.key", "-out", "minio.csr"];
    openssl(folder, &[&request[..], &key].concat());
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1").expect("a file");
    let sign = ["x509", "-req", "-days", "2", "-in", "minio.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(folder, &[&sign[..], &["-extfile", "names", "-out", "public.crt"]].concat());
}

#[test]
fn an_unknown_issuer_is_refused_with_advice_and_a_configured_one_is_trusted() {
    if !binaries().join("minio").exists() {
        let test = "tls::an_unknown_issuer_is_refused_with_advice_and_a_configured_one_is_trusted";
        return skip(test, "minio is not built", "tests/services/build minio");
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    certificates(folder.path());
    let certs = folder.path().display().to_string();
    let server = Service::start_with("minio", &[], &[("MINIO_CERTS", &certs)]);
    let endpoint = server.value("S3_ENDPOINT");
    assert!(endpoint.starts_with("https://"));
    let mut place = Place::new(&endpoint, "missing", &server.value("S3_KEY"), &server.value("S3_SECRET"));
    let refused = |place: &Place| place.keep(&place.store(), 1, &["one"]).expect_err("a refusal").to_string();
    let failure = refused(&place);
    assert!(failure.contains("tls.caFile"), "{failure}");
    place.options.tls.ca_file = Some(folder.path().join("ca.pem"));
    let failure = refused(&place);
    assert!(failure.contains("create the bucket"), "the server was asked: {failure}");
}
