//! The axis `time`: what tokens over checkpoints say of the times of sealing. The authority is `openssl ts`; the archive is made here,
//! by whoever holds the ledger's key, with times of sealing as he likes them.

mod sample;
#[path = "../../tests/src/tsa.rs"]
#[allow(dead_code, unreachable_pub)]
mod tsa;

use std::path::PathBuf;
use std::sync::Arc;

use sample::{Ledger, Sample};
use tachograph_exporters::archive::store::{DirectorySettings, DirectoryStore, Store};
use tachograph_exporters::archive::{Archive, DEFAULT_ZSTD_LEVEL, OneClass, Pushed, Row, Settings, paths};
use tachograph_exporters::timestamp::{Request, Roots};
use tachograph_exporters::verify::{Axis, Options, RECORDER_PRODUCER, Report, TIME_ANCHOR, Verdict, verify};
use tachograph_ledger::sha256;
use tachograph_record::{Decimal, EventId, Json, Kind, Record, Text, Time};
use tsa::Tsa;

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;

/// Tokens have the time of this machine, so the records need it too.
#[allow(clippy::disallowed_methods)]
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// An archive, and a ledger that goes on.
struct Scene {
    directory: tempfile::TempDir,
    ledger: Ledger,
    archive: Archive,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        ledger.now = now();
        let store: Arc<dyn Store> =
            Arc::new(DirectoryStore::writer(directory.path(), DirectorySettings::default()).unwrap());
        let at = Time::from_unix_nanos(ledger.now).unwrap();
        Archive::create(&*store, &ledger.key.public(), at, None).unwrap();
        let settings = Settings::undated(DEFAULT_ZSTD_LEVEL);
        let (archive, _) = Archive::open(store, ledger.key.clone(), settings).unwrap();
        Self { directory, ledger, archive }
    }

    /// Archives records as one segment.
    fn append(&mut self, records: &[Sample]) {
        let mut segment = self.archive.begin().unwrap();
        for s in records {
            let row = Row { index: s.index, leaf: &s.leaf, hash: &s.hash, mac: &s.mac, body: &s.body };
            assert_eq!(segment.push(row, &OneClass).unwrap(), Pushed::Taken, "the test met midnight");
        }
        self.archive.append(segment).unwrap();
    }

    /// `count` records in a segment, sealed from `at` on.
    fn records(&mut self, at: u64, count: usize) {
        self.ledger.now = at;
        let records = self.ledger.batch(count);
        self.append(&records);
    }

    /// Puts a token over the newest checkpoint into the archive. Gives its path and the hash that an anchor holds.
    fn stamp(&self, tsa: &Tsa) -> (String, String) {
        let size = self.archive.tail().size;
        let checkpoint = std::fs::read(self.file(&paths::checkpoint(size))).unwrap();
        let token = tsa.token(&Request::new(&checkpoint, 77).to_der());
        let hash = sha256(&token);
        let path = paths::timestamp(size, &hash);
        self.archive.store().create(&path, &token, None).unwrap();
        (path, hash.to_hex())
    }

    /// A record of the recorder's own, in a segment.
    fn statement(&mut self, at: u64, action: &'static str, details: String) -> u64 {
        self.ledger.now = at;
        let time = Time::from_unix_nanos(at).unwrap();
        let index = self.ledger.sealer.next_index();
        let id = EventId::v7(time, sha256(&index.to_be_bytes()).as_bytes());
        let mut record = Record::new(id, time, Kind::Lifecycle);
        record.action_type = Some(Text::from(action));
        record.details = Some(Json::trusted(details));
        record.producer = Some(Text::from(RECORDER_PRODUCER));
        record.producer_epoch = Some(Text::from("e"));
        record.producer_seq = Decimal::new(index);
        let sealed = self.ledger.seal(&record);
        self.append(&[sealed]);
        index
    }

    /// The record with a token's hash; what else it says is for people, and for whoever misses a token.
    fn anchor(&mut self, at: u64, token_sha256: &str) -> u64 {
        self.statement(at, TIME_ANCHOR, format!("{{\"token_sha256\":\"{token_sha256}\"}}"))
    }

    fn file(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn verify_at(&self, trusted: &[&Tsa], now: u64) -> Report {
        let mut roots = Roots::default();
        trusted.iter().for_each(|tsa| roots.add_pem(&std::fs::read(tsa.ca()).unwrap()).unwrap());
        let options = Options {
            key: Some(self.ledger.key.public()),
            timestamp_authorities: roots,
            now: Some(Time::from_unix_nanos(now).unwrap()),
            threads: 2,
            ..Options::default()
        };
        verify(&DirectoryStore::reader(self.directory.path()).unwrap(), options).unwrap()
    }

    fn verify(&self, trusted: &[&Tsa]) -> Report {
        self.verify_at(trusted, now())
    }
}

#[track_caller]
fn expect(report: &Report, verdict: Verdict, words: &[&str]) {
    let axis = &report.axes[&Axis::Time];
    assert_eq!(axis.verdict, verdict, "{}", report.to_json());
    let said = format!("{:?} {:?}", axis.reasons, report.findings);
    words.iter().for_each(|word| assert!(said.contains(word), "nothing of {word:?} in {said}"));
    // Nothing else is wrong with any of these archives.
    for other in [Axis::Integrity, Axis::Authenticity, Axis::Coverage] {
        assert_eq!(report.verdict(other), Verdict::Pass, "{}", report.to_json());
    }
}

/// Five records, a token over them, its anchor, four records behind it, a token over all.
fn stamped(tsa: &Tsa) -> Scene {
    let mut scene = Scene::new();
    scene.records(now(), 5);
    let (_, hash) = scene.stamp(tsa);
    scene.anchor(now(), &hash);
    scene.records(now(), 4);
    scene.stamp(tsa);
    scene.records(now(), 3);
    scene
}

#[test]
fn records_are_bounded_from_both_sides() {
    let tsa = Tsa::start("good", 3_650);
    let scene = stamped(&tsa);
    let report = scene.verify(&[&tsa]);
    expect(
        &report,
        Verdict::Pass,
        &["10 records are not later", "the newest 3 are under none", "the 8 records from record 5 on"],
    );
    assert_eq!((report.timestamps, report.timestamped), (2, 10));
    assert!(report.strangers.is_empty(), "{:?}", report.strangers);
}

#[test]
fn without_a_token_and_without_its_authority_nothing_is_said() {
    let (tsa, other) = (Tsa::start("good", 3_650), Tsa::start("other", 3_650));
    let mut none = Scene::new();
    none.records(now(), 3);
    expect(&none.verify(&[&tsa]), Verdict::Incomplete, &["no time stamp from outside"]);
    let scene = stamped(&tsa);
    expect(
        &scene.verify(&[]),
        Verdict::Incomplete,
        &["2 time stamps are whole", "not known to the auditor", "no --tsa-ca", "CN=good"],
    );
    expect(&scene.verify(&[&other]), Verdict::Incomplete, &["not known to the auditor", "are of others"]);
    // One that nobody knows beside one that is known: never a pass.
    scene.stamp(&other);
    expect(&scene.verify(&[&tsa]), Verdict::Incomplete, &["1 time stamps are whole", "CN=other"]);
    expect(&scene.verify(&[&tsa, &other]), Verdict::Pass, &[]);
}

#[test]
fn a_record_dated_forward_is_found() {
    let tsa = Tsa::start("good", 3_650);
    let mut scene = Scene::new();
    scene.records(now(), 5);
    scene.records(now() + DAY, 1);
    let (path, _) = scene.stamp(&tsa);
    expect(&scene.verify(&[&tsa]), Verdict::Fail, &["record 5 says", "dated forward", &path, "index: Some(5)"]);
}

#[test]
fn a_clock_within_the_tolerance_is_no_finding() {
    let tsa = Tsa::start("good", 3_650);
    let mut scene = Scene::new();
    scene.records(now() + 290 * SECOND, 5);
    let (_, hash) = scene.stamp(&tsa);
    scene.statement(now() - 290 * SECOND, "clock.jump_back", "{}".to_owned());
    scene.anchor(now() - 290 * SECOND, &hash);
    scene.records(now() - 290 * SECOND, 2);
    expect(&scene.verify(&[&tsa]), Verdict::Pass, &[]);
}

#[test]
fn a_record_dated_back_is_found() {
    let tsa = Tsa::start("good", 3_650);
    let mut scene = Scene::new();
    scene.records(now(), 5);
    let (path, hash) = scene.stamp(&tsa);
    // The anchor itself, and all behind it, with a clock that is a day behind. The step back is recorded, so that it alone is none.
    scene.statement(now() - DAY, "clock.jump_back", "{}".to_owned());
    let anchor = scene.anchor(now() - DAY, &hash);
    scene.records(now() - DAY, 2);
    let word = format!("record {anchor} says");
    expect(&scene.verify(&[&tsa]), Verdict::Fail, &[&word, "dated back", &path]);

    // And a step back behind a good anchor.
    let mut scene = Scene::new();
    scene.records(now(), 5);
    let (path, hash) = scene.stamp(&tsa);
    scene.anchor(now(), &hash);
    scene.records(now(), 3);
    let jump = scene.statement(now() - DAY, "clock.jump_back", "{}".to_owned());
    scene.records(now() - DAY, 2);
    expect(&scene.verify(&[&tsa]), Verdict::Fail, &[&format!("record {jump} says"), "dated back", &path]);
}

#[test]
fn a_token_that_was_touched_is_found() {
    let tsa = Tsa::start("good", 3_650);
    /// Gives where the token lies then.
    type Damage = fn(&Scene, &str, Vec<u8>) -> String;
    let damage: [(&str, Damage); 4] = [
        ("flipped", |scene, path, mut token| {
            token[700] ^= 1;
            std::fs::remove_file(scene.file(path)).unwrap();
            std::fs::write(scene.file(path), token).unwrap();
            path.to_owned()
        }),
        // With the name that goes with it.
        ("flipped and renamed", |scene, path, mut token| {
            token[700] ^= 1;
            std::fs::remove_file(scene.file(path)).unwrap();
            let path = paths::timestamp(5, &sha256(&token));
            std::fs::write(scene.file(&path), token).unwrap();
            path
        }),
        ("of another checkpoint", |scene, path, token| {
            std::fs::remove_file(scene.file(path)).unwrap();
            let path = paths::timestamp(6, &sha256(&token));
            std::fs::write(scene.file(&path), token).unwrap();
            path
        }),
        ("of no checkpoint", |scene, path, token| {
            std::fs::remove_file(scene.file(path)).unwrap();
            let path = paths::timestamp(7, &sha256(&token));
            std::fs::write(scene.file(&path), token).unwrap();
            path
        }),
    ];
    for (what, damage) in damage {
        let mut scene = Scene::new();
        scene.records(now(), 5);
        let (path, _) = scene.stamp(&tsa);
        scene.records(now(), 1);
        let token = std::fs::read(scene.file(&path)).unwrap();
        let path = damage(&scene, &path, token);
        let report = scene.verify(&[&tsa]);
        expect(&report, Verdict::Fail, &[&path]);
        // Whoever made it, the auditor need not know him for that.
        assert_eq!(scene.verify(&[]).verdict(Axis::Time), Verdict::Fail, "{what}");
    }
}

#[test]
fn a_token_that_was_taken_away_is_missed() {
    let tsa = Tsa::start("good", 3_650);
    let mut scene = Scene::new();
    scene.records(now(), 5);
    let (path, hash) = scene.stamp(&tsa);
    let details = format!("{{\"checkpoint\":\"5\",\"token\":\"{path}\",\"token_sha256\":\"{hash}\"}}");
    let index = scene.statement(now(), TIME_ANCHOR, details);
    scene.stamp(&tsa);
    expect(&scene.verify(&[&tsa]), Verdict::Pass, &["2 good"]);
    std::fs::remove_file(scene.file(&path)).unwrap();
    let words = ["1 time stamps are missing", &format!("record {index} has that of {path}")];
    expect(&scene.verify(&[&tsa]), Verdict::Incomplete, &words);
    std::fs::remove_dir_all(scene.file("timestamp")).unwrap();
    expect(&scene.verify(&[&tsa]), Verdict::Incomplete, &words);
}

#[test]
fn a_foreign_name_among_the_tokens_is_found() {
    let tsa = Tsa::start("good", 3_650);
    let scene = stamped(&tsa);
    std::fs::write(scene.file("timestamp/00000000000000000005.tsr"), b"x").unwrap();
    assert_eq!(scene.verify(&[&tsa]).verdict(Axis::Integrity), Verdict::Fail);
}

#[test]
fn a_token_outlives_its_certificate_if_it_was_stamped_again() {
    let (short, long) = (Tsa::start("short", 2), Tsa::start("long", 3_650));
    let later = now() + 30 * DAY;
    for anchored in [true, false] {
        let mut scene = Scene::new();
        scene.records(now(), 5);
        let (path, hash) = scene.stamp(&short);
        if anchored {
            scene.anchor(now(), &hash);
        }
        scene.records(now(), 4);
        scene.stamp(&long);
        expect(&scene.verify(&[&short, &long]), Verdict::Pass, &["2 good"]);
        let report = scene.verify_at(&[&short, &long], later);
        match anchored {
            true => expect(&report, Verdict::Pass, &["2 good"]),
            false => expect(&report, Verdict::Incomplete, &[&path, "certificate ended"]),
        }
        // Once the later one has ended too, nothing holds any more.
        let report = scene.verify_at(&[&short, &long], now() + 4_000 * DAY);
        expect(&report, Verdict::Incomplete, &["no time stamp counts"]);
        assert_eq!(report.timestamped, 0);
    }
}
