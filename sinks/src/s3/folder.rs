//! An archive on a local file system, with the layout of the bucket: the embedded default, and the way to try things.
//!
//! Immutability is best effort: files are made under their name in one step (never half, never over another), are
//! read-only, and are on disk before they count. Root, and the owner of the folder, can still delete them; that is
//! what Object Lock is for.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::object::Staged;

/// A folder that keeps objects.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The archive below `root`, which is made with the first object.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Stores `staged` as `key`, unless something is there. Returns whether the key now holds exactly these bytes.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep(&self, key: &str, staged: &Staged) -> io::Result<bool> {
        let path = self.root.join(key);
        if path.exists() {
            return Ok(digest(&path)? == staged.sha256);
        }
        let folder = path.parent().unwrap_or(&self.root);
        create_folders(folder)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = folder.join(format!(".{name}.partial"));
        copy(&staged.path, &partial)?;
        let linked = fs::hard_link(&partial, &path);
        fs::remove_file(&partial)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        File::open(folder)?.sync_all()?;
        Ok(digest(&path)? == staged.sha256)
    }

    /// The content of `key`.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn read(&self, key: &str) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(key))
    }

    /// All keys below `folder`; none when it is not there.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.root.join(&folder)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let key = format!("{folder}/{}", name.to_string_lossy());
                if entry.file_type()?.is_dir() {
                    folders.push(key);
                } else if !name.to_string_lossy().starts_with('.') {
                    keys.push(key);
                }
            }
        }
        Ok(keys)
    }

    /// Whether objects could be stored here now.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn check(&self) -> io::Result<()> {
        create_folders(&self.root)?;
        let probe = self.root.join(".flowlog-check");
        OpenOptions::new().write(true).create(true).truncate(true).open(&probe)?;
        fs::remove_file(probe)
    }
}

/// Makes a folder and those above it, each on disk in the one above.
fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(above)?.sync_all()?,
        }
    }
    Ok(())
}

/// Copies to a read-only file that is on disk when this returns.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if let Err(error) = fs::remove_file(to)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o440).open(to)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.set_permissions(Permissions::from_mode(0o440))?;
    file.sync_all()
}

fn digest(path: &Path) -> io::Result<[u8; 32]> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&chunk[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::Hour;
    use super::super::object::Sums;
    use super::*;

    fn staged(folder: &Path, content: &str) -> Staged {
        let sums = Sums { hour: Hour::of(0), first: 1, last: 1, records: 1, plain_bytes: 0, flow_times: (0, 0), commit_times: (0, 0) };
        Staged::write(&folder.join("staged.json"), content.as_bytes(), sums).unwrap()
    }

    #[test]
    fn an_object_is_stored_once_read_only_and_never_over_another() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = Folder::new(scratch.path().join("a/b"));
        archive.check().unwrap();
        let key = "flows/v1/cluster=c/x.jsonl.zst";
        assert!(archive.keep(key, &staged(scratch.path(), "one")).unwrap());
        assert!(archive.keep(key, &staged(scratch.path(), "one")).unwrap(), "the same again is a success");
        assert!(!archive.keep(key, &staged(scratch.path(), "two")).unwrap(), "other bytes are a conflict");
        assert_eq!(archive.read(key).unwrap(), b"one");
        let mode = fs::metadata(archive.root().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o440);
    }

    #[test]
    fn what_a_crash_left_half_written_is_neither_listed_nor_in_the_way() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = Folder::new(scratch.path().join("archive"));
        assert_eq!(archive.list("manifests").unwrap(), Vec::<String>::new());
        fs::create_dir_all(archive.root().join("manifests/dt=1")).unwrap();
        fs::write(archive.root().join("manifests/dt=1/.m.json.partial"), "ha").unwrap();
        assert!(archive.keep("manifests/dt=1/m.json", &staged(scratch.path(), "half")).unwrap());
        assert!(archive.keep("manifests/n.json", &staged(scratch.path(), "n")).unwrap());
        let mut keys = archive.list("manifests").unwrap();
        keys.sort();
        assert_eq!(keys, ["manifests/dt=1/m.json", "manifests/n.json"]);
    }
}
