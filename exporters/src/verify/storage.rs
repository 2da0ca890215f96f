//! The store itself: versions, delete markers, locks.
//!
//! Object Lock keeps a version; it does not keep it in sight. A delete marker hides it from every reader that lists, and a further
//! version stands in front of it. So what the store tells of every object of the archive is compared with what its commit signs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tachograph_ledger::Lock;
use tachograph_record::Time;

use super::certificates::Certificates;
use super::collector::Collector;
use super::commits::History;
use super::report::{Axis, Finding};
use crate::archive::paths;
use crate::archive::store::{Held, Store, StoreError, Version};

/// Questions to the store under way at once, for each thread that checks bodies: they wait, and do not work.
const QUESTIONS_PER_THREAD: usize = 16;

/// What an object of the archive must be held by.
struct Expected {
    path: String,
    /// Mode and date (seconds since 1970) that the commit signs; `None` where there is no such commit.
    terms: Option<(Lock, u64)>,
    /// Of which record on, for the report.
    index: Option<u64>,
}

/// Compares versions and locks with what the commits sign.
pub(crate) fn check(
    store: &dyn Store,
    history: &History,
    checkpoints: &[String],
    certificates: &Certificates,
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
    let expected = expected(history, checkpoints, certificates);
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(expected) = expected.get(next.fetch_add(1, Ordering::Relaxed)) {
            check_one(store, expected, by_path.get(expected.path.as_str()).map_or(&[][..], Vec::as_slice), collector);
        }
    };
    thread::scope(|scope| {
        for _ in 1..(threads.max(1) * QUESTIONS_PER_THREAD).min(expected.len()) {
            scope.spawn(work);
        }
        work();
    });
    let modes: BTreeMap<&str, u64> =
        expected.iter().filter_map(|expected| expected.terms).fold(BTreeMap::new(), |mut modes, (lock, _)| {
            *modes.entry(lock.as_str()).or_default() += 1;
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

fn expected(history: &History, checkpoints: &[String], certificates: &Certificates) -> Vec<Expected> {
    let mut expected = Vec::new();
    let mut of_ledger = None;
    let mut of_checkpoint: BTreeMap<u64, (Lock, u64)> = BTreeMap::new();
    for commit in &history.commits {
        let terms = commit.terms.as_ref().map(|terms| (terms.lock, terms.retain_until));
        let index = Some(commit.first);
        of_ledger = of_ledger.or(terms.map(|(lock, _)| (lock, 0)));
        of_checkpoint.extend(terms.map(|terms| (commit.first + commit.count, terms)));
        expected.push(Expected { path: paths::commit(commit.first), terms, index });
        for object in &commit.objects {
            if certificates.of(object).is_none() {
                let terms = terms.zip(object.retain_until).map(|((lock, _), until)| (lock, until));
                expected.push(Expected { path: object.path.clone(), terms, index });
            }
        }
    }
    for path in checkpoints {
        let size = paths::number_of(path, paths::CHECKPOINTS);
        let terms = size.and_then(|size| of_checkpoint.get(&size).copied());
        expected.push(Expected { path: path.clone(), terms, index: size.map(|size| size.saturating_sub(1)) });
    }
    expected.push(Expected { path: paths::LEDGER.to_owned(), terms: of_ledger, index: None });
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
        Ok(held) => check_lock(held, expected.terms, fail),
        Err(error) => {
            collector.incomplete(Axis::Storage, "not every object's lock could be read");
            collector.unreadable_on(Axis::Storage, error.to_string());
        }
    }
}

fn check_lock(held: Held, terms: Option<(Lock, u64)>, fail: impl Fn(String)) {
    let Some((lock, until)) = terms.filter(|(lock, _)| *lock != Lock::None) else { return };
    match held.lock {
        None => fail(format!("it is not locked; its commit signs mode {} until {}", lock.as_str(), shown(until))),
        Some((mode, _)) if mode < lock => {
            fail(format!("it is locked in mode {}, its commit signs {}", mode.as_str(), lock.as_str()));
        }
        Some((_, date)) if date < until => {
            fail(format!("it is locked until {}, its commit signs {}", shown(date), shown(until)));
        }
        Some(_) => {}
    }
}

fn shown(seconds: u64) -> String {
    Time::from_unix_nanos(seconds.saturating_mul(1_000_000_000)).unwrap_or_default().to_string()
}
