#[path = "../../tests/sample/mod.rs"]
pub(crate) mod sample;
mod signing;

use std::path::Path;
use std::time::Duration;

use sample::{DAY, Ledger, START, Sample, key_of, left_to_inner};

use super::store::faulty::{Fault, Faulty};
use super::store::{Destroyed, DirectorySettings, DirectoryStore, Held, ReadAt, Upload};
use super::*;
use crate::verify::{self, Axis, Options, Verdict};

pub(crate) fn store_at(root: &Path) -> DirectoryStore {
    DirectoryStore::writer(root, DirectorySettings::default()).unwrap()
}

pub(crate) fn create(store: &dyn Store, signer: &dyn Signer) {
    Archive::create(store, signer.public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
}

pub(crate) fn row(sample: &Sample) -> Row<'_> {
    Row { index: sample.index, leaf: &sample.leaf, hash: &sample.hash, mac: &sample.mac, body: &sample.body }
}

pub(crate) fn append(archive: &mut Archive, samples: &[Sample]) -> Result<Committed, ArchiveError> {
    let mut segment = archive.begin()?;
    for sample in samples {
        assert_eq!(segment.push(row(sample), &OneClass)?, Pushed::Taken);
    }
    archive.append(segment)
}

/// A store that lets nothing go.
pub(crate) struct Keeping {
    pub(crate) inner: DirectoryStore,
    /// How it locks what is written.
    pub(crate) lock: Lock,
    /// How it holds what is there.
    pub(crate) held: Lock,
}

impl Store for Keeping {
    left_to_inner!();
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        self.inner.open(path)
    }
    fn remove_orphan(&self, _path: &str) -> Result<Removal, StoreError> {
        Ok(Removal::Kept)
    }
    fn lock(&self) -> Lock {
        self.lock
    }
    fn retention(&self, _path: &str) -> Result<Option<Held>, StoreError> {
        Ok(Some(Held { lock: Some((self.held, 4_000_000_000)), legal_hold: false }))
    }
}

pub(crate) fn kept_a_month(lock: Lock) -> Settings {
    let kept = Duration::from_secs(30 * 24 * 3600);
    let retention = Retention { lock, default: kept, classes: Vec::new(), proofs: kept };
    Settings { retention: Some(retention), ..Settings::undated(DEFAULT_ZSTD_LEVEL) }
}

fn open(store: Arc<dyn Store>, ledger: &Ledger) -> Result<(Archive, Settled), ArchiveError> {
    Archive::open(store, Arc::clone(&ledger.signer), Settings::undated(DEFAULT_ZSTD_LEVEL))
}

/// Verifies and gives the number of records; also counts what a query over all files would see.
fn verify_clean(store: &dyn Store, ledger: &Ledger) -> u64 {
    let options = Options { key: Some(ledger.signer.public().clone()), threads: 2, ..Options::default() };
    let report = verify::verify(store, options).unwrap();
    // The producer has not said that it closed.
    assert!(report.producers.iter().all(|producer| producer.missing == 0), "{}", report.to_json());
    for axis in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(report.verdict(axis), Verdict::Pass, "{}", report.to_json());
    }
    assert_eq!((report.strangers.len(), report.unreadable.len()), (0, 0), "{}", report.to_json());
    assert_eq!(store.list(paths::RECORDS).unwrap().len() as u64, report.commits);
    report.records
}

#[test]
fn what_is_appended_is_read_back_and_verifies() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, settled) = open(Arc::clone(&store), &ledger).unwrap();
    assert_eq!(settled, Settled::default());
    let samples = ledger.batch(300);
    for run in samples.chunks(120) {
        let committed = append(&mut archive, run).unwrap();
        assert_eq!((committed.first, committed.count), (run[0].index, run.len() as u64));
    }
    assert_eq!(archive.tail().size, 300);
    let tail = archive.tail().clone();
    drop((archive, store));

    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    let (archive, settled) = open(Arc::clone(&store), &ledger).unwrap();
    assert_eq!((archive.tail(), settled), (&tail, Settled::default()));
    assert_eq!(verify_clean(&*store, &ledger), 300);
    // From wherever commits are listed on.
    for known in [1, 300, 1 << 17, (1 << 17) + 239, (1 << 17) + 240, 1 << 40, u64::MAX] {
        let settings = Settings { known, ..Settings::undated(DEFAULT_ZSTD_LEVEL) };
        let (archive, _) = Archive::open(Arc::clone(&store), ledger.key.clone(), settings).unwrap();
        assert_eq!(archive.tail(), &tail, "{known}");
    }
    let mut seen = Vec::new();
    reader::Reader::open(store)
        .unwrap()
        .scan(|index, body| {
            seen.push((index, body.to_vec()));
            true
        })
        .unwrap();
    let expected: Vec<_> = samples.into_iter().map(|sample| (sample.index, sample.body)).collect();
    assert_eq!(seen, expected);
}

#[test]
fn equal_records_give_equal_files() {
    let objects = [(); 2].map(|()| {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
        create(&*store, &*ledger.signer);
        let (mut archive, _) = open(store, &ledger).unwrap();
        let samples = ledger.batch(50);
        let committed = append(&mut archive, &samples).unwrap();
        (committed.objects, committed.commit_sha256, committed.checkpoint)
    });
    assert_eq!(objects[0], objects[1]);
}

#[test]
fn long_runs_are_cut_into_row_groups() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    // By rows, then by bytes: three bodies of 12 MB are more than a row group holds.
    let mut samples: Vec<_> =
        (0..schema::MAX_GROUP_ROWS + 5).map(|_| ledger.generation("p".into(), "o".into(), |_| {})).collect();
    samples.extend((0..3).map(|_| ledger.generation("p".into(), "long ".repeat(2_400_000), |_| {})));
    let committed = append(&mut archive, &samples).unwrap();
    let records = reader::RecordsObject::open(&*store, &committed.objects[1]).unwrap();
    assert_eq!(records.group_rows(), [schema::MAX_GROUP_ROWS, 7, 1]);
    assert_eq!(verify_clean(&*store, &ledger), samples.len() as u64);
}

#[test]
fn a_segment_never_spans_two_days() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    let before = ledger.batch(3);
    ledger.now = START / DAY * DAY + DAY;
    let after = ledger.batch(2);
    let mut segment = archive.begin().unwrap();
    before.iter().for_each(|sample| assert_eq!(segment.push(row(sample), &OneClass).unwrap(), Pushed::Taken));
    assert_eq!(segment.push(row(&after[0]), &OneClass).unwrap(), Pushed::OtherDay);
    assert_eq!(archive.append(segment).unwrap().count, 3);
    append(&mut archive, &after).unwrap();
    assert_eq!(verify_clean(&*store, &ledger), 5);
    let days: Vec<_> = store.list(paths::LEAVES).unwrap().iter().map(|path| path[11..21].to_owned()).collect();
    assert_eq!(days, ["2026-11-20", "2026-11-21"]);
}

#[test]
fn what_does_not_continue_the_ledger_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(store, &ledger).unwrap();
    let samples = ledger.batch(3);
    let mut segment = archive.begin().unwrap();
    assert!(matches!(segment.push(row(&samples[1]), &OneClass), Err(SegmentError::Chain(_))));
    let mut segment_of_short = archive.begin().unwrap();
    let short = Row { body: &[&samples[0].body[..samples[0].body.len() - 1], b" }"].concat(), ..row(&samples[0]) };
    assert!(matches!(segment_of_short.push(short, &OneClass), Err(SegmentError::BodyLength { .. })));
    let no_record = Row { body: b"{}", ..row(&samples[0]) };
    assert!(matches!(archive.begin().unwrap().push(no_record, &OneClass), Err(SegmentError::Body { index: 0, .. })));
    let empty = archive.begin().unwrap();
    assert!(matches!(archive.append(empty), Err(ArchiveError::Segment(SegmentError::Empty))));
    let stale = archive.begin().unwrap();
    append(&mut archive, &samples).unwrap();
    assert!(matches!(archive.append(stale), Err(ArchiveError::Stale { first: 0, size: 3 })));
}

#[test]
fn another_ledgers_archive_and_a_newer_format_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    let refused = |key: tachograph_ledger::SigningKey| {
        Archive::open(Arc::clone(&store), Arc::new(key), Settings::undated(1)).err().unwrap().to_string()
    };
    assert!(refused(key_of("acme.example/test", 1)).contains("tachograph init"));
    create(&*store, &*ledger.signer);
    assert!(matches!(
        Archive::create(&*store, &ledger.key.public(), Time::default(), None),
        Err(ArchiveError::Exists { .. })
    ));
    assert!(
        refused(key_of("acme.example/other", 1))
            .contains("archive of ledger `acme.example/test`, not of `acme.example/other`")
    );
    assert!(refused(key_of("acme.example/test", 2)).contains("a new key needs a new ledger name"));
    let newer = String::from_utf8(store.read(paths::LEDGER, 4_096).unwrap())
        .unwrap()
        .replace("\"format\":\"1\"", "\"format\":\"2\",\"more\":1");
    let elsewhere = store_at(&directory.path().join("elsewhere"));
    elsewhere.create(paths::LEDGER, newer.as_bytes(), None).unwrap();
    let error = Archive::open(Arc::new(elsewhere), ledger.key.clone(), Settings::undated(1)).err().unwrap().to_string();
    assert!(error.contains("use a newer release"), "{error}");
}

#[test]
fn a_second_writer_is_fenced_and_stops() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    // Two collectors that share a store without a lock, as on S3, and sealed different records.
    let (mut ours, _) = open(Arc::clone(&store), &ledger).unwrap();
    let (mut theirs, _) = open(Arc::clone(&store), &ledger).unwrap();
    let mut twin = Ledger::new();
    twin.producer = false;
    append(&mut ours, &ledger.batch(4)).unwrap();
    let error = append(&mut theirs, &twin.batch(3)).unwrap_err();
    assert!(matches!(&error, ArchiveError::Fenced { path, .. } if path == "commit/00000000000000000000"), "{error}");
    assert!(!error.is_retryable());
    assert!(matches!(theirs.begin().err().unwrap(), ArchiveError::Stopped));
    append(&mut ours, &ledger.batch(2)).unwrap();
}

/// Each durable step fails, once with its effect and once without; then a new process opens the archive and goes on. With a key
/// whose signatures differ from one time to the next as with one whose do not.
#[test]
fn from_every_crash_point_the_archive_goes_on() {
    type Make = fn() -> Ledger;
    let keys: [Make; 2] = [Ledger::new, Ledger::on_p256];
    for (fault, make) in
        [Fault::CrashBefore, Fault::CrashAfter].into_iter().flat_map(|fault| keys.map(|make| (fault, make)))
    {
        let mut steps = 0;
        loop {
            let directory = tempfile::tempdir().unwrap();
            let mut ledger = make();
            let samples = ledger.batch(30);
            let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
            create(&*store, &*ledger.signer);
            let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
            append(&mut archive, &samples[..10]).unwrap();
            drop(archive);

            let faulty = Faulty::new(Arc::clone(&store), fault, steps);
            if let Ok((mut archive, _)) = open(Arc::new(faulty.clone()), &ledger) {
                let crashed = append(&mut archive, &samples[10..20]);
                if !faulty.struck() {
                    crashed.unwrap();
                    break;
                }
                assert!(crashed.is_err(), "{fault:?} at step {steps}");
                assert!(archive.begin().is_err(), "an archive of unknown state goes on: {fault:?} at step {steps}");
            }

            let (mut archive, settled) = open(Arc::clone(&store), &ledger).unwrap();
            let size = archive.tail().size as usize;
            assert!(size == 10 || size == 20, "{fault:?} at step {steps}: {settled:?}");
            // A journal that is cut differently: other objects than those which the crash may have left.
            append(&mut archive, &samples[size..25]).unwrap();
            append(&mut archive, &samples[25..]).unwrap();
            assert_eq!(verify_clean(&*store, &ledger), 30, "{fault:?} at step {steps}");
            steps += 1;
        }
        // Two objects, each begun, written at least once and finished; the same for commit and checkpoint.
        assert!(steps >= 12, "only {steps} steps");
    }
}

#[test]
fn want_of_space_is_tried_again_without_a_restart() {
    let mut step = 0;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        let samples = ledger.batch(30);
        let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
        create(&*store, &*ledger.signer);
        let faulty = Faulty::new(Arc::clone(&store), Fault::NoSpace, step);
        let (mut archive, _) = open(Arc::new(faulty.clone()), &ledger).unwrap();
        let first = append(&mut archive, &samples[..20]);
        if !faulty.struck() {
            break;
        }
        assert!(first.unwrap_err().is_retryable(), "step {step}");
        let size = archive.tail().size as usize;
        append(&mut archive, &samples[size..25]).unwrap();
        append(&mut archive, &samples[25..]).unwrap();
        assert_eq!(verify_clean(&*store, &ledger), 30, "step {step}");
        step += 1;
    }
    assert!(step >= 12, "only {step} steps");
}

#[test]
fn a_missing_checkpoint_is_signed_again_with_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    let committed = append(&mut archive, &ledger.batch(5)).unwrap();
    let path = paths::checkpoint(5);
    store.remove_orphan(&path).unwrap();
    let (_, settled) = open(Arc::clone(&store), &ledger).unwrap();
    assert_eq!(settled.checkpoint_signed, Some(5));
    assert_eq!(store.read(&path, 4_096).unwrap(), committed.checkpoint.as_bytes());
}

#[test]
fn a_damaged_end_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    let committed = append(&mut archive, &ledger.batch(5)).unwrap();
    store.remove_orphan(&committed.objects[1].path).unwrap();
    let error = open(Arc::clone(&store), &ledger).err().unwrap().to_string();
    assert!(error.contains(&committed.objects[1].path) && error.contains("missing"), "{error}");
}

/// Kept for a day, from the ledger's own time on.
fn dated(opened_at: Time) -> Settings {
    let day = Duration::from_secs(24 * 3600);
    let retention = Retention { lock: Lock::None, default: day, classes: Vec::new(), proofs: day };
    Settings { retention: Some(retention), opened_at, ..Settings::undated(DEFAULT_ZSTD_LEVEL) }
}

#[test]
fn a_missing_object_is_only_passed_over_when_it_is_past_its_date() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let samples = ledger.batch(5);
    let open_at = |opened_at| Archive::open(Arc::clone(&store), ledger.key.clone(), dated(opened_at));
    let (mut archive, _) = open_at(Time::default()).unwrap();
    let committed = append(&mut archive, &samples).unwrap();
    let records = committed.objects.iter().find(|object| matches!(object.kind, ObjectKind::Records { .. })).unwrap();
    let until = Time::from_unix_nanos(records.retain_until.unwrap() * 1_000_000_000).unwrap();
    store.remove_orphan(&records.path).unwrap();
    let before = Time::from_unix_nanos(until.unix_nanos() - 1).unwrap();
    let error = open_at(before).err().unwrap().to_string();
    assert!(error.contains(&records.path) && error.contains("missing"), "{error}");
    assert_eq!(open_at(until).unwrap().0.tail().size, 5);
    let reader = reader::Reader::open(Arc::clone(&store)).unwrap();
    assert!(!reader.check(records).unwrap() && reader.check(&committed.objects[0]).unwrap());
}

#[test]
fn what_holds_more_than_the_journal_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    append(&mut archive, &ledger.batch(5)).unwrap();
    let lost = append(&mut archive, &ledger.batch(5)).unwrap();
    store.remove_orphan(&paths::commit(5)).unwrap();
    let there = || lost.objects.iter().filter(|object| store.len(&object.path).unwrap().is_some()).count();
    let recover =
        || Archive::recover(Arc::clone(&store), ledger.key.clone(), Settings::undated(DEFAULT_ZSTD_LEVEL)).unwrap();
    assert_eq!((recover().tail().size, there()), (5, 2), "nothing is changed by looking");
    let mut archive = recover();
    let kept = archive.settle(9).unwrap();
    assert_eq!((kept.kept.len(), kept.removed.len(), there()), (2, 0, 2));
    archive.begin().unwrap();
    assert_eq!(there(), 2, "and not later either");
    let removed = recover().settle(10).unwrap();
    assert_eq!((removed.kept.len(), removed.removed.len(), there()), (0, 2, 0), "the journal has it all");
}

#[test]
fn what_somebody_put_behind_the_newest_commit_is_passed_over_unless_it_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    append(&mut archive, &ledger.batch(5)).unwrap();
    drop(archive);
    let size = || open(Arc::clone(&store), &ledger).map(|(archive, _)| archive.tail().size);
    for path in ["commit/zzz", "commit/99999999999999999999", "commit/00000000000000000006"] {
        store.create(path, b"not a commit", None).unwrap();
        assert_eq!(size().unwrap(), 5, "{path}");
        assert_eq!(reader::Reader::open(Arc::clone(&store)).unwrap().size(), 5, "{path}");
    }
    let large = vec![b' '; MAX_NOTE_BYTES as usize + 1];
    store.create("commit/00000000000000000007", &large, None).unwrap();
    assert_eq!(size().unwrap(), 5);
    store.create("commit/00000000000000000005", b"not a commit", None).unwrap();
    let error = size().unwrap_err().to_string();
    assert!(error.contains("commit/00000000000000000005"), "{error}");
    assert!(reader::Reader::open(store).is_err());
}

#[test]
fn a_commit_that_is_missing_is_noticed_before_anything_rests_on_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::new();
    let store: Arc<dyn Store> = Arc::new(store_at(directory.path()));
    create(&*store, &*ledger.signer);
    let (mut archive, _) = open(Arc::clone(&store), &ledger).unwrap();
    let first = append(&mut archive, &ledger.batch(5)).unwrap();
    append(&mut archive, &ledger.batch(5)).unwrap();
    let check = |size| reader::Reader::open(Arc::clone(&store)).unwrap().check_commits(size).map_err(|e| e.to_string());
    assert_eq!(check(10), Ok(()));
    assert!(check(11).unwrap_err().contains("commit/00000000000000000010: missing"));
    let records = &first.objects[1];
    let reader = reader::Reader::open(Arc::clone(&store)).unwrap();
    let mut bytes = store.read(&records.path, u64::MAX).unwrap();
    bytes[4] ^= 1;
    store.remove_orphan(&records.path).unwrap();
    assert!(reader.scan_class(DEFAULT_CLASS, |_, _| true).unwrap_err().to_string().contains("missing"));
    store.create(&records.path, &bytes, None).unwrap();
    let error = reader.scan_class(DEFAULT_CLASS, |_, _| true).unwrap_err().to_string();
    assert!(error.contains("not what its commit says"), "{error}");
    store.remove_orphan(&paths::commit(0)).unwrap();
    assert!(check(0).unwrap_err().contains("commit/00000000000000000000: missing"));
}

/// What an interrupted segment uploaded is taken up only if it is held as the commit would sign.
#[test]
fn an_object_that_is_locked_in_a_weaker_mode_is_not_taken_up() {
    for (held, lock, good) in [
        (Lock::Governance, Lock::Governance, true),
        (Lock::Compliance, Lock::Governance, true),
        (Lock::Governance, Lock::Compliance, false),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        let samples = ledger.batch(3);
        let first: Arc<dyn Store> = Arc::new(store_at(directory.path()));
        create(&*first, &*ledger.signer);
        let (mut archive, _) = Archive::open(Arc::clone(&first), ledger.key.clone(), kept_a_month(Lock::None)).unwrap();
        append(&mut archive, &samples).unwrap();
        first.remove_orphan(&paths::commit(0)).unwrap();
        first.remove_orphan(&paths::checkpoint(3)).unwrap();
        drop((archive, first));

        let store = Arc::new(Keeping { inner: store_at(directory.path()), lock, held });
        let (mut archive, settled) = Archive::open(store, ledger.key.clone(), kept_a_month(lock)).unwrap();
        assert_eq!((settled.kept.len(), archive.resume_at()), (2, Some(3)));
        let appended = append(&mut archive, &samples);
        match good {
            true => assert_eq!(appended.unwrap().count, 3),
            false => {
                let error = appended.unwrap_err().to_string();
                assert!(error.contains("must be locked in mode compliance"), "{error}");
            }
        }
    }
}
