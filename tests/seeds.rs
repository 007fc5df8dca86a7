//! The seeds of every fuzz target, run through the very functions that `tools/fuzz` feeds. Every input that once found something is among
//! them, so what was mended stays so.

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut entries: Vec<PathBuf> = read.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

#[test]
fn every_target_has_seeds_and_every_folder_of_seeds_a_target() {
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let with_seeds: BTreeSet<String> = entries(&folder()).iter().filter(|folder| !entries(folder).is_empty()).map(name).collect();
    let targets: BTreeSet<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(with_seeds, targets);
}

#[test]
fn what_every_target_promises_holds_for_every_seed() {
    let mut failed = Vec::new();
    for (name, run) in targets::TARGETS {
        for seed in entries(&folder().join(name)) {
            let input = std::fs::read(&seed).unwrap();
            if std::panic::catch_unwind(|| run(&input)).is_err() {
                failed.push(seed);
            }
        }
    }
    assert!(failed.is_empty(), "what these find stands above: {failed:#?}");
}
