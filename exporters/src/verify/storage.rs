//! The store itself: versions, delete markers, locks.
//!
//! Object Lock keeps a version; it does not keep it in sight. A delete marker hides it from every reader that lists, and a further
//! version stands in front of it. So what the store tells of every object of the archive is compared with what its commit signs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tachograph_ledger::Lock;

use super::certificates::Certificates;
use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::paths;
use crate::archive::store::{Held, Store, StoreError, Version, shown_date};

/// Questions to the store under way at once, for each thread that checks bodies: they wait, and do not work.
const QUESTIONS_PER_THREAD: usize = 16;

/// What an object of the archive must be held by.
pub(crate) struct Expected {
    path: String,
    hold: Hold,
    /// Whether the ledger certifies that it was to be destroyed: it may be gone, and if it is not it is held as before.
    may_be_gone: bool,
    /// Of which record on, for the report.
    index: Option<u64>,
}

/// How the store must hold an object.
#[derive(Clone, Copy)]
enum Hold {
    /// No commit signs a lock for it.
    Any,
    /// At least in this mode and until this date (seconds since 1970), as its commit signs.
    Signed(Lock, u64),
    /// In whatever mode, as everything is that a collector writes in such an archive.
    Locked,
}

impl Hold {
    /// As signed, if that is a lock.
    fn signed(terms: Option<(Lock, u64)>) -> Self {
        match terms {
            None | Some((Lock::None, _)) => Self::Any,
            Some((lock, until)) => Self::Signed(lock, until),
        }
    }
}

/// Compares versions and locks with what is expected.
pub(crate) fn check(
    store: &dyn Store,
    mut expected: Vec<Expected>,
    threads: usize,
    collector: &Collector,
) -> Result<(), StoreError> {
    let Some(versions) = store.versions("")? else {
        collector
            .incomplete(Axis::Storage, "this store keeps neither versions nor locks: who may write there may delete");
        return Ok(());
    };
    let mut by_path: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for version in &versions {
        by_path.entry(&version.path).or_default().push(version);
    }
    let of = |expected: &Expected| by_path.get(expected.path.as_str()).map_or(&[][..], Vec::as_slice);
    expected.retain(|expected| !expected.may_be_gone || of(expected).iter().any(|version| !version.is_delete_marker));
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(expected) = expected.get(next.fetch_add(1, Ordering::Relaxed)) {
            check_one(store, expected, of(expected), collector);
        }
    };
    thread::scope(|scope| {
        for _ in 1..(threads.max(1) * QUESTIONS_PER_THREAD).min(expected.len()) {
            scope.spawn(work);
        }
        work();
    });
    let modes: BTreeMap<&str, u64> = expected.iter().fold(BTreeMap::new(), |mut modes, expected| {
        if let Hold::Signed(lock, _) = expected.hold {
            *modes.entry(lock.as_str()).or_default() += 1;
        }
        modes
    });
    let modes: Vec<String> = modes.iter().map(|(mode, objects)| format!("{objects} in mode {mode}")).collect();
    collector.rests_on(
        Axis::Storage,
        format!(
            "{} objects have one version each and are in sight; locked as signed: {}",
            expected.len(),
            match modes.len() {
                0 => "none, since no commit signs a lock".to_owned(),
                _ => modes.join(", "),
            }
        ),
    );
    Ok(())
}

/// What must be there: all that commits name, commits, checkpoints and what is `beside` them (witnessed ones, time stamps), and the orphans
/// that the ledger reports and the links between keys, which are `undated`.
pub(crate) fn expected(
    history: &History,
    checkpoints: &[String],
    beside: &[String],
    undated: [&[String]; 2],
    certificates: &Certificates<'_>,
) -> Vec<Expected> {
    let mut expected = Vec::new();
    let mut push = |path: &str, hold, may_be_gone, index| {
        expected.push(Expected { path: path.to_owned(), hold, may_be_gone, index });
    };
    let mut of_ledger = None;
    let mut of_checkpoint: BTreeMap<u64, (Lock, u64)> = BTreeMap::new();
    for commit in &history.commits {
        let terms = commit.terms.as_ref().map(|terms| (terms.lock, terms.retain_until));
        let index = Some(commit.first);
        of_ledger = of_ledger.or(terms.map(|(lock, _)| (lock, 0)));
        of_checkpoint.extend(terms.map(|terms| (commit.first + commit.count, terms)));
        push(&paths::commit(commit.first), Hold::signed(terms), false, index);
        for object in &commit.objects {
            let terms = terms.zip(object.retain_until).map(|((lock, _), until)| (lock, until));
            push(&object.path, Hold::signed(terms), certificates.of(object).is_some(), index);
        }
    }
    for path in checkpoints.iter().chain(beside) {
        let folders = [paths::CHECKPOINTS, paths::WITNESSED];
        let size =
            folders.iter().find_map(|folder| paths::number_of(path, folder)).or_else(|| paths::timestamp_of(path));
        let terms = size.and_then(|size| of_checkpoint.get(&size).copied());
        push(path, Hold::signed(terms), false, size.map(|size| size.saturating_sub(1)));
    }
    // No commit signs a date for an orphan or a link; but where locks are signed nothing is written without one.
    let locked =
        history.commits.iter().filter_map(|commit| commit.terms.as_ref()).any(|terms| terms.lock != Lock::None);
    for path in undated.into_iter().flatten() {
        let index = paths::first_of(path).or_else(|| paths::number_of(path, paths::KEYS));
        push(path, if locked { Hold::Locked } else { Hold::Any }, false, index);
    }
    push(paths::LEDGER, Hold::signed(of_ledger), false, None);
    expected
}

fn check_one(store: &dyn Store, expected: &Expected, versions: &[&Version], collector: &Collector) {
    let fail = |what: String| {
        let finding = Finding { index: expected.index, ..Finding::of_object(&expected.path, what) };
        collector.fail(Axis::Storage, finding);
    };
    let mut objects = versions.iter().filter(|version| !version.is_delete_marker);
    let Some(first) = objects.next() else {
        return fail("the store has no version of it".to_owned());
    };
    for extra in objects {
        fail(format!("a further version {} was put in front of it ({} bytes)", extra.id, extra.size));
    }
    for marker in versions.iter().filter(|version| version.is_delete_marker) {
        let hides = if marker.is_latest { "hides it from readers" } else { "lies over it" };
        fail(format!("a delete marker (version {}) {hides}; removing the marker brings it back", marker.id));
    }
    match store.held(first) {
        Ok(held) => check_lock(held, expected.hold, fail),
        Err(error) => {
            collector.incomplete(Axis::Storage, "not every object's lock could be read");
            collector.unreadable_on(Axis::Storage, error.to_string());
        }
    }
}

fn check_lock(held: Held, hold: Hold, fail: impl Fn(String)) {
    match (hold, held.lock) {
        (Hold::Any, _) | (Hold::Locked, Some(_)) => {}
        (Hold::Locked, None) => {
            fail("it is not locked, as all is that a collector writes here: somebody else put it there".to_owned());
        }
        (Hold::Signed(lock, until), None) => {
            fail(format!("it is not locked; its commit signs mode {} until {}", lock.as_str(), shown_date(until)));
        }
        (Hold::Signed(lock, _), Some((mode, _))) if mode < lock => {
            fail(format!("it is locked in mode {}, its commit signs {}", mode.as_str(), lock.as_str()));
        }
        (Hold::Signed(_, until), Some((_, date))) if date < until => {
            fail(format!("it is locked until {}, its commit signs {}", shown_date(date), shown_date(until)));
        }
        (Hold::Signed(..), Some(_)) => {}
    }
}
