//! A key that can't sign for a while, and one that never signs twice alike.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tachograph_ledger::{SignError, VerifyingKey};

use super::*;

/// A signer that is away for some of its calls.
struct Fitful {
    inner: Arc<dyn Signer>,
    calls: AtomicU32,
    /// The first call that fails, and how many do.
    away: (u32, u32),
}

impl Fitful {
    fn new(inner: &Arc<dyn Signer>, away: (u32, u32)) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), calls: AtomicU32::new(0), away })
    }
}

impl Signer for Fitful {
    fn public(&self) -> &VerifyingKey {
        self.inner.public()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let (first, count) = self.away;
        if (first..first + count).contains(&call) {
            return Err(SignError { what: "the key service is away".to_owned() });
        }
        self.inner.sign(message)
    }
}

/// What the archiver does: from the archive's end on, again and again. Gives how often it failed.
fn archive_all(archive: &mut Archive, samples: &[Sample], store: &dyn Store) -> usize {
    let mut failures = 0;
    loop {
        let tried = (|| {
            archive.resume()?;
            archive.settle_all()?;
            while archive.tail().size < samples.len() as u64 {
                let from = archive.tail().size as usize;
                append(archive, &samples[from..samples.len().min(from + 10)])?;
            }
            Ok::<_, ArchiveError>(())
        })();
        // Whatever failed: no commit stands that the archive does not know of, and no more than one segment waits for its own.
        let commits = store.list(paths::COMMITS).unwrap();
        let end = archive.tail().size;
        assert_eq!(commits.len() as u64, end.div_ceil(10), "{commits:?}");
        assert!(store.list(paths::LEAVES).unwrap().len() <= commits.len() + 1);
        match tried {
            Ok(()) => return failures,
            Err(error) => {
                assert!(matches!(error, ArchiveError::Signing(_)) && error.is_retryable(), "{error}");
                assert!(error.to_string().contains("the key service is away"), "{error}");
                failures += 1;
            }
        }
    }
}

#[test]
fn a_key_that_is_away_at_any_step_is_waited_for_and_nothing_is_lost_or_left() {
    for make in [Ledger::new, Ledger::on_p256] {
        for first in 0..6 {
            let directory = tempfile::tempdir().unwrap();
            let mut ledger = make();
            let samples = ledger.batch(25);
            let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
            create(&*store, &*ledger.signer);
            let signer = Fitful::new(&ledger.signer, (first, 3));
            let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
            let (mut archive, settled) = Archive::open(Arc::clone(&store), signer, settings).unwrap();
            assert_eq!(settled, Settled::default());
            assert_eq!(archive_all(&mut archive, &samples, &*store), 3, "away from call {first} on");
            assert_eq!(archive.checkpoint().unwrap().as_bytes(), store.read(&paths::checkpoint(25), 4_096).unwrap());
            assert_eq!(verify_clean(&*store, &ledger), 25);
            assert_eq!(store.list(paths::CHECKPOINTS).unwrap().len(), 3);
        }
    }
}

#[test]
fn a_process_that_dies_while_its_key_is_away_leaves_nothing_that_counts() {
    for make in [Ledger::new, Ledger::on_p256] {
        // 2: the second commit; 3: its checkpoint.
        for first in [2, 3] {
            let directory = tempfile::tempdir().unwrap();
            let mut ledger = make();
            let samples = ledger.batch(30);
            let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
            create(&*store, &*ledger.signer);
            let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
            let signer = Fitful::new(&ledger.signer, (first, u32::MAX - first));
            let (mut archive, _) = Archive::open(Arc::clone(&store), signer, settings.clone()).unwrap();
            append(&mut archive, &samples[..10]).unwrap();
            append(&mut archive, &samples[10..20]).unwrap_err();
            let archived = archive.tail().size;
            assert_eq!(archived, if first == 2 { 10 } else { 20 });
            drop(archive);

            // Started again while it is still away: the start succeeds, and says what is missing.
            let away = Fitful::new(&ledger.signer, (0, u32::MAX));
            let (archive, settled) = Archive::open(Arc::clone(&store), away, settings).unwrap();
            assert_eq!(archive.tail().size, archived);
            assert_eq!((settled.unsigned.is_some(), archive.checkpoint().is_some()), (first == 3, first == 2));
            assert_eq!(settled.removed.len(), if first == 2 { 2 } else { 0 });
            drop(archive);

            let (mut archive, settled) = open(Arc::clone(&store), &ledger).unwrap();
            assert_eq!(settled.checkpoint_signed, (first == 3).then_some(20));
            archive_all(&mut archive, &samples, &*store);
            assert_eq!(verify_clean(&*store, &ledger), 30);
        }
    }
}

/// A store that did what it was told and says that it had no room.
struct Forgetful {
    inner: DirectoryStore,
    writes: AtomicUsize,
}

impl Store for Forgetful {
    left_to_inner!();
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.inner.open(path)
    }
    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        self.inner.remove_orphan(path)
    }
    fn create(&self, path: &str, bytes: &[u8], until: Option<u64>) -> Result<(), StoreError> {
        self.inner.create(path, bytes, until)?;
        match self.writes.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Err(StoreError::new(ErrorKind::Unavailable, path, "the answer was lost")),
            _ => Ok(()),
        }
    }
}

#[test]
fn its_own_commit_with_another_signature_is_no_second_writer() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::on_p256();
    let samples = ledger.batch(30);
    let inner = store_at(directory.path());
    create(&inner, &*ledger.signer);
    let store: Arc<dyn Store> = Arc::new(Forgetful { inner, writes: AtomicUsize::new(0) });
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    for run in samples.chunks(10) {
        let mut failed = 0;
        // The commit stands, though the store said otherwise; signed again it has other bytes.
        while archive.tail().size < run[9].index + 1 {
            if let Err(error) = append(&mut archive, run) {
                assert!(matches!(error, ArchiveError::Store(_)), "{error}");
                failed += 1;
            }
        }
        assert!(failed > 0);
        let commit = store.read(&paths::commit(run[0].index), MAX_NOTE_BYTES).unwrap();
        assert_eq!(archive.tail().last_commit_sha256, sha256(&commit));
    }
    archive.settle_all().unwrap();
    let checkpoint = store.read(&paths::checkpoint(30), MAX_NOTE_BYTES).unwrap();
    assert_eq!(archive.checkpoint().unwrap().as_bytes(), checkpoint);
    assert_eq!(verify_clean(&*store, &ledger), 30);
}

#[test]
fn another_text_of_the_same_key_is_a_second_writer() {
    let directory = tempfile::tempdir().unwrap();
    let (mut ledger, mut twin) = (Ledger::on_p256(), Ledger::on_p256());
    twin.producer = false;
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut ours, _) = open(Arc::clone(&store), &ledger).unwrap();
    let (mut theirs, _) = open(Arc::clone(&store), &twin).unwrap();
    append(&mut ours, &ledger.batch(4)).unwrap();
    assert!(matches!(append(&mut theirs, &twin.batch(4)), Err(ArchiveError::Fenced { .. })));
}
