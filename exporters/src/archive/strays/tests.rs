use std::sync::Arc;

use tachograph_ledger::Lock;

use super::super::tests::sample::{DAY, Ledger};
use super::super::tests::{Keeping, append, create, kept_a_month, store_at};
use super::super::{Archive, ArchiveError, Settings, Settled};
use super::*;

struct Scene {
    _directory: tempfile::TempDir,
    store: Arc<dyn Store>,
    ledger: Ledger,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(Keeping { inner: store_at(directory.path()), lock: Lock::Governance, held: Lock::Governance });
        let ledger = Ledger::new();
        create(&*store, &*ledger.signer);
        Self { _directory: directory, store, ledger }
    }

    /// A collector starts.
    fn start(&self, writer: &str, known: u64) -> (Archive, Settled) {
        let settings = Settings { writer: writer.to_owned(), known, ..kept_a_month(Lock::Governance) };
        Archive::open(Arc::clone(&self.store), self.ledger.key.clone(), settings).unwrap()
    }

    /// It archives a record on each of some days.
    fn run(&mut self, archive: &mut Archive, days: usize) {
        for _ in 0..days {
            append(archive, &self.ledger.batch(1)).unwrap();
            self.ledger.now += DAY;
        }
    }

    /// What it writes after the other has archived that many records, and before the fence stops it.
    fn fence(&self, archive: &mut Archive, records: usize, sealed_at: u64) -> Vec<String> {
        let mut twin = Ledger::new();
        for _ in 0..records {
            twin.batch(1);
            twin.now += DAY;
        }
        twin.now = sealed_at;
        twin.producer = false;
        let before = self.store.list("").unwrap();
        assert!(matches!(append(archive, &twin.batch(2)), Err(ArchiveError::Fenced { .. })));
        self.store.list("").unwrap().into_iter().filter(|path| !before.contains(path)).collect()
    }
}

#[test]
fn what_was_left_during_a_long_run_is_found_by_the_next_start() {
    let mut scene = Scene::new();
    let (mut first, _) = scene.start("first", 0);
    scene.run(&mut first, 3);
    let (mut other, _) = scene.start("other", 3);
    let (mut second, settled) = scene.start("second", 3);
    assert_eq!(settled.kept, [""; 0]);
    let sealed_at = scene.ledger.now;
    scene.run(&mut second, 1);
    let left = scene.fence(&mut other, 3, sealed_at);
    assert_eq!(left.len(), 2, "leaves and records: {left:?}");
    scene.run(&mut second, 9);

    let (third, settled) = scene.start("third", 13);
    assert_eq!(settled.kept, left);
    assert_eq!(third.tail().size, 13);
}

#[test]
fn a_start_looks_back_to_the_last_one_unless_it_knows_nothing() {
    let mut scene = Scene::new();
    let (mut first, _) = scene.start("first", 0);
    let (mut other, _) = scene.start("other", 0);
    let sealed_at = scene.ledger.now;
    scene.run(&mut first, 10);
    let left = scene.fence(&mut other, 0, sealed_at);
    let (mut second, settled) = scene.start("second", 10);
    assert_eq!(settled.kept, left);
    scene.run(&mut second, 6);

    let (third, _) = scene.start("third", 16);
    let key = KeyHistory::new(scene.ledger.key.public());
    // The oldest of the last eight commits is that of record 9, which the writer before wrote on 29 November.
    let since = last_start(&*scene.store, &key, third.tail(), 1).unwrap();
    assert_eq!(since.as_deref(), Some("day=2026-11-27"));
    let found = |since| find_since(&*scene.store, &key, third.tail(), since).unwrap();
    assert_eq!(found(since.as_deref()), [""; 0], "what the start before has reported is listed again");
    assert_eq!(found(Some("day=2026-11-20")), left);
    assert_eq!(find(&*scene.store, &key, third.tail(), 0).unwrap(), left);
}

/// One who only puts files of records there is no collector.
#[test]
fn records_without_leaves_are_not_reported() {
    let mut scene = Scene::new();
    let (mut first, _) = scene.start("first", 0);
    scene.run(&mut first, 3);
    let path = "records/class=default/day=2026-11-21/00000000000000000001-1-0123456789abcdef.parquet";
    scene.store.create(path, b"forged", None).unwrap();
    assert_eq!(scene.start("second", 3).1.kept, [""; 0]);
    scene.store.create(&path.replace("records/class=default", "leaves"), b"forged", None).unwrap();
    assert_eq!(scene.start("second", 3).1.kept.len(), 2);
}
