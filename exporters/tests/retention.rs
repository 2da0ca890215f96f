//! What the recorder says of objects that are gone or that no commit names, and how a store holds the others, in a bucket whose answers
//! the tests decide.

mod sample;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use sample::{DAY, Ledger, START, Sample, left_to_inner};
use tachograph_exporters::archive::store::{
    Destroyed, DirectorySettings, DirectoryStore, ErrorKind, Held, ReadAt, Removal, Store, StoreError, Upload, Version,
};
use tachograph_exporters::archive::{
    Archive, Classify, Committed, DEFAULT_CLASS, DEFAULT_ZSTD_LEVEL, RECORDER_CLASS, Retention, Row, Settings,
    witnessed,
};
use tachograph_exporters::verify::{
    ARCHIVE_ORPHANS, Axis, Options, RECORDER_PRODUCER, RETENTION_DESTROY, Report, Verdict, verify,
};
use tachograph_ledger::{Lock, Object, ObjectKind, sha256};
use tachograph_record::{Body, EventId, Json, Kind, Record, Text, Time};

const PROMPTS: &str = "prompts";
const FAR: u64 = 4_000_000_000;

struct Classes;

impl Classify for Classes {
    fn class(&self, body: &Body<'_>, _bytes: &[u8]) -> &str {
        match body.record.kind {
            Kind::Generation => PROMPTS,
            Kind::Lifecycle => RECORDER_CLASS,
            _ => DEFAULT_CLASS,
        }
    }
}

/// An archive with retention: six prompts that are kept for a day, and what the recorder says behind them.
struct Scene {
    directory: tempfile::TempDir,
    ledger: Ledger,
    archive: Archive,
    committed: Vec<Committed>,
}

impl Scene {
    fn new(lock: Lock) -> Self {
        let (directory, ledger) = (tempfile::tempdir().unwrap(), Ledger::new());
        let day = Duration::from_secs(24 * 3600);
        let classes = vec![(PROMPTS.to_owned(), day)];
        let retention = Retention { lock, default: 30 * day, classes, proofs: 60 * day };
        let inner = DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap();
        let lock = (lock != Lock::None).then_some((lock, FAR));
        let store: Arc<dyn Store> = Arc::new(Bucket { inner, lock, ..Bucket::on(directory.path()) });
        let created = Time::from_unix_nanos(START).unwrap();
        Archive::create(&*store, &ledger.key.public(), created, Some(&retention)).unwrap();
        let settings = Settings {
            zstd_level: DEFAULT_ZSTD_LEVEL,
            retention: Some(retention),
            writer: "test".to_owned(),
            known: 0,
            opened_at: Time::default(),
        };
        let (archive, _) = Archive::open(store, ledger.key.clone(), settings).unwrap();
        let mut scene = Self { directory, ledger, archive, committed: Vec::new() };
        let prompts = scene.ledger.batch(6);
        scene.append(&prompts);
        scene.ledger.now += 3 * DAY;
        scene
    }

    fn append(&mut self, samples: &[Sample]) {
        let mut segment = self.archive.begin().unwrap();
        for s in samples {
            let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
            segment.push(row, &Classes).unwrap();
        }
        self.committed.push(self.archive.append(segment).unwrap());
    }

    /// The recorder says something, in a segment with one more prompt.
    fn say(&mut self, action: &'static str, details: String) {
        let time = Time::from_unix_nanos(self.ledger.now).unwrap();
        let mut record = Record::new(EventId([9; 16]), time, Kind::Lifecycle);
        record.producer = Some(Text::from(RECORDER_PRODUCER));
        record.producer_epoch = Some(Text::from("e1"));
        record.action_type = Some(Text::from(action));
        record.details = Some(Json::trusted(details));
        let samples = [self.ledger.seal(&record), self.ledger.next()];
        self.append(&samples);
    }

    fn destroy(&mut self, objects: &[&Object]) {
        let named: Vec<_> = objects
            .iter()
            .map(|object| serde_json::json!({ "path": object.path, "sha256": object.sha256.to_hex() }))
            .collect();
        self.say(RETENTION_DESTROY, serde_json::json!({ "objects": named }).to_string());
    }

    fn object(&self, commit: usize, class: &str) -> Object {
        let is = |object: &&Object| matches!(&object.kind, ObjectKind::Records { class: found } if found == class);
        self.committed[commit].objects.iter().find(is).unwrap().clone()
    }

    fn remove(&self, path: &str) {
        fs::remove_file(self.directory.path().join(path)).unwrap();
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.directory.path().join(path);
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).unwrap();
    }

    /// All of it, each object in one version and locked as commits sign, in mode governance.
    fn bucket(&self) -> Bucket {
        Bucket::on(self.directory.path())
    }

    fn verify(&self, bucket: &Bucket) -> Report {
        verify(bucket, Options { key: Some(self.ledger.key.public()), ..Options::default() }).unwrap()
    }
}

/// A directory that answers like a bucket.
struct Bucket {
    inner: DirectoryStore,
    /// How its objects are locked, but for these.
    lock: Option<(Lock, u64)>,
    locks: BTreeMap<String, Option<(Lock, u64)>>,
    /// Objects with a further version.
    in_front: BTreeSet<String>,
    forged: Option<Forged>,
    unreadable: Option<String>,
}

/// Other bytes, given the `at`th time that an object is opened.
struct Forged {
    path: String,
    bytes: Vec<u8>,
    at: usize,
    opened: AtomicUsize,
}

struct InMemory(Vec<u8>);

impl ReadAt for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let range = offset as usize..offset as usize + length;
        Ok(Bytes::copy_from_slice(self.0.get(range).ok_or(io::ErrorKind::UnexpectedEof)?))
    }
}

impl Bucket {
    fn on(directory: &Path) -> Self {
        Self {
            inner: DirectoryStore::reader(directory).unwrap(),
            lock: Some((Lock::Governance, FAR)),
            locks: BTreeMap::new(),
            in_front: BTreeSet::new(),
            forged: None,
            unreadable: None,
        }
    }
}

impl Store for Bucket {
    left_to_inner!();
    fn lock(&self) -> Lock {
        self.lock.map_or(Lock::None, |(lock, _)| lock)
    }
    fn retention(&self, _path: &str) -> Result<Option<Held>, StoreError> {
        Ok(Some(Held { lock: self.lock, legal_hold: false }))
    }
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, StoreError> {
        if self.unreadable.as_deref() == Some(path) {
            return Err(StoreError::new(ErrorKind::Read, path, "out of order"));
        }
        if let Some(forged) = self.forged.as_ref().filter(|forged| forged.path == path)
            && forged.opened.fetch_add(1, Ordering::SeqCst) == forged.at
        {
            return Ok(Arc::new(InMemory(forged.bytes.clone())));
        }
        self.inner.open(path)
    }
    fn remove_orphan(&self, path: &str) -> Result<Removal, StoreError> {
        self.inner.remove_orphan(path)
    }
    fn versions(&self, prefix: &str) -> Result<Option<Vec<Version>>, StoreError> {
        let mut versions = Vec::new();
        for path in self.inner.list(prefix)? {
            let more = self.in_front.contains(&path);
            let version = |id: &str, is_latest| Version {
                path: path.clone(),
                id: id.to_owned(),
                is_delete_marker: false,
                is_latest,
                size: 1,
            };
            versions.push(version("1", !more));
            versions.extend(more.then(|| version("2", true)));
        }
        Ok(Some(versions))
    }
    fn held(&self, version: &Version) -> Result<Held, StoreError> {
        let lock = self.locks.get(&version.path).copied().unwrap_or(self.lock);
        Ok(Held { lock, legal_hold: false })
    }
}

#[track_caller]
fn passes(report: &Report, axis: Axis) {
    assert_eq!(report.verdict(axis), Verdict::Pass, "{}", report.to_json());
}

/// The axis fails, by a finding about that object.
#[track_caller]
fn fails(report: &Report, axis: Axis, object: &str, words: &str) {
    assert_eq!(report.verdict(axis), Verdict::Fail, "{}", report.to_json());
    let found = report
        .findings
        .iter()
        .any(|finding| finding.axis == axis && finding.object == object && finding.what.contains(words));
    assert!(found, "nothing says {words:?} of {object}: {}", report.to_json());
}

#[test]
fn what_the_ledger_certifies_may_be_gone() {
    let mut scene = Scene::new(Lock::Governance);
    let prompts = scene.object(0, PROMPTS);
    scene.destroy(&[&prompts]);
    scene.remove(&prompts.path);
    let report = scene.verify(&scene.bucket());
    passes(&report, Axis::Integrity);
    passes(&report, Axis::Storage);
    assert_eq!((report.destroyed, report.bodies), (6, 2));
}

/// A store that lies may give a forged statement to one reader and the sealed one to the next.
#[test]
fn a_certificate_counts_only_as_it_was_sealed() {
    let forged = {
        let mut forger = Scene::new(Lock::Governance);
        let prompts = forger.object(0, PROMPTS);
        forger.destroy(&[&prompts]);
        fs::read(forger.directory.path().join(forger.object(1, RECORDER_CLASS).path)).unwrap()
    };
    let mut scene = Scene::new(Lock::Governance);
    // Longer than the forged one, so that its commit's size does not give that away.
    let reason: String = (0..64_u8).map(|byte| sha256(&[byte]).to_hex()).collect();
    scene.say("hold.add", format!(r#"{{"query":{{"session_id":"x"}},"reason":"{reason}"}}"#));
    let (prompts, statements) = (scene.object(0, PROMPTS), scene.object(1, RECORDER_CLASS));
    assert!((forged.len() as u64) < statements.size);
    scene.remove(&prompts.path);
    let mut at = 0;
    loop {
        let forged = Forged { path: statements.path.clone(), bytes: forged.clone(), at, opened: AtomicUsize::new(0) };
        let bucket = Bucket { forged: Some(forged), ..scene.bucket() };
        let report = scene.verify(&bucket);
        assert_eq!(
            (report.verdict(Axis::Integrity), report.destroyed),
            (Verdict::Fail, 0),
            "{at}: {}",
            report.to_json()
        );
        if bucket.forged.is_none_or(|forged| forged.opened.into_inner() <= at) {
            fails(&report, Axis::Integrity, &prompts.path, "missing");
            break;
        }
        at += 1;
    }
    assert!(at > 0, "the statements were never read");
}

#[test]
fn what_statements_that_cannot_be_read_may_explain_is_not_called_tampering() {
    let mut scene = Scene::new(Lock::Governance);
    let prompts = scene.object(0, PROMPTS);
    scene.destroy(&[&prompts]);
    scene.remove(&prompts.path);
    let bucket = Bucket { unreadable: Some(scene.object(1, RECORDER_CLASS).path), ..scene.bucket() };
    let report = scene.verify(&bucket);
    assert_eq!(report.verdict(Axis::Integrity), Verdict::Incomplete, "{}", report.to_json());
    assert!(report.to_json().contains(&format!("{} is missing", prompts.path)), "{}", report.to_json());
}

#[test]
fn what_is_to_be_destroyed_and_is_still_there_is_held_as_before() {
    let mut scene = Scene::new(Lock::Governance);
    let (prompts, leaves) = (scene.object(0, PROMPTS), scene.committed[0].objects[0].clone());
    scene.destroy(&[&prompts, &leaves]);
    passes(&scene.verify(&scene.bucket()), Axis::Storage);
    for path in [&prompts.path, &leaves.path] {
        let bucket = Bucket { locks: [(path.clone(), None)].into(), ..scene.bucket() };
        fails(&scene.verify(&bucket), Axis::Storage, path, "not locked");
        let bucket = Bucket { in_front: [path.clone()].into(), ..scene.bucket() };
        fails(&scene.verify(&bucket), Axis::Storage, path, "further version");
    }
    scene.remove(&leaves.path);
    fails(&scene.verify(&scene.bucket()), Axis::Storage, &leaves.path, "no version");
}

#[test]
fn a_mode_may_be_stronger_than_signed_and_not_weaker() {
    let checkpoint = format!("checkpoint/{:020}", 6);
    for (signed, held, good) in [
        (Lock::Governance, Lock::Compliance, true),
        (Lock::Compliance, Lock::Compliance, true),
        (Lock::Compliance, Lock::Governance, false),
    ] {
        let scene = Scene::new(signed);
        let bucket = Bucket {
            lock: Some((signed, FAR)),
            locks: [(checkpoint.clone(), Some((held, FAR)))].into(),
            ..scene.bucket()
        };
        let report = scene.verify(&bucket);
        if good {
            passes(&report, Axis::Storage);
        } else {
            fails(&report, Axis::Storage, &checkpoint, "locked in mode governance");
        }
    }
}

#[test]
fn a_witnessed_checkpoint_is_held_as_its_checkpoint_is() {
    let scene = Scene::new(Lock::Governance);
    let (tail, store) = (scene.archive.tail(), scene.archive.store());
    // By whom it is cosigned is another axis' affair.
    witnessed::write(&**store, tail.size, scene.archive.checkpoint().unwrap().as_bytes(), tail.kept).unwrap();
    let path = format!("witnessed/{:020}", tail.size);
    let report = scene.verify(&scene.bucket());
    passes(&report, Axis::Storage);
    assert_eq!((report.strangers.len(), report.findings.len()), (0, 0), "{}", report.to_json());
    let until = tail.kept.unwrap().1;
    for (lock, words) in [
        (None, "not locked"),
        (Some((Lock::Governance, until - 1)), "locked until"),
        (Some((Lock::Compliance, until)), ""),
    ] {
        let bucket = Bucket { locks: [(path.clone(), lock)].into(), ..scene.bucket() };
        match words {
            "" => passes(&scene.verify(&bucket), Axis::Storage),
            words => fails(&scene.verify(&bucket), Axis::Storage, &path, words),
        }
    }
    let bucket = Bucket { in_front: [path.clone()].into(), ..scene.bucket() };
    fails(&scene.verify(&bucket), Axis::Storage, &path, "further version");
}

#[test]
fn an_orphan_is_named_and_excused_only_as_it_was_left() {
    let mut scene = Scene::new(Lock::Governance);
    let left = b"leaves of a segment that was interrupted";
    let orphan = format!("leaves/day=2026-11-20/{:020}-2-{}.parquet", 0, &sha256(left).to_hex()[..16]);
    let reported = serde_json::json!({ "objects": [orphan] }).to_string();
    scene.write(&orphan, left);
    fails(&scene.verify(&scene.bucket()), Axis::Integrity, &orphan, "no commit names this object");

    scene.say(ARCHIVE_ORPHANS, reported);
    let report = scene.verify(&scene.bucket());
    passes(&report, Axis::Integrity);
    passes(&report, Axis::Storage);
    assert_eq!(report.orphans, [orphan.as_str()]);

    let bucket = Bucket { locks: [(orphan.clone(), None)].into(), ..scene.bucket() };
    fails(&scene.verify(&bucket), Axis::Storage, &orphan, "not locked");
    let bucket = Bucket { in_front: [orphan.clone()].into(), ..scene.bucket() };
    fails(&scene.verify(&bucket), Axis::Storage, &orphan, "further version");

    scene.write(&orphan, b"leaves that somebody likes better");
    fails(&scene.verify(&scene.bucket()), Axis::Integrity, &orphan, "not what was left");
}
