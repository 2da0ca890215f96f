//! Objects that a fenced writer left in a store that keeps everything.
//!
//! They stand beside the objects that a commit names, under the same first index but with another hash. Whoever starts next finds them
//! and has the ledger report them, so that a verifier can tell them from what was slipped in.
//!
//! Each start looks at what was written since the one before began, which looked at all that was older: so every name is listed once or
//! twice in the life of an archive, and however long a collector ran, nothing is left out. Where that was, the commits say: each names
//! its writer. Only names are listed, day by day; a commit is read where two segments claim one beginning.

use std::collections::{BTreeMap, BTreeSet};

use tachograph_ledger::{Commit, KeyHistory};
use tachograph_record::Time;

use super::store::{Store, StoreError};
use super::{MAX_NOTE_BYTES, Tail, paths};

/// Records before the archive's end in which the last start's beginning is looked for first.
const RECORDS: u64 = 1 << 10;

/// Days before that which are looked through as well: a fenced writer may wake late, or its clock be slow.
const DAYS: u64 = 2;
const DAY_NANOS: u64 = 24 * 3600 * 1_000_000_000;

/// Objects before the archive's end that no commit names. Nothing is left out if nothing is `known`.
pub(super) fn find(store: &dyn Store, keys: &KeyHistory, tail: &Tail, known: u64) -> Result<Vec<String>, StoreError> {
    let since = if known == 0 { None } else { last_start(store, keys, tail, RECORDS)? };
    find_since(store, keys, tail, since.as_deref())
}

/// The part of a path that names the first day to look at; `None` for all.
///
/// It is that of a commit that another writer than the newest one's wrote.
fn last_start(store: &dyn Store, keys: &KeyHistory, tail: &Tail, records: u64) -> Result<Option<String>, StoreError> {
    let mut back = records;
    while let Some(after) = tail.size.checked_sub(back) {
        let oldest = store.list_after(paths::COMMITS, &paths::commit(after))?.into_iter().next();
        // A commit that is no good is the verifier's business; here it only does not say where to begin.
        if let Some(path) = oldest
            && let Ok(commit) = Commit::open(&store.read(&path, MAX_NOTE_BYTES)?, keys)
            && commit.terms.as_ref().map(|terms| &terms.writer) != tail.writer.as_ref()
        {
            return Ok(commit.objects.iter().find_map(|object| days_before(day_of(&object.path)?)));
        }
        back = back.saturating_mul(2);
    }
    Ok(None)
}

fn find_since(
    store: &dyn Store,
    keys: &KeyHistory,
    tail: &Tail,
    since: Option<&str>,
) -> Result<Vec<String>, StoreError> {
    let mut claims: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let of_archived = |path: &str| paths::first_of(path).filter(|first| *first < tail.size);
    for day in days(store, paths::LEAVES, since)? {
        for path in store.list(&day)? {
            if let Some(first) = of_archived(&path) {
                claims.entry(first).or_default().push(path);
            }
        }
    }
    let Some(lowest) = claims.keys().next() else { return Ok(Vec::new()) };
    // Everything behind a path is listed, so one that is a little smaller begins with it.
    let before = paths::commit(*lowest);
    let commits = store.list_after(paths::COMMITS, &before[..before.len() - 1])?;
    let begins: BTreeSet<u64> = commits.iter().filter_map(|path| paths::number_of(path, paths::COMMITS)).collect();
    claims.retain(|first, leaves| leaves.len() > 1 || !begins.contains(first));
    if claims.is_empty() {
        return Ok(Vec::new());
    }
    // A writer begins with the leaves: where no foreign ones are, nothing else was left.
    for class in store.folders(paths::RECORDS)? {
        for day in days(store, &class, since)? {
            for path in store.list(&day)? {
                if let Some(claimed) = of_archived(&path).and_then(|first| claims.get_mut(&first)) {
                    claimed.push(path);
                }
            }
        }
    }
    let mut strays = Vec::new();
    for (first, claimed) in claims {
        if begins.contains(&first) {
            strays.extend(unnamed(store, keys, first, claimed)?);
        } else {
            strays.extend(claimed);
        }
    }
    Ok(strays)
}

/// The folders of days in a folder, from one on.
fn days(store: &dyn Store, folder: &str, since: Option<&str>) -> Result<Vec<String>, StoreError> {
    let mut days = store.folders(folder)?;
    days.retain(|day| since.is_none_or(|since| day[folder.len()..].trim_end_matches('/') >= since));
    Ok(days)
}

/// The part of a path that names its day.
fn day_of(path: &str) -> Option<&str> {
    path.split('/').find(|part| part.starts_with("day="))
}

/// The same for a day that is a little earlier.
fn days_before(day: &str) -> Option<String> {
    let day = Time::parse(&format!("{}T00:00:00.000000000Z", day.strip_prefix("day=")?)).ok()?;
    let since = Time::from_unix_nanos(day.unix_nanos().saturating_sub(DAYS * DAY_NANOS)).ok()?;
    Some(format!("day={}", since.day()))
}

fn unnamed(store: &dyn Store, keys: &KeyHistory, first: u64, claimed: Vec<String>) -> Result<Vec<String>, StoreError> {
    let bytes = store.read(&paths::commit(first), MAX_NOTE_BYTES)?;
    // By a commit that is no good nothing is excused.
    let Ok(commit) = Commit::open(&bytes, keys) else { return Ok(Vec::new()) };
    Ok(claimed.into_iter().filter(|path| commit.objects.iter().all(|object| object.path != *path)).collect())
}

#[cfg(test)]
mod tests;
