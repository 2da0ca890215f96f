//! The commits in order, and whether the store holds what they name and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tachograph_ledger::{Commit, CommitError, Hash, KeyHistory, Object, ObjectKind, sha256};

use super::collector::Collector;
use super::report::{Axis, Finding};
use crate::archive::store::{ErrorKind, Store, StoreError};
use crate::archive::{MAX_NOTE_BYTES, paths};

const NOT_OURS: &str = "a file that no release writes here";

/// The commits that could be read, by rising first index and without overlap.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) commits: Vec<Commit>,
}

impl History {
    /// Records up to the end of the last commit.
    pub(crate) fn size(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.first + commit.count)
    }

    /// The commit behind which the tree has `size` leaves.
    pub(crate) fn ending_at(&self, size: u64) -> Option<&Commit> {
        let at = self.commits.binary_search_by_key(&size, |commit| commit.first + commit.count).ok()?;
        self.commits.get(at)
    }

    /// The object that a commit names so.
    pub(crate) fn object(&self, path: &str) -> Option<&Object> {
        let first = paths::first_of(path)?;
        let at = self.commits.binary_search_by_key(&first, |commit| commit.first).ok()?;
        self.commits.get(at)?.objects.iter().find(|object| object.path == path)
    }
}

/// Reads all commits that are `listed`.
pub(crate) fn read(store: &dyn Store, listed: &[String], keys: &KeyHistory, collector: &Collector) -> History {
    let mut history = History::default();
    let mut previous = Some(Hash::from_bytes([0; 32]));
    store.read_each(listed, MAX_NOTE_BYTES, &mut |path, bytes| {
        match read_one(path, bytes, keys, collector) {
            None => previous = None,
            Some((commit, hash)) => {
                if place(&commit, path, previous, &history, collector) {
                    history.commits.push(commit);
                    previous = Some(hash);
                }
            }
        }
        ControlFlow::Continue(())
    });
    history
}

fn read_one(
    path: &str,
    bytes: Result<Vec<u8>, StoreError>,
    keys: &KeyHistory,
    collector: &Collector,
) -> Option<(Commit, Hash)> {
    let bytes = match bytes {
        Ok(bytes) => bytes,
        Err(error) if error.kind == ErrorKind::TooLarge || error.kind == ErrorKind::Path => {
            collector.fail(Axis::Integrity, Finding::of_object(path, error.what));
            return None;
        }
        Err(error) => {
            collector.unreadable(error.to_string());
            return None;
        }
    };
    let hash = sha256(&bytes);
    let error = match Commit::open(&bytes, keys) {
        Ok(commit) => return Some((commit, hash)),
        Err(error) => error,
    };
    // What a forged commit says is still read, so that the report can say which records it speaks of.
    match Commit::parse_unverified(&bytes) {
        Ok(commit) => {
            collector.fail(Axis::Authenticity, of_commit(path, &commit, error.to_string()));
            Some((commit, hash))
        }
        Err(unreadable) => {
            if matches!(error, CommitError::Note(_)) && !matches!(unreadable, CommitError::Note(_)) {
                collector.fail(Axis::Authenticity, Finding::of_object(path, error.to_string()));
            }
            collector.fail(Axis::Integrity, Finding::of_object(path, unreadable.to_string()));
            None
        }
    }
}

/// Whether the commit continues the history; if not, it is not walked.
fn place(commit: &Commit, path: &str, previous: Option<Hash>, history: &History, collector: &Collector) -> bool {
    let fail = |what: String| collector.fail(Axis::Integrity, of_commit(path, commit, what));
    let expected = history.size();
    if paths::number_of(path, paths::COMMITS) != Some(commit.first) {
        fail(format!("the commit is of record {} on, not of the record that its name says", commit.first));
        return false;
    }
    if commit.first < expected {
        fail(format!(
            "the commit is of record {} on, but the commit before ends with record {}",
            commit.first,
            expected - 1
        ));
        return false;
    }
    if commit.first > expected {
        fail(format!("records {expected} to {} are missing: no commit holds them", commit.first - 1));
    }
    if previous.is_some_and(|previous| previous != commit.prev_commit_sha256) {
        fail(format!(
            "the commit follows one with SHA-256 {}, but the commit before has another",
            commit.prev_commit_sha256
        ));
    }
    true
}

fn of_commit(path: &str, commit: &Commit, what: String) -> Finding {
    Finding { index: Some(commit.first), ..Finding::of_object(path, what) }
}

/// Compares the store's objects, as listed before the commits were, with what the commits name. Gives those within the history that
/// no commit names.
pub(crate) fn compare_objects(listed: &[String], history: &History, collector: &Collector) -> BTreeSet<String> {
    let mut named: BTreeMap<&str, &Object> = BTreeMap::new();
    for commit in &history.commits {
        for object in &commit.objects {
            if named.insert(&object.path, object).is_some() {
                collector.fail(Axis::Integrity, Finding::of_object(&object.path, "two commits name this object"));
            }
            check_name(commit, object, collector);
        }
    }
    let size = history.size();
    let (mut beyond, mut foreign) = (0_u64, BTreeSet::new());
    for path in listed {
        if path == paths::LEDGER || named.contains_key(path.as_str()) {
            continue;
        }
        if let Some(folder) = [paths::COMMITS, paths::CHECKPOINTS, paths::WITNESSED, paths::KEYS]
            .into_iter()
            .find(|folder| path.starts_with(folder))
        {
            if paths::number_of(path, folder).is_none() {
                collector.fail(Axis::Integrity, Finding::of_object(path, NOT_OURS));
            }
        } else if path.starts_with(paths::TIMESTAMPS) {
            if paths::timestamp_of(path).is_none() {
                collector.fail(Axis::Integrity, Finding::of_object(path, NOT_OURS));
            }
        } else if path.starts_with(paths::LEAVES) || path.starts_with(paths::RECORDS) {
            if paths::first_of(path).is_some_and(|first| first >= size) {
                beyond += 1;
            } else {
                foreign.insert(path.clone());
            }
        } else {
            collector.stranger(path.clone());
        }
    }
    if beyond > 0 {
        let reason = format!(
            "{beyond} objects behind the last commit: orphans of an interrupted segment, which the collector removes at its next start, or a commit was removed"
        );
        collector.incomplete(Axis::Coverage, reason);
    }
    foreign
}

/// The name of an object follows from what it holds, but for the day, which the leaves tell.
fn check_name(commit: &Commit, object: &Object, collector: &Collector) {
    let day = object.path.split('/').find_map(|part| part.strip_prefix("day=")).unwrap_or_default();
    let expected = match &object.kind {
        ObjectKind::Leaves => paths::leaves(day, commit.first, commit.count, &object.sha256),
        ObjectKind::Records { class } => paths::records(class, day, commit.first, object.rows, &object.sha256),
    };
    if expected != object.path {
        collector.fail(
            Axis::Integrity,
            Finding::of_object(&object.path, format!("an object with this content is named {expected}")),
        );
    }
}
