//! An object before it goes out: records packed to a file on disk while their hashes and sums are taken, with memory
//! bounded by one frame.
//!
//! The file is scratch: after a crash it is made again from the spool. What must survive is the cut (which records, and
//! the SHA-256 of their lines), and that is the caller's to store before the first byte goes out.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use md5::Md5;
use sha2::{Digest, Sha256};

use super::{key::Hour, seekable::Packer};

/// An object that takes records.
pub struct Open {
    path: PathBuf,
    packer: Packer<Hashed>,
    plain: Sha256,
    sums: Sums,
}

/// What an object holds, apart from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// The hour of all its records' commits.
    pub hour: Hour,
    /// Sequence number of the first record.
    pub first: u64,
    /// Sequence number of the last record.
    pub last: u64,
    /// Records; equals `last - first + 1` unless numbers are missing in between.
    pub records: u64,
    /// Bytes of the lines with their newlines.
    pub plain_bytes: u64,
    /// Least and greatest flow time, Unix nanoseconds.
    pub flow_times: (i64, i64),
    /// Time of the first and the last commit, Unix nanoseconds.
    pub commit_times: (i64, i64),
}

/// A finished object on disk, ready to be sent any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Where the packed bytes lie.
    pub path: PathBuf,
    /// What it holds.
    pub sums: Sums,
    /// Packed bytes.
    pub bytes: u64,
    /// SHA-256 of the packed bytes.
    pub sha256: [u8; 32],
    /// MD5 of the packed bytes, for servers that want `Content-MD5` on locked puts.
    pub md5: [u8; 16],
    /// SHA-256 of the lines with their newlines; decides equality across zstd versions.
    pub plain_sha256: [u8; 32],
}

impl Open {
    /// Starts an object at `path` with its first record; a file left there by a crash is overwritten.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn create(path: &Path, level: i32, record: Arrived<'_>) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let hashed = Hashed { file: BufWriter::with_capacity(1 << 18, file), sha256: Sha256::new(), md5: Md5::new(), bytes: 0 };
        let sums = Sums {
            hour: Hour::of(record.committed),
            first: record.sequence,
            last: record.sequence,
            records: 0,
            plain_bytes: 0,
            flow_times: (record.time, record.time),
            commit_times: (record.committed, record.committed),
        };
        let mut open = Self { path: path.to_owned(), packer: Packer::new(hashed, level)?, plain: Sha256::new(), sums };
        open.push(record)?;
        Ok(open)
    }

    /// Adds a record. The caller keeps to the order of sequence numbers and to one hour.
    ///
    /// # Errors
    /// Those of the disk; the object is then useless and is made again.
    pub fn push(&mut self, record: Arrived<'_>) -> io::Result<()> {
        self.packer.line(record.line)?;
        self.plain.update(record.line);
        self.plain.update(b"\n");
        let sums = &mut self.sums;
        sums.last = record.sequence;
        sums.records += 1;
        sums.plain_bytes += record.line.len() as u64 + 1;
        sums.flow_times = (sums.flow_times.0.min(record.time), sums.flow_times.1.max(record.time));
        sums.commit_times.1 = record.committed;
        Ok(())
    }

    /// What it holds so far.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Packed bytes so far, plus what waits unpacked in the open frame: never less than the final size would be now.
    pub fn bytes(&self) -> u64 {
        self.packer.written() + self.packer.pending() as u64
    }

    /// Finishes the file. It is not synced: after a crash it is made again.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn finish(self) -> io::Result<Staged> {
        let (mut hashed, _frames) = self.packer.finish()?;
        hashed.flush()?;
        Ok(Staged {
            path: self.path,
            sums: self.sums,
            bytes: hashed.bytes,
            sha256: hashed.sha256.finalize().into(),
            md5: hashed.md5.finalize().into(),
            plain_sha256: self.plain.finalize().into(),
        })
    }
}

impl Staged {
    /// A small object that is bytes in memory, written to `path` to be sent like any other.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(path: &Path, content: &[u8], sums: Sums) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(content)?;
        let sha256: [u8; 32] = Sha256::digest(content).into();
        Ok(Self {
            path: path.to_owned(),
            sums,
            bytes: content.len() as u64,
            sha256,
            md5: Md5::digest(content).into(),
            plain_sha256: sha256,
        })
    }

    /// Removes the file; one that is gone already is no error worth a word.
    pub fn discard(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "A sent object's staging file could not be removed.");
        }
    }
}

/// A record as it comes from the spool.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Its sequence number.
    pub sequence: u64,
    /// Its flow's time, Unix nanoseconds.
    pub time: i64,
    /// Its commit's time, Unix nanoseconds.
    pub committed: i64,
    /// The line, without newline.
    pub line: &'a [u8],
}

/// A file that hashes what is written to it.
struct Hashed {
    file: BufWriter<File>,
    sha256: Sha256,
    md5: Md5,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha256.update(&bytes[..written]);
        self.md5.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64, line: &str) -> Arrived<'_> {
        let sequence_time = i64::try_from(sequence).unwrap();
        Arrived { sequence, time: 1000 - sequence_time, committed: 5000 + sequence_time, line: line.as_bytes() }
    }

    fn stage(path: &Path) -> Staged {
        let mut open = Open::create(path, 3, record(7, "{\"a\":1}")).unwrap();
        open.push(record(8, "{\"a\":2}")).unwrap();
        open.push(record(9, "")).unwrap();
        open.finish().unwrap()
    }

    #[test]
    fn a_staged_object_says_exactly_what_is_in_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let staged = stage(&folder.path().join("object"));
        let bytes = fs::read(&staged.path).unwrap();
        let plain = zstd::decode_all(bytes.as_slice()).unwrap();
        assert_eq!(plain, b"{\"a\":1}\n{\"a\":2}\n\n");
        assert_eq!(staged.bytes, bytes.len() as u64);
        assert_eq!(staged.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)));
        assert_eq!(staged.md5, <[u8; 16]>::from(Md5::digest(&bytes)));
        assert_eq!(staged.plain_sha256, <[u8; 32]>::from(Sha256::digest(&plain)));
        let sums = Sums {
            hour: Hour::of(5007),
            first: 7,
            last: 9,
            records: 3,
            plain_bytes: 17,
            flow_times: (991, 993),
            commit_times: (5007, 5009),
        };
        assert_eq!(staged.sums, sums);
    }

    #[test]
    fn staging_again_over_what_a_crash_left_gives_the_same_object() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("object");
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        let first = stage(&path);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(stage(&path), first);
        assert_eq!(fs::read(&path).unwrap(), bytes);
        first.discard();
        first.discard();
        assert!(!path.exists());
    }
}
