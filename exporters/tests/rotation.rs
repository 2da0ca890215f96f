//! A ledger changes its key: announced under the old one, signed by both, the old one retired. And what an attacker could try.

mod sample;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use sample::{Ledger, START, Sample, key_of};
use tachograph_exporters::archive::reader::Reader;
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::tree::TreeReader;
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, Keyring, OneClass, Row, Settings, paths};
use tachograph_exporters::bundle::about::Selection;
use tachograph_exporters::bundle::check;
use tachograph_exporters::bundle::files::Files;
use tachograph_exporters::bundle::maker::{Request, make};
use tachograph_exporters::verify::{Axis, KeyChangeReport, Options, RECORDER_PRODUCER, Report, Verdict, verify};
use tachograph_ledger::keys::{KEY_ANNOUNCE, KEY_RETIRE, encode_link};
use tachograph_ledger::{
    Checkpoint, Commit, SignError, Signer, SigningKey, TlogProof, VerifyingKey, leaf_hash, parse_note, root_of, sha256,
};
use tachograph_record::{Decimal, EventId, Json, Kind, Record, Text, Time};

const NAME: &str = "acme.example/test";

fn key(seed: u8) -> SigningKey {
    key_of(NAME, seed)
}

/// The keys with these seeds.
struct Ring(Vec<u8>);

impl Keyring for Ring {
    fn signer(&self, wanted: &VerifyingKey) -> Result<Arc<dyn Signer>, SignError> {
        let found = self.0.iter().map(|seed| key(*seed)).find(|key| key.public() == *wanted);
        found.map(|key| Arc::new(key) as Arc<dyn Signer>).ok_or_else(|| SignError { what: "not here".to_owned() })
    }
}

struct Scene {
    directory: tempfile::TempDir,
    ledger: Ledger,
    archive: Archive,
}

impl Scene {
    /// A ledger whose first key has seed 1, with 5 records.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
        Archive::create(&*store, &key(1).public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
        let archive = recover(store, &[1, 2, 3]);
        let mut scene = Self { directory, ledger: Ledger::with_key(key(1)), archive };
        scene.records(5);
        scene
    }

    /// Announced in record 5, under 6 records; more up to 9.
    fn announced() -> Self {
        let mut scene = Self::new();
        assert_eq!(scene.say(KEY_ANNOUNCE, &key(2)), 5);
        scene.records(3);
        scene
    }

    /// The first key retired in record 9, under 10 records; more up to 14.
    fn rotated() -> Self {
        let mut scene = Self::announced();
        assert_eq!(scene.say(KEY_RETIRE, &key(1)), 9);
        scene.records(4);
        scene
    }

    fn append(&mut self, records: &[Sample]) {
        let mut segment = self.archive.begin().unwrap();
        for s in records {
            let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
            segment.push(row, &OneClass).unwrap();
        }
        self.archive.append(segment).unwrap();
    }

    fn records(&mut self, count: usize) {
        let records = self.ledger.batch(count);
        self.append(&records);
    }

    fn statement(&mut self, action: &'static str, key: &SigningKey) -> Sample {
        let time = Time::from_unix_nanos(self.ledger.now).unwrap();
        let index = self.ledger.sealer.next_index();
        let mut record = Record::new(EventId::v7(time, sha256(&index.to_be_bytes()).as_bytes()), time, Kind::Lifecycle);
        record.action_type = Some(Text::from(action));
        record.details = Some(Json::trusted(format!("{{\"vkey\":\"{}\"}}", key.public().to_line())));
        record.producer = Some(Text::from(RECORDER_PRODUCER));
        record.producer_epoch = Some(Text::from("e"));
        record.producer_seq = Decimal::new(index);
        self.ledger.seal(&record)
    }

    /// The recorder says it, in a segment of its own.
    fn say(&mut self, action: &'static str, key: &SigningKey) -> u64 {
        let sample = self.statement(action, key);
        let index = sample.index;
        self.append(&[sample]);
        index
    }

    fn file(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn verify(&self, key: &SigningKey) -> Report {
        let options = Options { key: Some(key.public()), threads: 2, ..Options::default() };
        verify(&DirectoryStore::reader(self.directory.path()).unwrap(), options).unwrap()
    }

    /// As after a crash.
    fn reopen(&mut self, seeds: &[u8]) {
        self.archive = recover(Arc::clone(self.archive.store()), seeds);
    }

    fn bundle(&self) -> Files {
        let store: Arc<dyn Store> = Arc::new(DirectoryStore::reader(self.directory.path()).unwrap());
        let archive = Reader::open(store).unwrap();
        let last = archive.size() - 1;
        let request = Request {
            selection: Selection::Indexes { first: last, last },
            records: BTreeMap::from([(last, Some(archive.by_index(last).unwrap().unwrap().body))]),
            order: vec![(last, 0)],
            stream: None,
            created_at: Time::from_unix_nanos(START).unwrap(),
        };
        make(&archive, &TreeReader::of(&archive), &request).unwrap()
    }

    /// Signs a checkpoint and its commit anew, as whoever has just these keys could.
    fn forge(&self, size: u64, first: u64, signers: &[SigningKey]) {
        let signers: Vec<Arc<dyn Signer>> =
            signers.iter().map(|key| Arc::new(key_of(NAME, seed_of(key))) as Arc<dyn Signer>).collect();
        let path = self.file(&paths::checkpoint(size));
        let checkpoint = Checkpoint::parse_unverified(&fs::read(&path).unwrap()).unwrap();
        replace(&path, &checkpoint.sign_by(&signers).unwrap());
        let path = self.file(&format!("commit/{first:020}"));
        let commit = Commit::parse_unverified(&fs::read(&path).unwrap()).unwrap();
        replace(&path, &commit.sign_by(&signers).unwrap());
    }
}

fn seed_of(key: &SigningKey) -> u8 {
    (0..=255).find(|seed| key_of(NAME, *seed).public() == key.public()).unwrap()
}

fn recover(store: Arc<dyn Store>, seeds: &[u8]) -> Archive {
    let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
    let mut archive = Archive::recover_with(store, key(1).public(), Arc::new(Ring(seeds.to_vec())), settings).unwrap();
    archive.settle(u64::MAX).unwrap();
    archive
}

fn replace(path: &std::path::Path, text: &str) {
    let _ = fs::remove_file(path);
    fs::write(path, text).unwrap();
}

#[track_caller]
fn is(report: &Report, verdict: Verdict, words: &str) {
    assert_eq!(report.verdict(Axis::Authenticity), verdict, "{}", report.to_json());
    let said = report.findings.iter().any(|finding| format!("{} {}", finding.object, finding.what).contains(words))
        || report.axes[&Axis::Authenticity].reasons.iter().any(|reason| reason.contains(words));
    assert!(said, "nothing says {words:?}: {}", report.to_json());
}

fn signers_of(note: &[u8]) -> usize {
    parse_note(note).unwrap().claimed_signers().count()
}

#[test]
fn a_rotated_ledger_is_verified_from_its_first_key_and_from_the_new_one() {
    let scene = Scene::rotated();
    let signatures = [5, 6, 9, 10, 14].map(|size| signers_of(&fs::read(scene.file(&paths::checkpoint(size))).unwrap()));
    assert_eq!(signatures, [1, 1, 2, 2, 1]);
    for trusted in [key(1), key(2)] {
        let report = scene.verify(&trusted);
        is(&report, Verdict::Pass, "has had 2 keys");
        assert_eq!(report.exit_code(&[Axis::Integrity, Axis::Authenticity, Axis::Coverage]), 0, "{}", report.to_json());
        assert_eq!((report.keys.len(), report.strangers.len()), (2, 0));
    }
    // A ledger is told from others by its name and keys, as ever.
    is(&scene.verify(&key(3)), Verdict::Fail, "key");
}

#[test]
fn a_crash_between_checkpoint_and_link_is_made_good_before_anything_else() {
    for crash in ["announce", "retire"] {
        let mut scene = if crash == "announce" { Scene::new() } else { Scene::announced() };
        let (action, changed) = if crash == "announce" { (KEY_ANNOUNCE, key(2)) } else { (KEY_RETIRE, key(1)) };
        let index = scene.say(action, &changed);
        let path = scene.file(&paths::key_link(index));
        let link = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        is(&scene.verify(&key(1)), Verdict::Incomplete, "is not linked yet");
        scene.reopen(&[1, 2]);
        assert_eq!(fs::read(&path).unwrap(), link, "{crash}");
        scene.records(2);
        assert_eq!(scene.verify(&key(1)).verdict(Axis::Authenticity), Verdict::Pass);
    }
}

#[test]
fn behind_the_retirement_the_old_private_key_is_not_needed_and_before_it_both_are() {
    let mut scene = Scene::rotated();
    scene.reopen(&[2]);
    scene.records(2);
    assert_eq!(scene.verify(&key(1)).verdict(Axis::Authenticity), Verdict::Pass);

    let mut scene = Scene::announced();
    scene.reopen(&[2]);
    let sample = scene.ledger.next();
    let mut segment = scene.archive.begin().unwrap();
    let row = Row { index: sample.index, leaf: &sample.leaf, hash: &sample.hash, mac: &sample.mac, body: &sample.body };
    segment.push(row, &OneClass).unwrap();
    let refused = scene.archive.append(segment).unwrap_err();
    assert!(refused.is_retryable(), "the journal keeps the records: {refused}");
    assert!(!scene.file(&format!("commit/{:020}", 9)).exists());
}

#[test]
fn the_old_key_used_after_its_retirement_counts_for_nothing() {
    let scene = Scene::rotated();
    scene.forge(14, 10, &[key(1)]);
    is(&scene.verify(&key(1)), Verdict::Fail, "has no signature of key");
    // In the overlap a stolen old key alone does not do either.
    let scene = Scene::announced();
    scene.forge(9, 6, &[key(1)]);
    is(&scene.verify(&key(1)), Verdict::Fail, "has no signature of key");
}

#[test]
fn an_announcement_that_is_withheld_is_missed() {
    let scene = Scene::rotated();
    fs::remove_dir_all(scene.file("keys")).unwrap();
    is(&scene.verify(&key(1)), Verdict::Fail, "missing or leads nowhere");
    // The links of the overlap alone, with notes that the old key signed too.
    let scene = Scene::announced();
    fs::remove_dir_all(scene.file("keys")).unwrap();
    is(&scene.verify(&key(1)), Verdict::Fail, "record 5 announces the key");
    // Whoever trusts the new key finds nothing that leads to it.
    is(&scene.verify(&key(2)), Verdict::Fail, "key");
}

/// Another link to the announcement, record 5, over `size` records.
fn forge_link(scene: &Scene, size: u64, signer: SigningKey) {
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::reader(scene.directory.path()).unwrap());
    let archive = Reader::open(store).unwrap();
    let tree = TreeReader::of(&archive);
    let checkpoint = Checkpoint { origin: key(1).public().name().clone(), size, root: tree.root(size).unwrap() };
    let signers: [Arc<dyn Signer>; 1] = [Arc::new(signer)];
    let proof = TlogProof {
        extra: Some(tree.leaf(5).unwrap().0),
        index: 5,
        hashes: tree.inclusion(5, size).unwrap(),
        checkpoint: checkpoint.sign_by(&signers).unwrap(),
    };
    let body = archive.by_index(5).unwrap().unwrap().body;
    replace(&scene.file(&paths::key_link(5)), &encode_link(&body, &proof));
}

#[test]
fn a_link_that_only_the_new_key_signed_leads_nowhere() {
    let scene = Scene::announced();
    for signer in [key(2), key(66)] {
        forge_link(&scene, 6, signer);
        is(&scene.verify(&key(1)), Verdict::Fail, "not signed by every key that was valid before");
    }
}

#[test]
fn the_old_key_alone_can_not_put_off_the_moment_from_which_the_new_one_signs_too() {
    let scene = Scene::announced();
    forge_link(&scene, 9, key(1));
    is(&scene.verify(&key(1)), Verdict::Fail, "behind the commit that holds record 5");
}

/// Record 5 announces a key within a commit of 5 records, up to 10: so could somebody with the first key alone write anew what came behind
/// that record, and have the new key sign from there on only.
fn in_one_large_commit() -> Scene {
    let mut scene = Scene::new();
    let mut records = vec![scene.statement(KEY_ANNOUNCE, &key(2))];
    records.extend(scene.ledger.batch(4));
    scene.append(&records);
    scene.records(2);
    scene
}

/// The checkpoint over the first `size` records, as somebody may have kept it.
fn kept_checkpoint(scene: &Scene, size: u64) -> Vec<u8> {
    let tree =
        TreeReader::of(&Reader::open(Arc::new(DirectoryStore::reader(scene.directory.path()).unwrap())).unwrap());
    let leaves: Vec<_> = (0..size).map(|index| leaf_hash(&tree.leaf(index).unwrap().0)).collect();
    let checkpoint = Checkpoint { origin: key(1).public().name().clone(), size, root: root_of(&leaves) };
    let signers = [1, 2].map(|seed| Arc::new(key(seed)) as Arc<dyn Signer>);
    checkpoint.sign_by(&signers).unwrap().into_bytes()
}

#[test]
fn a_checkpoint_from_elsewhere_shows_that_a_link_was_put_off() {
    let scene = in_one_large_commit();
    is(&scene.verify(&key(1)), Verdict::Pass, "has had 2 keys");
    let verified = |checkpoints: Vec<Vec<u8>>, own_checkpoint: Option<Vec<u8>>| {
        let options =
            Options { key: Some(key(1).public()), checkpoints, own_checkpoint, threads: 2, ..Options::default() };
        verify(&DirectoryStore::reader(scene.directory.path()).unwrap(), options).unwrap()
    };
    let bundle = scene.bundle();
    for size in [4, 5, 6, 7, 9, 10, 11] {
        let note = kept_checkpoint(&scene, size);
        let options =
            check::Options { key: Some(key(1).public()), checkpoints: vec![note.clone()], ..check::Options::default() };
        let of_bundle = check::check(&bundle, "bundle", &options);
        let (given, own) = (verified(vec![note.clone()], None), verified(Vec::new(), Some(note)));
        // Record 5 is under it, and the link, which is over 10, is not the first that is.
        if (6..10).contains(&size) {
            is(&given, Verdict::Fail, "somebody with the keys before put it off");
            is(&own, Verdict::Fail, "the data directory has a checkpoint of");
            assert_eq!(of_bundle.verdict(Axis::Authenticity), Verdict::Fail, "{size}: {}", of_bundle.to_json());
            assert!(of_bundle.findings[0].object.starts_with("keys/"), "{}", of_bundle.to_json());
            // The later key signed all that is here: what the first one could still sign is of no account to who goes by it.
            let options = Options {
                key: Some(key(2).public()),
                checkpoints: vec![kept_checkpoint(&scene, size)],
                threads: 2,
                ..Options::default()
            };
            let by_later = verify(&DirectoryStore::reader(scene.directory.path()).unwrap(), options).unwrap();
            is(&by_later, Verdict::Pass, "the key that was given vouches for all");
        } else {
            let verdicts = [&given, &own].map(|report| report.verdict(Axis::Authenticity));
            assert_eq!(verdicts, [Verdict::Pass; 2], "{size}");
            assert_eq!(of_bundle.verdict(Axis::Authenticity), Verdict::Pass, "{size}: {}", of_bundle.to_json());
        }
    }
    // Or one that lies in the archive itself, which witnesses cosigned.
    fs::create_dir_all(scene.file("witnessed")).unwrap();
    fs::write(scene.file(&format!("witnessed/{:020}", 7)), kept_checkpoint(&scene, 7)).unwrap();
    is(&verified(Vec::new(), None), Verdict::Fail, "has a checkpoint of 7");
}

/// The checkpoints of an honest ledger are beside its links whatever is in its commits.
#[test]
fn no_checkpoint_of_an_honest_ledger_contradicts_its_links() {
    for scene in [Scene::rotated(), in_one_large_commit()] {
        let paths: Vec<_> =
            fs::read_dir(scene.file("checkpoint")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let checkpoints: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        assert!(checkpoints.len() > 2);
        let options = Options { key: Some(key(1).public()), checkpoints, threads: 2, ..Options::default() };
        let report = verify(&DirectoryStore::reader(scene.directory.path()).unwrap(), options).unwrap();
        assert_eq!(report.exit_code(&[Axis::Authenticity, Axis::NonEquivocation]), 0, "{}", report.to_json());
    }
}

#[test]
fn a_report_says_which_keys_signed_from_when_on() {
    let change = |record: u64, action: &'static str, seed: u8, above: u64| KeyChangeReport {
        record,
        action,
        vkey: key(seed).public().to_line(),
        above,
    };
    let (rotated, never) = (Scene::rotated(), Scene::new());
    let changes = [change(5, KEY_ANNOUNCE, 2, 6), change(9, KEY_RETIRE, 1, 10)];
    for trusted in [key(1), key(2)] {
        assert_eq!(rotated.verify(&trusted).key_changes, changes);
    }
    assert_eq!(never.verify(&key(1)).key_changes, []);
    assert!(changes[0].sentence().ends_with("it signs all of more than 6 records"), "{}", changes[0].sentence());
    assert!(changes[1].sentence().starts_with("record 9 retires acme.example/test+"), "{}", changes[1].sentence());
    let options = check::Options { key: Some(key(1).public()), ..check::Options::default() };
    let report = check::check(&rotated.bundle(), "bundle", &options);
    assert_eq!((report.key_changes.as_slice(), report.keys.len()), (&changes[..], 2));
    let report = check::check(&never.bundle(), "bundle", &options);
    assert_eq!((report.key_changes, report.keys), (Vec::new(), vec![key(1).public().to_line()]));
}

#[test]
fn a_ledger_made_anew_that_announces_the_new_key_is_not_verified_by_it() {
    // Somebody without any of the keys: his own first key, the true name, and the key that everybody trusts announced.
    let directory = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> =
        Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
    Archive::create(&*store, &key(66).public(), Time::from_unix_nanos(START).unwrap(), None).unwrap();
    let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
    let (archive, _) = Archive::open(store, Arc::new(key(66)), settings).unwrap();
    let mut scene = Scene { directory, ledger: Ledger::with_key(key(66)), archive };
    scene.records(3);
    scene.say(KEY_ANNOUNCE, &key(2));
    is(&scene.verify(&key(2)), Verdict::Incomplete, "nothing shows yet that this is its ledger");
    assert_ne!(scene.verify(&key(2)).exit_code(&[Axis::Authenticity]), 0);
}

#[test]
fn a_third_key_is_announced_when_one_of_two_is_retired() {
    let mut scene = Scene::rotated();
    scene.say(KEY_ANNOUNCE, &key(3));
    scene.records(2);
    // The new one proved to be no good: it goes, and the other one stays.
    scene.say(KEY_RETIRE, &key(3));
    scene.records(2);
    assert_eq!(scene.archive.keys().present().collect::<Vec<_>>(), [&key(2).public()]);
    for trusted in [key(1), key(2), key(3)] {
        is(&scene.verify(&trusted), Verdict::Pass, "has had 3 keys");
    }
    let size = scene.archive.tail().size;
    assert_eq!(signers_of(&fs::read(scene.file(&paths::checkpoint(size))).unwrap()), 1);
}

#[test]
fn a_bundle_brings_the_links_that_lead_to_the_keys_of_its_checkpoint() {
    let checked = |files: &Files, trusted: SigningKey| {
        let options = check::Options { key: Some(trusted.public()), ..check::Options::default() };
        check::check(files, "bundle", &options)
    };
    let rotated = Scene::rotated().bundle();
    for trusted in [key(1), key(2)] {
        let report = checked(&rotated, trusted);
        assert_eq!(report.exit_code(&[Axis::Integrity, Axis::Authenticity, Axis::Coverage]), 0, "{}", report.to_json());
    }
    assert_eq!(checked(&rotated, key(3)).verdict(Axis::Authenticity), Verdict::Fail);

    // Without the links the first key leads to nothing.
    let mut without = Files::default();
    rotated.iter().filter(|(path, _)| !path.starts_with("keys/")).for_each(|(path, bytes)| without.insert(path, bytes));
    without.seal();
    assert_eq!(checked(&without, key(1)).verdict(Axis::Authenticity), Verdict::Fail);
    assert_eq!(checked(&without, key(2)).verdict(Axis::Authenticity), Verdict::Fail);

    // One of before the rotation says nothing to who trusts the new key alone.
    let before = Scene::new().bundle();
    assert!(before.iter().all(|(path, _)| !path.starts_with("keys/")), "old bundles look as they did");
    assert_eq!(checked(&before, key(1)).verdict(Axis::Authenticity), Verdict::Pass);
    assert_eq!(checked(&before, key(2)).verdict(Axis::Authenticity), Verdict::Fail);
}
