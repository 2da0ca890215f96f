//! Replays every seed in its target, and keeps the list of targets, their files and their seeds in step.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tachograph_fuzz::TARGETS;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn stems(folder: &Path) -> BTreeSet<String> {
    entries(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_seed_passes_its_target() {
    for (name, target) in TARGETS {
        for seed in entries(&folder("corpus").join(name)) {
            let bytes = std::fs::read(&seed).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "target {name} fails on {}", seed.display());
        }
    }
}

#[test]
fn every_target_has_a_file_a_line_and_seeds() {
    let listed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut files = stems(&folder("src/targets"));
    assert!(files.remove("mod"));
    assert_eq!(listed, files, "TARGETS in src/lib.rs and the files in src/targets");
    assert_eq!(listed, stems(&folder("corpus")), "TARGETS in src/lib.rs and the folders in corpus");
    for name in &listed {
        assert!(!entries(&folder("corpus").join(name)).is_empty(), "target {name} has no seed");
    }
}

#[test]
fn a_name_finds_its_target_and_nothing_else() {
    assert!(tachograph_fuzz::find("leaf").is_some());
    assert!(tachograph_fuzz::find("no such target").is_none());
}
