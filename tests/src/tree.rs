//! Directories as a whole: copied, and compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Copies a directory with all that is in it. The copies are writable.
///
/// # Panics
/// If that fails.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    for path in entries(from) {
        let target = to.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else if path.is_file() {
            // A socket is nobody's to copy.
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            fs::write(&target, bytes).unwrap_or_else(|e| panic!("{}: {e}", target.display()));
        }
    }
}

/// Every file below `root`, sorted. A socket is none.
pub fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(directory) = todo.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                todo.push(path);
            } else if path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every file below `root` with its bytes. Two are left out, which a collector may touch before it is refused: `lock`, and the
/// newest log of the duplicate index, which each start writes anew with the same entries.
///
/// # Panics
/// If one can't be read.
pub fn snapshot(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files(root).into_iter().filter(|path| !path.ends_with("lock") && !path.ends_with("dedup/current.log"));
    files.map(|path| (path.clone(), fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))).collect()
}

/// Says which files differ; empty if none does.
pub fn differences(before: &BTreeMap<PathBuf, Vec<u8>>, after: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let gone =
        before.keys().filter(|path| !after.contains_key(*path)).map(|path| format!("{} is gone", path.display()));
    let new = after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("{} is new", path.display()));
    let changed = after.iter().filter(|(path, bytes)| before.get(*path).is_some_and(|old| old != *bytes));
    gone.chain(new).chain(changed.map(|(path, _)| format!("{} has changed", path.display()))).collect()
}

/// Puts `bytes` in the place of whatever was there, read-only or not.
///
/// # Panics
/// If that fails.
pub fn replace(path: &Path, bytes: &[u8]) {
    let _ = fs::remove_file(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).unwrap_or_else(|e| panic!("{}: {e}", parent.display()));
    }
    fs::write(path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let read = fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    read.map(|entry| entry.unwrap_or_else(|e| panic!("{}: {e}", directory.display())).path()).collect()
}
