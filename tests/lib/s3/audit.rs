//! An auditor of the tests: from the archive alone, it follows the chain of manifests and holds every object against it.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::sigv4::hex;

/// What an archive holds: keys with their bytes.
pub type Archive = BTreeMap<String, Vec<u8>>;

/// Reads an archive below a folder.
pub fn read_folder(root: &std::path::Path) -> Archive {
    let mut archive = Archive::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let key = path.strip_prefix(root).expect("a path below the root").display().to_string();
                archive.insert(key, std::fs::read(path).expect("a file"));
            }
        }
    }
    archive
}

/// The manifests, in the order of the chain, after everything about them was checked; and all lines, in order.
pub struct Audit {
    pub manifests: Vec<Value>,
    pub lines: Vec<String>,
    pub objects: usize,
    /// Records that stand in gaps instead of objects.
    pub lost: u64,
}

impl Audit {
    pub fn reasons(&self) -> Vec<&str> {
        self.manifests.iter().map(|manifest| manifest["reason"].as_str().expect("a reason")).collect()
    }

    /// From and to of each manifest's period, by the hour and minute.
    pub fn periods(&self) -> Vec<(String, String)> {
        let minute = |time: &Value| time.as_str().expect("a time")[11..16].to_owned();
        self.manifests.iter().map(|manifest| (minute(&manifest["from"]), minute(&manifest["to"]))).collect()
    }
}

/// Checks the chain, the hashes, the arithmetic and that every object is listed once.
pub fn audit(archive: &Archive) -> Audit {
    let mut chain: Vec<(Value, &String, &Vec<u8>)> = Vec::new();
    for (key, bytes) in archive.iter().filter(|(key, _)| key.contains("manifests/v1/")) {
        chain.push((serde_json::from_slice(bytes).expect("JSON"), key, bytes));
    }
    chain.sort_by_key(|(manifest, _, _)| manifest["number"].as_u64());
    let mut listed = BTreeMap::new();
    let (mut lines, mut lost) = (Vec::new(), 0);
    for (at, (manifest, key, bytes)) in chain.iter().enumerate() {
        assert_eq!(manifest["schema"], "flowlog.manifest/1");
        assert_eq!(manifest["number"], at as u64 + 1, "{key}");
        assert_eq!(manifest["key"], key.as_str());
        assert!(bytes.ends_with(b"}\n"));
        match at.checked_sub(1).map(|before| &chain[before]) {
            None => assert_eq!(manifest["previous"], Value::Null),
            Some((before, before_key, before_bytes)) => {
                assert_eq!(manifest["previous"]["key"], before_key.as_str());
                assert_eq!(manifest["previous"]["sha256"], hex(&Sha256::digest(before_bytes)));
                assert_eq!(manifest["from"], before["to"], "periods are without holes");
                if manifest["spool"] == before["spool"] {
                    assert_eq!(manifest["first"], before["next"], "sequence numbers are without holes");
                } else {
                    assert_eq!(manifest["previousSpool"], before["spool"]);
                }
            }
        }
        let number = |value: &Value| value.as_u64().expect("a number");
        let gaps = manifest["gaps"].as_array().expect("gaps").iter().filter_map(|gap| gap["sequences"].as_array());
        let gaps: BTreeMap<u64, u64> = gaps.map(|sequences| (number(&sequences[0]), number(&sequences[1]))).collect();
        // Where the next object begins: behind every gap that follows on.
        let mut behind_gaps = |mut next: u64| {
            while let Some(end) = gaps.get(&next).filter(|end| **end > next) {
                lost += end - next;
                next = *end;
            }
            next
        };
        let mut next = behind_gaps(number(&manifest["first"]));
        for object in manifest["objects"].as_array().expect("objects") {
            let key = object["key"].as_str().expect("a key");
            assert!(listed.insert(key.to_owned(), ()).is_none(), "{key} is listed twice");
            let bytes = archive.get(key).unwrap_or_else(|| panic!("{key} is listed and not there"));
            let plain = zstd::decode_all(bytes.as_slice()).expect("zstd");
            assert_eq!(object["sha256"], hex(&Sha256::digest(bytes)));
            assert_eq!(object["plainSha256"], hex(&Sha256::digest(&plain)));
            assert_eq!((number(&object["bytes"]), number(&object["plainBytes"])), (bytes.len() as u64, plain.len() as u64));
            assert_eq!(number(&object["first"]), next, "{key}");
            assert_eq!(number(&object["records"]), number(&object["last"]) + 1 - number(&object["first"]));
            next = behind_gaps(number(&object["last"]) + 1);
            let text = String::from_utf8(plain).expect("text");
            assert_eq!(text.lines().count() as u64, number(&object["records"]));
            let commit = object["firstCommit"].as_str().expect("a time");
            assert!(key.contains(&format!("/dt={}/hour={}/", &commit[..10], &commit[11..13])), "{key} {commit}");
            assert_eq!(object["lastCommit"].as_str().expect("a time")[..13], commit[..13], "one hour an object");
            lines.extend(text.lines().map(str::to_owned));
        }
        assert_eq!(next, number(&manifest["next"]), "{key}");
    }
    let stored: Vec<&String> = archive.keys().filter(|key| key.contains("flows/v1/")).collect();
    for key in &stored {
        assert!(listed.contains_key(*key), "{key} is there and in no manifest");
    }
    Audit { manifests: chain.into_iter().map(|(manifest, _, _)| manifest).collect(), lines, objects: stored.len(), lost }
}
