//! Objects that a fenced writer left in a store that keeps everything.
//!
//! They stand beside the objects that a commit names, under the same first index but with another hash. Whoever starts next finds those of
//! the last days and has the ledger report them, so that a verifier can tell them from what was slipped in. Only names are listed;
//! a commit is read where two segments claim one beginning.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_ledger::{Commit, VerifyingKey};
use tachograph_record::Time;

use super::store::{Store, StoreError};
use super::{MAX_NOTE_BYTES, Tail, paths};

/// Days before that of the newest commit that are looked through.
const DAYS: u64 = 2;
const DAY_NANOS: u64 = 24 * 3600 * 1_000_000_000;

/// Objects before the archive's end that no commit names.
pub(super) fn find(store: &dyn Store, key: &VerifyingKey, tail: &Tail) -> Result<Vec<String>, StoreError> {
    let Some(since) = tail.objects.iter().find_map(|path| since(path)) else { return Ok(Vec::new()) };
    let mut found = store.list_after(paths::LEAVES, &format!("{}{since}", paths::LEAVES))?;
    for class in store.folders(paths::RECORDS)? {
        found.extend(store.list_after(&class, &format!("{class}{since}"))?);
    }
    let mut by_first: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for path in found {
        if let Some(first) = paths::first_of(&path).filter(|first| *first < tail.size) {
            by_first.entry(first).or_default().push(path);
        }
    }
    let Some(lowest) = by_first.keys().next() else { return Ok(Vec::new()) };
    // Everything behind a path is listed, so one that is a little smaller begins with it.
    let before = paths::commit(*lowest);
    let commits = store.list_after(paths::COMMITS, &before[..before.len() - 1])?;
    let begins: BTreeSet<u64> = commits.iter().filter_map(|path| paths::number_of(path, paths::COMMITS)).collect();
    let mut strays = Vec::new();
    for (first, claimed) in by_first {
        let segments = claimed.iter().filter(|path| path.starts_with(paths::LEAVES)).count();
        if !begins.contains(&first) {
            strays.extend(claimed);
        } else if segments > 1 {
            strays.extend(unnamed(store, key, first, claimed)?);
        }
    }
    Ok(strays)
}

/// The part of a path that comes right before the days that are looked through.
fn since(path: &str) -> Option<String> {
    let day = path.split('/').find_map(|part| part.strip_prefix("day="))?;
    let newest = Time::parse(&format!("{day}T00:00:00.000000000Z")).ok()?;
    let since = Time::from_unix_nanos(newest.unix_nanos().saturating_sub(DAYS * DAY_NANOS)).ok()?;
    Some(format!("day={}", since.day()))
}

fn unnamed(store: &dyn Store, key: &VerifyingKey, first: u64, claimed: Vec<String>) -> Result<Vec<String>, StoreError> {
    let bytes = store.read(&paths::commit(first), MAX_NOTE_BYTES)?;
    // A commit that is no good is the verifier's business; by it nothing is excused.
    let Ok(commit) = Commit::open(&bytes, key) else { return Ok(Vec::new()) };
    Ok(claimed.into_iter().filter(|path| commit.objects.iter().all(|object| object.path != *path)).collect())
}
