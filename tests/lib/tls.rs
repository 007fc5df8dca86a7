//! Certificates made on the spot, and TLS in front of a plain server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::service::services;

/// An authority and what it signs, in a folder.
pub struct Authority {
    folder: PathBuf,
    name: String,
}

impl Authority {
    /// Makes one.
    pub fn new(folder: &Path, name: &str) -> Authority {
        let authority = Authority { folder: folder.to_owned(), name: name.to_owned() };
        let subject = format!("/CN={name}");
        openssl(
            folder,
            &[
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                &subject,
                "-keyout",
                &authority.file("key"),
                "-out",
                &authority.file("pem"),
            ],
        );
        authority
    }

    /// One whose certificate and key stand in a folder already, as `NAME.pem` and `NAME.key`.
    pub fn of(folder: &Path, name: &str) -> Authority {
        Authority { folder: folder.to_owned(), name: name.to_owned() }
    }

    /// Its certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(self.file("pem"))
    }

    /// A certificate of this name and its key, signed by the authority.
    pub fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let file = |ending: &str| format!("{}-{name}.{ending}", self.name);
        let (subject, names) = (format!("/CN={name}"), format!("subjectAltName=DNS:{name}"));
        openssl(&self.folder, &["req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &file("key"), "-out", &file("csr")]);
        std::fs::write(self.folder.join(file("ext")), names).expect("a file of extensions");
        let by = [self.file("pem"), self.file("key")];
        openssl(
            &self.folder,
            &[
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                &file("csr"),
                "-CA",
                &by[0],
                "-CAkey",
                &by[1],
                "-CAcreateserial",
                "-extfile",
                &file("ext"),
                "-out",
                &file("pem"),
            ],
        );
        (self.folder.join(file("pem")), self.folder.join(file("key")))
    }

    fn file(&self, ending: &str) -> String {
        format!("{}.{ending}", self.name)
    }
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// TLS in front of a server; ends when dropped.
pub struct Front {
    child: Child,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl Front {
    /// Starts it, with a certificate and its key, in front of `backend`. Only clients of `clients` get through.
    pub fn start(certificate: &(PathBuf, PathBuf), clients: &Authority, backend: u16) -> Front {
        let mut command = Command::new(services().join("tls_front.py"));
        command.arg(&certificate.0).arg(&certificate.1).arg(clients.certificate()).arg(backend.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its standard output");
        BufReader::new(stdout).read_line(&mut line).expect("its port");
        Front { child, port: line.trim().parse().expect("a port") }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
